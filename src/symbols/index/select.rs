//! The functions of a unit whose names hold some text, with their inlined calls: what a location by name needs. Passes over all
//! else, and reads no name that is not wanted: strings are told by their offsets. Knows no patterns.

use gimli::{AttributeValue, SectionId, Unit, UnitOffset};
use memchr::memmem::Finder;
use rustc_hash::FxHashMap;

use super::super::NameKind;
use super::super::dwarf::LONGEST_CHAIN;
use super::super::dwarf::{Attributes, Dwarf, Loaded, Reader, Reference, function_name};
use super::strings::Strings;
use super::{LONGEST_NAME, Named, Place, narrow};
use crate::parallel;

/// Tells the names that are wanted.
pub struct Wanted<'a> {
    finder: Finder<'a>,
    /// Where `.debug_str` holds the text; without it each name is read.
    strings: Option<&'a Strings<'a>>,
    /// What stands in a function's own name, where the text may be that of what the function stands in.
    own: Option<Finder<'a>>,
}

impl<'a> Wanted<'a> {
    /// Names that hold a literal: the linker's, or a function's own one without what it stands in. `own`: something of the
    /// latter, where the literal may be of the former.
    pub fn new(literal: &'a str, own: Option<&'a str>, strings: Option<&'a Strings<'a>>) -> Wanted<'a> {
        Wanted { finder: Finder::new(literal), strings, own: own.map(Finder::new) }
    }

    /// Whether the names that an entry has are wanted.
    fn takes_one_of<'d>(
        &self,
        dwarf: &gimli::Dwarf<Reader<'d>>,
        unit: &Unit<Reader<'d>>,
        list: &[gimli::Attribute<Reader<'d>>],
    ) -> bool {
        let mut names = list.iter().filter(|attribute| is_name(attribute.name()));
        if names.clone().any(|name| self.takes(dwarf, unit, name.value())) {
            return true;
        }
        let Some(own) = &self.own else { return false };
        let holds = |value| dwarf.attr_string(unit, value).is_ok_and(|name| own.find(name.slice()).is_some());
        // The linker's name would have told.
        names.next().is_some_and(|only| only.name() == gimli::DW_AT_name && holds(only.value()))
            && names.next().is_none()
    }

    fn takes<'d>(
        &self,
        dwarf: &gimli::Dwarf<Reader<'d>>,
        unit: &Unit<Reader<'d>>,
        value: AttributeValue<Reader<'d>>,
    ) -> bool {
        match (value, self.strings) {
            (AttributeValue::DebugStrRef(offset), Some(strings)) => strings.is_in_name_at(offset.0),
            (value, _) => dwarf.attr_string(unit, value).is_ok_and(|name| self.holds(name.slice())),
        }
    }

    fn holds(&self, name: &[u8]) -> bool {
        self.finder.find(name).is_some()
    }
}

/// The functions whose names hold a literal, with all their places. `own`: see [`Wanted::new`].
pub fn of_dwarf(dwarf: &Dwarf, literal: &str, own: Option<&str>) -> Vec<Named> {
    dwarf.with(|loaded| {
        let strings = Strings::holding(loaded.sources.own.get(SectionId::DebugStr).slice(), literal, own.is_none());
        let wanted = Wanted::new(literal, own, strings.as_ref());
        let some = strings.as_ref().and_then(|strings| narrow::units_with(loaded, literal, &wanted, strings));
        let of_unit = |unit: &usize| {
            loaded.with_code(*unit, |loaded, unit| {
                // The offsets are those of the file's own strings.
                let strings = wanted.strings.filter(|_| loaded.sources.skeleton.is_none());
                names_of(loaded, unit, &Wanted::new(literal, own, strings))
            })
        };
        let units = some.unwrap_or_else(|| (0..loaded.unit_count()).collect());
        parallel::map(&units, of_unit).into_iter().flatten().collect()
    })
}

/// Where in `.debug_info` the entries of wanted functions lie, and of those that stand for them.
pub fn offsets_of(loaded: &Loaded<'_>, unit: usize, wanted: &Wanted<'_>) -> Vec<u32> {
    let Some(entries) = loaded.unit(unit) else { return Vec::new() };
    let mut found = Found::default();
    // What fails is cut off; what was read before stays.
    let _ = found.walk(loaded, entries, wanted);
    let begin = loaded.extent(unit).start;
    let dies = found.known.keys().filter(|die| found.is_wanted(**die));
    dies.filter_map(|die| u32::try_from(begin.checked_add(*die)?).ok()).collect()
}

fn names_of(loaded: &Loaded<'_>, unit: usize, wanted: &Wanted<'_>) -> Vec<Named> {
    let Some(entries) = loaded.unit(unit) else { return Vec::new() };
    let mut found = Found::default();
    let _ = found.walk(loaded, entries, wanted);
    found.named(loaded, unit, entries, wanted)
}

/// What a function's entry says of its name.
enum Known {
    Wanted,
    StandsFor(Reference),
}

/// What was found in one unit.
#[derive(Default)]
struct Found {
    /// Functions that are wanted, and those that stand for others.
    known: FxHashMap<usize, Known>,
    /// What each entry that may have code is an instance of, and the entry.
    instances: Vec<(Reference, usize)>,
}

impl Found {
    fn walk<'a>(&mut self, loaded: &Loaded<'a>, unit: &Unit<Reader<'a>>, wanted: &Wanted<'_>) -> gimli::Result<()> {
        let mut entries = unit.entries_raw(None)?;
        let mut list = Vec::new();
        while !entries.is_empty() {
            let offset = entries.next_offset().0;
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            let (specs, tag) = (abbreviation.attributes(), abbreviation.tag());
            let has = |name| specs.iter().any(|spec| spec.name() == name);
            let has_code = || has(gimli::DW_AT_low_pc) || has(gimli::DW_AT_ranges);
            match tag {
                gimli::DW_TAG_inlined_subroutine if has_code() => {
                    // What it is an instance of comes first, most often.
                    for (number, spec) in specs.iter().enumerate() {
                        let value = entries.read_attribute(*spec)?;
                        if let Some(origin) = origin_of(&[value]) {
                            self.instances.push((origin, offset));
                            entries.skip_attributes(&specs[number + 1..])?;
                            break;
                        }
                    }
                }
                gimli::DW_TAG_subprogram => {
                    entries.read_attributes(specs, &mut list)?;
                    if wanted.takes_one_of(&loaded.dwarf, unit, &list) {
                        self.known.insert(offset, Known::Wanted);
                    } else if let Some(origin) = origin_of(&list) {
                        self.known.insert(offset, Known::StandsFor(origin));
                    } else {
                        continue;
                    }
                    if has_code() {
                        self.instances.push((Reference::Here(offset), offset));
                    }
                }
                _ => entries.skip_attributes(specs)?,
            }
        }
        Ok(())
    }

    /// Whether an entry is wanted, or stands for one of the unit that is.
    fn is_wanted(&self, die: usize) -> bool {
        let mut at = die;
        for _ in 0..LONGEST_CHAIN {
            match self.known.get(&at) {
                Some(Known::Wanted) => return true,
                Some(Known::StandsFor(Reference::Here(origin))) => at = *origin,
                _ => return false,
            }
        }
        false
    }

    /// Whether an instance is of a function that is wanted. What other units have is known by its name alone.
    fn is_of_wanted(&self, loaded: &Loaded<'_>, unit: usize, of: Reference, wanted: &Wanted<'_>) -> bool {
        let mut at = of;
        for _ in 0..LONGEST_CHAIN {
            let Reference::Here(die) = at else {
                return function_name(loaded, unit, at).is_some_and(|name| wanted.holds(name.as_bytes()));
            };
            match self.known.get(&die) {
                Some(Known::Wanted) => return true,
                Some(Known::StandsFor(origin)) => at = *origin,
                None => return false,
            }
        }
        false
    }

    fn named<'a>(
        &self,
        loaded: &Loaded<'a>,
        unit: usize,
        entries: &Unit<Reader<'a>>,
        wanted: &Wanted<'_>,
    ) -> Vec<Named> {
        let mut named: Vec<Named> = Vec::new();
        let mut numbers: FxHashMap<Reference, Option<usize>> = FxHashMap::default();
        for (of, die) in &self.instances {
            let number = *numbers.entry(*of).or_insert_with(|| {
                let is_wanted = self.is_of_wanted(loaded, unit, *of, wanted);
                let name = is_wanted.then(|| function_name(loaded, unit, *of)).flatten();
                let name = name.filter(|name| name.len() <= LONGEST_NAME)?;
                named.push(Named { name, kind: NameKind::Function, file: None, line: 0, places: Vec::new() });
                Some(named.len() - 1)
            });
            if let Some(named) = number.and_then(|number| named.get_mut(number)) {
                named.places.extend(place(loaded, entries, *die));
            }
        }
        named
    }
}

fn is_name(name: gimli::DwAt) -> bool {
    matches!(name, gimli::DW_AT_name | gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name)
}

fn origin_of(list: &[gimli::Attribute<Reader<'_>>]) -> Option<Reference> {
    let is_origin = |name| matches!(name, gimli::DW_AT_abstract_origin | gimli::DW_AT_specification);
    list.iter().find(|attribute| is_origin(attribute.name())).and_then(|attribute| Reference::of(attribute.value()))
}

/// The code of an entry.
fn place<'a>(loaded: &Loaded<'a>, unit: &Unit<Reader<'a>>, die: usize) -> Option<Place> {
    let entry = unit.entry(UnitOffset(die)).ok()?;
    let attributes = Attributes::of(loaded, unit, entry.attrs());
    Place::of(loaded, unit, &attributes, entry.tag() == gimli::DW_TAG_inlined_subroutine)
}
