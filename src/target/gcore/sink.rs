//! The file behind a thread of its own, which writes one piece while the next is read: memory and page cache are both slow
//! enough to keep a processor busy. What is zero becomes a hole.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use crate::kernel::memory::PAGE;

/// How much is read and written at once.
pub(super) const PIECE: usize = 512 << 10;

/// How many pieces there are: one that is read, one that is written, and two between them.
const PIECES: usize = 4;

/// Bytes, how many of them count, and where they go.
type Piece = (Vec<u8>, usize, u64);

/// A file that is being written.
pub(super) struct Sink {
    full: Option<SyncSender<Piece>>,
    empty: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Sink {
    /// Starts the thread.
    pub fn new(file: File) -> io::Result<Sink> {
        let (full, pieces) = mpsc::sync_channel::<Piece>(PIECES);
        let (back, empty) = mpsc::channel();
        for _ in 0..PIECES {
            // The other end is still here.
            let _ = back.send(vec![0; PIECE]);
        }
        let write = move || {
            for (bytes, length, offset) in pieces {
                write_pages(&file, &bytes[..length], offset)?;
                // Nobody takes the last ones back.
                let _ = back.send(bytes);
            }
            Ok(())
        };
        let thread = thread::Builder::new().name("core".into()).spawn(write)?;
        Ok(Sink { full: Some(full), empty, thread: Some(thread) })
    }

    /// An empty buffer of [`PIECE`] bytes, once there is one.
    pub fn buffer(&mut self) -> io::Result<Vec<u8>> {
        match self.empty.recv() {
            Ok(buffer) => Ok(buffer),
            Err(_) => Err(self.failure()),
        }
    }

    /// Has the first bytes of a buffer written.
    pub fn write(&mut self, buffer: Vec<u8>, length: usize, offset: u64) -> io::Result<()> {
        let sent = self.full.as_ref().is_some_and(|full| full.send((buffer, length, offset)).is_ok());
        if sent { Ok(()) } else { Err(self.failure()) }
    }

    /// Waits until all is written.
    pub fn finish(&mut self) -> io::Result<()> {
        self.full = None;
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(error),
            Some(Err(_)) => Err(io::Error::other("the thread that writes it has panicked")),
        }
    }

    /// Why the thread has ended before it was to.
    fn failure(&mut self) -> io::Error {
        self.finish().err().unwrap_or_else(|| io::Error::other("the thread that writes it has ended"))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Who drops it unfinished has another error to tell, or was interrupted.
        let _ = self.finish();
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
    fn zero_pages_are_holes_and_order_is_kept() {
        let file = tempfile::tempfile().expect("a file");
        let mut sink = Sink::new(file.try_clone().expect("a descriptor")).expect("a thread");
        for index in 0..8u64 {
            let mut buffer = sink.buffer().expect("a buffer");
            buffer.fill(0);
            buffer[5 * PAGE as usize] = index as u8 + 1;
            sink.write(buffer, PIECE, index * PIECE as u64).expect("a thread that takes it");
        }
        sink.finish().expect("all is written");
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
        let mut sink = Sink::new(unwritable).expect("a thread");
        let outcome = (0..100).try_for_each(|index| {
            let mut buffer = sink.buffer()?;
            buffer.fill(1);
            sink.write(buffer, PIECE, index * PIECE as u64)
        });
        assert_eq!(outcome.expect_err("it is open for reading").raw_os_error(), Some(9));
    }
}
