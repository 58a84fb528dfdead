//! Reads the names of all units of DWARF, one unit at a time on each processor.

use std::sync::Arc;

use gimli::Unit;
use rustc_hash::FxHashMap;

use super::super::NameKind;
use super::super::demangle::demangle;
use super::super::dwarf::{Attributes, Dwarf, Loaded, Reader, Reference, function_name, nameless};
use super::{LONGEST_NAME, Named, Place};
use crate::parallel;

/// The names of debug info.
pub fn of_dwarf(dwarf: &Dwarf) -> Vec<Named> {
    dwarf.with(|loaded| {
        let units: Vec<usize> = (0..loaded.unit_count()).collect();
        let of_unit = |unit: &usize| {
            let files = loaded.numbered_files(*unit);
            loaded.with_code(*unit, |loaded, unit| names_of(loaded, unit, &files))
        };
        parallel::map(&units, of_unit).into_iter().flatten().collect()
    })
}

/// What a unit says of a function, for those that refer to it.
struct Known<'a> {
    linkage: Option<Reader<'a>>,
    name: Option<String>,
    origin: Option<Reference>,
    declared: (u32, u32),
}

fn names_of(loaded: &Loaded<'_>, unit: usize, files: &[Arc<str>]) -> Vec<Named> {
    let Some(entries) = loaded.unit(unit) else { return Vec::new() };
    let mut collected = Collected { names: Vec::new(), known: FxHashMap::default(), places: Vec::new(), files };
    // What fails is cut off; what was read before stays.
    let _ = collected.walk(loaded, entries);
    collected.resolve(loaded, unit);
    collected.names
}

/// Something that entries stand in: their depth, its name and what it is.
type Around<'a> = (isize, Option<Reader<'a>>, gimli::DwTag);

struct Collected<'a, 'f> {
    names: Vec<Named>,
    known: FxHashMap<usize, Known<'a>>,
    places: Vec<(Reference, Place)>,
    files: &'f [Arc<str>],
}

impl<'a> Collected<'a, '_> {
    fn walk(&mut self, loaded: &Loaded<'a>, unit: &Unit<Reader<'a>>) -> gimli::Result<()> {
        let mut entries = unit.entries_raw(None)?;
        let mut list = Vec::new();
        // What stands around: the depth of what stands in it, its name, and what it is.
        let mut around: Vec<Around<'a>> = Vec::new();
        while !entries.is_empty() {
            let (offset, depth) = (entries.next_offset().0, entries.next_depth());
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            while around.last().is_some_and(|(inner, _, _)| depth < *inner) {
                around.pop();
            }
            let (specs, tag) = (abbreviation.attributes(), abbreviation.tag());
            let named = |name: Option<Reader<'a>>, around: &[Around<'a>]| {
                let own = name?.to_string_lossy();
                let scopes = around.iter().filter(|(_, _, tag)| *tag != gimli::DW_TAG_subprogram);
                let mut words = String::new();
                for (_, scope, tag) in scopes {
                    words.push_str(&scope.map_or(nameless(*tag).into(), |scope| scope.to_string_lossy()));
                    words.push_str("::");
                    if words.len() > LONGEST_NAME {
                        return None;
                    }
                }
                words.push_str(&own);
                (words.len() <= LONGEST_NAME).then_some(words)
            };
            match tag {
                gimli::DW_TAG_subprogram | gimli::DW_TAG_inlined_subroutine => {
                    entries.read_attributes(specs, &mut list)?;
                    let attributes = Attributes::of(loaded, unit, &list);
                    let is_inlined = tag == gimli::DW_TAG_inlined_subroutine;
                    let origin = if is_inlined { attributes.origin } else { Some(Reference::Here(offset)) };
                    if let Some(origin) = origin.filter(|_| attributes.has_code()) {
                        let place = Place::of(loaded, unit, &attributes, is_inlined);
                        self.places.extend(place.map(|place| (origin, place)));
                    }
                    if !is_inlined {
                        let name = attributes.linkage.is_none().then(|| named(attributes.name, &around)).flatten();
                        let (linkage, origin, declared) = (attributes.linkage, attributes.origin, attributes.declared);
                        self.known.insert(offset, Known { linkage, name, origin, declared });
                        if abbreviation.has_children() {
                            around.push((depth + 1, None, gimli::DW_TAG_subprogram));
                        }
                    }
                }
                gimli::DW_TAG_namespace => {
                    entries.read_attributes(specs, &mut list)?;
                    if abbreviation.has_children() {
                        around.push((depth + 1, Attributes::of(loaded, unit, &list).name, tag));
                    }
                }
                gimli::DW_TAG_structure_type
                | gimli::DW_TAG_class_type
                | gimli::DW_TAG_union_type
                | gimli::DW_TAG_enumeration_type
                | gimli::DW_TAG_typedef
                | gimli::DW_TAG_base_type => {
                    entries.read_attributes(specs, &mut list)?;
                    let attributes = Attributes::of(loaded, unit, &list);
                    if let Some(name) = named(attributes.name, &around).filter(|_| !attributes.is_declaration) {
                        let (file, line) = attributes.declared;
                        self.push(name, NameKind::Type, (file, line), Vec::new());
                    }
                    if abbreviation.has_children() {
                        around.push((depth + 1, attributes.name, tag));
                    }
                }
                gimli::DW_TAG_variable if !around.iter().any(|(_, _, tag)| *tag == gimli::DW_TAG_subprogram) => {
                    entries.read_attributes(specs, &mut list)?;
                    let attributes = Attributes::of(loaded, unit, &list);
                    // DW_OP_addr and eight bytes: a variable with a place of its own.
                    let addr = attributes.location.and_then(|location| location.slice().strip_prefix(&[3]));
                    let addr = addr.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
                    let words = match attributes.linkage {
                        Some(linkage) => Some(demangle(&linkage.to_string_lossy()).into_owned()),
                        None => named(attributes.name, &around),
                    };
                    if let Some((addr, name)) = addr.zip(words) {
                        let place = Place { addr, size: 0, inlined: false };
                        self.push(name, NameKind::Variable, attributes.declared, vec![place]);
                    }
                }
                _ => entries.skip_attributes(specs)?,
            }
        }
        Ok(())
    }

    /// Gives each place the name of what it is an instance of.
    fn resolve(&mut self, loaded: &Loaded<'a>, unit: usize) {
        let mut found: FxHashMap<usize, usize> = FxHashMap::default();
        let mut others: FxHashMap<(usize, bool), usize> = FxHashMap::default();
        for (origin, place) in std::mem::take(&mut self.places) {
            let at = match origin {
                Reference::Here(die) => match found.get(&die) {
                    Some(at) => Some(*at),
                    None => {
                        let at = self.function(loaded, unit, die);
                        found.extend(at.map(|at| (die, at)));
                        at
                    }
                },
                Reference::There(offset) | Reference::Shared(offset) => {
                    let key = (offset, matches!(origin, Reference::Shared(_)));
                    others.get(&key).copied().or_else(|| {
                        let name = function_name(loaded, unit, origin)?;
                        others.insert(key, self.names.len());
                        Some(self.push(name, NameKind::Function, (0, 0), Vec::new()))
                    })
                }
            };
            if let Some(named) = at.and_then(|at| self.names.get_mut(at)) {
                named.places.push(place);
            }
        }
    }

    /// The name of the function at an offset of the unit, and where it was declared.
    fn function(&mut self, loaded: &Loaded<'a>, unit: usize, die: usize) -> Option<usize> {
        let (mut at, mut declared) = (die, (0, 0));
        let mut name = None;
        for _ in 0..16 {
            let Some(known) = self.known.get(&at) else { break };
            if declared.1 == 0 {
                declared = known.declared;
            }
            if let Some(linkage) = known.linkage.filter(|_| name.is_none()) {
                name = Some(demangle(&linkage.to_string_lossy()).into_owned());
            }
            // A constructor's code has the linker's name, and what it is an instance of has the line.
            if name.is_some() && declared.1 != 0 {
                break;
            }
            match known.origin {
                Some(Reference::Here(origin)) if origin != at => at = origin,
                Some(Reference::Here(_)) => break,
                Some(other) => {
                    name = name.or_else(|| function_name(loaded, unit, other));
                    break;
                }
                None => {
                    name = name.or_else(|| known.name.clone());
                    break;
                }
            }
        }
        Some(self.push(name.filter(|name| name.len() <= LONGEST_NAME)?, NameKind::Function, declared, Vec::new()))
    }

    fn push(&mut self, name: String, kind: NameKind, declared: (u32, u32), places: Vec<Place>) -> usize {
        let file = self.files.get(declared.0 as usize).filter(|file| declared.1 != 0 && !file.is_empty()).cloned();
        self.names.push(Named { name, kind, file, line: declared.1, places });
        self.names.len() - 1
    }
}
