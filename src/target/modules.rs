//! The ELF files that a process has mapped, where each begins, and names of its addresses. Opens a file when something in
//! it is asked for, and makes sure that it is the one that is mapped.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::goroutines::GoRuntime;
use super::module_files::{self, Tree};
use crate::addr::{LinkAddr, LoadBias, Pid, RuntimeAddr};
use crate::kernel::file_map::Identity;
use crate::kernel::maps::{Mapping, Mappings};
use crate::kernel::memory::Memory;
use crate::kernel::proc;
use crate::parallel;
use crate::symbols::{FileKey, Module, Segment, SourceFrame, Store, SymbolAt, SymbolError};

/// A vDSO is a few pages; a mapping that pretends to be one is not read beyond this.
const LONGEST_VDSO: u64 = 1 << 16;

/// The modules of a process at one moment. Cheap to clone; any thread may ask it, also after the process has ended or gone on.
#[derive(Clone, Default, Debug)]
pub struct Modules(Arc<Inside>);

#[derive(Default, Debug)]
struct Inside {
    modules: Vec<LoadedModule>,
    /// Where each piece lies and whose it is, by rising address.
    pieces: Vec<(RuntimeAddr, RuntimeAddr, u32)>,
    go: OnceLock<Option<GoRuntime>>,
}

/// One file of a process.
#[derive(Debug)]
pub struct LoadedModule {
    path: String,
    pieces: Vec<Mapping>,
    tree: Arc<Tree>,
    /// The bytes of a module that is no file: the vDSO.
    memory: Option<Arc<Vec<u8>>>,
    module: OnceLock<Result<(Arc<Module>, LoadBias), SymbolError>>,
}

impl Modules {
    /// Of mappings that have been read. Opens no file yet; the vDSO is read now, as it goes with the process.
    pub fn of(pid: Pid, mappings: &Mappings, store: &Store) -> Modules {
        let tree = Arc::new(Tree::new(pid, store.clone()));
        let mut inside = Inside::default();
        let mut known: HashMap<(&str, u64), u32> = HashMap::new();
        for mapping in mappings.iter() {
            let Some(path) = mapping.name.as_deref() else { continue };
            let is_vdso = path == "[vdso]" && mapping.inode == 0;
            if mapping.inode == 0 && !is_vdso {
                continue;
            }
            let number = *known.entry((path, mapping.inode)).or_insert_with(|| {
                inside.modules.push(LoadedModule {
                    path: path.to_owned(),
                    pieces: Vec::new(),
                    tree: tree.clone(),
                    memory: is_vdso.then(|| Arc::new(read_memory(pid, mapping))),
                    module: OnceLock::new(),
                });
                (inside.modules.len() - 1) as u32
            });
            inside.modules[number as usize].pieces.push(mapping.clone());
            inside.pieces.push((mapping.start, mapping.end, number));
        }
        Modules(Arc::new(inside))
    }

    /// All of them, by rising address.
    pub fn iter(&self) -> std::slice::Iter<'_, LoadedModule> {
        self.0.modules.iter()
    }

    /// The Go runtime among them, looked for once.
    pub fn go_runtime(&self) -> Option<&GoRuntime> {
        self.0.go.get_or_init(|| GoRuntime::find(self)).as_ref()
    }

    /// The one that has an address.
    pub fn find(&self, addr: RuntimeAddr) -> Option<&LoadedModule> {
        let after = self.0.pieces.partition_point(|(start, _, _)| *start <= addr);
        let (_, _, number) = self.0.pieces.get(after.checked_sub(1)?).filter(|(_, end, _)| addr < *end)?;
        self.0.modules.get(*number as usize)
    }

    /// The symbol at an address, with its beginning in the process.
    pub fn symbol_at(&self, addr: RuntimeAddr) -> Option<(SymbolAt, RuntimeAddr)> {
        let (module, bias) = self.find(addr)?.module()?;
        let symbol = module.symbol_at(bias.link(addr))?;
        let start = bias.runtime(symbol.start);
        Some((symbol, start))
    }

    /// Has the names of all files prepared by a thread aside, so that the next session finds them. Nobody waits for it: if
    /// godbg ends before, nothing is lost.
    pub fn prepare_names_aside(&self) {
        let modules = self.0.modules.iter().filter_map(LoadedModule::module).map(|(module, _)| module);
        let wanting: Vec<Arc<Module>> = modules.filter(|module| module.wants_names_prepared()).cloned().collect();
        if wanting.is_empty() {
            return;
        }
        let work = move || {
            parallel::work_aside();
            wanting.iter().for_each(|module| module.prepare_names());
        };
        // Without a thread the names are made when somebody has to have them.
        let _ = std::thread::Builder::new().name("names".into()).spawn(work);
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

    /// Whether code of it can run.
    pub fn is_executable(&self) -> bool {
        self.pieces.iter().any(|piece| piece.execute)
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
            let module = match &self.memory {
                Some(bytes) => self.of_memory(bytes)?,
                None => self.of_file()?,
            };
            let bias = self.bias(&module).ok_or_else(|| SymbolError::NotElf("no segment of it is mapped".into()))?;
            Ok((module, bias))
        })
    }

    fn of_file(&self) -> Result<Arc<Module>, SymbolError> {
        let cannot = |error: std::io::Error| SymbolError::Open(self.path.clone(), error.to_string());
        let (found, identity) = module_files::mapped(&self.tree, &self.path, &self.pieces).map_err(cannot)?;
        let read = || Module::read(&found.path, found.open().map_err(cannot)?, self.tree.clone());
        self.tree.store().module(key(identity), read)
    }

    /// Processes of one kernel have the same vDSO: it is read once.
    fn of_memory(&self, bytes: &Arc<Vec<u8>>) -> Result<Arc<Module>, SymbolError> {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        // No file system has this number (makedev(3) makes smaller ones).
        let key = FileKey { device: u64::MAX, inode: hasher.finish(), size: bytes.len() as u64, changed: 0 };
        self.tree.store().module(key, || Module::read(&self.path, bytes.clone(), self.tree.clone()))
    }

    /// From the first mapped piece that a segment of the file begins with, else that one covers. Two segments may share a page
    /// of the file: the end of the one is mapped in front of the other.
    fn bias(&self, module: &Module) -> Option<LoadBias> {
        let page = |value: u64| value & !0xfff;
        // A piece of memory, not of a file, is all of its file.
        let offset = |piece: &Mapping| if self.memory.is_some() { 0 } else { piece.file_offset };
        let moved = |piece: &Mapping, segment: &Segment| {
            let linked = page(segment.start.0).wrapping_add(offset(piece) - page(segment.file_offset));
            LoadBias(piece.start.0.wrapping_sub(linked))
        };
        let begins = |piece: &Mapping, segment: &Segment| page(segment.file_offset) == offset(piece);
        let covers = |piece: &Mapping, segment: &Segment| {
            let end = segment.file_offset.saturating_add(segment.file_size);
            page(segment.file_offset) <= offset(piece) && offset(piece) < end
        };
        let by = |fits: &dyn Fn(&Mapping, &Segment) -> bool| {
            self.pieces.iter().find_map(|piece| {
                let segment = module.segments().iter().find(|segment| fits(piece, segment))?;
                Some(moved(piece, segment))
            })
        };
        by(&begins).or_else(|| by(&covers))
    }

    /// Where a file address is in the process.
    pub fn runtime(&self, addr: LinkAddr) -> Option<RuntimeAddr> {
        self.module().map(|(_, bias)| bias.runtime(addr))
    }
}

fn key(id: Identity) -> FileKey {
    FileKey { device: id.device, inode: id.inode, size: id.size, changed: id.changed }
}

/// The bytes of a mapping, none if they cannot be read.
fn read_memory(pid: Pid, mapping: &Mapping) -> Vec<u8> {
    let mut bytes = vec![0; (mapping.end.0 - mapping.start.0).min(LONGEST_VDSO) as usize];
    // A leader that has ended has no memory any more; the others have the same.
    let others = || proc::tasks(pid).unwrap_or_default().into_iter();
    let mut read = |tid| Memory::open(pid, tid).ok()?.read_fast(mapping.start, &mut bytes).ok().filter(|got| *got > 0);
    let got = read(pid.leader()).or_else(|| others().find_map(read));
    bytes.truncate(got.unwrap_or(0));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::own;

    #[test]
    fn own_code_and_the_vdso_have_names() {
        let mappings = Mappings::of(own::pid()).expect("own mappings");
        let modules = Modules::of(own::pid(), &mappings, &Store::default());
        let here = RuntimeAddr(own_code_and_the_vdso_have_names as *const () as u64);
        let frames = modules.frames_at(here);
        let outermost = frames.last().and_then(|frame| frame.function.as_deref().map(str::to_owned));
        assert!(outermost.is_some_and(|name| name.ends_with("own_code_and_the_vdso_have_names")), "{frames:?}");
        let spot = frames.first().and_then(|frame| frame.spot.clone()).expect("a line");
        assert!(spot.file.ends_with("src/target/modules.rs"), "{spot:?}");

        let vdso = modules.iter().find(|module| module.path() == "[vdso]").expect("a vDSO");
        let (module, bias) = vdso.module().expect("it is an ELF file");
        let symbol = module.symbols_named("__vdso_clock_gettime").into_iter().next().expect("its symbol");
        let (at, start) = modules.symbol_at(bias.runtime(symbol.start)).expect("the symbol");
        assert!(at.name.ends_with("clock_gettime") && vdso.ranges().any(|range| range.contains(&start)));
    }

    #[test]
    fn of_many_pieces_the_right_one_is_found() {
        let line = |at: u64| format!("{:x}-{:x} r-xp 0 00:01 {} /lib/{}\n", at << 20, (at << 20) + 0x1000, at, at);
        let text: String = (1..10_000).map(line).collect();
        let mappings = Mappings::parse(text.as_bytes()).expect("mappings");
        let modules = Modules::of(Pid(i32::MAX), &mappings, &Store::default());
        for at in [1u64, 5000, 9999] {
            let path = |addr: u64| modules.find(RuntimeAddr(addr)).map(LoadedModule::path);
            assert_eq!(path(at << 20), Some(format!("/lib/{at}").as_str()));
            assert_eq!((path((at << 20) + 0x1000), path((at << 20) - 1)), (None, None));
        }
        assert!(modules.iter().next().and_then(LoadedModule::error).is_some());
    }
}
