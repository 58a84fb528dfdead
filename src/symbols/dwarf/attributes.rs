//! The attributes of an entry that matter here: names, references, ranges, places in the source. Hostile values are left out.

use gimli::{AttributeValue, Unit, UnitOffset};

use super::{Loaded, Reader};

/// An entry with more ranges is cut off there.
const MOST_RANGES: usize = 1 << 16;

/// Where an entry that another names is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reference {
    /// In the same unit.
    Here(usize),
    /// Anywhere in `.debug_info`.
    There(usize),
    /// In the file that is shared with others.
    Shared(usize),
}

impl Reference {
    /// What an attribute's value refers to.
    pub fn of(value: AttributeValue<Reader<'_>>) -> Option<Reference> {
        match value {
            AttributeValue::UnitRef(UnitOffset(offset)) => Some(Reference::Here(offset)),
            AttributeValue::DebugInfoRef(offset) => Some(Reference::There(offset.0)),
            AttributeValue::DebugInfoRefSup(offset) => Some(Reference::Shared(offset.0)),
            _ => None,
        }
    }
}

/// What an entry says of itself.
#[derive(Default)]
pub struct Attributes<'a> {
    /// DW_AT_name.
    pub name: Option<Reader<'a>>,
    /// DW_AT_linkage_name.
    pub linkage: Option<Reader<'a>>,
    /// DW_AT_abstract_origin or DW_AT_specification.
    pub origin: Option<Reference>,
    /// DW_AT_low_pc.
    pub low: Option<u64>,
    /// The end that DW_AT_high_pc means.
    pub high: Option<u64>,
    /// DW_AT_entry_pc.
    pub entry: Option<u64>,
    /// DW_AT_decl_file and DW_AT_decl_line.
    pub declared: (u32, u32),
    /// DW_AT_call_file, DW_AT_call_line and DW_AT_call_column.
    pub called: (u32, u32, u32),
    /// DW_AT_declaration.
    pub is_declaration: bool,
    ranges: Option<AttributeValue<Reader<'a>>>,
    /// DW_AT_location, if it is an expression.
    pub location: Option<Reader<'a>>,
}

impl<'a> Attributes<'a> {
    /// Of what gimli has read.
    pub fn of(loaded: &Loaded<'a>, unit: &Unit<Reader<'a>>, list: &[gimli::Attribute<Reader<'a>>]) -> Attributes<'a> {
        Attributes::read(&loaded.dwarf, unit, list)
    }

    /// The same of any sections.
    pub fn read(
        dwarf: &gimli::Dwarf<Reader<'a>>,
        unit: &Unit<Reader<'a>>,
        list: &[gimli::Attribute<Reader<'a>>],
    ) -> Attributes<'a> {
        let mut found = Attributes::default();
        let mut size = None;
        let small = |value: AttributeValue<Reader<'a>>| value.udata_value().and_then(|value| u32::try_from(value).ok());
        let file = |value: AttributeValue<Reader<'a>>| match value {
            AttributeValue::FileIndex(index) => u32::try_from(index).unwrap_or(0),
            value => small(value).unwrap_or(0),
        };
        let address = |value| dwarf.attr_address(unit, value).ok().flatten();
        for attribute in list {
            let value = attribute.value();
            match attribute.name() {
                gimli::DW_AT_name => found.name = dwarf.attr_string(unit, value).ok(),
                gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name => {
                    found.linkage = dwarf.attr_string(unit, value).ok();
                }
                gimli::DW_AT_abstract_origin | gimli::DW_AT_specification => found.origin = Reference::of(value),
                gimli::DW_AT_low_pc => found.low = address(value),
                gimli::DW_AT_high_pc => match value {
                    AttributeValue::Udata(length) => size = Some(length),
                    value => found.high = address(value),
                },
                gimli::DW_AT_entry_pc => found.entry = address(value),
                gimli::DW_AT_ranges => found.ranges = Some(value),
                gimli::DW_AT_decl_file => found.declared.0 = file(value),
                gimli::DW_AT_decl_line => found.declared.1 = small(value).unwrap_or(0),
                gimli::DW_AT_call_file => found.called.0 = file(value),
                gimli::DW_AT_call_line => found.called.1 = small(value).unwrap_or(0),
                gimli::DW_AT_call_column => found.called.2 = small(value).unwrap_or(0),
                gimli::DW_AT_declaration => found.is_declaration = value == AttributeValue::Flag(true),
                gimli::DW_AT_location => found.location = value.exprloc_value().map(|expression| expression.0),
                _ => {}
            }
        }
        if let (Some(low), Some(size)) = (found.low, size) {
            found.high = low.checked_add(size);
        }
        found
    }

    /// Whether there may be code.
    pub fn has_code(&self) -> bool {
        self.ranges.is_some() || self.low.is_some()
    }

    /// The ranges of code that is in the program, as they stand.
    pub fn ranges(&self, loaded: &Loaded<'a>, unit: &Unit<Reader<'a>>) -> Vec<(u64, u64)> {
        let good = |begin: u64, end: u64| begin < end && loaded.is_code(begin);
        let Some(value) = self.ranges else {
            let range = self.low.zip(self.high).filter(|(begin, end)| good(*begin, *end));
            return range.into_iter().collect();
        };
        let mut ranges = Vec::new();
        let Ok(Some(mut list)) = loaded.dwarf.attr_ranges(unit, value) else { return ranges };
        while let Ok(Some(range)) = list.next() {
            if good(range.begin, range.end) {
                ranges.push((range.begin, range.end));
            }
            if ranges.len() >= MOST_RANGES {
                break;
            }
        }
        ranges
    }
}
