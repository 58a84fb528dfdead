//! Which units hold a name, by `.debug_names` (DWARF 5, 6.1.1), and for which units that can be believed. Reads no units.
//!
//! Only LLVM's tables are believed: they list each function in every unit that has an instance of it, an inlined call too
//! (the standard asks for that, 6.1.1.1), by its name and by the linker's. gdb's (`gdb-add-index -dwarf-5`) do not say
//! whether they do.

use gimli::{NameIndex, NameTableIndex, Section as _};

use super::super::dwarf::{Loaded, Reader};
use crate::parallel;

/// The augmentation string of LLVM's tables (`AsmPrinter/AccelTable.cpp` of LLVM, since 7.0).
const LLVM: &[u8] = b"LLVM0700";
/// LLVM has an abbreviation for each tag and set of attributes: some twenty, none with more attributes than the standard has.
const MOST_ABBREVIATIONS: usize = 256;
const MOST_ATTRIBUTES: usize = 16;

/// What tables of names say of units.
pub struct Listed {
    /// For each unit whether a table has all of its names.
    vouched: Vec<bool>,
    /// The units that hold the name, in no order; one may stand there several times.
    named: Vec<usize>,
    /// How many entries there may still be: each has a byte at least, and no two names share one. More are a forgery.
    entries_left: usize,
}

impl Listed {
    /// Asks all tables. `is_wanted` tells of an offset of `.debug_str` whether the name there is one that is looked for.
    pub fn read(loaded: &Loaded<'_>, is_wanted: &(dyn Fn(usize) -> bool + Sync)) -> Listed {
        let entries_left = loaded.dwarf.debug_names.reader().len();
        let mut listed = Listed { vouched: vec![false; loaded.unit_count()], named: Vec::new(), entries_left };
        let mut headers = loaded.dwarf.debug_names.headers();
        while let Ok(Some(header)) = headers.next() {
            let is_llvm = header.augmentation_string().is_some_and(|text| text.slice() == LLVM);
            // A table that is damaged is no table: its units are searched.
            if let Some(table) = is_llvm.then(|| header.index().ok()).flatten() {
                let _ = listed.add(loaded, &table, is_wanted);
            }
        }
        listed
    }

    /// Whether a unit's names are all listed.
    pub fn vouches(&self, unit: usize) -> bool {
        self.vouched.get(unit).copied().unwrap_or(false)
    }

    /// The units that hold the name, of those that are vouched for.
    pub fn named(&self) -> impl Iterator<Item = usize> {
        self.named.iter().copied().filter(|unit| self.vouches(*unit))
    }

    fn add(
        &mut self,
        loaded: &Loaded<'_>,
        table: &NameIndex<Reader<'_>>,
        is_wanted: &(dyn Fn(usize) -> bool + Sync),
    ) -> Option<()> {
        let abbreviations = table.abbreviations().abbreviations();
        let is_odd = abbreviations.iter().any(|one| one.attributes().len() > MOST_ATTRIBUTES);
        if is_odd || abbreviations.len() > MOST_ABBREVIATIONS {
            return None;
        }
        let default = table.default_compile_unit().ok()?;
        let mut named = Vec::new();
        let pieces = parallel::pieces(table.name_count() as usize, 1 << 14);
        let wanted = |piece: &std::ops::Range<usize>| {
            let names = piece.clone().map(|name| NameTableIndex(name as u32));
            let is_wanted = |name: &NameTableIndex| table.name_string_offset(*name).is_ok_and(|at| is_wanted(at.0));
            names.filter(is_wanted).collect::<Vec<_>>()
        };
        for name in parallel::map(&pieces, wanted).concat() {
            let mut entries = table.name_entries(name).ok()?;
            while let Some(entry) = entries.next().ok()? {
                self.entries_left = self.entries_left.checked_sub(1)?;
                match entry.compile_unit(table).ok()?.or(default) {
                    Some(unit) => named.push(loaded.unit_from(unit.0)?),
                    // In a unit of types there is no code.
                    None => drop(entry.type_unit(table).ok()??),
                }
            }
        }
        let units = (0..table.compile_unit_count()).map(|unit| loaded.unit_from(table.compile_unit(unit).ok()?.0));
        for unit in units.collect::<Option<Vec<usize>>>()? {
            self.vouched[unit] = true;
        }
        self.named.append(&mut named);
        Some(())
    }
}
