//! Where the bytes of a file come from. Opens nothing itself: mapping a file is the kernel layer's work, and which folder
//! tree a path means is the caller's.

use std::io;
use std::path::Path;
use std::sync::Arc;

/// The bytes of one file, shared by all that read it.
pub type Bytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// What opens the files that a module names (separate debug info, `.dwo`, sources).
pub trait Files: Send + Sync {
    /// The bytes of a regular file. Never blocks on a pipe or a device.
    fn open(&self, path: &Path) -> io::Result<Bytes>;
}
