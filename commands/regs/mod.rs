//! `regs`: the registers of the selected thread, what they mean, and which have changed since the process was last let run.

mod choice;
mod vector;

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::Serialize;

use self::choice::Choice;
pub(super) use self::vector::{Lanes, float, hex, number};
use crate::addr::{RuntimeAddr, Tid};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::Place;
use crate::session::numbers::{self, Format};
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::{Command, Context, Failure, Group, Locations, Needs, Outcome, Reply, Row, Show, Words};
use crate::target::stacks::OuterFrame;
use crate::target::{Bank, Extended, Number, RegisterId, Registers, Syscall};

pub(super) const COMMAND: Command = Command {
    name: "regs",
    aliases: &["registers", "info registers", "info all-registers"],
    group: Group::Looking,
    summary: "Show registers: general, or NAMES, fp, vec, all; changed ones are marked",
    needs: Needs::Stopped,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Regs>,
    question: no_question,
    run,
};

/// The registers of the selected thread. `*` marks those that have changed since the process was last let run. `thread 3
/// regs` shows another thread's, `thread all regs rip rsp` those of all side by side; `set $rax = 5` changes one.
#[derive(clap::Parser)]
struct Args {
    /// Registers (rax, eax, xmm0, xmm0.v4_float[1], zf, …) or groups: general, fp, vec, all
    #[arg(value_name = "REGISTER|general|fp|vec|all")]
    names: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Regs {
    thread: Tid,
    /// Whose frame's they are; 0 is the innermost.
    frame: usize,
    registers: Vec<Register>,
    /// Whether registers were asked for by name, few enough to stand side by side.
    #[serde(skip)]
    named: bool,
}

/// One register.
#[derive(Serialize, JsonSchema)]
pub(super) struct Register {
    name: String,
    /// How many bits it has.
    bits: u16,
    /// Its value without a sign, if it has at most 64 bits.
    value: Option<u64>,
    /// All its bits in hexadecimal; null if it is not known: what an outer frame has called did not save it.
    hex: Option<String>,
    /// Whether it has changed since the process was last let run; null if that is not known.
    changed: Option<bool>,
    /// Where it points to, if something is mapped there.
    place: Option<Place>,
    /// The flags that are set, in `eflags` and `mxcsr`.
    flags: Option<Vec<&'static str>>,
    /// A floating-point register's number; null if it is none, or infinite.
    float: Option<f64>,
    /// A vector register as numbers side by side.
    lanes: Option<Lanes>,
    /// What it means in words.
    #[serde(skip)]
    meaning: String,
}

/// More registers than that do not stand side by side.
const MOST_COLUMNS: usize = 8;

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let choice = Choice::of(&args.names)?;
    let source = Source::of(cx, &choice)?;
    let registers = source.registers(&choice)?;
    let named = !args.names.is_empty() && registers.len() <= MOST_COLUMNS;
    Ok(Outcome::Reply(Reply::new(Regs { thread: source.tid, frame: source.frame(), registers, named })))
}

/// What was read of the thread, and what it had before.
struct Source<'a> {
    tid: Tid,
    /// The selected frame, if it is not the innermost.
    outer: Option<OuterFrame>,
    general: Registers,
    general_before: Option<&'a Registers>,
    extended: Option<Extended>,
    extended_before: Option<&'a Extended>,
    locations: Locations,
}

impl<'a> Source<'a> {
    fn of(cx: &'a Context<'_>, choice: &Choice) -> anyhow::Result<Source<'a>> {
        let session = &*cx.session;
        let process = session.current().context("no process is attached")?;
        let tid = session.selected().context("no thread is selected")?;
        let thread = process.stopped_thread(tid).ok_or_else(|| {
            let message = format!("cannot read the registers of thread {tid}: it does not stand still");
            Failure::hinted(message, "threads lists where each thread is")
        })?;
        let cannot = || format!("cannot read the registers of thread {tid}");
        let general = thread.registers().with_context(cannot)?;
        let outer = session.outer_frame();
        let general = outer.as_ref().map_or(general, |outer| *outer.general());
        let is_innermost = outer.is_none();
        let wants_extended = is_innermost && choice.registers.iter().any(|(id, _)| !id.is_general());
        // Without XSAVE a register that was asked for by its name is missed below.
        let extended = if wants_extended { thread.extended().ok() } else { None };
        Ok(Source {
            tid,
            outer,
            general,
            general_before: session.seen().general(tid).filter(|_| is_innermost),
            extended,
            extended_before: session.seen().extended(tid).filter(|_| is_innermost),
            locations: session.locations(),
        })
    }

    fn frame(&self) -> usize {
        self.outer.as_ref().map_or(0, |outer| outer.number)
    }

    /// What was chosen and is there. Of a vector register that came with a group the widest that the processor has comes
    /// first, and those behind it are parts of it.
    fn registers(&self, choice: &Choice) -> Result<Vec<Register>, Failure> {
        let (mut registers, mut whole) = (Vec::new(), None);
        for (id, asked) in &choice.registers {
            let is_part = matches!(id.bank, Bank::Vector(_)) && whole == Some(id.bank);
            if is_part && !asked {
                continue;
            }
            let found = self.register(*id, *asked)?;
            whole = found.as_ref().map(|_| id.bank);
            registers.extend(found);
        }
        Ok(registers)
    }

    /// A register, or `None` if it came with a group and the processor has none.
    fn register(&self, id: RegisterId, asked: bool) -> Result<Option<Register>, Failure> {
        if self
            .outer
            .as_ref()
            .is_some_and(|outer| outer.get(id).is_none() && (asked || matches!(id.bank, Bank::General(_))))
        {
            return Ok(Some(Register::unknown(id)));
        }
        let bytes = self.bytes(id, &self.general, self.extended.as_ref());
        let Some(bytes) = bytes else {
            let missing = Failure::plain(format!("this processor has no ${id}"));
            return if asked { Err(missing) } else { Ok(None) };
        };
        let before = self.general_before.filter(|_| id.is_general()).map(|general| self.bytes(id, general, None));
        let before = before.or(self.extended_before.map(|before| self.bytes(id, &self.general, Some(before))));
        let changed = before.flatten().map(|before| before != bytes);
        Ok(Some(self.describe(id, bytes, changed)))
    }

    fn bytes(&self, id: RegisterId, general: &Registers, extended: Option<&Extended>) -> Option<Vec<u8>> {
        let size = usize::from(id.size);
        match id.of_general(general) {
            Some(value) => Some(value.to_le_bytes()[..size].to_vec()),
            None => extended?.get(id).map(|bytes| bytes[..size].to_vec()),
        }
    }

    fn describe(&self, id: RegisterId, bytes: Vec<u8>, changed: Option<bool>) -> Register {
        let value = (bytes.len() <= 8).then(|| vector::number(&bytes));
        let place = value.filter(|_| may_point(id)).and_then(|value| self.locations.place(RuntimeAddr(value)));
        let flags = value.and_then(|value| match id.bank {
            Bank::General(_) if id.to_string() == "eflags" => Some(numbers::flag_names(value)),
            Bank::Mxcsr => Some(numbers::mxcsr_names(value)),
            _ => None,
        });
        let float = (id.number == Number::Float).then(|| vector::float(&bytes));
        let lanes = (id.number == Number::Vector).then(|| Lanes::of(&bytes));
        let hex = vector::hex(&bytes);
        let meaning = match (value, &flags, float) {
            (_, _, Some(float)) if id.size == 10 => self.x87_words(id, float),
            (_, _, Some(float)) => numbers::float64(float),
            (_, Some(flags), _) => format!("[ {} ]", flags.join(" ")).replace("[  ]", "[ ]"),
            (Some(value), ..) => self.words(id, value),
            _ => String::new(),
        };
        let float = float.filter(|float| float.is_finite());
        let bits = if matches!(id.bank, Bank::Flag(_)) { 1 } else { 8 * u16::from(id.size) };
        let hex = Some(hex);
        Register { name: id.to_string(), bits, value, hex, changed, place, flags, float, lanes, meaning }
    }

    /// Where it points to, or its number.
    fn words(&self, id: RegisterId, value: u64) -> String {
        if id.to_string() == "orig_rax" {
            let number = self.general.syscall().map(|(number, args)| Syscall::new(number, args));
            let name = |call: Syscall| call.name.map_or_else(|| call.number.to_string(), str::to_owned);
            return number.map_or_else(|| "in no system call".into(), |call| format!("in {}", name(call)));
        }
        if is_selector(id) {
            return String::new();
        }
        let words = if may_point(id) { self.locations.words(RuntimeAddr(value)) } else { None };
        words.unwrap_or_else(|| match id.number {
            Number::Signed => Format::Decimal.show(value, id.size),
            _ => Format::Unsigned.show(value, id.size),
        })
    }

    /// An x87 register that holds nothing says so.
    fn x87_words(&self, id: RegisterId, float: f64) -> String {
        let control = |name: &str| {
            let bytes = self.extended.as_ref().zip(RegisterId::parse(name)).and_then(|(all, id)| all.get(id));
            bytes.map_or(0, |bytes| vector::number(&bytes[..2]))
        };
        let (Bank::St(index), top) = (id.bank, control("fstat") >> 11 & 7) else { return numbers::float64(float) };
        let is_used = control("ftag") >> ((u64::from(index) + top) % 8) & 1 == 1;
        format!("{}{}", numbers::float64(float), if is_used { "" } else { " (empty)" })
    }
}

/// Registers of other sizes and kinds hold no addresses.
fn may_point(id: RegisterId) -> bool {
    let is_other = is_selector(id) || matches!(id.to_string().as_str(), "eflags" | "orig_rax");
    matches!(id.bank, Bank::General(_)) && id.size == 8 && !is_other
}

fn is_selector(id: RegisterId) -> bool {
    matches!(id.to_string().as_str(), "cs" | "ss" | "ds" | "es" | "fs" | "gs")
}

impl Register {
    /// One whose value nobody has saved.
    fn unknown(id: RegisterId) -> Register {
        Register {
            name: id.to_string(),
            bits: if matches!(id.bank, Bank::Flag(_)) { 1 } else { 8 * u16::from(id.size) },
            value: None,
            hex: None,
            changed: None,
            place: None,
            flags: None,
            float: None,
            lanes: None,
            meaning: String::new(),
        }
    }

    fn shown(&self) -> &str {
        self.hex.as_deref().unwrap_or("(not saved)")
    }

    /// The mark has its place whether there is one or not, so that nothing moves from one stop to the next.
    fn marked_name(&self) -> Span {
        let mark = if self.changed == Some(true) { "*" } else { " " };
        Span::new(format!("{mark} {:6}", self.name), if self.changed == Some(true) { Style::Warn } else { Style::Name })
    }

    fn style(&self) -> Style {
        match (self.changed, &self.hex) {
            (Some(true), _) => Style::Warn,
            (_, None) => Style::Dim,
            _ => Style::Plain,
        }
    }

    fn cells(&self) -> Vec<Span> {
        let style = if self.place.is_some() { Style::Address } else { Style::Plain };
        vec![self.marked_name(), Span::new(self.shown(), self.style()), Span::new(&self.meaning, style)]
    }
}

impl Show for Regs {
    fn show(&self, page: &mut Page) {
        // What has lanes takes lines of its own; all else lines up.
        let mut rows = Vec::new();
        for register in &self.registers {
            if let Some(lanes) = register.lanes.as_ref().filter(|lanes| !lanes.is_zero()) {
                flush(page, &mut rows);
                page.spans(vec![register.marked_name(), "  ".into(), Span::new(register.shown(), register.style())]);
                lanes.show(page);
            } else {
                rows.push(register.cells());
            }
        }
        flush(page, &mut rows);
    }

    /// One column a register; only the program counter's place is worth its width.
    fn row(&self) -> Option<Row> {
        if !self.named {
            return None;
        }
        // Where the terminal is narrow the place gives way.
        let shrink = |register: &Register| u8::from(register.name == "rip");
        let column = |one: &Register| Column { shrink: shrink(one), ..Column::named(one.name.as_str()) };
        let columns = self.registers.iter().map(column).collect();
        let cell = |register: &Register| {
            let place = if register.name == "rip" { format!(" {}", register.meaning) } else { String::new() };
            let mark = if register.changed == Some(true) { "*" } else { "" };
            Span::new(format!("{}{mark}{place}", register.shown()), register.style())
        };
        Some(Row { columns, cells: self.registers.iter().map(cell).collect() })
    }
}

fn flush(page: &mut Page, rows: &mut Vec<Vec<Span>>) {
    if rows.is_empty() {
        return;
    }
    let columns = vec![Column::left(""), Column::left(""), Column::shrinking("", 1)];
    page.table(Table { columns, rows: std::mem::take(rows) });
}
