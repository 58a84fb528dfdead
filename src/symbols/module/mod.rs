//! One ELF file: its segments, its symbols, and what they say about an address or a name. Lazy: opening it reads the
//! headers, everything else is read when it is first asked for. Any thread may ask.

mod kept;

use std::fmt;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use super::debug_file::{self, DebugFile, Missed};
use super::dwarf::{self, Dwarf, Sections, Sources};
use super::elf::Elf;
use super::go::GoTables;
use super::index::{self, Index, Place};
use super::symtab::{Symbols, Table};
use super::unwind::UnwindTables;
use super::{
    Bytes, Files, FunctionFound, Lacking, LinePlace, LinePlaces, LineRow, NameEntry, NameKind, NamePattern, Result,
    Section, SourceFrame, SourceSpot, SymbolAt, SymbolFacts, SymbolSource, plt,
};
use crate::addr::LinkAddr;
use crate::parallel;

/// A part of a file that the loader maps (PT_LOAD).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it is linked to.
    pub start: LinkAddr,
    /// The address after its last byte in memory.
    pub end: LinkAddr,
    /// Where in the file it begins.
    pub file_offset: u64,
    /// How many of its bytes are in the file.
    pub file_size: u64,
}

/// One ELF file.
pub struct Module {
    name: String,
    elf: Elf,
    files: Arc<dyn Files>,
    segments: Vec<Segment>,
    /// The ranges of code.
    code: Vec<Range<u64>>,
    separate: OnceLock<Separate>,
    tables: OnceLock<Tables>,
    dwarf: OnceLock<Option<Debug>>,
    /// The same, unpacked again where what was kept of it is damaged.
    mended: OnceLock<Option<Debug>>,
    index: OnceLock<Index>,
    remembered: OnceLock<Option<Index>>,
    go: OnceLock<Option<GoTables>>,
    unwind: OnceLock<UnwindTables>,
    /// Whether somebody has been sent to prepare the names.
    prepared: AtomicBool,
}

/// Files beside the module's own.
#[derive(Default)]
struct Separate {
    debug: Option<DebugFile>,
    shared: Option<DebugFile>,
    missed: Missed,
}

struct Tables {
    symbols: Symbols,
    sources: Vec<SymbolSource>,
}

struct Debug {
    dwarf: Dwarf,
    path: String,
}

impl Module {
    /// Reads the headers of a file. `name` is its path, for words and to find what lies beside it; `files` opens what the
    /// file names.
    pub fn read(name: &str, bytes: Bytes, files: Arc<dyn Files>) -> Result<Module> {
        let elf = Elf::read(bytes)?;
        let segments = elf.segments();
        let code =
            segments.iter().filter(|(_, code)| *code).map(|(segment, _)| segment.start.0..segment.end.0).collect();
        Ok(Module {
            name: name.to_owned(),
            elf,
            files,
            segments: segments.into_iter().map(|(segment, _)| segment).collect(),
            code,
            separate: OnceLock::new(),
            tables: OnceLock::new(),
            dwarf: OnceLock::new(),
            mended: OnceLock::new(),
            index: OnceLock::new(),
            remembered: OnceLock::new(),
            go: OnceLock::new(),
            unwind: OnceLock::new(),
            prepared: AtomicBool::new(false),
        })
    }

    /// The file's name, for words.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the loader maps of it, by rising address.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// A section of the file itself by its name, unpacked; `None` if there is none or it cannot be read.
    pub fn section(&self, name: &str) -> Option<Section> {
        self.elf.section(name)
    }

    /// The same of the file or of its separate debug info (`.debug_frame`).
    pub fn debug_section(&self, name: &str) -> Option<Section> {
        let separate = || self.separate().debug.as_ref()?.elf.section(name);
        self.elf.section(name).or_else(separate)
    }

    /// Go's own tables; `None` if this is no Go program.
    pub fn go(&self) -> Option<&GoTables> {
        let find = || GoTables::find(self.elf.shared(), &self.segments, &object::File::parse(self.elf.bytes()).ok()?);
        self.go.get_or_init(find).as_ref()
    }

    /// The tables by which stacks are walked.
    pub fn unwind_tables(&self) -> &UnwindTables {
        self.unwind.get_or_init(|| UnwindTables::of(self))
    }

    /// Bytes of the file by their address; `None` where the file has none.
    pub fn bytes_at(&self, addr: LinkAddr, length: u64) -> Option<&[u8]> {
        let segment = self.segments.iter().find(|segment| (segment.start..segment.end).contains(&addr))?;
        let offset = addr.0 - segment.start.0;
        let end = offset.checked_add(length).filter(|end| *end <= segment.file_size)?;
        let begin = usize::try_from(segment.file_offset.checked_add(offset)?).ok()?;
        self.elf.bytes().get(begin..usize::try_from(segment.file_offset.checked_add(end)?).ok()?)
    }

    /// The symbol that covers an address, by the cheapest table that has it. A function has the name that [`Module::frames_at`]
    /// gives it.
    pub fn symbol_at(&self, addr: LinkAddr) -> Option<SymbolAt> {
        if let Some(symbol) = self.go().and_then(|go| go.symbol_at(addr)) {
            return Some(symbol);
        }
        // Debug info that has been opened knows one function sooner than tables that have not are read.
        let is_open = self.tables.get().is_none() && matches!(self.dwarf.get(), Some(Some(_)));
        if let Some(function) = is_open.then(|| self.function_by_dwarf(addr)).flatten() {
            return Some(function);
        }
        let symbols = self.symbols();
        let Some(symbol) = symbols.find(addr.0) else { return self.function_by_dwarf(addr) };
        let mut fact = symbols.fact(symbol);
        // Of several names for one address the one that stands in the source is that of the stack's listings.
        if symbols.may_have_other_name(symbol)
            && let Some(function) = self.function_by_dwarf(addr).filter(|function| function.start == fact.start)
        {
            fact.name = function.name;
        }
        Some(fact)
    }

    /// The function that has the code at an address, where it is one piece that begins at the function's entry.
    fn function_by_dwarf(&self, addr: LinkAddr) -> Option<SymbolAt> {
        let span = self.ask_dwarf(|dwarf| dwarf.span(addr.0))?;
        let (begin, end) = span.ranges.iter().find(|(begin, end)| (*begin..*end).contains(&addr.0))?;
        if !(*begin..*end).contains(&span.entry) {
            return None;
        }
        let name = self.dwarf_frames(addr).pop()?.function?;
        Some(SymbolAt { name, start: LinkAddr(span.entry), end: LinkAddr(*end) })
    }

    /// The functions at an address with their lines, the innermost first; the last is the one that has the code. Empty if
    /// nothing is known.
    pub fn frames_at(&self, addr: LinkAddr) -> Vec<SourceFrame> {
        if let Some(frames) = self.go().map(|go| go.frames_at(addr)).filter(|frames| !frames.is_empty()) {
            return frames;
        }
        let mut frames = self.dwarf_frames(addr);
        // Hand-written code has lines but no functions.
        if frames.last().is_none_or(|last| last.function.is_none()) {
            let spot = frames.pop().and_then(|frame| frame.spot);
            let symbol = self.symbol_at(addr);
            if spot.is_some() || symbol.is_some() {
                let start = symbol.as_ref().map(|symbol| symbol.start);
                frames.push(SourceFrame { function: symbol.map(|symbol| symbol.name), start, spot, inlined: false });
            }
        }
        frames
    }

    /// What DWARF alone says, without asking symbol tables for an address.
    fn dwarf_frames(&self, addr: LinkAddr) -> Vec<SourceFrame> {
        let mut frames = self.ask_dwarf(|dwarf| dwarf.frames(addr.0));
        if let Some((name, start)) = frames.last_mut().and_then(|last| last.function.as_mut().zip(last.start))
            && self.ask_dwarf(|dwarf| dwarf.is_cpp(addr.0))
            && let Some(full) = self.symbols().with_parameters(start.0, name)
        {
            *name = full.into();
        }
        frames
    }

    /// The symbols that a name means, by rising address; the name may be that of the linker too.
    pub fn symbols_named(&self, name: &str) -> Vec<SymbolAt> {
        let symbols = self.symbols();
        let wanted = NamePattern::name(name);
        let Some(literal) = wanted.literal().or(Some(name)).filter(|literal| !literal.is_empty()) else {
            return Vec::new();
        };
        let candidates = symbols.holding(literal.as_bytes()).into_iter();
        let fits = |fact: &SymbolAt, raw: &[u8]| raw == name.as_bytes() || wanted.fits(&fact.name);
        candidates
            .map(|symbol| (symbols.fact(symbol), symbols.raw_name(symbol)))
            .filter(|(fact, raw)| fits(fact, raw))
            .map(|(fact, _)| fact)
            .collect()
    }

    /// All code that a name means: functions, their generic instances and inlined calls, by rising address.
    pub fn functions(&self, wanted: &NamePattern) -> Vec<FunctionFound> {
        if let Some(found) = self.go().map(|go| go.functions(wanted)).filter(|found| !found.is_empty()) {
            return found;
        }
        let quick = || index::functions_without(self.whole_dwarf(), self.symbols(), wanted);
        let known = self.ask_known_index(|index| index.functions(wanted));
        let named = known.or_else(quick).unwrap_or_else(|| self.ask_index(|index| index.functions(wanted)));
        let each: Vec<(&Arc<str>, &Place)> =
            named.iter().flat_map(|(name, places)| places.iter().map(move |place| (name, place))).collect();
        let mut found = parallel::map(&each, |(name, place)| self.function(Arc::clone(name), place));
        found.sort_by_key(|function| (function.entry, function.inlined));
        // A symbol's aliases, and constructors that are one code.
        found.dedup_by(|later, kept| later.entry == kept.entry && later.inlined == kept.inlined);
        found
    }

    fn function(&self, name: Arc<str>, place: &Place) -> FunctionFound {
        let span = if place.inlined { None } else { self.ask_dwarf(|dwarf| dwarf.span(place.addr)) };
        let end = place.addr.saturating_add(place.size);
        let rows = self.ask_dwarf(|dwarf| dwarf.rows(place.addr..end));
        let body = match place.inlined {
            true => LinkAddr(place.addr),
            false => dwarf::body(&rows, place.addr, end, span.is_some_and(|span| span.optimised)),
        };
        let spot = self.spot_at(body);
        FunctionFound { name, entry: LinkAddr(place.addr), body, end: LinkAddr(end), inlined: place.inlined, spot }
    }

    fn spot_at(&self, addr: LinkAddr) -> Option<SourceSpot> {
        self.frames_at(addr).into_iter().next()?.spot
    }

    /// Where a line has code; of a line without any, where the next has. `file` is a path or its last parts.
    pub fn line_places(&self, file: &str, line: u32) -> LinePlaces {
        if let Some(places) = self.go().map(|go| go.line_places(file, line)).filter(|found| !found.places.is_empty()) {
            return places;
        }
        let wanted = dwarf::plain_path(file);
        let is_wanted = |path: &str| is_path(path, &wanted);
        let known = self.ask_known_index(|index| index.units_of(&is_wanted));
        // Debug info that has no such file is not unpacked.
        if known.as_ref().is_some_and(Vec::is_empty) {
            return LinePlaces::default();
        }
        let units = known.or_else(|| Some(self.whole_dwarf()?.units_of(&is_wanted))).unwrap_or_default();
        let mut hits = self.ask_dwarf(|dwarf| dwarf.line_hits(&is_wanted, &units, line));
        hits.sort_by_key(|hit| hit.addr);
        let mut found = LinePlaces { line: hits.first().map_or(line, |hit| hit.spot.line), ..LinePlaces::default() };
        found.files = hits.iter().map(|hit| hit.spot.file.clone()).collect();
        found.files.sort_unstable();
        found.files.dedup();
        // One place in each function and inlined call: the first, and in a function's first line the one after its prologue.
        let mut seen: Vec<(Option<LinkAddr>, bool)> = Vec::new();
        for hit in hits {
            let Some(innermost) = self.frames_at(LinkAddr(hit.addr)).into_iter().next() else { continue };
            if seen.contains(&(innermost.start, innermost.inlined)) {
                continue;
            }
            seen.push((innermost.start, innermost.inlined));
            let at_entry = !innermost.inlined && innermost.start == Some(LinkAddr(hit.addr));
            let span = if at_entry { self.ask_dwarf(|dwarf| dwarf.span(hit.addr)) } else { None };
            let body = span.and_then(|span| {
                let (_, end) = span.ranges.iter().find(|(begin, end)| *begin <= span.entry && span.entry < *end)?;
                let rows = self.ask_dwarf(|dwarf| dwarf.rows(span.entry..*end));
                Some(dwarf::body(&rows, span.entry, *end, span.optimised))
            });
            let addr = body.unwrap_or(LinkAddr(hit.addr));
            let spot = self.spot_at(addr).unwrap_or(hit.spot);
            found.places.push(LinePlace { addr, function: innermost.function, inlined: innermost.inlined, spot });
        }
        found
    }

    /// Shows the names of a kind, sorted, until `visit` has enough.
    pub fn names(&self, kind: NameKind, visit: &mut dyn FnMut(NameEntry<'_>) -> ControlFlow<()>) {
        match self.go().filter(|_| kind == NameKind::Function) {
            Some(go) => go.function_names(visit),
            None => {
                // What is shown cannot be taken back.
                self.ask_index(Index::check_all);
                self.index().names(kind, visit);
            }
        }
    }

    /// The paths of the source files, sorted.
    pub fn sources(&self) -> Vec<Arc<str>> {
        match self.go() {
            Some(go) => go.sources(),
            None => {
                let known = self.ask_known_index(Index::sources);
                known.unwrap_or_else(|| self.whole_dwarf().map(Dwarf::sources).unwrap_or_default())
            }
        }
    }

    /// The rows of line tables that begin in a range, by rising address.
    pub fn line_rows(&self, range: Range<LinkAddr>) -> Vec<LineRow> {
        if let Some(rows) = self.go().map(|go| go.line_rows(range.clone())).filter(|rows| !rows.is_empty()) {
            return rows;
        }
        let rows = self.ask_dwarf(|dwarf| dwarf.rows(range.start.0..range.end.0));
        let row = |(row, spot): (dwarf::Row, SourceSpot)| LineRow {
            addr: LinkAddr(row.addr),
            spot,
            is_statement: row.is_statement,
        };
        rows.into_iter().map(row).collect()
    }

    /// What symbols there are, and what was looked for in vain. Reads the tables, no names.
    pub fn facts(&self) -> SymbolFacts {
        let mut kinds = Vec::new();
        if let Some(debug) = self.debug() {
            let (versions, count) = debug.dwarf.about();
            let versions: Vec<String> = versions.iter().map(u16::to_string).collect();
            kinds.push(SymbolSource {
                kind: format!("DWARF {}", versions.join(", ")),
                file: debug.path.clone(),
                count,
            });
        }
        kinds.extend(self.tables().sources.iter().cloned());
        let build_id = self.elf.build_id().map(|id| debug_file::hex(&id));
        SymbolFacts { build_id, kinds, missed: self.separate().missed.clone() }
    }

    /// The debug info that was looked for when a name or a line was asked for, and is not here. `None`: nothing is known to be
    /// missing, or nobody could tell what it is called (no build id).
    pub fn lacks(&self) -> Option<Lacking> {
        let wanted = |id: Vec<u8>| Lacking { build_id: debug_file::hex(&id), file: self.name.clone() };
        let (separate, dwarf) = (self.separate.get()?, self.dwarf.get()?);
        // The vDSO is no file that a server could have; Go's tables say what is needed.
        if self.name.starts_with('[') || matches!(self.go.get(), Some(Some(_))) {
            return None;
        }
        if dwarf.is_none() && separate.debug.is_none() {
            return self.elf.build_id().map(wanted);
        }
        let elf = separate.debug.as_ref().map_or(&self.elf, |debug| &debug.elf);
        let shared = elf.alt_link().filter(|_| separate.shared.is_none());
        shared.map(|(_, id)| id).filter(|id| (2..=64).contains(&id.len())).map(wanted)
    }

    /// The same for whoever wants to know before anybody has asked for a name.
    pub fn seek_debug_info(&self) -> Option<Lacking> {
        self.debug();
        self.lacks()
    }

    fn separate(&self) -> &Separate {
        self.separate.get_or_init(|| {
            let (path, files) = (Path::new(&self.name), &*self.files);
            let mut separate = Separate::default();
            // What is no file, the vDSO, has nothing beside it.
            let is_file = !self.name.starts_with('[');
            let has_own = self.elf.has_section(".debug_info");
            if !has_own && is_file {
                separate.debug = debug_file::find(&self.elf, path, files, &mut separate.missed);
            }
            let (elf, path) = match &separate.debug {
                Some(debug) => (&debug.elf, Path::new(&debug.path)),
                None => (&self.elf, path),
            };
            separate.shared = debug_file::find_shared(elf, path, files, &mut separate.missed);
            separate
        })
    }

    fn symbols(&self) -> &Symbols {
        &self.tables().symbols
    }

    fn tables(&self) -> &Tables {
        self.tables.get_or_init(|| {
            let (mut tables, mut sources) = (Vec::new(), Vec::new());
            let mut take = |elf: &Elf, section: &str, kind: &str, file: &str| {
                let table = Table::of(elf, section).filter(|table| table.len() > 0)?;
                sources.push(SymbolSource { kind: kind.into(), file: file.into(), count: table.len() });
                tables.push(table);
                Some(())
            };
            let own = take(&self.elf, ".symtab", ".symtab", &self.name);
            if own.is_none() {
                let debug = self.separate().debug.as_ref();
                let separate = debug.and_then(|debug| take(&debug.elf, ".symtab", ".symtab", &debug.path));
                if separate.is_none()
                    && let Some(mini) = debug_file::mini(&self.elf)
                {
                    take(&mini, ".symtab", ".gnu_debugdata", &self.name);
                }
            }
            take(&self.elf, ".dynsym", ".dynsym", &self.name);
            Tables { symbols: Symbols::new(&tables, plt::stubs(&self.elf)), sources }
        })
    }

    fn debug(&self) -> Option<&Debug> {
        let read = |anew: bool| {
            let separate = self.separate();
            let (elf, path) = match &separate.debug {
                Some(debug) => (&debug.elf, &debug.path),
                None => (&self.elf, &self.name),
            };
            let sources = Sources {
                own: Sections::of(elf, &*self.files, anew)?,
                shared: separate.shared.as_ref().and_then(|shared| Sections::of(&shared.elf, &*self.files, anew)),
                skeleton: None,
                files: self.files.clone(),
                path: self.name.clone(),
                package: OnceLock::new(),
            };
            let dwarf = Dwarf::new(sources, self.code.clone());
            if let Some(ranges) = self.remembered.get().and_then(|index| index.as_ref()?.ranges()) {
                dwarf.know_ranges(ranges);
            }
            Some(Debug { dwarf, path: path.clone() })
        };
        let kept = self.dwarf.get_or_init(|| read(false)).as_ref();
        if kept.is_some_and(|kept| kept.dwarf.is_damaged()) {
            return self.mended.get_or_init(|| read(true)).as_ref();
        }
        kept
    }

    /// Asks debug info: again, if the answer may lack something.
    fn ask_dwarf<T: Default>(&self, ask: impl Fn(&Dwarf) -> T) -> T {
        loop {
            let Some(dwarf) = self.dwarf() else { return T::default() };
            let answer = ask(dwarf);
            if !dwarf.is_damaged() {
                return answer;
            }
        }
    }

    /// Debug info all of which is going to be read.
    fn whole_dwarf(&self) -> Option<&Dwarf> {
        let dwarf = self.dwarf()?;
        if dwarf.check_all() { Some(dwarf) } else { self.dwarf() }
    }

    fn dwarf(&self) -> Option<&Dwarf> {
        self.debug().map(|debug| &debug.dwarf)
    }
}

/// Whether a path is the one that is meant, or ends with its parts.
fn is_path(path: &str, wanted: &str) -> bool {
    let rest = path.strip_suffix(wanted.trim_start_matches("./"));
    rest.is_some_and(|rest| rest.is_empty() || (rest.ends_with('/') && !wanted.is_empty()))
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("name", &self.name).finish_non_exhaustive()
    }
}
