//! `x`: memory as numbers, characters, strings, addresses or instructions, as gdb's `x` shows it.

mod format;
mod values;

use schemars::JsonSchema;
use serde::Serialize;

use self::format::Format;
use self::values::{LONGEST_STRING, Value};
use crate::addr::{Pid, RuntimeAddr};
use crate::session::code::{self, CodeRow, Until};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::{Locations, Place, parse_expr};
use crate::session::looking::{fault, note_running, runs};
use crate::session::page::{Page, Span, Style};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};
use crate::target::{Fault, Process};

pub(super) const COMMAND: Command = Command {
    name: "x",
    aliases: &[],
    group: Group::Looking,
    summary: "Show memory: x/8xg $rsp, x/s ADDR, x/5i $pc",
    needs: Needs::Process,
    words: Words::Raw,
    repeats: true,
    args: args::<Args>,
    reply: reply::<Examined>,
    question: no_question,
    run,
};

/// A count, a format and a size, each as it was the last time if it is not said. Formats: x hexadecimal, d decimal, u
/// decimal without a sign, o octal, t binary, a address, c character, f floating point, s string, i instruction, z
/// hexadecimal. Sizes: b 1, h 2, w 4, g 8 bytes. With a negative count, what stands before the address. Without an address it
/// goes on behind what was shown last, and so does an empty line. `$_` is then the last address and `$__` what stands there.
#[derive(clap::Parser)]
struct Args {
    /// The format, and an expression for the address
    #[arg(value_name = "/NFU ADDR", allow_hyphen_values = true)]
    text: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Examined {
    process: Pid,
    /// Whether the process ran meanwhile.
    running: bool,
    /// `x d u o t a c f s i z`.
    format: char,
    /// Bytes in a unit.
    size: u8,
    /// What was shown, line by line; empty for instructions.
    rows: Vec<Row>,
    /// What was shown in format `i`.
    instructions: Vec<CodeRow>,
    /// Why there is no more: the first byte that could not be read.
    fault: Option<Failure>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    #[serde(flatten)]
    place: Place,
    values: Vec<Value>,
    #[serde(skip)]
    words: Option<String>,
    #[serde(skip)]
    texts: Vec<String>,
}

/// What was found, and where it ended.
struct Found {
    rows: Vec<Row>,
    instructions: Vec<CodeRow>,
    next: RuntimeAddr,
    /// The last unit's address and value.
    last: Option<(RuntimeAddr, Option<crate::target::expr::Value>)>,
    fault: Option<Fault>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let text = args.text.unwrap_or_default();
    let (format, address) = match text.strip_prefix('/') {
        Some(rest) => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        None => ("", text.as_str()),
    };
    let before = cx.session.looking.examined;
    let format = format::read(format, before)?;
    let locations = cx.session.locations();
    let start = start(cx, &locations, address.trim(), format)?;
    let found = match format.letter {
        'i' => instructions(cx, &locations, start, format)?,
        's' => strings(cx.session.process()?, &locations, start, format)?,
        _ => numbers(cx.session.process()?, &locations, start, format)?,
    };
    if let Some(bad) = found.fault.clone().filter(|_| found.last.is_none()) {
        return Err(fault(bad).into());
    }
    remember(cx, format, start, &found);
    let process = cx.session.process()?;
    Ok(Outcome::Reply(Reply::new(Examined {
        process: process.pid(),
        running: runs(process),
        format: format.letter,
        size: format.size,
        rows: found.rows,
        instructions: found.instructions,
        fault: found.fault.map(fault),
    })))
}

/// The first address: of the words, or behind what was shown last.
fn start(cx: &Context<'_>, locations: &Locations, text: &str, format: Format) -> anyhow::Result<RuntimeAddr> {
    let start = if text.is_empty() {
        cx.session.looking.examined.next.ok_or_else(|| {
            Failure::usage(
                "x: an address is missing, and nothing was shown before",
                "usage: x /NFU ADDR, as in x/8xg $rsp",
            )
        })?
    } else {
        let expr = parse_expr(text)?;
        let value = cx.session.evaluate_with(&expr, Some(locations));
        let value = value.map_err(|error| crate::session::locations::failure("examine", text, &error))?;
        RuntimeAddr(value.bits())
    };
    let length = format.count as u64 * u64::from(format.size);
    if !format.backwards {
        return Ok(start);
    }
    let before = start.0.checked_sub(length);
    Ok(RuntimeAddr(before.ok_or_else(|| Failure::plain(format!("x: {length:#x} bytes before {start} begin below 0")))?))
}

fn remember(cx: &mut Context<'_>, format: Format, start: RuntimeAddr, found: &Found) {
    let looking = &mut cx.session.looking;
    looking.examined = format.remembered(looking.examined);
    looking.examined.next = Some(if format.backwards { start } else { found.next });
    looking.again = Some(format!("x/{}", format.text()));
    if let Some((address, value)) = found.last {
        cx.session.note_examined(address, value);
    }
}

fn instructions(
    cx: &mut Context<'_>,
    locations: &Locations,
    start: RuntimeAddr,
    format: Format,
) -> anyhow::Result<Found> {
    let code = cx.session.code(locations, start, Until::Count(format.count))?;
    let last = code.rows.last().map(|row| (row.place.address, None));
    Ok(Found { rows: Vec::new(), instructions: code.rows, next: code.next, last, fault: code.fault })
}

fn numbers(process: &Process, locations: &Locations, start: RuntimeAddr, format: Format) -> anyhow::Result<Found> {
    let size = usize::from(format.size);
    let mut bytes = vec![0; format.count * size];
    let got = process.read_memory_partly(start, &mut bytes)?;
    let whole = got / size * size;
    // The first byte that could not be read, not the first of its unit.
    let fault = if whole < bytes.len() { fault_at(process, start, got)? } else { None };
    let per_line = format.per_line();
    let rows = bytes[..whole].chunks(size * per_line).enumerate().map(|(at, line)| {
        let address = offset(start, at * size * per_line);
        let (values, texts) = line.chunks(size).map(|unit| values::value(format.letter, unit, locations)).unzip();
        Row { place: locations.place_or_bare(address), words: locations.words(address), values, texts }
    });
    let last = bytes[..whole].chunks(size).next_back();
    let last = last.map(|unit| (offset(start, whole - size), Some(values::last(format.letter, unit))));
    Ok(Found { rows: rows.collect(), instructions: Vec::new(), next: offset(start, whole), last, fault })
}

fn strings(process: &Process, locations: &Locations, start: RuntimeAddr, format: Format) -> anyhow::Result<Found> {
    let mut found = Found { rows: Vec::new(), instructions: Vec::new(), next: start, last: None, fault: None };
    let mut bytes = vec![0; LONGEST_STRING * usize::from(format.size)];
    for _ in 0..format.count {
        let address = found.next;
        let got = process.read_memory_partly(address, &mut bytes)?;
        let (value, text) = values::string(&bytes[..got], format.size.into());
        let Value::Text { length, truncated, .. } = value else { unreachable!("strings are texts") };
        if got < bytes.len() && truncated {
            found.fault = fault_at(process, address, got)?;
        }
        if length == 0 {
            break;
        }
        let words = locations.words(address);
        let place = locations.place_or_bare(address);
        found.rows.push(Row { place, words, values: vec![value], texts: vec![text] });
        found.last = Some((address, None));
        found.next = offset(address, length);
        if found.fault.is_some() {
            break;
        }
    }
    Ok(found)
}

/// Why the byte so far behind an address cannot be read; `None` if by now it can.
fn fault_at(process: &Process, start: RuntimeAddr, done: usize) -> Result<Option<Fault>, Fault> {
    match process.read_memory(offset(start, done), &mut [0]) {
        Ok(()) => Ok(None),
        Err(fault @ Fault::Bad { .. }) => Ok(Some(fault)),
        Err(fault) => Err(fault),
    }
}

fn offset(start: RuntimeAddr, bytes: usize) -> RuntimeAddr {
    RuntimeAddr(start.0.wrapping_add(bytes as u64))
}

impl Show for Examined {
    fn show(&self, page: &mut Page) {
        code::show(page, &self.instructions, false);
        let widest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or_default();
        let label = widest(&mut self.rows.iter().map(|row| row.label().chars().count()));
        let cell = widest(&mut self.rows.iter().flat_map(|row| &row.texts).map(|text| text.chars().count()));
        for row in &self.rows {
            let mut line = vec![Span::new(format!("{}:", row.label()), Style::Address)];
            line.push(" ".repeat(label - row.label().chars().count()).into());
            let lasts = row.texts.len() - 1;
            // Columns of numbers are aligned; a string stands alone.
            line.extend(row.texts.iter().enumerate().map(|(at, text)| match self.format {
                'c' | 'a' if at < lasts => Span::new(format!("  {text:cell$}"), Style::Plain),
                's' | 'c' | 'a' => Span::new(format!("  {text}"), Style::Plain),
                _ => Span::new(format!("  {text:>cell$}"), Style::Plain),
            }));
            page.spans(line);
        }
        if let Some(fault) = &self.fault {
            page.spans(vec![Span::new(&fault.message, Style::Bad)]);
        }
        note_running(page, self.process, self.running);
    }
}

impl Row {
    fn label(&self) -> String {
        let words = self.words.as_ref().map(|words| format!(" <{words}>"));
        format!("{}{}", self.place.address, words.unwrap_or_default())
    }
}
