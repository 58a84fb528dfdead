//! Which units may hold a function's name, without reading them: those that a table of names lists for it, and of units without
//! one those whose bytes hold the offset of a string with it. Strings stand in `.debug_str`, and units name them by their offsets
//! (DW_FORM_strp), so that two searches through bytes tell.

use gimli::SectionId;
use memchr::memmem;

use super::super::dwarf::Loaded;
use super::listed::Listed;
use super::offsets::Offsets;
use super::select::{self, Wanted};
use super::strings::Strings;
use crate::parallel;

/// With more names than that nearly all units are named, and might as well be read.
const MOST_NAMES: usize = 1024;
/// The same of entries that other units may refer to.
const MOST_ENTRIES: usize = 1 << 14;

/// The units that may hold a name with `literal` in it, which is all that is wanted; `None` if that may be nearly all.
pub fn units_with(
    loaded: &Loaded<'_>,
    literal: &str,
    wanted: &Wanted<'_>,
    strings: &Strings<'_>,
) -> Option<Vec<usize>> {
    // What another file says of a function is found only by reading who refers to it.
    if loaded.sources.shared.is_some() {
        return None;
    }
    let listed = Listed::read(loaded, &|offset| strings.is_in_name_at(offset));
    let has_to_be_searched = |unit: &usize| !listed.vouches(*unit) && !loaded.is_of_types(*unit);
    let others: Vec<usize> = (0..loaded.unit_count()).filter(has_to_be_searched).collect();
    let named = sorted(listed.named().collect());
    if others.is_empty() {
        return Some(named);
    }
    let mut chosen = named_in(loaded, literal, strings, &others)?;
    chosen = sorted([chosen, named].concat());
    let far: Vec<usize> = loaded.far_units().into_iter().filter(|unit| others.binary_search(unit).is_ok()).collect();
    if far.is_empty() {
        return Some(chosen);
    }
    Some(sorted([referring(loaded, wanted, &chosen, &far)?, chosen].concat()))
}

/// Of some units those whose bytes hold a name.
fn named_in(loaded: &Loaded<'_>, literal: &str, strings: &Strings<'_>, units: &[usize]) -> Option<Vec<usize>> {
    let offsets = strings.names(MOST_NAMES)?.into_iter().map(u32::try_from).collect::<Result<Vec<u32>, _>>().ok()?;
    let offsets = Offsets::new(offsets);
    // Short names stand in the entries themselves (DW_FORM_string).
    let own = memmem::Finder::new(literal);
    let info = loaded.sources.own.get(SectionId::DebugInfo);
    let indirect = loaded.sources.own.get(SectionId::DebugStrOffsets).slice();
    let pieces = parallel::pieces(indirect.len(), 1 << 20);
    let listed = parallel::map(&pieces, |piece| offsets.positions(indirect, piece.clone())).concat();
    let may_hold = |unit: &usize| {
        let bytes = info.slice().get(loaded.extent(*unit)).unwrap_or_default();
        offsets.is_in(bytes) || own.find(bytes).is_some() || loaded.is_skeleton(*unit) || lists(loaded, *unit, &listed)
    };
    Some(chosen(units, may_hold))
}

/// Of some units those that may hold inlined calls of functions that units with the name have: by the offsets of their entries.
fn referring(loaded: &Loaded<'_>, wanted: &Wanted<'_>, with: &[usize], units: &[usize]) -> Option<Vec<usize>> {
    let mut named = parallel::map(with, |unit| select::offsets_of(loaded, *unit, wanted)).concat();
    named.sort_unstable();
    if named.is_empty() || named.len() > MOST_ENTRIES {
        return named.is_empty().then(Vec::new);
    }
    let offsets = Offsets::new(named);
    let info = loaded.sources.own.get(SectionId::DebugInfo);
    Some(chosen(units, |unit| offsets.is_in(info.slice().get(loaded.extent(*unit)).unwrap_or_default())))
}

fn sorted(mut units: Vec<usize>) -> Vec<usize> {
    units.sort_unstable();
    units.dedup();
    units
}

fn chosen(units: &[usize], may_hold: impl Fn(&usize) -> bool + Sync) -> Vec<usize> {
    let chosen = parallel::map(units, may_hold);
    units.iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|(unit, _)| *unit).collect()
}

/// Whether one of the offsets stands in what a unit names strings through (DW_FORM_strx).
fn lists(loaded: &Loaded<'_>, unit: usize, listed: &[usize]) -> bool {
    if listed.is_empty() {
        return false;
    }
    let Some(range) = loaded.string_offsets(unit) else { return false };
    let after = listed.partition_point(|at| *at < range.start);
    listed.get(after).is_some_and(|at| *at < range.end)
}
