//! Go's `.gopclntab`: functions by address, their names, files, lines and frame sizes (runtime/symtab.go, `pcHeader` and
//! `_func` of runtime/runtime2.go; debug/gosym). Four forms, of Go 1.2, 1.16, 1.18 and 1.20. Found by binary search,
//! nothing is read ahead.

use super::pctab::Runs;
use super::read::{i32_at, str_at, u32_at, u64_at, usize_at};

/// The forms of the table; ordered by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Form {
    Go12,
    Go116,
    Go118,
    Go120,
}

impl Form {
    pub(super) const ALL: [Form; 4] = [Form::Go120, Form::Go118, Form::Go116, Form::Go12];

    pub(super) fn magic(self) -> u32 {
        match self {
            Form::Go12 => 0xffff_fffb,
            Form::Go116 => 0xffff_fffa,
            Form::Go118 => 0xffff_fff0,
            Form::Go120 => 0xffff_fff1,
        }
    }

    /// How a table for x86-64 begins: the magic, two zeros, the shortest instruction, the size of a pointer.
    pub(super) fn head(self) -> [u8; 8] {
        let [a, b, c, d] = self.magic().to_le_bytes();
        [a, b, c, d, 0, 0, 1, 8]
    }
}

/// Where the parts of a table are: offsets from its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) form: Form,
    quantum: u8,
    count: usize,
    /// The header's own idea of where text begins; 0 where it says none.
    pub(super) text_start: u64,
    names: usize,
    units: usize,
    files: usize,
    pctab: usize,
    funcs: usize,
}

impl Layout {
    /// From the header; `None` unless it is one and its parts are within the table.
    pub(super) fn read(table: &[u8]) -> Option<Layout> {
        let form = Form::ALL.into_iter().find(|form| table.starts_with(&form.magic().to_le_bytes()))?;
        let (zeros, quantum, pointer) = (table.get(4..6)?, *table.get(6)?, *table.get(7)?);
        if zeros != [0, 0] || !matches!(quantum, 1 | 2 | 4) || pointer != 8 {
            return None;
        }
        let word = |index: usize| usize_at(table, 8 + 8 * index);
        let count = word(0)?;
        let layout = match form {
            Form::Go12 => {
                let files = u32_at(table, 16usize.checked_add(count.checked_mul(16)?)?.checked_add(8)?)?;
                let files = files as usize;
                Layout { form, quantum, count, text_start: 0, names: 0, units: 0, files, pctab: 0, funcs: 0 }
            }
            _ => {
                let first = if form == Form::Go116 { 2 } else { 3 };
                let text_start = if form == Form::Go116 { 0 } else { u64_at(table, 24)? };
                let part = |index: usize| word(first + index).filter(|offset| *offset < table.len());
                let (names, units, files) = (part(0)?, part(1)?, part(2)?);
                Layout { form, quantum, count, text_start, names, units, files, pctab: part(3)?, funcs: part(4)? }
            }
        };
        let entry = layout.functab_entry();
        let end = layout.functab().checked_add(count.checked_mul(entry)?)?.checked_add(entry / 2)?;
        (end <= table.len()).then_some(layout)
    }

    /// The size of a pair (function's address, its offset).
    fn functab_entry(&self) -> usize {
        if self.form >= Form::Go118 { 8 } else { 16 }
    }

    fn functab(&self) -> usize {
        if self.form == Form::Go12 { 16 } else { self.funcs }
    }
}

/// A table that is being read: all offsets are checked.
#[derive(Clone, Copy)]
pub(super) struct Pcln<'a> {
    pub(super) table: &'a [u8],
    pub(super) layout: Layout,
    /// Where text begins (`runtime.text`), for forms whose addresses count from there.
    pub(super) text: u64,
}

impl<'a> Pcln<'a> {
    /// How many functions there are.
    pub(super) fn count(&self) -> usize {
        self.layout.count
    }

    /// The address at which a function begins; of `count`, where the last ends.
    pub(super) fn entry(&self, index: usize) -> Option<u64> {
        let at = self.layout.functab() + index * self.layout.functab_entry();
        if self.layout.form >= Form::Go118 {
            return Some(self.text.wrapping_add(u64::from(u32_at(self.table, at)?)));
        }
        u64_at(self.table, at)
    }

    /// A function by its place in the table.
    pub(super) fn func(&self, index: usize) -> Option<Func<'a>> {
        if index >= self.layout.count {
            return None;
        }
        let at = self.layout.functab() + index * self.layout.functab_entry();
        let offset = if self.layout.form >= Form::Go118 {
            u32_at(self.table, at + 4)? as usize
        } else {
            usize_at(self.table, at + 8)?
        };
        let (entry, end) = (self.entry(index)?, self.entry(index + 1)?);
        let record = self.table.get(self.layout.funcs.checked_add(offset)?..)?;
        (record.len() >= 40 && entry < end).then_some(Func { pcln: *self, entry, end, record })
    }

    /// The function that covers an address.
    pub(super) fn func_at(&self, pc: u64) -> Option<Func<'a>> {
        let (mut low, mut high) = (0, self.layout.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle)? <= pc { low = middle + 1 } else { high = middle }
        }
        self.func(low.checked_sub(1)?).filter(|func| pc < func.end)
    }

    /// All functions by rising address.
    pub(super) fn funcs(&self) -> impl Iterator<Item = Func<'a>> + use<'a> {
        let this = *self;
        (0..this.layout.count).filter_map(move |index| this.func(index))
    }

    /// A function's name by its offset.
    pub(super) fn name(&self, offset: i32) -> Option<&'a str> {
        let at = self.layout.names.checked_add(usize::try_from(offset).ok()?)?;
        str_at(self.table, at)
    }

    /// Where in the table the path of a file is: the same path is there once.
    pub(super) fn file_at(&self, unit: u32, number: i32) -> Option<usize> {
        let number = usize::try_from(number).ok()?;
        if self.layout.form == Form::Go12 {
            let offset = u32_at(self.table, self.layout.files.checked_add(number.checked_mul(4)?)?)?;
            return (number > 0).then_some(offset as usize);
        }
        let index = (unit as usize).checked_add(number)?.checked_mul(4)?;
        let offset = u32_at(self.table, self.layout.units.checked_add(index)?)?;
        (offset != u32::MAX).then(|| self.layout.files.checked_add(offset as usize))?
    }

    /// The path there.
    pub(super) fn path(&self, at: usize) -> Option<&'a str> {
        str_at(self.table, at).filter(|path| !path.is_empty())
    }

    /// Where all paths are; for lists.
    pub(super) fn paths(&self) -> Vec<usize> {
        if self.layout.form == Form::Go12 {
            let count = u32_at(self.table, self.layout.files).unwrap_or(0).min((self.table.len() / 4) as u32);
            return (1..count.cast_signed()).filter_map(|number| self.file_at(0, number)).collect();
        }
        let (mut paths, mut at) = (Vec::new(), self.layout.files);
        // The paths stand one behind the other, up to the next part.
        let end = self.layout.pctab;
        while at < end {
            let Some(path) = str_at(self.table, at) else { break };
            if !path.is_empty() {
                paths.push(at);
            }
            at += path.len() + 1;
        }
        paths
    }
}

/// One function's record (`_func`).
#[derive(Clone, Copy)]
pub(super) struct Func<'a> {
    pcln: Pcln<'a>,
    pub(super) entry: u64,
    pub(super) end: u64,
    record: &'a [u8],
}

/// The function is where a stack ends (`abi.FuncFlagTopFrame`).
const FLAG_TOP_FRAME: u8 = 1;
/// The function writes the stack pointer in ways that its table does not say (`abi.FuncFlagSPWrite`).
const FLAG_SP_WRITE: u8 = 2;

impl<'a> Func<'a> {
    /// The offset of a field that all forms have: the entry is a pointer or an offset.
    fn field(&self, index: usize) -> Option<u32> {
        let entry = if self.pcln.layout.form >= Form::Go118 { 4 } else { 8 };
        u32_at(self.record, entry + 4 * index)
    }

    /// Its name as Go writes it in its tables.
    pub(super) fn name(&self) -> Option<&'a str> {
        self.pcln.name(self.field(0)?.cast_signed()).filter(|name| !name.is_empty())
    }

    fn runs(&self, offset: Option<u32>) -> Runs<'a> {
        let (layout, table) = (&self.pcln.layout, self.pcln.table);
        Runs::new(table.get(layout.pctab..).unwrap_or_default(), offset.unwrap_or(0), layout.quantum)
    }

    /// How far the stack pointer is below its value at the entry.
    pub(super) fn stack(&self) -> Runs<'a> {
        self.runs(self.field(3))
    }

    /// The numbers of files.
    pub(super) fn files(&self) -> Runs<'a> {
        self.runs(self.field(4))
    }

    pub(super) fn lines(&self) -> Runs<'a> {
        self.runs(self.field(5))
    }

    /// Of its compilation unit, where the numbers of files count from.
    pub(super) fn unit(&self) -> u32 {
        if self.pcln.layout.form == Form::Go12 { 0 } else { self.field(7).unwrap_or(0) }
    }

    /// The offset of `funcID`, which three bytes and the variable part follow.
    fn tail(&self) -> usize {
        match self.pcln.layout.form {
            Form::Go12 | Form::Go118 => 36,
            Form::Go116 | Form::Go120 => 40,
        }
    }

    fn flags(&self) -> u8 {
        if self.pcln.layout.form == Form::Go12 { 0 } else { self.record.get(self.tail() + 1).copied().unwrap_or(0) }
    }

    /// Whether a stack ends in it.
    pub(super) fn is_top(&self) -> bool {
        self.flags() & FLAG_TOP_FRAME != 0
    }

    /// Whether its frame sizes cannot be relied on.
    pub(super) fn writes_sp(&self) -> bool {
        self.flags() & FLAG_SP_WRITE != 0
    }

    /// The line on which it begins, of its `func`; known since Go 1.20.
    pub(super) fn start_line(&self) -> Option<i32> {
        (self.pcln.layout.form == Form::Go120).then(|| i32_at(self.record, 36))?
    }

    /// A table of values for the garbage collector and the unwinder (`PCDATA_…`).
    pub(super) fn pcdata(&self, index: u32) -> Runs<'a> {
        let count = self.field(6).unwrap_or(0);
        let at = (index < count).then(|| self.tail() + 4 + 4 * index as usize);
        self.runs(at.and_then(|at| u32_at(self.record, at)))
    }

    /// Data of the function (`FUNCDATA_…`): an offset from `gofunc`, before Go 1.18 an address.
    pub(super) fn funcdata(&self, index: u8) -> Option<u64> {
        if index >= *self.record.get(self.tail() + 3)? {
            return None;
        }
        let begin = (self.tail() + 4).checked_add((self.field(6)? as usize).checked_mul(4)?)?;
        if self.pcln.layout.form >= Form::Go118 {
            let offset = u32_at(self.record, begin.checked_add(4 * usize::from(index))?)?;
            return (offset != u32::MAX).then_some(u64::from(offset));
        }
        // The pointers are aligned in memory; the record's own address decides, and it is aligned to a pointer.
        let begin = begin.checked_add(begin & 4)?;
        u64_at(self.record, begin.checked_add(8 * usize::from(index))?).filter(|address| *address != 0)
    }

    /// The file and line of an address in it, of the innermost inlined call.
    pub(super) fn line_at(&self, pc: u64) -> Option<(&'a str, u32)> {
        let offset = pc.checked_sub(self.entry)?;
        let number = self.files().value_at(offset)?;
        let path = self.pcln.path(self.pcln.file_at(self.unit(), number)?)?;
        let line = self.lines().value_at(offset)?;
        Some((path, u32::try_from(line).unwrap_or(0)))
    }
}
