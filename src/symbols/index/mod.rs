//! All names of a file: functions with every instance, variables, types. Built by all processors when a name is first looked
//! up, and kept for another time. Knows no process.
//!
//! What others have made is used as far as it can be believed: `.debug_names` by LLVM tells which units to read for a name
//! (`listed`). It lacks where inlined calls are, and the names of gdb's and of `.gdb_index` may lack such calls at all, so that
//! the entries themselves are read in any case; `.gdb_index` serves for addresses (`dwarf/gdb_index`).

mod collect;
mod flat;
mod listed;
mod narrow;
mod offsets;
mod select;
mod strings;

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use gimli::Unit;

use super::dwarf::{Attributes, Dwarf, Loaded, Reader};
use super::pattern::NamePattern;
use super::symtab::{Kind, Symbol, Symbols};
use super::{Files, NameEntry, NameKind};
use crate::addr::LinkAddr;
use crate::parallel;
use flat::Flat;

/// A longer name is left out, bytes.
const LONGEST_NAME: usize = 1 << 14;

/// Code or data of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Where it begins.
    pub addr: u64,
    /// Its length.
    pub size: u64,
    /// Whether it is an inlined call.
    pub inlined: bool,
}

impl Place {
    /// The code of an entry of debug info, if it has some: the part that it is entered by.
    fn of<'a>(
        loaded: &Loaded<'a>,
        unit: &Unit<Reader<'a>>,
        attributes: &Attributes<'a>,
        inlined: bool,
    ) -> Option<Place> {
        let ranges = attributes.ranges(loaded, unit);
        let entry = attributes.entry.or(attributes.low).unwrap_or(0);
        let first = ranges.iter().find(|(begin, end)| *begin <= entry && entry < *end);
        let (begin, end) = *first.or(ranges.iter().min())?;
        let addr = if (begin..end).contains(&entry) { entry } else { begin };
        Some(Place { addr, size: end - addr, inlined })
    }
}

/// A name and all that it names.
#[derive(Debug)]
pub struct Named {
    /// The name for people.
    pub name: String,
    /// What it names.
    pub kind: NameKind,
    /// Where it is declared.
    pub file: Option<Arc<str>>,
    /// Where it is declared; 0 if that is not known.
    pub line: u32,
    /// Its code or data.
    pub places: Vec<Place>,
}

/// What is known of the units of debug info, so that only those which matter have to be read.
#[derive(Default)]
pub struct Units {
    /// Each source file with the units that name it, by rising path.
    pub files: Vec<(Arc<str>, Vec<u32>)>,
    /// What each covers: begin, end, number.
    pub ranges: Vec<(u64, u64, u32)>,
}

/// The names.
pub struct Index(Flat);

impl Index {
    /// Of all that a file has.
    pub fn build(dwarf: Option<&Dwarf>, symbols: &Symbols, key: u64) -> Index {
        let mut all = dwarf.map(collect::of_dwarf).unwrap_or_default();
        add_parameters(&mut all, symbols);
        let others = beside(&all, symbols);
        let units = dwarf.map(|dwarf| Units { files: dwarf.files_of_units(), ranges: joined(dwarf.unit_ranges()) });
        Index(Flat::build(&merged(all, of_symbols(symbols, &others)), &units.unwrap_or_default(), key))
    }

    /// The units that name a file which `wanted` accepts by its path.
    pub fn units_of(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<usize> {
        let files = self.0.sources().filter(|source| wanted(source.path));
        let mut units: Vec<usize> = files.flat_map(|source| self.0.units(&source)).collect();
        units.sort_unstable();
        units.dedup();
        units
    }

    /// The paths of all source files, sorted.
    pub fn sources(&self) -> Vec<Arc<str>> {
        self.0.sources().map(|source| source.path.into()).collect()
    }

    /// What each unit covers: begin, end, number; `None` if that is damaged.
    pub fn ranges(&self) -> Option<Vec<(u64, u64, u32)>> {
        let ranges = self.0.ranges().collect();
        (!self.is_damaged()).then_some(ranges)
    }

    /// Whether something that was asked for was kept and is damaged: the answers lack it.
    pub fn is_damaged(&self) -> bool {
        self.0.is_damaged()
    }

    /// Reads all of what was kept. True: nothing is damaged.
    pub fn check_all(&self) -> bool {
        self.0.check_all()
    }

    /// What was kept under a name; `None` if there is nothing usable.
    pub fn remembered(files: &dyn Files, name: &str, key: u64) -> Option<Index> {
        Flat::read(files.remembered(name)?, key).map(Index)
    }

    /// Keeps it.
    pub fn remember(&self, files: &dyn Files, name: &str) {
        files.remember(name, self.0.bytes());
    }

    /// The functions that a pattern means, with all their places.
    pub fn functions(&self, wanted: &NamePattern) -> Vec<(Arc<str>, Vec<Place>)> {
        let found = |number: usize| {
            let entry =
                self.0.get(number).filter(|entry| entry.kind == NameKind::Function && wanted.fits(entry.name))?;
            Some((entry.name.into(), self.0.places(&entry).collect()))
        };
        match wanted.last_part() {
            Some(last) => self.0.with_last_part(last).filter_map(found).collect(),
            None => {
                let pieces = parallel::pieces(self.0.len(), 1 << 12);
                let of_piece = |piece: &Range<usize>| piece.clone().filter_map(found).collect::<Vec<_>>();
                parallel::map(&pieces, of_piece).into_iter().flatten().collect()
            }
        }
    }

    /// Shows all names of a kind, sorted, until `visit` has enough.
    pub fn names(&self, kind: NameKind, visit: &mut dyn FnMut(NameEntry<'_>) -> ControlFlow<()>) {
        for number in 0..self.0.len() {
            let Some(entry) = self.0.get(number) else { continue };
            if entry.kind != kind {
                if entry.kind > kind { return } else { continue }
            }
            let first = self.0.places(&entry).find(|place| !place.inlined).or(self.0.places(&entry).next());
            let shown = NameEntry {
                name: entry.name,
                file: entry.file,
                line: entry.line,
                addr: first.map(|place| LinkAddr(place.addr)),
                inlined: first.is_some_and(|place| place.inlined),
            };
            if visit(shown).is_break() {
                return;
            }
        }
    }
}

/// The functions that a pattern means, without an index: only names that hold the pattern's literal are looked at, and only
/// units that may hold such names. `None` where that would be all.
pub fn functions_without(
    dwarf: Option<&Dwarf>,
    symbols: &Symbols,
    wanted: &NamePattern,
) -> Option<Vec<(Arc<str>, Vec<Place>)>> {
    let literal = wanted.literal()?;
    // Of `Type::operator()` the literal is the type.
    let own = wanted.last_part().filter(|last| last.trim_start_matches('~') != literal).map(without_details);
    let mut named = dwarf.map(|dwarf| select::of_dwarf(dwarf, literal, own)).unwrap_or_default();
    let candidates: Vec<&Symbol> =
        symbols.holding(literal.as_bytes()).into_iter().filter(|symbol| symbol.kind == Kind::Function).collect();
    add_parameters(&mut named, symbols);
    named.retain(|named| wanted.fits(&named.name));
    let mut from_table = of_symbols(symbols, &candidates);
    from_table.retain(|symbol| wanted.fits(&symbol.name));
    Some(merged(named, from_table).into_iter().map(|named| (named.name.into(), named.places)).collect())
}

/// The beginning of a part of a name, up to what compilers write in different ways.
fn without_details(part: &str) -> &str {
    let end = part.find(['<', '(', '{', ' ']).unwrap_or(part.len());
    &part[..end]
}

/// Ranges in the order in which they are searched, those of one unit that touch as one: a compiler gives each function its own.
fn joined(mut ranges: Vec<(u64, u64, u32)>) -> Vec<(u64, u64, u32)> {
    ranges.sort_unstable_by_key(|(begin, end, unit)| (*begin, std::cmp::Reverse(*end), *unit));
    // Up to 15 bytes between functions are padding.
    ranges.dedup_by(|(begin, end, unit), kept| {
        let touches = *unit == kept.2 && kept.1 <= *begin && *begin - kept.1 < 16;
        if touches {
            kept.1 = *end;
        }
        touches
    });
    ranges
}

/// The symbols that say more than debug info does: of other addresses, and aliases (`malloc` beside `__libc_malloc`). Mangled
/// names at an address that debug info names are its own.
fn beside<'s>(all: &[Named], symbols: &'s Symbols) -> Vec<&'s Symbol> {
    let own = all.iter().flat_map(|named| {
        let places = named.places.iter().filter(|place| !place.inlined);
        places.map(|place| (place.addr, named.name.as_str()))
    });
    let mut known: Vec<(u64, &str)> = own.collect();
    known.sort_unstable();
    let is_new = |symbol: &&Symbol| {
        let first = known.partition_point(|(addr, _)| *addr < symbol.start);
        let mut names =
            known[first..].iter().take_while(|(addr, _)| *addr == symbol.start).map(|(_, name)| *name).peekable();
        if names.peek().is_none() {
            return true;
        }
        let raw = symbols.raw_name(symbol);
        let plain = &raw[..memchr::memchr(b'@', raw).unwrap_or(raw.len())];
        !plain.starts_with(b"_Z") && !plain.starts_with(b"_R") && names.all(|name| name.as_bytes() != plain)
    };
    symbols.iter().filter(is_new).collect()
}

/// Gives functions of C++ the names that the linker has for them, where debug info has only the shorter.
fn add_parameters(all: &mut [Named], symbols: &Symbols) {
    for named in all.iter_mut().filter(|named| named.kind == NameKind::Function) {
        let own = named.places.iter().find(|place| !place.inlined);
        if let Some(full) = own.and_then(|place| symbols.with_parameters(place.addr, &named.name)) {
            named.name = full;
        }
    }
}

fn of_symbols(symbols: &Symbols, some: &[&Symbol]) -> Vec<Named> {
    let named = |symbol: &&Symbol| Named {
        name: symbols.name(symbol),
        kind: if symbol.kind == Kind::Function { NameKind::Function } else { NameKind::Variable },
        file: None,
        line: 0,
        places: vec![Place { addr: symbol.start, size: symbol.end - symbol.start, inlined: false }],
    };
    let pieces = parallel::pieces(some.len(), 1 << 12);
    let of_piece = |piece: &Range<usize>| some[piece.clone()].iter().map(named).collect::<Vec<_>>();
    parallel::map(&pieces, of_piece).into_iter().flatten().collect()
}

/// Both, sorted, each name once with all its places.
fn merged(mut all: Vec<Named>, more: Vec<Named>) -> Vec<Named> {
    all.extend(more);
    all.sort_by(|one, other| (one.kind, &one.name, one.line == 0).cmp(&(other.kind, &other.name, other.line == 0)));
    all.dedup_by(|later, kept| {
        let same = later.kind == kept.kind && later.name == kept.name;
        if same {
            kept.places.append(&mut later.places);
        }
        same
    });
    for named in &mut all {
        // Of one address the place with a size is the better one.
        named.places.sort_unstable_by_key(|place| (place.addr, place.inlined, std::cmp::Reverse(place.size)));
        named.places.dedup_by_key(|place| (place.addr, place.inlined));
    }
    all
}
