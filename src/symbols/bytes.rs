//! Where the bytes of a file come from. Opens nothing itself: mapping a file is the kernel layer's work, and which folder
//! tree a path means is the caller's.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The bytes of one file, shared by all that read it.
pub type Bytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// What opens the files that a module names (separate debug info, `.dwo`, sources), and remembers what was worked out.
pub trait Files: Send + Sync {
    /// The bytes of a regular file of the tree that the module belongs to. Never blocks on a pipe or a device.
    fn open(&self, path: &Path) -> io::Result<Bytes>;

    /// The same of the debugger's own tree: a container has no debug info of its own, but its host may.
    fn open_outside(&self, path: &Path) -> io::Result<Bytes> {
        let _ = path;
        Err(io::ErrorKind::NotFound.into())
    }

    /// The folders of separate debug info, the first is asked first (gdb's `debug-file-directory`).
    fn debug_folders(&self) -> Vec<PathBuf> {
        vec![PathBuf::from("/usr/lib/debug")]
    }

    /// The folder in which libdebuginfod keeps what it has fetched, as `BUILDID/debuginfo` (debuginfod_find_debuginfo(3)).
    fn debuginfod_cache(&self) -> Option<PathBuf> {
        None
    }

    /// What was remembered under a name. The bytes may be anything: whoever asks checks them.
    fn remembered(&self, name: &str) -> Option<Bytes> {
        let _ = name;
        None
    }

    /// Remembers bytes for another time; may as well forget them.
    fn remember(&self, name: &str, bytes: &[u8]) {
        let _ = (name, bytes);
    }
}

/// No files at all: a module that stands alone.
pub struct NoFiles;

impl Files for NoFiles {
    fn open(&self, _: &Path) -> io::Result<Bytes> {
        Err(io::ErrorKind::NotFound.into())
    }
}
