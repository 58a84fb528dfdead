//! One ELF file: its segments, its symbols, and what they say about an address or a name. Lazy: opening it reads the
//! headers, everything else is read when it is first asked for. Any thread may ask.

use std::fmt;
use std::sync::{Arc, OnceLock};

use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, SymbolKind};

use super::go::GoTables;
use super::unwind::UnwindTables;
use super::{Bytes, Files, Result, Section, SourceFrame, SymbolAt, SymbolError};
use crate::addr::LinkAddr;

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
    bytes: Bytes,
    segments: Vec<Segment>,
    symbols: OnceLock<Vec<SymbolAt>>,
    go: OnceLock<Option<GoTables>>,
    unwind: OnceLock<UnwindTables>,
}

impl Module {
    /// Reads the headers of a file. `name` is for words; `files` opens what the file names.
    pub fn read(name: &str, bytes: Bytes, _files: Arc<dyn Files>) -> Result<Module> {
        let file = parse(&bytes)?;
        let segment = |segment: object::Segment<'_, '_>| {
            let (file_offset, file_size) = segment.file_range();
            let (start, size) = (segment.address(), segment.size());
            Segment { start: LinkAddr(start), end: LinkAddr(start.saturating_add(size)), file_offset, file_size }
        };
        let segments = file.segments().map(segment).collect();
        let (symbols, go, unwind) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Ok(Module { name: name.to_owned(), bytes, segments, symbols, go, unwind })
    }

    /// The file's name, for words.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the loader maps of it, by rising address.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// A section by its name, decompressed; `None` if there is none or it cannot be read.
    pub fn section(&self, name: &str) -> Option<Section> {
        let file = parse(&self.bytes).ok()?;
        let section = file.section_by_name(name)?;
        let address = LinkAddr(section.address());
        let compressed = section.compressed_file_range().ok()?;
        if compressed.format == object::CompressionFormat::None {
            let begin = usize::try_from(compressed.offset).ok()?;
            let length = usize::try_from(compressed.uncompressed_size).ok()?;
            return Section::mapped(address, &self.bytes, begin..begin.checked_add(length)?);
        }
        Some(Section::unpacked(address, section.uncompressed_data().ok()?.into_owned()))
    }

    /// Go's own tables; `None` if this is no Go program.
    pub fn go(&self) -> Option<&GoTables> {
        let find = || GoTables::find(&self.bytes, &self.segments, &parse(&self.bytes).ok()?);
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
        (*self.bytes).as_ref().get(begin..usize::try_from(segment.file_offset.checked_add(end)?).ok()?)
    }

    /// The symbol that covers an address, by the cheapest table that has it.
    pub fn symbol_at(&self, addr: LinkAddr) -> Option<SymbolAt> {
        if let Some(symbol) = self.go().and_then(|go| go.symbol_at(addr)) {
            return Some(symbol);
        }
        let symbols = self.symbols();
        let after = symbols.partition_point(|symbol| symbol.start <= addr);
        symbols.get(after.checked_sub(1)?).filter(|symbol| addr < symbol.end).cloned()
    }

    /// The functions at an address with their lines, the innermost first; the last is the one that has the code. Empty if
    /// nothing is known.
    pub fn frames_at(&self, addr: LinkAddr) -> Vec<SourceFrame> {
        if let Some(frames) = self.go().map(|go| go.frames_at(addr)).filter(|frames| !frames.is_empty()) {
            return frames;
        }
        let frame = |symbol: SymbolAt| SourceFrame {
            function: Some(symbol.name),
            start: Some(symbol.start),
            spot: None,
            inlined: false,
        };
        self.symbol_at(addr).map(frame).into_iter().collect()
    }

    /// Where the symbols of a name begin.
    pub fn symbols_named(&self, name: &str) -> Vec<SymbolAt> {
        self.symbols().iter().filter(|symbol| &*symbol.name == name).cloned().collect()
    }

    fn symbols(&self) -> &[SymbolAt] {
        self.symbols.get_or_init(|| parse(&self.bytes).map(|file| read_symbols(&file)).unwrap_or_default())
    }
}

fn parse(bytes: &Bytes) -> Result<object::File<'_>> {
    object::File::parse((**bytes).as_ref()).map_err(|error| SymbolError::NotElf(error.to_string()))
}

fn read_symbols(file: &object::File<'_>) -> Vec<SymbolAt> {
    let named = |symbol: object::Symbol<'_, '_>| {
        let kind = matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Data);
        let name = symbol.name().ok().filter(|name| kind && symbol.is_definition() && !name.is_empty())?;
        let name = rustc_demangle::try_demangle(name).map_or_else(|_| name.to_owned(), |name| format!("{name:#}"));
        let start = symbol.address();
        let end = start.saturating_add(symbol.size().max(1));
        Some(SymbolAt { name: name.into(), start: LinkAddr(start), end: LinkAddr(end) })
    };
    let mut symbols: Vec<SymbolAt> = file.symbols().chain(file.dynamic_symbols()).filter_map(named).collect();
    symbols.sort_by_key(|symbol| (symbol.start, symbol.end));
    symbols.dedup_by_key(|symbol| symbol.start);
    symbols
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("name", &self.name).finish_non_exhaustive()
    }
}
