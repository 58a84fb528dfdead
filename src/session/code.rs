//! Instructions of the process with names: decoded, marked, and what they refer to resolved to places. One look for `x/i`,
//! `disassemble` and whoever shows where a thread stands.

use schemars::JsonSchema;
use serde::Serialize;

use super::Session;
use super::locations::{Locations, Place};
use super::page::{Line, Page, Span, Style};
use crate::addr::RuntimeAddr;
use crate::target::disasm::{Disassembler, Flavor, Instruction, LONGEST_INSTRUCTION, Piece, PieceKind, Target};
use crate::target::{Fault, Process};

/// The code segment of a 32-bit program on x86-64 (`__USER32_CS`).
const USER32_CS: u64 = 0x23;

/// How much is read and decoded at once.
const WINDOW: usize = 64 << 10;

/// One instruction.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CodeRow {
    /// Where it begins.
    #[serde(flatten)]
    pub place: Place,
    /// Its bytes in hexadecimal.
    pub bytes: String,
    /// How it reads.
    pub text: String,
    /// Whether the selected thread stands there.
    pub current: bool,
    /// The number of the breakpoint that is set there.
    pub breakpoint: Option<u32>,
    /// What it refers to: where it goes, or which memory it has to do with.
    pub target: Option<Place>,
    /// Where a call or jump through memory leads: what the word there holds.
    pub leads_to: Option<Place>,
    #[serde(skip)]
    pieces: Vec<Piece>,
    #[serde(skip)]
    words: RowWords,
}

/// The places as people read them.
#[derive(Clone, Debug, Default)]
struct RowWords {
    place: Option<String>,
    target: Option<String>,
    leads_to: Option<String>,
}

/// Where a list of instructions ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// After so many.
    Count(usize),
    /// Behind the one that holds the byte before this address, and after so many in any case.
    Address(RuntimeAddr, usize),
}

/// Instructions, and what ended the list early.
pub struct Code {
    /// The instructions.
    pub rows: Vec<CodeRow>,
    /// The address behind the last.
    pub next: RuntimeAddr,
    /// The byte that could not be read.
    pub fault: Option<Fault>,
}

impl Session {
    /// The instructions from an address on.
    pub fn code(&mut self, locations: &Locations, start: RuntimeAddr, until: Until) -> anyhow::Result<Code> {
        let (flavor, pc) = (self.settings.flavor, self.pc());
        let bits = self.code_bits();
        let process = self.process()?;
        let most = match until {
            Until::Count(count) | Until::Address(_, count) => count,
        };
        let reader = Reader { process, locations, flavor, pc, bits };
        let mut code = Code { rows: Vec::new(), next: start, fault: None };
        while code.rows.len() < most && !is_reached(until, code.next) && code.fault.is_none() {
            reader.window(&mut code, most, until)?;
        }
        Ok(code)
    }

    /// The instruction at which the selected thread stands, to be shown behind a step.
    pub fn next_instruction(&mut self) -> Option<CodeRow> {
        let locations = self.locations();
        let pc = self.pc()?;
        // What cannot be read is not shown: the step itself has been made.
        let code = self.code(&locations, pc, Until::Count(1)).ok()?;
        code.rows.into_iter().next()
    }

    /// The program counter of the selected thread, if it stands still.
    pub fn pc(&self) -> Option<RuntimeAddr> {
        let thread = self.current()?.stopped_thread(self.selected()?)?;
        thread.registers().ok().map(|registers| registers.pc())
    }

    fn code_bits(&self) -> u32 {
        let thread = self.selected().and_then(|tid| self.current()?.stopped_thread(tid));
        let registers = thread.and_then(|thread| thread.registers().ok());
        if registers.is_some_and(|registers| registers.cs == USER32_CS) { 32 } else { 64 }
    }
}

fn is_reached(until: Until, next: RuntimeAddr) -> bool {
    matches!(until, Until::Address(end, _) if next >= end)
}

struct Reader<'a> {
    process: &'a Process,
    locations: &'a Locations,
    flavor: Flavor,
    pc: Option<RuntimeAddr>,
    bits: u32,
}

impl Reader<'_> {
    /// Decodes as much as one read gives.
    fn window(&self, code: &mut Code, most: usize, until: Until) -> anyhow::Result<()> {
        let left = most - code.rows.len();
        let wanted = left.saturating_mul(LONGEST_INSTRUCTION).min(WINDOW);
        // Nothing is mapped behind the last address.
        let wanted = wanted.min(usize::try_from(u64::MAX - code.next.0).unwrap_or(usize::MAX)).max(1);
        let mut bytes = vec![0; wanted];
        let got = self.process.read_memory_partly(code.next, &mut bytes)?;
        let (begin, before) = (code.next, code.rows.len());
        for one in Disassembler::new(&bytes[..got], begin, self.bits, self.flavor) {
            if code.rows.len() == most || is_reached(until, one.addr) {
                return Ok(());
            }
            code.next = one.next();
            code.rows.push(self.row(one));
        }
        // The bytes end within an instruction: the next window begins with it, unless memory ends there.
        if got < wanted {
            code.fault = self.process.read_memory(RuntimeAddr(begin.0 + got as u64), &mut [0]).err();
        }
        if code.fault.is_none() && code.rows.len() == before {
            anyhow::bail!("the memory at {begin} changes while it is read");
        }
        Ok(())
    }

    fn row(&self, one: Instruction) -> CodeRow {
        let target = one.target.map(|target| match target {
            Target::Code(addr) | Target::Data(addr) | Target::Through(addr) => addr,
        });
        let leads_to = match one.target {
            Some(Target::Through(slot)) => self.pointer(slot),
            _ => None,
        };
        CodeRow {
            place: self.locations.place_or_bare(one.addr),
            bytes: one.bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
            text: one.to_text(),
            current: self.pc == Some(one.addr),
            breakpoint: breakpoint_at(self.process, one.addr),
            words: RowWords {
                place: self.locations.words(one.addr),
                target: target.and_then(|addr| self.locations.words(addr)),
                leads_to: leads_to.and_then(|addr| self.locations.words(addr)),
            },
            target: target.map(|addr| self.locations.place_or_bare(addr)),
            leads_to: leads_to.map(|addr| self.locations.place_or_bare(addr)),
            pieces: one.text,
        }
    }

    fn pointer(&self, slot: RuntimeAddr) -> Option<RuntimeAddr> {
        let mut word = [0; 8];
        let size = if self.bits == 32 { 4 } else { 8 };
        self.process.read_memory(slot, &mut word[..size]).ok()?;
        Some(RuntimeAddr(u64::from_le_bytes(word)))
    }
}

/// The number of the breakpoint at an address.
fn breakpoint_at(process: &Process, addr: RuntimeAddr) -> Option<u32> {
    process.breakpoint_at(addr).map(|breakpoint| breakpoint.number)
}

/// Adds instructions to a page, aligned: marks, address and place, bytes if they are wanted, text, and what is referred to.
pub fn show(page: &mut Page, rows: &[CodeRow], with_bytes: bool) {
    show_between(page, rows, with_bytes, |_, _| {});
}

/// The same, with what `before` adds in front of the instruction of an index.
pub fn show_between(page: &mut Page, rows: &[CodeRow], with_bytes: bool, before: impl Fn(&mut Page, usize)) {
    let widest = |width: fn(&CodeRow) -> usize| rows.iter().map(width).max().unwrap_or_default();
    let (label, bytes) = (widest(|row| row.label().chars().count()), widest(|row| row.bytes.len()));
    for (index, row) in rows.iter().enumerate() {
        before(page, index);
        let mut line = row.marks();
        line.push(Span::new(format!("{}:", row.label()), Style::Address));
        line.push(" ".repeat(label - row.label().chars().count() + 2).into());
        if with_bytes {
            line.push(Span::new(format!("{:bytes$}  ", row.bytes), Style::Dim));
        }
        line.extend(row.pieces.iter().map(|piece| Span::new(&piece.text, style(piece.kind))));
        line.extend(row.comment());
        page.spans(line);
    }
}

fn style(kind: PieceKind) -> Style {
    match kind {
        PieceKind::Mnemonic => Style::Name,
        PieceKind::Address => Style::Address,
        PieceKind::Number => Style::Good,
        PieceKind::Register | PieceKind::Plain => Style::Plain,
    }
}

impl CodeRow {
    /// `0x401136 <prog+0x1136>`.
    fn label(&self) -> String {
        let place = self.words.place.as_ref().map(|words| format!(" <{words}>"));
        format!("{}{}", self.place.address, place.unwrap_or_default())
    }

    /// `=>` where the selected thread stands, `*` where a breakpoint is.
    fn marks(&self) -> Line {
        let breakpoint = if self.breakpoint.is_some() { "*" } else { " " };
        vec![Span::new(if self.current { "=>" } else { "  " }, Style::Strong), Span::new(breakpoint, Style::Bad)]
    }

    /// Behind the text: the name of where it goes, or the address of the memory and its name.
    fn comment(&self) -> Line {
        let Some(target) = &self.target else { return Vec::new() };
        let named = |words: &Option<String>| words.as_ref().map(|words| format!(" <{words}>")).unwrap_or_default();
        let shows_address = self.pieces.iter().any(|piece| piece.kind == PieceKind::Address);
        let mut line = Vec::new();
        if !shows_address {
            line.push(Span::new("  # ", Style::Dim));
            line.push(Span::new(target.address.to_string(), Style::Address));
        }
        line.push(Span::new(named(&self.words.target), Style::Name));
        if let Some(place) = &self.leads_to {
            line.push(Span::new(" -> ", Style::Dim));
            line.push(Span::new(place.address.to_string(), Style::Address));
            line.push(Span::new(named(&self.words.leads_to), Style::Name));
        }
        line
    }
}
