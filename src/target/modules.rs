//! The ELF files that a process has mapped, where each begins, and names of its addresses. Opens a file when something in
//! it is asked for, through /proc/PID so that deleted, replaced and other namespaces' files are the ones that are mapped.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::addr::{LinkAddr, LoadBias, Pid, RuntimeAddr};
use crate::kernel::file_map::{FileMap, Identity, identity_of};
use crate::kernel::maps::{Mapping, Mappings};
use crate::kernel::memory::Memory;
use crate::symbols::{Bytes, FileKey, Files, Module, SourceFrame, Store, SymbolAt, SymbolError};

/// The kernel's name for it.
const VDSO: &str = "[vdso]";

/// It has a few pages.
const LARGEST_VDSO: u64 = 256 << 10;

/// The modules of a process at one moment. Cheap to clone; any thread may ask it, also after the process has ended or gone on.
#[derive(Clone, Default, Debug)]
pub struct Modules {
    files: Arc<Vec<LoadedModule>>,
    /// The kernel's own code in the process, which is no file.
    vdso: Option<Arc<LoadedModule>>,
}

/// One file of a process.
#[derive(Debug)]
pub struct LoadedModule {
    pid: Pid,
    path: String,
    pieces: Vec<Mapping>,
    store: Store,
    module: OnceLock<Result<(Arc<Module>, LoadBias), SymbolError>>,
}

impl Modules {
    /// Of mappings that have been read. Opens nothing yet.
    pub fn of(pid: Pid, mappings: &Mappings, store: &Store) -> Modules {
        let mut modules: Vec<LoadedModule> = Vec::new();
        let mut vdso = None;
        for mapping in mappings.iter() {
            if mapping.name.as_deref() == Some(VDSO) {
                let (pieces, store) = (vec![mapping.clone()], store.clone());
                vdso = Some(Arc::new(LoadedModule { pid, path: VDSO.into(), pieces, store, module: OnceLock::new() }));
            }
            let Some(path) = mapping.name.as_ref().filter(|_| mapping.inode != 0) else { continue };
            match modules.iter_mut().find(|module| module.path == *path) {
                Some(module) => module.pieces.push(mapping.clone()),
                None => modules.push(LoadedModule {
                    pid,
                    path: path.clone(),
                    pieces: vec![mapping.clone()],
                    store: store.clone(),
                    module: OnceLock::new(),
                }),
            }
        }
        Modules { files: Arc::new(modules), vdso }
    }

    /// All that are files, by rising address.
    pub fn iter(&self) -> std::slice::Iter<'_, LoadedModule> {
        self.files.iter()
    }

    /// The one that has an address.
    pub fn find(&self, addr: RuntimeAddr) -> Option<&LoadedModule> {
        let mut all = self.files.iter().chain(self.vdso.as_deref());
        all.find(|module| module.ranges().any(|range| range.contains(&addr)))
    }

    /// The symbol at an address, with its beginning in the process.
    pub fn symbol_at(&self, addr: RuntimeAddr) -> Option<(SymbolAt, RuntimeAddr)> {
        let (module, bias) = self.find(addr)?.module()?;
        let symbol = module.symbol_at(bias.link(addr))?;
        let start = bias.runtime(symbol.start);
        Some((symbol, start))
    }

    /// The functions at an address with their lines, the innermost first.
    pub fn frames_at(&self, addr: RuntimeAddr) -> Vec<SourceFrame> {
        let found = self.find(addr).and_then(LoadedModule::module);
        found.map(|(module, bias)| module.frames_at(bias.link(addr))).unwrap_or_default()
    }
}

impl LoadedModule {
    /// Its path, as /proc/PID/maps has it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it is mapped.
    pub fn ranges(&self) -> impl Iterator<Item = Range<RuntimeAddr>> {
        self.pieces.iter().map(|piece| piece.start..piece.end)
    }

    /// The file and how far the loader moved it; `None` if it is no ELF file or cannot be read.
    pub fn module(&self) -> Option<(&Arc<Module>, LoadBias)> {
        let found = self.opened().as_ref().ok()?;
        Some((&found.0, found.1))
    }

    /// Why it has no facts.
    pub fn error(&self) -> Option<&SymbolError> {
        self.opened().as_ref().err()
    }

    fn opened(&self) -> &Result<(Arc<Module>, LoadBias), SymbolError> {
        self.module.get_or_init(|| {
            if self.path == VDSO {
                return self.vdso();
            }
            let (path, identity) =
                self.file().map_err(|error| SymbolError::Open(self.path.clone(), error.to_string()))?;
            let module = self.store.module(key(identity), || read(self.pid, &self.path, &path))?;
            let bias = self.bias(&module).ok_or_else(|| SymbolError::NotElf("no segment of it is mapped".into()))?;
            Ok((module, bias))
        })
    }

    /// The kernel's code, read from memory: all processes have the same, but for those of other machines.
    fn vdso(&self) -> Result<(Arc<Module>, LoadBias), SymbolError> {
        let cannot = |why: &dyn std::fmt::Display| SymbolError::Open(VDSO.into(), why.to_string());
        let piece = &self.pieces[0];
        let mut bytes = vec![0; (piece.end.0 - piece.start.0).min(LARGEST_VDSO) as usize];
        let memory = Memory::open(self.pid, self.pid.leader()).map_err(|error| cannot(&error))?;
        let got = memory.read(piece.start, &mut bytes).map_err(|errno| cannot(&errno.desc()))?;
        bytes.truncate(got);
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let key = FileKey { device: 0, inode: 0, size: got as u64, changed: hasher.finish().into() };
        let module = self.store.module(key, || Module::read(VDSO, Arc::new(bytes), Arc::new(RootFiles(self.pid))))?;
        let bias = self.bias(&module).ok_or_else(|| SymbolError::NotElf("no segment of it is mapped".into()))?;
        Ok((module, bias))
    }

    /// The file that is mapped: by /proc/PID/map_files, which needs a capability, else by the path in the process's own root
    /// if that is still the same inode.
    fn file(&self) -> io::Result<(PathBuf, Identity)> {
        let first = &self.pieces[0];
        let by_map = PathBuf::from(format!("/proc/{}/map_files/{:x}-{:x}", self.pid, first.start.0, first.end.0));
        if let Ok(identity) = identity_of(&by_map) {
            return Ok((by_map, identity));
        }
        let mut candidates = vec![PathBuf::from(format!("/proc/{}/root{}", self.pid, self.path))];
        candidates.push(PathBuf::from(format!("/proc/{}/exe", self.pid)));
        let same = |path: PathBuf| identity_of(&path).ok().filter(|id| id.inode == first.inode).map(|id| (path, id));
        candidates.into_iter().find_map(same).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// From the first mapped piece that a segment of the file covers.
    fn bias(&self, module: &Module) -> Option<LoadBias> {
        let fits = |piece: &Mapping| {
            let covers = |offset: u64, from: u64, size: u64| offset >= from && offset < from.saturating_add(size);
            let page = |value: u64| value & !0xfff;
            let segment = module.segments().iter().find(|segment| {
                let begin = page(segment.file_offset);
                covers(piece.file_offset, begin, segment.file_size + (segment.file_offset - begin))
            })?;
            let linked = page(segment.start.0) + (piece.file_offset - page(segment.file_offset));
            Some(LoadBias(piece.start.0.wrapping_sub(linked)))
        };
        self.pieces.iter().find_map(fits)
    }

    /// Where a file address is in the process.
    pub fn runtime(&self, addr: LinkAddr) -> Option<RuntimeAddr> {
        self.module().map(|(_, bias)| bias.runtime(addr))
    }
}

fn key(id: Identity) -> FileKey {
    FileKey { device: id.device, inode: id.inode, size: id.size, changed: id.changed }
}

fn read(pid: Pid, name: &str, path: &Path) -> Result<Module, SymbolError> {
    let cannot = |error: io::Error| SymbolError::Open(name.to_owned(), error.to_string());
    let (map, _) = FileMap::open(path).map_err(cannot)?;
    Module::read(name, Arc::new(map), Arc::new(RootFiles(pid)))
}

/// The files of the process's own root folder.
struct RootFiles(Pid);

impl Files for RootFiles {
    fn open(&self, path: &Path) -> io::Result<Bytes> {
        let inside = path.strip_prefix("/").map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let (map, _) = FileMap::open(&Path::new(&format!("/proc/{}/root", self.0)).join(inside))?;
        Ok(Arc::new(map))
    }
}
