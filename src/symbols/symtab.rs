//! Symbol tables: `.symtab`, `.dynsym`, that of MiniDebugInfo, and the stubs of the procedure linkage table. Names stay where
//! they are until they are asked for. Knows no DWARF.

use std::ops::Range;

use object::elf::{SHF_EXECINSTR, SHT_NOBITS};
use object::read::elf::SectionHeader;
use object::{LittleEndian, Object};

use super::cover::Cover;
use super::demangle::demangle;
use super::dwarf::UNNAMED;
use super::elf::Elf;
use super::pattern::last_part;
use super::{Section, SymbolAt};
use crate::addr::LinkAddr;
use crate::parallel;

/// The bytes of an entry (System V ABI, Elf64_Sym).
const ENTRY: usize = 24;
/// A table with more symbols is cut off there: a hostile file may say that all of it is symbols.
const MOST: usize = 40_000_000;

/// What a symbol names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Code.
    Function,
    /// Data.
    Object,
}

/// One symbol: 32 bytes, its name by number.
#[derive(Clone, Copy, Debug)]
pub struct Symbol {
    /// Where it begins.
    pub start: u64,
    /// The address after it.
    pub end: u64,
    /// Where its name begins in its table of strings.
    name: u32,
    table: u8,
    /// The lower the better a name it is for its address.
    rank: u8,
    /// What it names.
    pub kind: Kind,
    section: u16,
}

/// The symbols of a module by rising address, one for each address they begin at, and all others beside them.
#[derive(Default)]
pub struct Symbols {
    strings: Vec<Section>,
    all: Vec<Symbol>,
    cover: Cover,
}

/// A table as the file has it.
pub struct Table {
    entries: Section,
    strings: Section,
    /// For each section whether it is code, and where it ends.
    sections: Vec<(bool, u64)>,
}

impl Table {
    /// `.symtab` or `.dynsym` of a file; `None` if there is none.
    pub fn of(elf: &Elf, name: &str) -> Option<Table> {
        let headers = elf.headers()?;
        let section = headers.section_by_name(name)?;
        let raw = section.elf_section_header();
        if raw.sh_type(LittleEndian) == SHT_NOBITS {
            return None;
        }
        let strings = elf.section_by_index(raw.sh_link(LittleEndian) as usize)?;
        let about = |header: &object::elf::SectionHeader64<LittleEndian>| {
            let code = header.sh_flags(LittleEndian).0 & SHF_EXECINSTR.0 != 0;
            (code, header.sh_addr(LittleEndian).saturating_add(header.sh_size(LittleEndian)))
        };
        let sections = headers.elf_section_table().iter().take(1 << 16).map(about).collect();
        Some(Table { entries: elf.section(name)?, strings, sections })
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        (self.entries.len() / ENTRY).min(MOST)
    }

    fn read(&self, range: Range<usize>, table: u8) -> Vec<Symbol> {
        let bytes = self.entries.get(range.start * ENTRY..range.end * ENTRY).unwrap_or_default();
        bytes.chunks_exact(ENTRY).filter_map(|entry| self.symbol(entry, table)).collect()
    }

    fn symbol(&self, entry: &[u8], table: u8) -> Option<Symbol> {
        const FUNC: u8 = 2;
        const GNU_IFUNC: u8 = 10;
        let name = u32::from_le_bytes(entry.get(..4)?.try_into().ok()?);
        let (info, section) = (entry[4], u16::from_le_bytes([entry[6], entry[7]]));
        let value = u64::from_le_bytes(entry.get(8..16)?.try_into().ok()?);
        let size = u64::from_le_bytes(entry.get(16..24)?.try_into().ok()?);
        // Not defined here (0), absolute and common (0xff00 and above) symbols have no place in the file.
        let &(code, _) = self.sections.get(usize::from(section)).filter(|_| section != 0)?;
        let (kind, typed) = match info & 0xf {
            FUNC | GNU_IFUNC => (Kind::Function, 0),
            1 => (Kind::Object, 0),
            // Labels of hand-written code have no type.
            0 if code => (Kind::Function, 8),
            _ => return None,
        };
        let first = *self.strings.get(name as usize)?;
        // Empty names, and local labels that an assembler has left.
        if first == 0 || (typed != 0 && self.strings.get(name as usize..)?.starts_with(b".L")) {
            return None;
        }
        let bound = match info >> 4 {
            1 => 0,
            2 => 1,
            _ => 2,
        };
        let sized = if size == 0 { 16 } else { 0 };
        let rank = sized + typed + bound * 2 + u8::from(first == b'_');
        Some(Symbol { start: value, end: value.saturating_add(size), name, table, rank, kind, section })
    }
}

impl Symbols {
    /// Of tables, the best first, and of stubs (begin, end, name).
    pub fn new(tables: &[Table], stubs: Vec<(u64, u64, String)>) -> Symbols {
        let mut all = Vec::new();
        for (number, table) in tables.iter().enumerate().take(usize::from(u8::MAX)) {
            let pieces = parallel::pieces(table.len(), 1 << 15);
            let read = |piece: &Range<usize>| {
                let mut symbols = table.read(piece.clone(), number as u8);
                symbols.sort_unstable_by_key(order);
                symbols
            };
            for piece in parallel::map(&pieces, read) {
                all.extend(piece);
            }
        }
        let mut strings: Vec<Section> = tables.iter().map(|table| table.strings.clone()).collect();
        let stub_table = strings.len().min(usize::from(u8::MAX)) as u8;
        let mut names = Vec::new();
        for (start, end, name) in stubs {
            let at = names.len() as u32;
            names.extend_from_slice(name.as_bytes());
            names.push(0);
            all.push(Symbol { start, end, name: at, table: stub_table, rank: 7, kind: Kind::Function, section: 0 });
        }
        strings.push(Section::unpacked(LinkAddr(0), names));
        // A stable sort finds the sorted pieces and merges them.
        all.sort_by_key(order);
        let mut symbols = Symbols { strings, all, cover: Cover::default() };
        symbols.dedup();
        symbols.end_the_endless(tables);
        let first_of = |(at, symbol): (usize, &Symbol)| {
            let first = at == 0 || symbols.all[at - 1].start != symbol.start;
            first.then_some((symbol.start, symbol.end, at as u32))
        };
        symbols.cover = Cover::new(symbols.all.iter().enumerate().filter_map(first_of).collect());
        symbols
    }

    /// All of them by rising address, aliases too.
    pub fn iter(&self) -> std::slice::Iter<'_, Symbol> {
        self.all.iter()
    }

    /// The narrowest symbol over an address, else the function that ends there: behind a call that never returns, which is
    /// a function's last instruction, the address to return to is already outside.
    pub fn find(&self, addr: u64) -> Option<&Symbol> {
        let over = |addr: u64| self.cover.find(addr).and_then(|at| self.all.get(at as usize));
        over(addr).or_else(|| over(addr.checked_sub(1)?).filter(|symbol| symbol.kind == Kind::Function))
    }

    /// Whether a function may be called otherwise in its source: it has aliases, or is a compiler's copy (`f.constprop.0`).
    pub fn may_have_other_name(&self, symbol: &Symbol) -> bool {
        let first = self.all.partition_point(|other| other.start < symbol.start);
        let has_alias = self.all.get(first + 1).is_some_and(|other| other.start == symbol.start);
        symbol.kind == Kind::Function && (has_alias || self.raw_name(symbol).contains(&b'.'))
    }

    /// The name of a C++ function with its parameters, which debug info leaves out where no other file can call it: `static`,
    /// in an anonymous namespace, or in a type without a name. `None` if the linker's name says no more.
    pub fn with_parameters(&self, entry: u64, name: &str) -> Option<String> {
        if name.replace("(anonymous namespace)", "").contains('(') && !name.ends_with("operator()") {
            return None;
        }
        let symbol = self.find(entry).filter(|symbol| symbol.start == entry)?;
        let full = self.raw_name(symbol).starts_with(b"_Z").then(|| self.name(symbol))?;
        let is_more = full.strip_prefix(name).is_some_and(|rest| rest.starts_with('('));
        // Types without a name, such as lambdas have, are numbered by the linker's name alone.
        let is_clearer = || name.contains(UNNAMED) && last_part(&full) == last_part(name);
        (is_more || is_clearer()).then_some(full)
    }

    /// The name as the linker has it.
    pub fn raw_name(&self, symbol: &Symbol) -> &[u8] {
        let strings: &[u8] = self.strings.get(usize::from(symbol.table)).map_or(&[], |section| section);
        let rest = strings.get(symbol.name as usize..).unwrap_or_default();
        let end = memchr::memchr(0, &rest[..rest.len().min(1 << 20)]);
        end.map_or(&[], |end| &rest[..end])
    }

    /// The name for people.
    pub fn name(&self, symbol: &Symbol) -> String {
        demangle(&String::from_utf8_lossy(self.raw_name(symbol))).into_owned()
    }

    /// The symbol for people.
    pub fn fact(&self, symbol: &Symbol) -> SymbolAt {
        SymbolAt { name: self.name(symbol).into(), start: LinkAddr(symbol.start), end: LinkAddr(symbol.end) }
    }

    /// The symbols whose raw names hold some bytes, which must not be empty. Each string is looked at once.
    pub fn holding(&self, bytes: &[u8]) -> Vec<&Symbol> {
        let finder = memchr::memmem::Finder::new(bytes);
        let mut hits: Vec<Vec<u32>> = Vec::new();
        for strings in &self.strings {
            let pieces = parallel::pieces(strings.len(), 1 << 22);
            let search = |piece: &Range<usize>| {
                let end = piece.end.saturating_add(bytes.len() - 1).min(strings.len());
                let text = strings.get(piece.start..end).unwrap_or_default();
                finder.find_iter(text).map(|at| (piece.start + at) as u32).collect::<Vec<u32>>()
            };
            hits.push(parallel::map(&pieces, search).concat());
        }
        let fits = |symbol: &&Symbol| {
            let Some(hits) = hits.get(usize::from(symbol.table)) else { return false };
            let after = hits.partition_point(|hit| *hit < symbol.name);
            // A tail of one string may be another name: what counts is where this one ends.
            hits.get(after)
                .is_some_and(|hit| (*hit - symbol.name) as usize + bytes.len() <= self.raw_name(symbol).len())
        };
        if hits.iter().all(Vec::is_empty) {
            return Vec::new();
        }
        let pieces = parallel::pieces(self.all.len(), 1 << 15);
        parallel::map(&pieces, |piece| self.all[piece.clone()].iter().filter(fits).collect::<Vec<_>>()).concat()
    }

    /// The same name at the same address stands in several tables.
    fn dedup(&mut self) {
        let mut all = std::mem::take(&mut self.all);
        let mut last: Option<Symbol> = None;
        all.retain(|symbol| {
            let again = last.is_some_and(|last| {
                last.start == symbol.start
                    && last.table != symbol.table
                    && demangled_eq(self.raw_name(&last), self.raw_name(symbol))
            });
            if !again {
                last = Some(*symbol);
            }
            !again
        });
        all.shrink_to_fit();
        self.all = all;
    }

    /// A symbol without a size reaches to the next one, or to its section's end.
    fn end_the_endless(&mut self, tables: &[Table]) {
        let mut next = u64::MAX;
        let mut group = u64::MAX;
        for at in (0..self.all.len()).rev() {
            let symbol = &mut self.all[at];
            if symbol.start != group {
                next = group;
                group = symbol.start;
            }
            if symbol.end == symbol.start {
                let table = tables.get(usize::from(symbol.table));
                let section = table.and_then(|table| table.sections.get(usize::from(symbol.section)));
                symbol.end =
                    section.map_or(symbol.start + 1, |(_, end)| *end).min(next).max(symbol.start.saturating_add(1));
            }
        }
    }
}

fn order(symbol: &Symbol) -> (u64, u8, u8, u32) {
    (symbol.start, symbol.rank, symbol.table, symbol.name)
}

/// Whether two linker's names differ at most in their versions.
fn demangled_eq(one: &[u8], other: &[u8]) -> bool {
    let plain = |name: &[u8]| memchr::memchr(b'@', name).unwrap_or(name.len());
    one[..plain(one)] == other[..plain(other)]
}
