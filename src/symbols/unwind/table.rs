//! Where the entry of an address is in `.eh_frame` (System V psABI 4.2.4, LSB 10.6) or `.debug_frame` (DWARF 5, section 6.4): by the
//! binary search of `.eh_frame_hdr` where there is one, else by an index that is built once. Keeps no entry.

use std::sync::OnceLock;

use gimli::{
    BaseAddresses, CfaRule as Cfa, DebugFrame, EhFrame, EndianSlice, FrameDescriptionEntry, LittleEndian,
    RegisterRule as Rule, UnwindContext, UnwindOffset, UnwindSection,
};

use super::header::entry_before;
use super::row::{CfaRule, RegisterRule, Row};
use crate::addr::LinkAddr;
use crate::symbols::{Module, Section};

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// The bytes of an address on this machine.
const ADDRESS_SIZE: u8 = 8;

/// Room for the state of a table's program, to be used again and again.
pub struct Scratch(Box<UnwindContext<usize>>);

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch(Box::new(UnwindContext::new()))
    }
}

/// The unwind tables of one file.
pub struct UnwindTables {
    bases: BaseAddresses,
    header: Option<Section>,
    eh_frame: Option<Section>,
    debug_frame: Option<Section>,
    /// Of `.eh_frame` without a header that can be searched.
    eh_index: OnceLock<Index>,
    debug_index: OnceLock<Index>,
}

/// The ranges of all entries by where they begin, and where each is in its section.
type Index = Vec<(u64, u64, usize)>;

impl UnwindTables {
    /// Finds the sections; reads none of them.
    pub fn of(module: &Module) -> UnwindTables {
        let header = module.section(".eh_frame_hdr");
        let eh_frame = module.section(".eh_frame").filter(|section| !section.is_empty());
        let mut bases = BaseAddresses::default();
        let address = |section: &Section| section.address.0;
        if let Some(header) = &header {
            bases = bases.set_eh_frame_hdr(address(header));
        }
        if let Some(frame) = &eh_frame {
            bases = bases.set_eh_frame(address(frame));
        }
        if let Some(text) = module.section(".text") {
            bases = bases.set_text(address(&text));
        }
        if let Some(got) = module.section(".got") {
            bases = bases.set_got(address(&got));
        }
        let debug_frame = module.debug_section(".debug_frame").filter(|section| !section.is_empty());
        UnwindTables { bases, header, eh_frame, debug_frame, eh_index: OnceLock::new(), debug_index: OnceLock::new() }
    }

    /// The rules at an address; `None`: the tables do not cover it, or are damaged there.
    pub fn row_at(&self, addr: LinkAddr, scratch: &mut Scratch) -> Option<Row> {
        self.row_by_eh_frame(addr.0, scratch).or_else(|| self.row_by_debug_frame(addr.0, scratch))
    }

    fn row_by_eh_frame(&self, addr: u64, scratch: &mut Scratch) -> Option<Row> {
        let bytes = self.eh_frame.as_deref()?;
        let mut section = EhFrame::new(bytes, LittleEndian);
        section.set_address_size(ADDRESS_SIZE);
        if let Some(found) = self.search_header(addr, &section) {
            return row_of(&section, &found?, &self.bases, addr, scratch);
        }
        let index = self.eh_index.get_or_init(|| index_of(&section, &self.bases));
        let entry = entry_in(&section, &self.bases, index, addr)?;
        row_of(&section, &entry, &self.bases, addr, scratch)
    }

    /// `None`: there is no header that can be searched. An entry that does not cover the address is none.
    fn search_header<'a>(
        &'a self,
        addr: u64,
        section: &EhFrame<Slice<'a>>,
    ) -> Option<Option<FrameDescriptionEntry<Slice<'a>>>> {
        let header = self.header.as_ref()?;
        let entry = entry_before(header, header.address.0, addr)?;
        let offset = usize::try_from(entry.checked_sub(self.eh_frame.as_ref()?.address.0)?).ok()?;
        let found = section.fde_from_offset(&self.bases, offset.into(), EhFrame::cie_from_offset);
        Some(found.ok().filter(|found| found.contains(addr)))
    }

    fn row_by_debug_frame(&self, addr: u64, scratch: &mut Scratch) -> Option<Row> {
        let bytes = self.debug_frame.as_deref()?;
        let mut section = DebugFrame::new(bytes, LittleEndian);
        section.set_address_size(ADDRESS_SIZE);
        let index = self.debug_index.get_or_init(|| index_of(&section, &self.bases));
        let entry = entry_in(&section, &self.bases, index, addr)?;
        row_of(&section, &entry, &self.bases, addr, scratch)
    }
}

/// Entries of functions that the linker has thrown away begin at 0. What cannot be read ends the index: the entries before
/// it are good.
fn index_of<'a, S: UnwindSection<Slice<'a>>>(section: &S, bases: &BaseAddresses) -> Index
where
    S::Offset: UnwindOffset<usize>,
{
    let mut index = Index::new();
    let mut entries = section.entries(bases);
    while let Ok(Some(entry)) = entries.next() {
        let gimli::CieOrFde::Fde(partial) = entry else { continue };
        let Ok(entry) = partial.parse(S::cie_from_offset) else { continue };
        let begin = entry.initial_address();
        if begin != 0 && entry.len() != 0 {
            index.push((begin, entry.end_address(), entry.offset()));
        }
    }
    index.sort_unstable();
    index
}

fn entry_in<'a, S: UnwindSection<Slice<'a>>>(
    section: &S,
    bases: &BaseAddresses,
    index: &Index,
    addr: u64,
) -> Option<FrameDescriptionEntry<Slice<'a>>>
where
    S::Offset: UnwindOffset<usize>,
{
    let after = index.partition_point(|(begin, ..)| *begin <= addr);
    let (_, end, offset) = index.get(after.checked_sub(1)?)?;
    if addr >= *end {
        return None;
    }
    section.fde_from_offset(bases, S::Offset::from(*offset), S::cie_from_offset).ok()
}

fn row_of<'a, S: UnwindSection<Slice<'a>>>(
    section: &S,
    entry: &FrameDescriptionEntry<Slice<'a>>,
    bases: &BaseAddresses,
    addr: u64,
    scratch: &mut Scratch,
) -> Option<Row> {
    let row = entry.unwind_info_for_address(section, bases, &mut scratch.0, addr).ok()?;
    let bytes = |expression: gimli::UnwindExpression<usize>| Some(expression.get(section).ok()?.0.slice().into());
    let cfa = match row.cfa() {
        Cfa::RegisterAndOffset { register, offset } => CfaRule::Register(register.0, *offset),
        Cfa::Expression(expression) => CfaRule::Expression(bytes(*expression)?),
    };
    let mut registers = Vec::new();
    for (register, rule) in row.registers() {
        let rule = match rule {
            Rule::Undefined => RegisterRule::Undefined,
            Rule::SameValue => RegisterRule::Same,
            Rule::Offset(offset) => RegisterRule::Offset(*offset),
            Rule::ValOffset(offset) => RegisterRule::ValueOffset(*offset),
            Rule::Register(other) => RegisterRule::Register(other.0),
            Rule::Expression(expression) => RegisterRule::Expression(bytes(*expression)?),
            Rule::ValExpression(expression) => RegisterRule::ValueExpression(bytes(*expression)?),
            Rule::Constant(value) => RegisterRule::Constant(*value),
            _ => return None,
        };
        registers.push((register.0, rule));
    }
    Some(Row {
        function: (LinkAddr(entry.initial_address()), LinkAddr(entry.end_address())),
        cfa,
        registers,
        return_register: entry.cie().return_address_register().0,
        is_signal: entry.is_signal_trampoline(),
        encoding: entry.cie().encoding(),
    })
}
