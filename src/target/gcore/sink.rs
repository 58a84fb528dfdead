//! The file, and threads that fill it: each reads a piece of memory and writes it, so that as many pieces are on their way as
//! there are processors for them; memory and page cache are both slow enough to keep one busy. What is zero becomes a hole.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::write::CoreFault;
use crate::addr::RuntimeAddr;
use crate::kernel::memory::PAGE;
use crate::parallel;

/// How much is read and written at once.
pub(super) const PIECE: usize = 512 << 10;

/// More threads than these wait for each other in the kernel.
const MOST_THREADS: usize = 4;

/// How many pieces may wait for a thread.
const WAITING: usize = 4;

/// Fills a buffer with memory from an address on: how many bytes, whole pages; 0 where the first page cannot be read.
pub(super) type Read = dyn Fn(RuntimeAddr, &mut [u8]) -> Result<usize, CoreFault> + Send + Sync;

/// Memory that is to be written: from where, how much, and to where in the file.
struct Piece {
    addr: RuntimeAddr,
    length: usize,
    offset: u64,
}

/// A file that is being written.
pub(super) struct Sink {
    pieces: Option<SyncSender<Piece>>,
    /// Each gives the bytes that it could not read.
    threads: Vec<JoinHandle<Result<u64, CoreFault>>>,
}

impl Sink {
    /// Starts the threads.
    pub fn new(file: &File, read: Arc<Read>) -> io::Result<Sink> {
        let (sender, pieces) = mpsc::sync_channel(WAITING);
        let pieces = Arc::new(Mutex::new(pieces));
        let mut sink = Sink { pieces: Some(sender), threads: Vec::new() };
        let count = parallel::processors().min(MOST_THREADS);
        for _ in 0..count {
            let (file, read, pieces) = (file.try_clone()?, Arc::clone(&read), Arc::clone(&pieces));
            let fill = move || fill(&file, &*read, &pieces);
            sink.threads.push(thread::Builder::new().name("core".into()).spawn(fill)?);
        }
        Ok(sink)
    }

    /// Has memory written, of [`PIECE`] bytes at most. Waits while too much is on its way.
    pub fn write(&mut self, addr: RuntimeAddr, length: usize, offset: u64) -> Result<(), CoreFault> {
        let piece = Piece { addr, length, offset };
        let sent = self.pieces.as_ref().is_some_and(|pieces| pieces.send(piece).is_ok());
        if sent { Ok(()) } else { Err(self.failure()) }
    }

    /// Waits until all is written: how many bytes could not be read.
    pub fn finish(&mut self) -> Result<u64, CoreFault> {
        self.pieces = None;
        let mut done = Ok(0);
        for thread in self.threads.drain(..) {
            let ended = thread.join().unwrap_or_else(|_| {
                let panicked = io::Error::other("a thread that writes it has panicked");
                Err(panicked.into())
            });
            done = done.and_then(|sum| Ok(sum + ended?));
        }
        done
    }

    /// Why the threads have ended before they were to.
    fn failure(&mut self) -> CoreFault {
        self.finish().err().unwrap_or_else(|| io::Error::other("the threads that write it have ended").into())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Who drops it unfinished has another error to tell, or was interrupted.
        let _ = self.finish();
    }
}

/// Reads and writes pieces until there are no more: how many bytes could not be read. A fault of one thread leaves the others
/// at work until whoever hands out the pieces notices.
fn fill(file: &File, read: &Read, pieces: &Mutex<Receiver<Piece>>) -> Result<u64, CoreFault> {
    let mut buffer = vec![0; PIECE];
    let mut unread = 0;
    loop {
        // Held while it waits: the others would only wait for the same.
        let next = pieces.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Piece { addr, length, offset }) = next else { return Ok(unread) };
        let mut done = 0;
        while done < length {
            let got = read(RuntimeAddr(addr.0 + done as u64), &mut buffer[..length - done])?;
            write_pages(file, &buffer[..got], offset + done as u64)?;
            if got == 0 {
                unread += PAGE;
            }
            done += got.max(PAGE as usize);
        }
    }
}

/// Writes whole pages, leaving holes for those that are zero.
pub(super) fn write_pages(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    static ZERO: [u8; PAGE as usize] = [0; PAGE as usize];
    let mut pages = bytes.chunks(PAGE as usize).enumerate().peekable();
    while let Some((first, page)) = pages.next() {
        if *page == ZERO[..page.len()] {
            continue;
        }
        let mut end = first * PAGE as usize + page.len();
        while let Some((_, page)) = pages.next_if(|(_, page)| **page != ZERO[..page.len()]) {
            end += page.len();
        }
        let begin = first * PAGE as usize;
        file.write_all_at(&bytes[begin..end], offset + begin as u64)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn zero_pages_are_holes_and_every_piece_finds_its_place() {
        let file = tempfile::tempfile().expect("a file");
        // The third page of what is read cannot be; each sixth page holds the number of its piece.
        let read = |addr: RuntimeAddr, buffer: &mut [u8]| {
            let page = addr.0 % PIECE as u64 / PAGE;
            let wanted = if page < 2 { (2 - page as usize) * PAGE as usize } else { buffer.len() };
            buffer.fill(0);
            if page == 2 {
                return Ok(0);
            }
            if page > 2 {
                buffer[(5 - page as usize) * PAGE as usize] = (addr.0 / PIECE as u64) as u8 + 1;
            }
            Ok(wanted)
        };
        let mut sink = Sink::new(&file, Arc::new(read)).expect("threads");
        for index in 0..8 {
            sink.write(RuntimeAddr(index * PIECE as u64), PIECE, index * PIECE as u64).expect("threads that take it");
        }
        assert_eq!(sink.finish().expect("all is written"), 8 * PAGE);
        let mut byte = [0];
        for index in 0..8u64 {
            file.read_exact_at(&mut byte, index * PIECE as u64 + 5 * PAGE).expect("a byte");
            assert_eq!(u64::from(byte[0]), index + 1);
        }
        assert!(file.metadata().expect("facts").blocks() * 512 < PIECE as u64);
    }

    #[test]
    fn an_error_of_the_file_comes_back() {
        let unwritable = File::open("/dev/null").expect("a file");
        let read = |_: RuntimeAddr, buffer: &mut [u8]| {
            buffer.fill(1);
            Ok(buffer.len())
        };
        let mut sink = Sink::new(&unwritable, Arc::new(read)).expect("threads");
        let outcome = (0..100).try_for_each(|index| sink.write(RuntimeAddr(0), PIECE, index * PIECE as u64));
        let Err(CoreFault::File(error)) = outcome else { panic!("it is open for reading") };
        assert_eq!(error.raw_os_error(), Some(9));
    }
}
