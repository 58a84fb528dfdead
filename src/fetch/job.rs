//! A job: one file, from the first server that has it into the cache, on a thread of its own. It uses the network only while it is
//! allowed to, ends when it is dropped, and rings when there is news.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ureq::Agent;

use super::cache::{Cache, Kept};
use super::gate::Gate;
use super::http::{self, FetchError, Limits};
use crate::kernel::file_map::FileMap;
use crate::kernel::own;
use crate::symbols::{Bytes, is_of_build};

/// Servers that did not answer, and why: they are not asked again, or each of many files would wait for them.
pub type Unreachable = Arc<Mutex<BTreeMap<String, String>>>;

/// What is to be fetched.
#[derive(Clone, Debug)]
pub struct Request {
    /// The build id in hexadecimal digits.
    pub build_id: String,
    /// The servers, in the order in which they are asked.
    pub servers: Vec<String>,
    /// Where it is kept.
    pub cache: Cache,
    /// What it may take.
    pub limits: Limits,
    /// Who did not answer before.
    pub unreachable: Unreachable,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It is in the cache.
    Fetched {
        /// Its length.
        bytes: u64,
        /// Who had it; `None`: it was in the cache already.
        server: Option<String>,
    },
    /// No server has it.
    NotThere,
    /// It could not be had, and why.
    Failed(String),
}

/// A job. It is called off when this is dropped.
pub struct Job(Arc<Shared>);

#[derive(Default)]
struct Shared {
    gate: Gate,
    received: AtomicU64,
    /// What the server promised; 0: it did not say.
    total: AtomicU64,
    end: Mutex<Option<End>>,
    agent: Mutex<Option<Agent>>,
    /// The file that is being written.
    unfinished: Mutex<Option<PathBuf>>,
}

/// How often it rings while it goes on.
const RINGS: Duration = Duration::from_millis(500);

impl Job {
    /// Starts a job, which does nothing before it is allowed to. `ring` is called on its thread.
    pub fn start(request: Request, ring: impl Fn() + Send + 'static) -> io::Result<Job> {
        let shared = Arc::new(Shared::default());
        let theirs = Worker { shared: shared.clone(), ring: Box::new(ring) };
        thread::Builder::new().name("fetch".into()).spawn(move || theirs.work(&request))?;
        Ok(Job(shared))
    }

    /// Says whether it may use the network now. Never waits.
    pub fn allow(&self, allowed: bool) {
        self.0.gate.set_open(allowed);
    }

    /// How many bytes have come, and how many there will be.
    pub fn progress(&self) -> (u64, Option<u64>) {
        let total = self.0.total.load(Ordering::Relaxed);
        (self.0.received.load(Ordering::Relaxed), (total > 0).then_some(total))
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<End> {
        lock(&self.0.end).clone()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.0.gate.call_off();
        if let Some(agent) = lock(&self.0.agent).take() {
            agent.shutdown();
        }
        // godbg may end before the thread does.
        if let Some(path) = lock(&self.0.unfinished).take() {
            let _ = fs::remove_file(path);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's side.
struct Worker {
    shared: Arc<Shared>,
    ring: Box<dyn Fn() + Send>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A bug: whoever waits must not wait for ever.
        lock(&self.shared.end).get_or_insert_with(|| End::Failed("a bug in godbg".into()));
        (self.ring)();
    }
}

impl Worker {
    fn work(self, request: &Request) {
        own::run_anywhere();
        let end = self.fetch(request);
        *lock(&self.shared.end) = Some(end);
    }

    fn fetch(&self, request: &Request) -> End {
        match request.cache.look(&request.build_id) {
            Kept::Here(path) => {
                // One of another build is replaced.
                if let Ok((map, about)) = FileMap::open(&path)
                    && is_of_build(&(Arc::new(map) as Bytes), &request.build_id)
                {
                    return End::Fetched { bytes: about.size, server: None };
                }
            }
            Kept::NotThere => return End::NotThere,
            Kept::Unknown => {}
        }
        let agent = http::agent(&request.limits);
        *lock(&self.shared.agent) = Some(agent.clone());
        let mut failures = Vec::new();
        for server in &request.servers {
            if let Some(why) = lock(&request.unreachable).get(server) {
                failures.push(format!("{server}: {why}"));
                continue;
            }
            match self.fetch_from(server, &agent, request) {
                Ok(bytes) => return End::Fetched { bytes, server: Some(server.clone()) },
                Err(FetchError::NotThere) => {}
                Err(FetchError::CalledOff(off)) => return End::Failed(off.to_string()),
                Err(error) => {
                    if error.is_of_server() {
                        lock(&request.unreachable).insert(server.clone(), error.to_string());
                    }
                    failures.push(format!("{server}: {error}"));
                }
            }
        }
        if !failures.is_empty() {
            return End::Failed(failures.join("; "));
        }
        // What cannot be noted is asked for again by another session.
        let _ = request.cache.note_not_there(&request.build_id);
        End::NotThere
    }

    fn fetch_from(&self, server: &str, agent: &Agent, request: &Request) -> Result<u64, FetchError> {
        let Request { build_id, cache, limits, .. } = request;
        let gate = &self.shared.gate;
        let url = format!("{server}/buildid/{build_id}/debuginfo");
        let incoming = http::ask(agent, &url, gate, limits)?;
        let mut begun = cache.begin(build_id).map_err(FetchError::Write)?;
        *lock(&self.shared.unfinished) = Some(begun.path().to_owned());
        let mut rang = Instant::now();
        let bytes = incoming.write(&mut begun.file, gate, limits, |received, total| {
            self.shared.received.store(received, Ordering::Relaxed);
            self.shared.total.store(total.unwrap_or(0), Ordering::Relaxed);
            if rang.elapsed() >= RINGS {
                rang = Instant::now();
                (self.ring)();
            }
        })?;
        check(begun.path(), build_id)?;
        // From here on it is complete, or was called off and is gone.
        if gate.is_called_off() {
            gate.pass()?;
        }
        lock(&self.shared.unfinished).take();
        begun.complete().map_err(FetchError::Write)?;
        Ok(bytes)
    }
}

/// Whether it is what was asked for.
fn check(path: &Path, build_id: &str) -> Result<(), FetchError> {
    let (map, _) = FileMap::open(path).map_err(FetchError::Write)?;
    if is_of_build(&(Arc::new(map) as Bytes), build_id) { Ok(()) } else { Err(FetchError::OtherBuild) }
}
