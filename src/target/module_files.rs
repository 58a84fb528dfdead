//! Finds and opens the file that is mapped, whatever has become of its path since: deleted, replaced, in another mount
//! namespace. Knows no format of files.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::addr::Pid;
use crate::kernel::cache_folder::{self, CacheFolder};
use crate::kernel::file_map::{FileMap, Identity, Root};
use crate::kernel::maps::Mapping;
use crate::kernel::memory::Memory;
use crate::symbols::{Bytes, Files, Store};

/// What indexes of names may take on disk.
const CACHE: u64 = 512 << 20;

/// The folder tree of a process, and what is looked for in it. Once opened it serves without the process.
#[derive(Debug)]
pub struct Tree {
    pid: Pid,
    store: Store,
    root: OnceLock<Option<Root>>,
    cache: OnceLock<Option<CacheFolder>>,
}

/// A file that was found.
pub struct Found {
    /// Its path in the process's tree.
    pub path: String,
    map: std::cell::Cell<Option<FileMap>>,
}

impl Found {
    /// Its bytes; they are given once.
    pub fn open(&self) -> io::Result<Bytes> {
        let map = self.map.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Arc::new(map))
    }
}

impl Tree {
    /// Of a process. Opens nothing yet.
    pub fn new(pid: Pid, store: Store) -> Tree {
        Tree { pid, store, root: OnceLock::new(), cache: OnceLock::new() }
    }

    /// The modules that have been opened.
    pub fn store(&self) -> &Store {
        &self.store
    }

    fn cache(&self) -> Option<&CacheFolder> {
        self.cache.get_or_init(|| CacheFolder::open(&cache_folder::place()?, CACHE).ok()).as_ref()
    }

    fn open_inside(&self, path: &Path) -> io::Result<(FileMap, Identity)> {
        let root = self.root.get_or_init(|| Root::of(self.pid).ok());
        root.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?.open(path)
    }
}

impl Files for Tree {
    fn open(&self, path: &Path) -> io::Result<Bytes> {
        Ok(Arc::new(self.open_inside(path)?.0))
    }

    fn open_outside(&self, path: &Path) -> io::Result<Bytes> {
        Ok(Arc::new(FileMap::open(path)?.0))
    }

    fn debug_folders(&self) -> Vec<PathBuf> {
        self.store.debug_folders()
    }

    fn debuginfod_cache(&self) -> Option<PathBuf> {
        self.store.debuginfod_cache()
    }

    fn remembered(&self, name: &str) -> Option<Bytes> {
        Some(Arc::new(self.cache()?.read(name).ok()?))
    }

    fn remember(&self, name: &str, bytes: &[u8]) {
        // What cannot be kept is worked out again.
        let _ = self.cache().map(|folder| folder.write(name, bytes));
    }
}

/// The file behind mapped pieces: by /proc/PID/map_files, which needs a capability (proc_pid_map_files(5)), by the program's
/// own link, or by its path if what is there now is the same file.
pub fn mapped(tree: &Tree, path: &str, pieces: &[Mapping]) -> io::Result<(Found, Identity)> {
    let none = || io::Error::from(io::ErrorKind::NotFound);
    let first = pieces.first().ok_or_else(none)?;
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let found = |path: Cow<'_, str>, (map, identity): (FileMap, Identity)| {
        (Found { path: path.into_owned(), map: std::cell::Cell::new(Some(map)) }, identity)
    };
    let pid = tree.pid;
    let by_map = PathBuf::from(format!("/proc/{pid}/map_files/{:x}-{:x}", first.start.0, first.end.0));
    if let Ok(opened) = FileMap::open(&by_map) {
        return Ok(found(path.into(), opened));
    }
    let is_it = |(_, identity): &(FileMap, Identity)| identity.inode == first.inode;
    if let Ok(program) = FileMap::open(Path::new(&format!("/proc/{pid}/exe")))
        && is_it(&program)
    {
        return Ok(found(path.into(), program));
    }
    // The kernel writes a newline in a path as \012 (proc_pid_maps(5)), but a path may have these four characters as well.
    let mut why = none();
    for path in [Cow::Borrowed(path), Cow::Owned(path.replace("\\012", "\n"))] {
        match tree.open_inside(Path::new(&*path)) {
            // Of some stacked file systems the kernel shows a lower layer's inode.
            Ok(opened) if is_it(&opened) || looks_alike(pid, first, &opened.0) => return Ok(found(path, opened)),
            Ok(_) => why = io::Error::other("the file was deleted or replaced"),
            Err(error) => why = error,
        }
    }
    Err(why)
}

/// Whether a file begins with what is mapped of it: an ELF header, program headers and mostly the build id.
fn looks_alike(pid: Pid, piece: &Mapping, map: &FileMap) -> bool {
    if piece.write || piece.file_offset != 0 {
        return false;
    }
    let mut page = [0; 4096];
    let read = Memory::open(pid, pid.leader()).map(|memory| memory.read_fast(piece.start, &mut page));
    let length = map.as_ref().len().min(page.len());
    matches!(read, Ok(Ok(4096))) && length > 64 && map.as_ref()[..length] == page[..length]
}
