//! The files that have been read, each once, whoever maps them. Decides nothing about which file that is.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Lacking, Module, Result};

/// What makes a file the same file: stat(2)'s device, inode, size and time of change. The build id is not enough: files
/// may lie about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileKey {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
    /// `st_size`, bytes.
    pub size: u64,
    /// `st_mtim`, nanoseconds since 1970.
    pub changed: i128,
}

/// The modules that have been opened. Cheap to clone; any thread may use it.
#[derive(Clone, Default, Debug)]
pub struct Store(Arc<Mutex<Inside>>);

#[derive(Default, Debug)]
struct Inside {
    modules: HashMap<FileKey, Result<Arc<Module>>>,
    /// `None` is the folder that every distribution has.
    debug_folders: Option<Vec<PathBuf>>,
    debuginfod_cache: Option<PathBuf>,
}

impl Store {
    /// The module of a file, read by `read` if it is the first time. A file that could not be used is not tried again.
    pub fn module(&self, key: FileKey, read: impl FnOnce() -> Result<Module>) -> Result<Arc<Module>> {
        let known = self.lock().modules.get(&key).cloned();
        if let Some(known) = known {
            return known;
        }
        let module = read().map(Arc::new);
        self.lock().modules.entry(key).or_insert(module).clone()
    }

    /// The folders of separate debug info, the first is asked first.
    pub fn debug_folders(&self) -> Vec<PathBuf> {
        self.lock().debug_folders.clone().unwrap_or_else(|| vec![PathBuf::from("/usr/lib/debug")])
    }

    /// Sets them. If they are others than before, what lacked debug info looks for it anew when it is next opened.
    pub fn set_debug_folders(&self, folders: Vec<PathBuf>) {
        if self.debug_folders() == folders {
            return;
        }
        let mut inside = self.lock();
        inside.modules.clear();
        inside.debug_folders = Some(folders);
    }

    /// Where libdebuginfod keeps what was fetched; `None`: it is not looked into.
    pub fn debuginfod_cache(&self) -> Option<PathBuf> {
        self.lock().debuginfod_cache.clone()
    }

    /// Sets it. What lacked debug info looks for it anew when it is next opened.
    pub fn set_debuginfod_cache(&self, folder: Option<PathBuf>) {
        let mut inside = self.lock();
        if inside.debuginfod_cache != folder {
            inside.modules.clear();
            inside.debuginfod_cache = folder;
        }
    }

    /// What the modules lack whose debug info was looked for in vain.
    pub fn lacking(&self) -> Vec<Lacking> {
        let modules: Vec<Arc<Module>> = self.lock().modules.values().flatten().cloned().collect();
        modules.iter().filter_map(|module| module.lacks()).collect()
    }

    /// Has the modules that lack this file look for it anew when they are next opened.
    pub fn forget_lacking(&self, build_id: &str) {
        let lacks = |module: &Module| module.lacks().is_some_and(|lacking| lacking.build_id == build_id);
        self.lock().modules.retain(|_, module| !module.as_ref().is_ok_and(|module| lacks(module)));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
