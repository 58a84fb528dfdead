//! DWARF 2 to 5: which function, inlined calls and line an address is. Each compilation unit is read when an address of it is
//! first asked for, and kept. Opens no files but those of split DWARF; knows no symbol tables.

mod attributes;
mod functions;
mod gdb_index;
mod lines;
mod sections;
mod split;
mod units;
mod unpacked;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use gimli::{EndianSlice, LittleEndian};
use self_cell::self_cell;

use super::{SourceFrame, SourceSpot};
use crate::parallel;
pub use attributes::{Attributes, Reference};
pub use functions::{LONGEST_CHAIN, UNNAMED, follow_name as function_name, nameless};
pub use lines::{Lines, Row, body, plain_path};
pub use sections::{Sections, Sources};
pub use units::Loaded;

/// A part of a section, as gimli reads it.
pub type Reader<'a> = EndianSlice<'a, LittleEndian>;

self_cell!(
    struct Cell {
        owner: Sources,
        #[not_covariant]
        dependent: Loaded,
    }
);

/// The debug info of one file.
pub struct Dwarf(Cell);

/// A function with code of its own.
#[derive(Clone, Debug)]
pub struct Span {
    /// Where it begins.
    pub entry: u64,
    /// The ranges of its code.
    pub ranges: Vec<(u64, u64)>,
    /// Whether it was compiled by gcc with optimisation.
    pub optimised: bool,
}

impl Dwarf {
    /// Of sections; `code` are the ranges that hold code: what lies elsewhere was discarded by the linker.
    pub fn new(sources: Sources, code: Vec<Range<u64>>) -> Dwarf {
        Dwarf(Cell::new(sources, |sources| Loaded::new(sources, code)))
    }

    /// Lends what has been read.
    pub fn with<T>(&self, run: impl for<'a, 'b> FnOnce(&'b Loaded<'a>) -> T) -> T {
        self.0.with_dependent(|_, loaded| run(loaded))
    }

    /// The functions at an address, the innermost first; none if no unit covers it.
    pub fn frames(&self, addr: u64) -> Vec<SourceFrame> {
        self.with(|loaded| {
            let Some(unit) = loaded.unit_at(addr) else { return Vec::new() };
            let lines = loaded.lines(unit);
            let spot = lines.row_at(addr).map(|row| lines.spot(row));
            let mut frames = loaded.with_code(unit, |loaded, unit| functions::frames(loaded, unit, addr, lines));
            match frames.first_mut() {
                Some(innermost) => innermost.spot = spot,
                None => frames.extend(spot.map(|spot| SourceFrame {
                    function: None,
                    start: None,
                    spot: Some(spot),
                    inlined: false,
                })),
            }
            frames
        })
    }

    /// Whether an address is of C++.
    pub fn is_cpp(&self, addr: u64) -> bool {
        self.with(|loaded| loaded.unit_at(addr).is_some_and(|unit| loaded.is_cpp(unit)))
    }

    /// The function that has the code at an address.
    pub fn span(&self, addr: u64) -> Option<Span> {
        self.with(|loaded| {
            let unit = loaded.unit_at(addr)?;
            let optimised = loaded.is_optimised_by_gcc(unit);
            loaded.with_code(unit, |loaded, unit| {
                let functions = loaded.functions(unit);
                let function = functions.find(addr)?;
                Some(Span { entry: function.entry, ranges: function.ranges.clone(), optimised })
            })
        })
    }

    /// The rows of line tables that begin in a range, by rising address.
    pub fn rows(&self, range: Range<u64>) -> Vec<(Row, SourceSpot)> {
        self.with(|loaded| {
            let mut rows = Vec::new();
            for unit in loaded.units_over(&range) {
                let lines = loaded.lines(unit);
                rows.extend(lines.rows_in(&range).map(|row| (*row, lines.spot(row))));
            }
            rows.sort_by_key(|(row, _)| row.addr);
            rows
        })
    }
}

/// The line rows that a source line has in a file, unit by unit.
#[derive(Debug)]
pub struct LineHit {
    /// Where the row begins.
    pub addr: u64,
    /// Which line it is of.
    pub spot: SourceSpot,
}

impl Dwarf {
    /// The units whose line tables name a file that `wanted` accepts by its path.
    pub fn units_of(&self, wanted: &(dyn Fn(&str) -> bool + Sync)) -> Vec<usize> {
        self.with(|loaded| {
            let units: Vec<usize> = (0..loaded.unit_count()).collect();
            let named = parallel::map(&units, |unit| loaded.names_file(*unit, wanted));
            units.into_iter().zip(named).filter(|(_, named)| *named).map(|(unit, _)| unit).collect()
        })
    }

    /// The statements of the line, or of the next line that has any, in all files of some units that `wanted` accepts by
    /// their paths.
    pub fn line_hits(&self, wanted: &(dyn Fn(&str) -> bool + Sync), units: &[usize], line: u32) -> Vec<LineHit> {
        self.with(|loaded| {
            let hits = |unit: &usize| {
                let lines = loaded.lines(*unit);
                let files: Vec<bool> = lines.files().iter().map(|file| wanted(file)).collect();
                let is_file = |row: &&Row| files.get(row.file as usize).copied().unwrap_or(false);
                let at_or_behind = lines.statements().filter(is_file).filter(|row| row.line >= line);
                let nearest = at_or_behind.map(|row| row.line).min()?;
                let of_line = lines.statements().filter(is_file).filter(|row| row.line == nearest);
                Some((
                    nearest,
                    of_line.map(|row| LineHit { addr: row.addr, spot: lines.spot(row) }).collect::<Vec<_>>(),
                ))
            };
            let found: Vec<(u32, Vec<LineHit>)> = parallel::map(units, hits).into_iter().flatten().collect();
            let nearest = found.iter().map(|(line, _)| *line).min();
            found.into_iter().filter(|(line, _)| Some(*line) == nearest).flat_map(|(_, hits)| hits).collect()
        })
    }

    /// The paths of all source files, sorted.
    pub fn sources(&self) -> Vec<Arc<str>> {
        self.files_of_units().into_iter().map(|(file, _)| file).collect()
    }

    /// The same, each with the units that name it.
    pub fn files_of_units(&self) -> Vec<(Arc<str>, Vec<u32>)> {
        self.with(|loaded| {
            let units: Vec<usize> = (0..loaded.unit_count()).collect();
            let names = parallel::map(&units, |unit| loaded.file_names(*unit));
            let mut files: BTreeMap<Arc<str>, Vec<u32>> = BTreeMap::new();
            for (unit, names) in names.into_iter().enumerate() {
                for name in names {
                    let units = files.entry(name).or_default();
                    if units.last() != Some(&(unit as u32)) {
                        units.push(unit as u32);
                    }
                }
            }
            files.into_iter().collect()
        })
    }

    /// What each unit covers: begin, end, number.
    pub fn unit_ranges(&self) -> Vec<(u64, u64, u32)> {
        self.with(|loaded| loaded.unit_ranges())
    }

    /// Whether something that was kept, and asked for, is damaged: answers may lack something.
    pub fn is_damaged(&self) -> bool {
        self.with(|loaded| loaded.is_damaged())
    }

    /// Checks all that was kept, as it will all be read. False: something is damaged.
    pub fn check_all(&self) -> bool {
        self.with(|loaded| loaded.check_all())
    }

    /// Takes over what an earlier run has found of it, unless it was found again.
    pub fn know_ranges(&self, ranges: Vec<(u64, u64, u32)>) {
        self.with(|loaded| loaded.know_ranges(ranges));
    }

    /// The versions of DWARF that its first units have, and how many units there are.
    pub fn about(&self) -> (Vec<u16>, usize) {
        self.with(|loaded| {
            let mut versions: Vec<u16> =
                (0..loaded.unit_count().min(64)).filter_map(|unit| loaded.version(unit)).collect();
            versions.sort_unstable();
            versions.dedup();
            (versions, loaded.unit_count())
        })
    }
}
