//! All names of a file: functions with every instance, variables, types. Built by all processors when a name is first looked
//! up. Knows no process.

mod collect;

use std::ops::ControlFlow;

use rustc_hash::FxHashMap;

use super::dwarf::Dwarf;
use super::pattern::{NamePattern, last_part};
use super::symtab::{Kind, Symbols};
use super::{NameEntry, NameKind, parallel};
use crate::addr::LinkAddr;

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

/// A name and all that it names.
#[derive(Debug)]
pub struct Named {
    pub name: String,
    pub kind: NameKind,
    pub file: Option<std::sync::Arc<str>>,
    pub line: u32,
    pub places: Vec<Place>,
}

/// The names, sorted by kind and name.
#[derive(Default, Debug)]
pub struct Index {
    names: Vec<Named>,
    by_last_part: FxHashMap<String, Vec<u32>>,
}

impl Index {
    /// Of all that a file has.
    pub fn build(dwarf: Option<&Dwarf>, symbols: &Symbols) -> Index {
        let mut all = dwarf.map(collect::of_dwarf).unwrap_or_default();
        let mut known: Vec<u64> = Vec::new();
        for named in &all {
            known.extend(named.places.iter().filter(|place| !place.inlined).map(|place| place.addr));
        }
        known.sort_unstable();
        let others: Vec<_> = symbols.iter().filter(|symbol| known.binary_search(&symbol.start).is_err()).collect();
        let pieces = parallel::pieces(others.len(), 1 << 12);
        let name = |piece: &std::ops::Range<usize>| {
            let named = |symbol: &&super::symtab::Symbol| Named {
                name: symbols.name(symbol),
                kind: if symbol.kind == Kind::Function { NameKind::Function } else { NameKind::Variable },
                file: None,
                line: 0,
                places: vec![Place { addr: symbol.start, size: symbol.end - symbol.start, inlined: false }],
            };
            others[piece.clone()].iter().map(named).collect::<Vec<_>>()
        };
        all.extend(parallel::map(&pieces, name).into_iter().flatten());
        all.sort_by(|one, other| (one.kind, &one.name, one.line == 0).cmp(&(other.kind, &other.name, other.line == 0)));
        all.dedup_by(|later, kept| {
            let same = later.kind == kept.kind && later.name == kept.name;
            if same {
                kept.places.append(&mut later.places);
            }
            same
        });
        let mut by_last_part: FxHashMap<String, Vec<u32>> = FxHashMap::default();
        for (at, named) in all.iter_mut().enumerate() {
            named.places.sort_unstable();
            named.places.dedup();
            if named.kind == NameKind::Function {
                by_last_part.entry(last_part(&named.name).into_owned()).or_default().push(at as u32);
            }
        }
        Index { names: all, by_last_part }
    }

    /// The functions that a pattern means, with all their places.
    pub fn functions(&self, wanted: &NamePattern) -> Vec<(&str, &[Place])> {
        let fits = |named: &&Named| named.kind == NameKind::Function && wanted.fits(&named.name);
        let given = |named| -> (&str, &[Place]) {
            let named: &Named = named;
            (&named.name, &named.places)
        };
        match wanted.last_part() {
            Some(last) => {
                let numbers = self.by_last_part.get(last).into_iter().flatten();
                numbers.filter_map(|at| self.names.get(*at as usize)).filter(fits).map(given).collect()
            }
            None => self.names.iter().filter(fits).map(given).collect(),
        }
    }

    /// Shows all names of a kind, sorted, until `visit` has enough.
    pub fn names(&self, kind: NameKind, visit: &mut dyn FnMut(NameEntry<'_>) -> ControlFlow<()>) {
        let begin = self.names.partition_point(|named| named.kind < kind);
        for named in self.names[begin..].iter().take_while(|named| named.kind == kind) {
            let entry = NameEntry {
                name: &named.name,
                file: named.file.as_deref(),
                line: named.line,
                addr: named
                    .places
                    .iter()
                    .find(|place| !place.inlined)
                    .or(named.places.first())
                    .map(|place| LinkAddr(place.addr)),
                inlined: !named.places.is_empty() && named.places.iter().all(|place| place.inlined),
            };
            if visit(entry).is_break() {
                return;
            }
        }
    }
}
