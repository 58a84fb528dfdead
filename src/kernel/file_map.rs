//! A file as memory: mapped, not read, so that of a large file only what is looked at costs memory. Knows no format.
//!
//! A file that is cut off while it is mapped makes every access behind its new end a SIGBUS (mmap(2)). A handler puts pages
//! of zeros there: readers see zeros where the file was, and godbg lives.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use memmap2::Mmap;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::libc;

use super::bus_error::{self, Guard};
use crate::addr::Pid;

/// A mapped file.
pub struct FileMap {
    /// Goes before the mapping does: its addresses may be another's at once.
    _guard: Option<Guard>,
    map: Option<Mmap>,
}

/// The identity of a file (stat(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
    /// `st_size`.
    pub size: u64,
    /// `st_mtim` in nanoseconds since 1970.
    pub changed: i128,
}

impl FileMap {
    /// Opens and maps a regular file; a pipe or a device is refused, never waited for.
    pub fn open(path: &Path) -> io::Result<(FileMap, Identity)> {
        FileMap::of(&OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?)
    }

    /// Maps a regular file that is open.
    pub fn of(file: &File) -> io::Result<(FileMap, Identity)> {
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        if about.len() == 0 {
            return Ok((FileMap { map: None, _guard: None }, identity(&about)));
        }
        // SAFETY: the bytes may change while they are read; readers check each offset against the length and take no
        // invariant from what they have read before. What is cut off reads as zeros.
        let map = unsafe { Mmap::map(file) }?;
        let guard = bus_error::guard(&map)?;
        Ok((FileMap { map: Some(map), _guard: Some(guard) }, identity(&about)))
    }
}

/// The identity of the file behind a path.
pub fn identity_of(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|about| identity(&about))
}

fn identity(about: &fs::Metadata) -> Identity {
    let changed = i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec());
    Identity { device: about.dev(), inode: about.ino(), size: about.len(), changed }
}

impl AsRef<[u8]> for FileMap {
    fn as_ref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

/// The folder tree that a process sees (`/proc/PID/root`, proc_pid_root(5)). It can be read on after the process has ended.
#[derive(Debug)]
pub struct Root {
    folder: OwnedFd,
}

impl Root {
    /// That of a live process. Permission is that of PTRACE_MODE_READ.
    pub fn of(pid: Pid) -> io::Result<Root> {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let folder = OpenOptions::new().read(true).custom_flags(flags).open(format!("/proc/{pid}/root"))?;
        Ok(Root { folder: folder.into() })
    }

    /// Opens and maps a regular file by its path in that tree: no link leads out of it (openat2(2), RESOLVE_IN_ROOT).
    pub fn open(&self, path: &Path) -> io::Result<(FileMap, Identity)> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let how =
            OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        loop {
            match openat2(&self.folder, path, how) {
                Ok(file) => return FileMap::of(&File::from(file)),
                // The kernel gives up when a folder is renamed meanwhile.
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::kernel::own;

    #[test]
    fn a_file_that_is_cut_off_reads_as_zeros() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, vec![7; 3 * 4096]).expect("written");
        let (map, identity) = FileMap::open(&path).expect("mapped");
        assert_eq!((identity.size, map.as_ref()[8192]), (3 * 4096, 7));
        File::options().write(true).open(&path).and_then(|file| file.set_len(4096)).expect("cut off");
        assert_eq!((map.as_ref()[4095], map.as_ref()[4096], map.as_ref()[3 * 4096 - 1]), (7, 0, 0));
        assert_eq!(map.as_ref().iter().filter(|byte| **byte == 7).count(), 4096);
    }

    #[test]
    fn only_regular_files_are_mapped() {
        assert!(FileMap::open(Path::new("/dev/null")).is_err());
        assert!(FileMap::open(Path::new("/")).is_err());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("empty");
        fs::write(&path, "").expect("written");
        assert_eq!(FileMap::open(&path).expect("mapped").0.as_ref(), b"");
    }

    #[test]
    fn links_do_not_lead_out_of_a_tree() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("file"), "inside").expect("written");
        symlink("/file", folder.path().join("link")).expect("a link");
        symlink("/etc/passwd", folder.path().join("out")).expect("a link");
        let root = Root { folder: File::open(folder.path()).expect("opened").into() };
        assert_eq!(root.open(Path::new("/link")).expect("inside").0.as_ref(), b"inside");
        assert!(root.open(Path::new("/out")).is_err());
        let own = Root::of(own::pid()).expect("own root");
        assert!(own.open(&folder.path().join("file")).is_ok());
    }
}
