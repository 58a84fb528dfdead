//! Which units may hold a name, without reading them: those whose bytes hold the offset of a string with it. Strings stand in
//! `.debug_str`, and units name them by their offsets (DW_FORM_strp), so that two searches through bytes tell.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use gimli::SectionId;

use super::super::dwarf::{Dwarf, Loaded};
use super::super::parallel;
use super::collect;

/// With more strings than that nearly all units are named, and the search is slower than reading them.
const MOST_STRINGS: usize = 64;
/// The same of entries that other units may refer to.
const MOST_ENTRIES: usize = 512;

/// The units that may hold a name with `literal` in it; `None` if all have to be read.
pub fn units_with(dwarf: &Dwarf, literal: &str) -> Option<Vec<usize>> {
    dwarf.with(|loaded| {
        // What another file says of a function is found only by reading who refers to it.
        if loaded.sources.shared.is_some() {
            return None;
        }
        let strings = offsets(loaded.sources.own.get(SectionId::DebugStr).slice(), literal)?;
        let mut patterns: Vec<Vec<u8>> = strings.iter().map(|offset| offset.to_le_bytes().to_vec()).collect();
        patterns.push(literal.as_bytes().to_vec());
        let finder = AhoCorasick::new(&patterns).ok()?;
        let info = loaded.sources.own.get(SectionId::DebugInfo);
        let indirect = loaded.sources.own.get(SectionId::DebugStrOffsets);
        let listed = hits(&finder, indirect.slice());
        let units: Vec<usize> = (0..loaded.unit_count()).collect();
        let may_hold = |unit: &usize| {
            let bytes = info.slice().get(loaded.extent(*unit)).unwrap_or_default();
            finder.is_match(bytes) || loaded.is_skeleton(*unit) || lists(loaded, *unit, &listed)
        };
        let chosen = chosen(&units, may_hold);
        if !loaded.refers_far() {
            return Some(chosen);
        }
        // Other units may hold inlined calls of the functions that these name: by the offsets of their entries.
        let named = parallel::map(&chosen, |unit| collect::offsets_of(loaded, *unit, literal)).concat();
        if named.is_empty() || named.len() > MOST_ENTRIES {
            return named.is_empty().then_some(chosen);
        }
        let patterns: Vec<[u8; 4]> = named.iter().map(|offset| offset.to_le_bytes()).collect();
        let finder = AhoCorasick::new(&patterns).ok()?;
        let is_known = |unit: &usize| chosen.binary_search(unit).is_ok();
        let refers = |unit: &usize| {
            is_known(unit) || finder.is_match(info.slice().get(loaded.extent(*unit)).unwrap_or_default())
        };
        Some(self::chosen(&units, refers))
    })
}

fn chosen(units: &[usize], may_hold: impl Fn(&usize) -> bool + Sync) -> Vec<usize> {
    let chosen = parallel::map(units, may_hold);
    units.iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|(unit, _)| *unit).collect()
}

/// Where the strings that hold the literal begin; `None` if there are too many.
fn offsets(strings: &[u8], literal: &str) -> Option<Vec<u32>> {
    let finder = memchr::memmem::Finder::new(literal);
    let pieces = parallel::pieces(strings.len(), 1 << 22);
    let search = |piece: &std::ops::Range<usize>| {
        let end = piece.end.saturating_add(literal.len() - 1).min(strings.len());
        let text = strings.get(piece.start..end).unwrap_or_default();
        let begin = |at: usize| memchr::memrchr(0, &strings[..piece.start + at]).map_or(0, |zero| zero + 1);
        // A few more than too many are enough to know.
        finder.find_iter(text).take(MOST_STRINGS * 4).map(begin).collect::<BTreeSet<usize>>()
    };
    let all: BTreeSet<usize> = parallel::map(&pieces, search).into_iter().flatten().collect();
    let all: Vec<u32> = all.into_iter().map(u32::try_from).collect::<Result<_, _>>().ok()?;
    (all.len() <= MOST_STRINGS).then_some(all)
}

fn hits(finder: &AhoCorasick, bytes: &[u8]) -> Vec<usize> {
    finder.find_iter(bytes).map(|hit| hit.start()).collect()
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
