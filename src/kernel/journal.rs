//! A small file that is memory as well: what godbg has changed in a process, written down so that another process can undo it
//! should godbg be killed. The page cache keeps what was written last whatever becomes of the writer. Knows bytes and
//! words, not what they mean.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::libc::{self, c_void};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::{geteuid, linkat};

/// How many words a journal holds.
pub const WORDS: usize = 8192;

const BYTES: usize = WORDS * 8;

/// A mapped file of [`WORDS`] words.
#[derive(Debug)]
pub struct Journal {
    words: NonNull<AtomicU64>,
    path: PathBuf,
    /// Device and inode: another journal may have taken this one's place.
    identity: (u64, u64),
}

// SAFETY: the words are atomics in memory that is shared with other processes anyway.
unsafe impl Send for Journal {}

impl Journal {
    /// Makes a new one, readable by its owner alone, that is nowhere yet: [`Journal::put_in_place`] gives it its path, when there
    /// is somebody who will take it away. The open file is for whoever inherits it.
    pub fn create(path: &Path) -> io::Result<(Journal, File)> {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        // open(2), O_TMPFILE: not every file system can.
        let file = match options.custom_flags(libc::O_TMPFILE).open(folder) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)) => {
                remove_old(path)?;
                options.custom_flags(0).create_new(true).open(path)?
            }
            other => other?,
        };
        file.set_len(BYTES as u64)?;
        Ok((Journal::map(&file, path)?, file))
    }

    /// Gives a new one its path, in place of an old one.
    pub fn put_in_place(&self, file: &File) -> io::Result<()> {
        if self.is_in_place() {
            return Ok(());
        }
        remove_old(&self.path)?;
        let open = format!("/proc/self/fd/{}", file.as_raw_fd());
        linkat(AT_FDCWD, open.as_str(), AT_FDCWD, &self.path, AtFlags::AT_SYMLINK_FOLLOW).map_err(io::Error::from)
    }

    /// Opens one that exists. One that belongs to another user, or is not as long as a journal, is refused.
    pub fn open(path: &Path) -> io::Result<Journal> {
        Journal::check(&OpenOptions::new().read(true).write(true).open(path)?, path)
    }

    /// The one that this process has inherited as its standard output, which was made at `path`. It is the very one, whatever
    /// stands at `path` by now.
    pub fn inherited(path: &Path) -> io::Result<Journal> {
        Journal::check(&File::from(io::stdout().as_fd().try_clone_to_owned()?), path)
    }

    fn check(file: &File, path: &Path) -> io::Result<Journal> {
        let facts = file.metadata()?;
        if facts.uid() != geteuid().as_raw() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"));
        }
        if facts.len() != BYTES as u64 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a journal of this godbg"));
        }
        Journal::map(file, path)
    }

    fn map(file: &File, path: &Path) -> io::Result<Journal> {
        let identity = identity(&file.metadata()?);
        let length = NonZeroUsize::new(BYTES).expect("not zero");
        // SAFETY: a new mapping at an address of the kernel's choice; the file is as long as it.
        let start =
            unsafe { mmap(None, length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, file, 0) }?;
        Ok(Journal { words: start.cast(), path: path.to_owned(), identity })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < WORDS, "a journal has {WORDS} words");
        // SAFETY: within the mapping, which lives as long as `self`.
        unsafe { self.words.add(index).as_ref() }
    }

    /// Reads a word.
    pub fn get(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Acquire)
    }

    /// Writes a word; whoever sees it sees all that was written before it.
    pub fn set(&self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::Release);
    }

    /// Whether it is still the one at its path: not removed, nor replaced by another one.
    pub fn is_in_place(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|facts| identity(&facts) == self.identity)
    }

    /// Removes the file: there is nothing left to be undone. Another one in its place stays.
    pub fn remove(self) -> io::Result<()> {
        if self.is_in_place() { std::fs::remove_file(&self.path) } else { Ok(()) }
    }
}

fn remove_old(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn identity(facts: &Metadata) -> (u64, u64) {
    (facts.dev(), facts.ino())
}

impl Drop for Journal {
    fn drop(&mut self) {
        let start: NonNull<c_void> = self.words.cast();
        // SAFETY: the mapping that `map` made, which nothing else refers to.
        // It can only fail for an address that is none, and nothing could be done then.
        let _ = unsafe { munmap(start, BYTES) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_writes_another_reads() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let (one, file) = Journal::create(&path).expect("a journal");
        one.put_in_place(&file).expect("its path");
        one.set(WORDS - 1, 7);
        let other = Journal::open(&path).expect("the same");
        assert_eq!(other.get(WORDS - 1), 7);
        drop(one);
        let (next, file) = Journal::create(&path).expect("another one");
        next.put_in_place(&file).expect("in its place");
        assert!(next.is_in_place() && !other.is_in_place());
        assert_eq!((next.get(WORDS - 1), other.get(WORDS - 1)), (0, 7));
        other.remove().expect("not its business any more");
        assert!(next.is_in_place());
        next.remove().expect("removed");
        assert_eq!(Journal::open(&path).expect_err("gone").kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, "short").expect("written");
        assert_eq!(Journal::open(&path).expect_err("short").kind(), io::ErrorKind::InvalidData);
    }
}
