//! `find`: where bytes, strings or numbers stand in memory.

mod pattern;

use schemars::JsonSchema;
use serde::Serialize;

use self::pattern::{Place as Where, Wish};
use crate::addr::{Pid, RuntimeAddr};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::{Locations, Place};
use crate::session::looking::{Glances, fault, note_running, runs};
use crate::session::page::{Page, Span, Style};
use crate::session::ranges::Range;
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};
use crate::target::expr::{Type, Value};
use crate::target::search::{Cursor, Search};
use crate::target::{Mapping, Process};

pub(super) const COMMAND: Command = Command {
    name: "find",
    aliases: &[],
    group: Group::Looking,
    summary: "Search memory for bytes, strings or numbers",
    needs: Needs::Process,
    words: Words::Raw,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Found>,
    question: no_question,
    run,
};

/// `find [/SIZE] [/MAX] START, END, VALUE…` searches from START to END, both included, as in gdb; `START, +LENGTH` so many
/// bytes; `--in MAPPING` all that is mapped under a name (maps lists them); `--all` all memory that the program can read.
/// VALUEs are separated by commas: numbers (of 1, 2, 4 or 8 bytes by `/b /h /w /g`; a plain one has 4 if it fits), strings in
/// double quotes with C's escapes and without their end, and `x"48 89 e5"`. `/10` ends the search at the tenth place; 1000 is
/// the usual. Places that overlap are all found; what cannot be read is skipped and told. `$_` is then the last place and
/// `$numfound` their number.
#[derive(clap::Parser)]
struct Args {
    /// Options, where to search, and what for
    #[arg(
        value_name = "[/SIZE] [/MAX] START,END|START,+LENGTH|--in MAPPING|--all VALUE,…",
        allow_hyphen_values = true
    )]
    text: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Found {
    process: Pid,
    /// Whether the process ran meanwhile.
    running: bool,
    /// What was searched for, in hexadecimal.
    pattern: String,
    found: Vec<Place>,
    /// Whether the search ended early, with as many places as were wanted.
    more: bool,
    /// How many bytes were searched.
    searched: u64,
    /// How many could not be read.
    unread: u64,
    /// What could not be read.
    holes: Vec<Hole>,
    #[serde(skip)]
    words: Vec<Option<String>>,
}

#[derive(Serialize, JsonSchema)]
struct Hole {
    start: RuntimeAddr,
    length: u64,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let text = args.text.unwrap_or_default();
    let locations = cx.session.locations();
    let Wish { place, bytes, most } = pattern::wish(cx.session, &locations, &text)?;
    // One more than wanted tells whether there are more.
    let mut search = Search::new(&bytes, most + 1);
    for part in parts(&place, &locations, &mut search) {
        let mut cursor = Cursor::new(part.start, part.last());
        let mut glances = Glances::new();
        while !cursor.is_done() && !search.is_full() {
            cx.session.process()?.search(&mut search, &mut cursor).map_err(fault)?;
            glances.glance(cx.session)?;
        }
    }
    if search.read == 0 {
        return Err(nothing_read(cx.session.process()?, &search));
    }
    let more = search.hits.len() > most;
    search.hits.truncate(most);
    if let Some(last) = search.hits.last() {
        cx.session.note_examined(*last, None);
    }
    // A name that is not one of the history's can be set, unless there are thousands.
    let _ = cx.session.variables.set("numfound", Value::new(search.hits.len() as u64, Type::I64));
    let process = cx.session.process()?;
    Ok(Outcome::Reply(Reply::new(Found {
        process: process.pid(),
        running: runs(process),
        pattern: hexadecimal(&bytes),
        found: search.hits.iter().map(|addr| locations.place_or_bare(*addr)).collect(),
        words: search.hits.iter().map(|addr| locations.words(*addr)).collect(),
        more,
        searched: search.read,
        unread: search.unread,
        holes: search.holes.iter().map(|hole| Hole { start: hole.start, length: hole.length }).collect(),
    })))
}

/// The parts of a place that can be read, neighbours joined; the others are noted as holes.
fn parts(place: &Where, locations: &Locations, search: &mut Search<'_>) -> Vec<Range> {
    let mut parts: Vec<Range> = Vec::new();
    match place {
        Where::All => {
            // The kernel's own pages are the program's, but nobody else may read them.
            let readable = |mapping: &&Mapping| mapping.read && !is_kernels(mapping);
            let all = Range { start: RuntimeAddr(0), length: u64::MAX };
            locations.mappings().iter().filter(readable).filter_map(|one| all.within(one)).for_each(|part| {
                join(&mut parts, part);
            });
        }
        Where::Mapping(ranges) => ranges.iter().for_each(|range| readable(*range, locations, search, &mut parts)),
        Where::Range(range) => readable(*range, locations, search, &mut parts),
    }
    parts
}

fn is_kernels(mapping: &Mapping) -> bool {
    mapping.name.as_deref().is_some_and(|name| name.starts_with("[vvar") || name == "[vsyscall]")
}

fn readable(range: Range, locations: &Locations, search: &mut Search<'_>, parts: &mut Vec<Range>) {
    let mut next = range.start.0;
    for mapping in locations.mappings().iter().filter(|mapping| mapping.read) {
        let Some(part) = range.within(mapping) else { continue };
        if next < part.start.0 {
            search.note_hole(next, part.start.0 - next);
        }
        join(parts, part);
        match part.last().0.checked_add(1) {
            Some(behind) => next = behind,
            None => return,
        }
    }
    if next <= range.last().0 {
        search.note_hole(next, (range.last().0 - next).saturating_add(1));
    }
}

/// Adds a part; where it follows the one before, both are one, so that what lies across their border is found.
fn join(parts: &mut Vec<Range>, part: Range) {
    match parts.last_mut() {
        Some(before) if before.last().0.checked_add(1) == Some(part.start.0) => before.length += part.length,
        _ => parts.push(part),
    }
}

/// Nothing at all could be read: the first address says why.
fn nothing_read(process: &Process, search: &Search<'_>) -> anyhow::Error {
    let first = search.holes.first().map_or(RuntimeAddr(0), |hole| hole.start);
    match process.read_memory_fast(first, &mut [0]).map(|_| process.read_memory(first, &mut [0])) {
        Ok(Err(bad)) | Err(bad) => fault(bad).into(),
        Ok(Ok(())) => {
            let message = format!("cannot search memory at {first}: the program itself may not read it");
            Failure::hinted(message, "maps lists what is mapped; x and dump read it all the same").into()
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// So many holes are named to people.
const MOST_NAMED: usize = 4;

impl Show for Found {
    fn show(&self, page: &mut Page) {
        for (place, words) in self.found.iter().zip(&self.words) {
            let mut line = vec![Span::new(place.address.to_string(), Style::Address)];
            line.extend(words.as_ref().map(|words| Span::new(format!(" <{words}>"), Style::Plain)));
            page.spans(line);
        }
        let (count, noun) = (self.found.len(), if self.found.len() == 1 { "place" } else { "places" });
        let shown: String = self.pattern.chars().take(3 * 16 - 1).collect();
        let dots = if shown.len() < self.pattern.len() { " …" } else { "" };
        let more = if self.more { ", and there are more (find /MAX)" } else { "" };
        page.line(format!("{count} {noun} with {shown}{dots} in {}{more}", size(self.searched)));
        if self.unread > 0 {
            let named: Vec<String> = self.holes.iter().take(MOST_NAMED).map(Hole::words).collect();
            let dots = if self.holes.len() > MOST_NAMED { ", …" } else { "" };
            let text =
                format!("not readable: {} in {} ({}{dots})", size(self.unread), holes(&self.holes), named.join(", "));
            page.spans(vec![Span::new(text, Style::Warn)]);
        }
        note_running(page, self.process, self.running);
    }
}

fn holes(holes: &[Hole]) -> String {
    if holes.len() == 1 { "one hole".into() } else { format!("{} holes", holes.len()) }
}

impl Hole {
    fn words(&self) -> String {
        format!("{}-{:#x}", self.start, self.start.0.saturating_add(self.length))
    }
}

/// `12 B`, `1.5 KiB`, `3.0 GiB`.
pub(super) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (bytes as f64, None);
    for next in units {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, Some(next));
    }
    unit.map_or_else(|| format!("{bytes} B"), |unit| format!("{value:.1} {unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        for (bytes, expected) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (u64::MAX, "16.0 EiB")] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn neighbours_are_searched_as_one() {
        let part = |start, length| Range { start: RuntimeAddr(start), length };
        let mut parts = Vec::new();
        [part(0x1000, 0x1000), part(0x2000, 0x1000), part(0x4000, 0x1000)]
            .into_iter()
            .for_each(|one| join(&mut parts, one));
        assert_eq!(parts, [part(0x1000, 0x2000), part(0x4000, 0x1000)]);
    }
}
