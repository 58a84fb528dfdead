//! A debuginfod server that a test decides for: what it was asked, when, and how the target stood in that moment.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::kernel;

/// One request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The path of its address.
    pub path: String,
    /// Whether every thread of the watched process was held in that moment.
    pub held: bool,
}

/// A connection whose request has been read.
pub struct Client(TcpStream);

impl Client {
    /// Answers. A client that has gone is none of the server's business.
    pub fn answer(&mut self, status: &str, headers: &str, body: &[u8]) {
        let head = format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n");
        let _ = self.0.write_all(head.as_bytes()).and_then(|()| self.0.write_all(body));
    }

    /// The whole file.
    pub fn file(&mut self, body: &[u8]) {
        self.answer("200 OK", &format!("Content-Length: {}\r\n", body.len()), body);
    }

    pub fn not_found(&mut self) {
        self.answer("404 Not Found", "Content-Length: 0\r\n", b"");
    }

    /// More of a body; whether the client is still there.
    pub fn more(&mut self, body: &[u8]) -> bool {
        self.0.write_all(body).is_ok()
    }

    /// Waits until the client has gone away.
    pub fn wait_until_it_leaves(&mut self) {
        let _ = std::io::copy(&mut self.0, &mut std::io::sink());
    }
}

/// The server. It ends when it is dropped.
pub struct DebugServer {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    ends: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl DebugServer {
    /// Starts one. `watched` is the process whose threads are looked at with each request.
    pub fn start(watched: i32, answer: impl Fn(&str, &mut Client) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (asked, ends, answer) = (Arc::default(), Arc::new(AtomicBool::new(false)), Arc::new(answer));
        let (theirs, until) = (Arc::clone(&asked), Arc::clone(&ends));
        let listener = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if until.load(Ordering::Relaxed) {
                    return;
                }
                let (asked, answer) = (Arc::clone(&theirs), Arc::clone(&answer));
                let stream = stream.unwrap();
                std::thread::spawn(move || serve(stream, watched, &asked, &*answer));
            }
        });
        Self { addr, asked, ends, listener: Some(listener) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How often it was asked for a path.
    pub fn count(&self, path: &str) -> usize {
        self.asked().iter().filter(|asked| asked.path == path).count()
    }
}

fn serve(stream: TcpStream, watched: i32, asked: &Mutex<Vec<Asked>>, answer: &dyn Fn(&str, &mut Client)) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else { return };
    let held = kernel::all_stopped(watched);
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    asked.lock().unwrap().push(Asked { path: path.clone(), held });
    answer(&path, &mut Client(stream));
}

impl Drop for DebugServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.addr));
        if let Some(listener) = self.listener.take() {
            drop(listener.join());
        }
    }
}
