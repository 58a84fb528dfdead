//! The compilation units of a file: where each begins, which addresses each covers, and what has been read of it.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use gimli::{AttributeValue, DebugInfoOffset, Unit};

use super::super::cover::Cover;
use super::attributes::Attributes;
use super::functions::Functions;
use super::lines::{self, Lines};
use super::sections::{Sections, Sources};
use super::{Dwarf, Reader, gdb_index, split};
use crate::parallel;

/// The debug info of a file, as far as it has been read.
pub struct Loaded<'a> {
    /// Where it comes from.
    pub sources: &'a Sources,
    /// Its sections.
    pub dwarf: gimli::Dwarf<Reader<'a>>,
    units: Vec<Slot<'a>>,
    /// The units of the file that is shared with others.
    shared: OnceLock<Vec<Slot<'a>>>,
    skeleton: Option<Unit<Reader<'a>>>,
    code: Vec<Range<u64>>,
    cover: OnceLock<Cover>,
    /// What `.debug_aranges` says of it.
    listed: OnceLock<Cover>,
    /// What `.gdb_index` says of it.
    noted: OnceLock<Cover>,
}

/// One unit.
pub struct Slot<'a> {
    /// Where it begins in `.debug_info`.
    pub offset: usize,
    /// The offset after it.
    pub end: usize,
    /// Whether it holds but types (DWARF 5, 3.1.4).
    is_of_types: bool,
    state: OnceLock<Option<Box<State<'a>>>>,
}

struct State<'a> {
    unit: Unit<Reader<'a>>,
    /// The ranges of its root.
    ranges: OnceLock<Vec<(u64, u64)>>,
    functions: OnceLock<Functions>,
    lines: OnceLock<Lines>,
    split: OnceLock<Option<Dwarf>>,
}

impl<'a> Loaded<'a> {
    /// Finds the units. Reads only their headers.
    pub fn new(sources: &'a Sources, code: Vec<Range<u64>>) -> Loaded<'a> {
        let own = sources.own.dwarf(sources.shared.as_ref());
        let (dwarf, skeleton) = match &sources.skeleton {
            Some(skeleton) => split::dwarf_of(&sources.own, skeleton, own),
            None => (own, None),
        };
        let units = slots(&dwarf);
        let (shared, cover, listed, noted) = (OnceLock::new(), OnceLock::new(), OnceLock::new(), OnceLock::new());
        Loaded { sources, dwarf, units, shared, skeleton, code, cover, listed, noted }
    }

    /// How many units there are.
    pub fn unit_count(&self) -> usize {
        self.units.len()
    }

    /// Where a unit lies in `.debug_info`.
    pub fn extent(&self, unit: usize) -> Range<usize> {
        self.units.get(unit).map_or(0..0, |slot| slot.offset..slot.end)
    }

    /// A unit's header, abbreviations and root.
    pub fn unit(&self, unit: usize) -> Option<&Unit<Reader<'a>>> {
        self.state(unit).map(|state| &state.unit)
    }

    /// The version of DWARF that a unit has.
    pub fn version(&self, unit: usize) -> Option<u16> {
        let header = self.dwarf.unit_header(DebugInfoOffset(self.units.get(unit)?.offset)).ok()?;
        Some(header.version())
    }

    /// Whether a unit holds but types, and no code.
    pub fn is_of_types(&self, unit: usize) -> bool {
        self.units.get(unit).is_some_and(|slot| slot.is_of_types)
    }

    /// The unit that begins at an offset of `.debug_info`.
    pub fn unit_from(&self, offset: usize) -> Option<usize> {
        self.units.binary_search_by_key(&offset, |slot| slot.offset).ok()
    }

    /// The unit that holds an offset of `.debug_info`.
    pub fn unit_with(&self, offset: usize) -> Option<usize> {
        find(&self.units, offset)
    }

    /// The unit of the shared file that holds an offset of its `.debug_info`, and that offset within it.
    pub fn shared_unit_with(&self, offset: usize) -> Option<(&gimli::Dwarf<Reader<'a>>, &Unit<Reader<'a>>)> {
        let dwarf = self.dwarf.sup()?;
        let units = self.shared.get_or_init(|| slots(dwarf));
        let slot = units.get(find(units, offset)?)?;
        let sections = self.sources.shared.as_ref()?;
        let state = slot.state.get_or_init(|| {
            let header = header_of(sections, dwarf, slot)?;
            Some(Box::new(State::new(dwarf.unit(header).ok()?)))
        });
        state.as_ref().map(|state| (dwarf, &state.unit))
    }

    fn state(&self, unit: usize) -> Option<&State<'a>> {
        let slot = self.units.get(unit)?;
        let state = slot.state.get_or_init(|| {
            let header = header_of(&self.sources.own, &self.dwarf, slot)?;
            let mut unit = self.dwarf.unit(header).ok()?;
            unit.line_program = unit.line_program.filter(|program| self.may_read(program.header()));
            if let Some(skeleton) = &self.skeleton {
                unit.copy_relocated_attributes(skeleton);
            }
            Some(Box::new(State::new(unit)))
        });
        state.as_deref()
    }

    /// Whether a line table is as it was when it was unpacked.
    fn may_read(&self, table: &gimli::LineProgramHeader<Reader<'a>>) -> bool {
        // The length does not count itself, which takes up to 12 bytes.
        let (begin, length) = (table.offset().0, table.unit_length().saturating_add(12));
        let whole = self.sources.own.get(gimli::SectionId::DebugLine).len();
        self.sources.own.is_good(gimli::SectionId::DebugLine, begin..begin.saturating_add(length).min(whole))
    }

    /// Whether something that was asked for is damaged: the answers may lack something.
    pub fn is_damaged(&self) -> bool {
        let shared = self.sources.shared.as_ref();
        self.sources.own.is_damaged() || shared.is_some_and(Sections::is_damaged)
    }

    /// Checks all that was kept, as it will all be read. False: something is damaged.
    pub fn check_all(&self) -> bool {
        self.sources.own.check_all() && self.sources.shared.as_ref().is_none_or(Sections::check_all)
    }

    /// Whether an address is one of code that is in the program.
    pub fn is_code(&self, addr: u64) -> bool {
        self.code.iter().any(|range| range.contains(&addr))
    }

    /// The ranges of code.
    pub fn code(&self) -> &[Range<u64>] {
        &self.code
    }

    /// The unit that covers an address.
    pub fn unit_at(&self, addr: u64) -> Option<usize> {
        let found = |cover: &Cover| cover.find(addr).map(|unit| unit as usize);
        // Units that are not listed need not be read for an address of one that is.
        let listed = || self.listed().and_then(found);
        self.noted_at(addr).or_else(listed).or_else(|| found(self.cover()))
    }

    /// The units that cover a part of a range.
    pub fn units_over(&self, range: &Range<u64>) -> Vec<usize> {
        let sorted = |cover: &Cover| {
            let mut units: Vec<usize> = cover.within(range).map(|unit| unit as usize).collect();
            units.sort_unstable();
            units.dedup();
            units
        };
        let noted = self.noted().map(sorted).filter(|units| self.cover_all(units, range));
        noted.unwrap_or_else(|| sorted(self.cover()))
    }

    /// The unit that `.gdb_index` names for an address, if it covers it.
    fn noted_at(&self, addr: u64) -> Option<usize> {
        let unit = self.noted()?.find(addr)? as usize;
        self.ranges(unit).iter().any(|(begin, end)| *begin <= addr && addr < *end).then_some(unit)
    }

    /// What `.gdb_index` says, as long as the units have not been asked: it spares that.
    fn noted(&self) -> Option<&Cover> {
        if self.cover.get().is_some() {
            return None;
        }
        let read = || Cover::new(gdb_index::ranges(self.sources.own.gdb_index(), |offset| self.unit_from(offset)));
        Some(self.noted.get_or_init(read))
    }

    /// What `.debug_aranges` says, as long as the units that it leaves out have not been asked.
    fn listed(&self) -> Option<&Cover> {
        self.cover.get().is_none().then(|| self.listed.get_or_init(|| Cover::new(self.address_ranges())))
    }

    /// Whether every address of a range belongs to one of some units.
    fn cover_all(&self, units: &[usize], range: &Range<u64>) -> bool {
        let touches = |part: &&(u64, u64)| part.0 < range.end && range.start < part.1;
        let mut parts: Vec<(u64, u64)> =
            units.iter().flat_map(|unit| self.ranges(*unit).iter().filter(touches)).copied().collect();
        parts.sort_unstable();
        let reach = |reach: u64, part: &(u64, u64)| if part.0 <= reach { reach.max(part.1) } else { reach };
        parts.iter().fold(range.start, reach) >= range.end
    }

    /// The line table of a unit.
    pub fn lines(&self, unit: usize) -> &Lines {
        match self.state(unit) {
            Some(state) => state.lines.get_or_init(|| lines::read(self, &state.unit)),
            None => Lines::none(),
        }
    }

    /// The functions of a unit; of a skeleton none.
    pub fn functions(&self, unit: usize) -> &Functions {
        match self.state(unit) {
            Some(state) => state.functions.get_or_init(|| Functions::read(self, &state.unit)),
            None => Functions::none(),
        }
    }

    /// Lends the unit that has the functions: itself, or the one in a `.dwo` that it stands for.
    pub fn with_code<T>(&self, unit: usize, run: impl for<'x, 'y> FnOnce(&'y Loaded<'x>, usize) -> T) -> T {
        match self.split(unit) {
            Some(dwarf) => dwarf.with(|loaded| run(loaded, loaded.split_unit())),
            None => run(self, unit),
        }
    }

    /// The debug info that a skeleton unit stands for.
    fn split(&self, unit: usize) -> Option<&Dwarf> {
        let state = self.state(unit)?;
        if self.skeleton.is_some() || state.unit.dwo_id.is_none() {
            return None;
        }
        let offset = self.units.get(unit)?.offset;
        state.split.get_or_init(|| split::open(self, &state.unit, offset)).as_ref()
    }

    /// Which unit of a `.dwo` is the one that belongs to its skeleton.
    fn split_unit(&self) -> usize {
        let id = self.sources.skeleton.as_ref().map(|skeleton| gimli::DwoId(skeleton.id));
        let is_it = |unit: &usize| self.unit(*unit).is_some_and(|unit| unit.dwo_id == id);
        (0..self.units.len().min(4096)).find(is_it).unwrap_or(usize::MAX)
    }

    /// Whether the file holds the unit that its skeleton stands for.
    pub fn has_split_unit(&self) -> bool {
        self.split_unit() != usize::MAX
    }

    /// Whether what a unit stands for is in another file.
    pub fn is_skeleton(&self, unit: usize) -> bool {
        self.unit(unit).is_some_and(|unit| unit.dwo_id.is_some())
    }

    /// Which part of `.debug_str_offsets` a unit names strings through (DWARF 5, 7.26); `None` before DWARF 5.
    pub fn string_offsets(&self, unit: usize) -> Option<Range<usize>> {
        let base = self.unit(unit).filter(|unit| unit.header.version() >= 5)?.str_offsets_base.0;
        // Eight bytes stand before the base: the length of what follows it, and the version.
        let section = self.sources.own.get(gimli::SectionId::DebugStrOffsets);
        let head = section.slice().get(base.checked_sub(8)?..base)?;
        let length = u32::from_le_bytes(head.get(..4)?.try_into().ok()?) as usize;
        Some(base..base.saturating_add(length).min(section.slice().len()))
    }

    /// The units whose functions refer to entries of other units (DW_FORM_ref_addr): after optimisation of the whole program.
    pub fn far_units(&self) -> Vec<usize> {
        let header = |slot: &Slot<'a>| self.dwarf.unit_header(DebugInfoOffset(slot.offset)).ok();
        let numbered = self.units.iter().enumerate();
        let mut headers: Vec<_> = numbered.filter_map(|(unit, slot)| Some((unit, header(slot)?))).collect();
        // Units may share their abbreviations.
        headers.sort_by_key(|(unit, header)| (header.debug_abbrev_offset().0, *unit));
        let groups: Vec<_> =
            headers.chunk_by(|(_, one), (_, other)| one.debug_abbrev_offset() == other.debug_abbrev_offset()).collect();
        let refers_far =
            parallel::map(&groups, |group| group.first().is_some_and(|(_, header)| self.refers_far(header)));
        let far = groups.iter().zip(refers_far).filter(|(_, far)| *far);
        far.flat_map(|(group, _)| group.iter().map(|(unit, _)| *unit)).collect()
    }

    fn refers_far(&self, header: &gimli::UnitHeader<Reader<'a>>) -> bool {
        let Ok(abbreviations) = self.dwarf.abbreviations(header) else { return true };
        // Codes are handed out one after the other.
        let mut all = (1..).map_while(|code| abbreviations.get(code));
        all.any(|one| {
            one.attributes().iter().any(|spec| {
                let is_origin = matches!(spec.name(), gimli::DW_AT_abstract_origin | gimli::DW_AT_specification);
                is_origin && spec.form() == gimli::DW_FORM_ref_addr
            })
        })
    }

    /// Whether gcc has optimised a unit's code (DW_AT_producer holds its options).
    pub fn is_optimised_by_gcc(&self, unit: usize) -> bool {
        let producer = |loaded: &Loaded<'_>, unit: usize| {
            let value = loaded.root_value(unit, gimli::DW_AT_producer)?;
            Some(loaded.dwarf.attr_string(loaded.unit(unit)?, value).ok()?.to_string_lossy().into_owned())
        };
        let text = self.with_code(unit, |loaded, unit| producer(loaded, unit));
        let Some(text) = text.filter(|text| text.starts_with("GNU ")) else { return false };
        let level = text.split(' ').filter_map(|word| word.strip_prefix("-O")).next_back();
        level.is_some_and(|level| level != "0")
    }

    /// Whether a unit is of C++ (DW_AT_language; DWARF 5, 7.12).
    pub fn is_cpp(&self, unit: usize) -> bool {
        const ALL: &[gimli::DwLang] = &[
            gimli::DW_LANG_C_plus_plus,
            gimli::DW_LANG_C_plus_plus_03,
            gimli::DW_LANG_C_plus_plus_11,
            gimli::DW_LANG_C_plus_plus_14,
            gimli::DW_LANG_C_plus_plus_17,
            gimli::DW_LANG_C_plus_plus_20,
        ];
        self.with_code(unit, |loaded, unit| {
            let value = loaded.root_value(unit, gimli::DW_AT_language);
            matches!(value, Some(AttributeValue::Language(language)) if ALL.contains(&language))
        })
    }

    fn root_value(&self, unit: usize, name: gimli::DwAt) -> Option<AttributeValue<Reader<'a>>> {
        let unit = self.unit(unit)?;
        unit.entry(unit.header.root_offset()).ok()?.attr_value(name)
    }

    /// Whether a unit's line table names a file, without its rows.
    pub fn names_file(&self, unit: usize, wanted: &dyn Fn(&str) -> bool) -> bool {
        self.file_names(unit).iter().any(|file| wanted(file))
    }

    /// The same, numbered as DW_AT_decl_file counts them.
    pub fn numbered_files(&self, unit: usize) -> Vec<Arc<str>> {
        self.state(unit).map(|state| lines::numbered_files(self, &state.unit)).unwrap_or_default()
    }

    /// The files that a unit's line table names.
    pub fn file_names(&self, unit: usize) -> Vec<Arc<str>> {
        self.state(unit).map(|state| lines::file_names(self, &state.unit)).unwrap_or_default()
    }

    fn cover(&self) -> &Cover {
        self.cover.get_or_init(|| Cover::new(self.unit_ranges()))
    }

    /// Takes over what an earlier run has found to be covered by each unit.
    pub fn know_ranges(&self, mut ranges: Vec<(u64, u64, u32)>) {
        self.cover.get_or_init(|| {
            ranges.retain(|(_, _, unit)| (*unit as usize) < self.units.len());
            Cover::new(ranges)
        });
    }

    /// What each unit covers: by `.debug_aranges` (DWARF 5, 6.1.2), for units that it leaves out by their roots.
    pub fn unit_ranges(&self) -> Vec<(u64, u64, u32)> {
        let mut ranges = self.address_ranges();
        let mut has_ranges = vec![false; self.units.len()];
        for (_, _, unit) in &ranges {
            has_ranges[*unit as usize] = true;
        }
        let others: Vec<usize> = (0..self.units.len()).filter(|unit| !has_ranges[*unit]).collect();
        for (unit, found) in others.iter().zip(parallel::map(&others, |unit| self.root_ranges(*unit))) {
            ranges.extend(found.into_iter().map(|(begin, end)| (begin, end, *unit as u32)));
        }
        ranges
    }

    fn address_ranges(&self) -> Vec<(u64, u64, u32)> {
        const ENTRY: usize = 16;
        let entries = self.sources.own.get(gimli::SectionId::DebugAranges).len() / ENTRY;
        let mut ranges: Vec<(u64, u64, u32)> = Vec::with_capacity(entries);
        let mut headers = self.dwarf.debug_aranges.headers();
        while let Ok(Some(header)) = headers.next() {
            let Some(unit) = self.unit_from(header.debug_info_offset().0) else { continue };
            let mut entries = header.entries();
            while let Ok(Some(entry)) = entries.next_raw() {
                let (begin, end) = (entry.address(), entry.address().saturating_add(entry.length()));
                match ranges.last_mut() {
                    Some(last) if last.1 == begin && last.2 == unit as u32 => last.1 = end,
                    _ if begin < end && self.is_code(begin) => ranges.push((begin, end, unit as u32)),
                    _ => {}
                }
            }
        }
        ranges
    }

    /// The ranges of a unit's root, kept.
    fn ranges(&self, unit: usize) -> &[(u64, u64)] {
        self.state(unit).map_or(&[], |state| state.ranges.get_or_init(|| self.root_ranges(unit)))
    }

    /// The ranges of a unit's root.
    fn root_ranges(&self, unit: usize) -> Vec<(u64, u64)> {
        let Some(state) = self.state(unit) else { return Vec::new() };
        let Ok(entry) = state.unit.entry(state.unit.header.root_offset()) else { return Vec::new() };
        if !matches!(entry.tag(), gimli::DW_TAG_compile_unit | gimli::DW_TAG_skeleton_unit) {
            return Vec::new();
        }
        let attributes = Attributes::of(self, &state.unit, entry.attrs());
        let mut ranges = attributes.ranges(self, &state.unit);
        if ranges.is_empty() && entry.attr_value(gimli::DW_AT_stmt_list).is_some() {
            // Compilers of old gave a unit no ranges; its lines tell.
            ranges = self.lines(unit).extents().collect();
        }
        ranges
    }
}

impl<'a> State<'a> {
    fn new(unit: Unit<Reader<'a>>) -> State<'a> {
        let (ranges, functions) = (OnceLock::new(), OnceLock::new());
        State { unit, ranges, functions, lines: OnceLock::new(), split: OnceLock::new() }
    }
}

/// The header of a unit, if the unit is as it was when it was unpacked.
fn header_of<'a>(
    sections: &Sections,
    dwarf: &gimli::Dwarf<Reader<'a>>,
    slot: &Slot<'a>,
) -> Option<gimli::UnitHeader<Reader<'a>>> {
    let may_read = sections.is_good(gimli::SectionId::DebugInfo, slot.offset..slot.end);
    dwarf.unit_header(DebugInfoOffset(slot.offset)).ok().filter(|_| may_read)
}

fn slots<'a>(dwarf: &gimli::Dwarf<Reader<'a>>) -> Vec<Slot<'a>> {
    let mut slots = Vec::new();
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        let Some(offset) = header.debug_info_offset() else { continue };
        let end = offset.0.saturating_add(header.length_including_self());
        let is_of_types = matches!(header.type_(), gimli::UnitType::Type { .. } | gimli::UnitType::SplitType { .. });
        slots.push(Slot { offset: offset.0, end, is_of_types, state: OnceLock::new() });
    }
    slots
}

fn find(units: &[Slot<'_>], offset: usize) -> Option<usize> {
    let after = units.partition_point(|slot| slot.offset <= offset);
    let unit = after.checked_sub(1)?;
    (offset < units[unit].end).then_some(unit)
}
