//! Where the fields of Go's structs are, by DWARF. Reads one struct by its name; knows no other debug information.

use gimli::{
    AttributeValue, DebuggingInformationEntry, Dwarf, EndianSlice, LittleEndian, Reader as _, SectionId, Unit,
};
use rustc_hash::FxHashMap;

use super::super::{Module, Section};

/// The fields of a struct.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StructLayout {
    /// Its size, bytes.
    pub size: u64,
    /// The offset of each field, bytes.
    pub fields: FxHashMap<String, u64>,
}

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;

/// The structs of these names, as far as DWARF has them. All are looked for at once: Go has each type once, in one of its
/// units.
pub fn structs(module: &Module, names: &[&str]) -> FxHashMap<String, StructLayout> {
    let mut found = FxHashMap::default();
    let sections: FxHashMap<&str, Section> =
        SECTIONS.iter().filter_map(|id| Some((id.name(), module.section(id.name())?))).collect();
    let load = |id: SectionId| {
        let bytes: &[u8] = sections.get(id.name()).map_or(&[], |section| section);
        Ok::<_, gimli::Error>(EndianSlice::new(bytes, LittleEndian))
    };
    let Ok(dwarf) = Dwarf::load(load) else { return found };
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        let Ok(unit) = dwarf.unit(header) else { continue };
        // What is broken in one unit says nothing of the others.
        let _ = read_unit(&dwarf, &unit, names, &mut found);
        if found.len() == names.len() {
            break;
        }
    }
    found
}

/// What types need of all debug information.
const SECTIONS: [SectionId; 6] = [
    SectionId::DebugInfo,
    SectionId::DebugAbbrev,
    SectionId::DebugLine,
    SectionId::DebugStr,
    SectionId::DebugLineStr,
    SectionId::DebugStrOffsets,
];

fn read_unit<'a>(
    dwarf: &Dwarf<Slice<'a>>,
    unit: &Unit<Slice<'a>>,
    names: &[&str],
    found: &mut FxHashMap<String, StructLayout>,
) -> gimli::Result<()> {
    let mut entries = unit.entries();
    let mut current: Option<String> = None;
    let mut depth = 0;
    while let Some(entry) = entries.next_dfs()? {
        if entry.tag() == gimli::DW_TAG_structure_type {
            let name = name_of(dwarf, unit, entry)?;
            current = name.filter(|name| names.contains(&name.as_str()) && !found.contains_key(name));
            depth = entry.depth();
            if let Some(name) = &current {
                let size = entry.attr_value(gimli::DW_AT_byte_size).and_then(|size| size.udata_value()).unwrap_or(0);
                found.insert(name.clone(), StructLayout { size, fields: FxHashMap::default() });
            }
        } else if entry.depth() <= depth {
            current = None;
        } else if let (Some(owner), gimli::DW_TAG_member) = (&current, entry.tag()) {
            let offset = entry.attr_value(gimli::DW_AT_data_member_location).and_then(offset_of);
            if let (Some(name), Some(offset), Some(layout)) =
                (name_of(dwarf, unit, entry)?, offset, found.get_mut(owner))
            {
                layout.fields.insert(name, offset);
            }
        }
    }
    Ok(())
}

fn name_of<'a>(dwarf: &Dwarf<Slice<'a>>, unit: &Unit<Slice<'a>>, entry: &Entry<'a>) -> gimli::Result<Option<String>> {
    let Some(value) = entry.attr_value(gimli::DW_AT_name) else { return Ok(None) };
    Ok(Some(dwarf.attr_string(unit, value)?.to_string_lossy().into_owned()))
}

/// A number, or before Go 1.22 an expression that adds one (`DW_OP_plus_uconst`).
fn offset_of(value: AttributeValue<Slice<'_>>) -> Option<u64> {
    match value {
        AttributeValue::Exprloc(expression) => {
            let mut bytes = expression.0;
            let operation = bytes.read_u8().ok()?;
            (operation == gimli::DW_OP_plus_uconst.0).then(|| bytes.read_uleb128().ok())?
        }
        value => value.udata_value(),
    }
}
