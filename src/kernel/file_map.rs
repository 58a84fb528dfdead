//! A file as memory: mapped, not read, so that of a large file only what is looked at costs memory. Knows no format.
//!
//! A file that is cut off while it is mapped makes every access behind its new end a SIGBUS (mmap(2)). Planned here:
//! a handler that puts zeros there.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use memmap2::Mmap;
use nix::libc;

/// A mapped file.
pub struct FileMap {
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
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        // SAFETY: the bytes may change while they are read; readers check each offset against the length and take no
        // invariant from what they have read before.
        let map = if about.len() == 0 { None } else { Some(unsafe { Mmap::map(&file) }?) };
        Ok((FileMap { map }, identity(&about)))
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
