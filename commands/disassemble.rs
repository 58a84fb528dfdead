//! `disassemble`: instructions around the program counter, of a range, or from a place on.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::{Pid, RuntimeAddr};
use crate::session::code::{self, Code, CodeRow, Until};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::listing::stop_line;
use crate::session::locations::{Locations, file_name, resolve_spots};
use crate::session::looking::{fault, note_running, runs};
use crate::session::page::{Page, Span, Style};
use crate::session::ranges::{End, range};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "disassemble",
    aliases: &["disass"],
    group: Group::Looking,
    summary: "Show instructions: from the program counter, of a function or range, or from a place on",
    needs: Needs::Process,
    words: Words::Raw,
    repeats: true,
    args: args::<Args>,
    reply: reply::<Disassembled>,
    question: no_question,
    run,
};

/// Without words, the instructions from the program counter of the selected thread on. A function (`work`, `ns::f`,
/// `FILE:FUNC`) is shown whole. `START, END` and `START, +LENGTH` are ranges of bytes; any other location is where to begin. `-n
/// N` is how many instructions (12 unless said), `-r` (or `/r`) shows their bytes, `-s` (or `/s`, `/rs`) the source lines that
/// they are of. `=>` marks where the thread stands, `*` a breakpoint. An empty line goes on. `set disassembly
/// intel|att` says how they are written. What a jump goes to, and the memory at an address that the instruction holds, is
/// named behind it.
#[derive(clap::Parser)]
struct Args {
    /// Options, and where to begin or a range
    #[arg(value_name = "[LOC|START,END|START,+LENGTH] [-r] [-s] [-n N]", allow_hyphen_values = true)]
    text: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Disassembled {
    process: Pid,
    /// Whether the process ran meanwhile.
    running: bool,
    instructions: Vec<CodeRow>,
    /// The address behind the last.
    next: RuntimeAddr,
    /// Why there are no more: the first byte that could not be read.
    fault: Option<Failure>,
    /// With `-s`: the source lines, each in front of the instruction of that index.
    source: Option<Vec<SourceAt>>,
    #[serde(skip)]
    with_bytes: bool,
}

/// A source line in front of its instructions.
#[derive(Serialize, JsonSchema)]
struct SourceAt {
    /// The index of the instruction in `instructions`.
    index: usize,
    /// The file, as the compiler names it.
    file: String,
    line: u32,
    /// The text; null if the file cannot be read.
    text: Option<String>,
}

/// So many instructions, unless the words say how many.
const USUAL: usize = 12;

/// No more at once: a range of gigabytes is a mistake.
const MOST: usize = 100_000;

/// The words, taken apart.
#[derive(Debug, PartialEq, Eq, Default)]
struct Wish<'t> {
    with_bytes: bool,
    with_source: bool,
    count: Option<usize>,
    place: &'t str,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let text = args.text.unwrap_or_default();
    let wish = wish(&text)?;
    let locations = cx.session.locations();
    let (start, until) = place(cx, &locations, &wish)?;
    let Code { rows, next, fault: bad } = cx.session.code(&locations, start, until)?;
    if let Some(bad) = bad.clone().filter(|_| rows.is_empty()) {
        return Err(fault(bad).into());
    }
    if let Until::Address(end, most) = until
        && wish.count.is_none()
        && rows.len() == most
        && next < end
    {
        let message = format!("disassemble: {most} instructions end at {next}, and the range goes on to {end}");
        return Err(Failure::hinted(message, "name a shorter range").into());
    }
    let options = format!("{}{}", if wish.with_bytes { " -r" } else { "" }, if wish.with_source { " -s" } else { "" });
    let source = wish.with_source.then(|| source(cx, &rows));
    cx.session.looking.again = Some(format!("disassemble{options} -n {} {next}", wish.count.unwrap_or(USUAL)));
    let process = cx.session.process()?;
    Ok(Outcome::Reply(Reply::new(Disassembled {
        process: process.pid(),
        running: runs(process),
        instructions: rows,
        next,
        fault: bad.map(fault),
        source,
        with_bytes: wish.with_bytes,
    })))
}

fn place(cx: &Context<'_>, locations: &Locations, wish: &Wish<'_>) -> anyhow::Result<(RuntimeAddr, Until)> {
    let count = Until::Count(wish.count.unwrap_or(USUAL));
    if wish.place.is_empty() {
        let pc = cx.session.pc().ok_or_else(|| {
            Failure::hinted(
                "disassemble: no thread stands still, so that there is no program counter",
                "name an address, or interrupt the process",
            )
        })?;
        return Ok((pc, count));
    }
    if wish.place.contains(',') {
        let range = range(cx.session, locations, wish.place, End::Behind)?;
        let end = RuntimeAddr(range.last().0.saturating_add(1));
        return Ok((range.start, Until::Address(end, wish.count.unwrap_or(MOST))));
    }
    let found = resolve_spots(cx.session, locations, wish.place)?;
    if let Some(missing) = found.missing {
        return Err(missing.into());
    }
    // The function itself where there is one, not where it is inlined.
    let whole = found.spots.iter().filter(|spot| spot.end > spot.entry).max_by_key(|spot| spot.end.0 - spot.entry.0);
    match whole.or(found.spots.first()) {
        Some(spot) if spot.end > spot.entry => Ok((spot.entry, Until::Address(spot.end, wish.count.unwrap_or(MOST)))),
        Some(spot) => Ok((spot.address, count)),
        None => Err(Failure::plain(format!("disassemble: nothing is at {:?}", wish.place)).into()),
    }
}

/// The source lines of instructions: one wherever the line changes.
fn source(cx: &mut Context<'_>, rows: &[CodeRow]) -> Vec<SourceAt> {
    let mut lines: Vec<SourceAt> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let (Some(file), Some(line)) = (&row.place.file, row.place.line) else { continue };
        if lines.last().is_some_and(|last| last.file == *file && last.line == line) {
            continue;
        }
        let text = cx.session.source(file).ok().and_then(|source| Some(source.line(line)?.to_owned()));
        lines.push(SourceAt { index, file: file.clone(), line, text });
    }
    lines
}

fn wish(text: &str) -> Result<Wish<'_>, Failure> {
    let mut wish = Wish { place: text.trim(), ..Wish::default() };
    loop {
        let (word, rest) = wish.place.split_once(char::is_whitespace).unwrap_or((wish.place, ""));
        let mut rest = rest.trim_start();
        match word {
            "-r" | "/r" => wish.with_bytes = true,
            "-s" | "/s" | "-m" | "/m" => wish.with_source = true,
            "/rs" | "/sr" | "/mr" | "/rm" | "-rs" | "-sr" => (wish.with_bytes, wish.with_source) = (true, true),
            "-n" => {
                let (number, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                wish.count = Some(count(number)?);
                rest = behind.trim_start();
            }
            _ if word.len() > 1 && (word.starts_with('/') || is_option(word)) => {
                let short: String = word.chars().take(40).collect();
                let hint = "usage: disassemble [LOC|START,END|START,+LENGTH] [-r] [-s] [-n N]";
                return Err(Failure::usage(format!("disassemble: no such option: {short}"), hint));
            }
            _ => return behind(wish),
        }
        wish.place = rest;
    }
}

/// Options may stand behind the place as well.
fn behind(mut wish: Wish<'_>) -> Result<Wish<'_>, Failure> {
    loop {
        let (rest, last) = wish.place.rsplit_once(char::is_whitespace).unwrap_or(("", wish.place));
        let rest = rest.trim_end();
        match (rest.rsplit_once(char::is_whitespace).map_or(("", rest), |(rest, word)| (rest.trim_end(), word)), last) {
            (_, "") => return Ok(wish),
            (_, "-r" | "/r") => (wish.with_bytes, wish.place) = (true, rest),
            (_, "-s" | "/s") => (wish.with_source, wish.place) = (true, rest),
            ((before, "-n"), number) => (wish.count, wish.place) = (Some(count(number)?), before),
            _ => return Ok(wish),
        }
    }
}

/// `-x` is an option, `-1` and `-(2)` are expressions.
fn is_option(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '-'))
}

fn count(text: &str) -> Result<usize, Failure> {
    text.parse().ok().filter(|count| (1..=MOST).contains(count)).ok_or_else(|| {
        let short: String = text.chars().take(40).collect();
        Failure::usage(
            format!("disassemble: {short:?} is no number of instructions"),
            format!("say one from 1 to {MOST}"),
        )
    })
}

impl Show for Disassembled {
    fn show(&self, page: &mut Page) {
        let lines = self.source.as_deref().unwrap_or_default();
        code::show_between(page, &self.instructions, self.with_bytes, |page, index| {
            let Ok(at) = lines.binary_search_by_key(&index, |one| one.index) else { return };
            let one = &lines[at];
            if at == 0 || lines[at - 1].file != one.file {
                page.spans(vec![Span::new(format!("{}:", file_name(&one.file)), Style::Dim)]);
            }
            stop_line(page, &one.file, one.line, one.text.as_deref().unwrap_or_default());
        });
        if let Some(fault) = &self.fault {
            page.spans(vec![Span::new(&fault.message, Style::Bad)]);
        }
        note_running(page, self.process, self.running);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_before_the_place_or_behind_it() {
        for (text, expected) in [
            ("", Some((false, None, ""))),
            ("$pc", Some((false, None, "$pc"))),
            ("/r $pc, +20", Some((true, None, "$pc, +20"))),
            ("-r -n 5 main - 4", Some((true, Some(5), "main - 4"))),
            ("-n 5", Some((false, Some(5), ""))),
            ("work -r -n 5", Some((true, Some(5), "work"))),
            ("$pc, +20 -n 3 -r", Some((true, Some(3), "$pc, +20"))),
            ("work - 4", Some((false, None, "work - 4"))),
            ("work -n many", None),
            ("-1", Some((false, None, "-1"))),
            ("-n", None),
            ("-n 0", None),
            ("-n 1000000000000000000000", None),
            ("-q main", None),
        ] {
            let expected =
                expected.map(|(with_bytes, count, place)| Wish { with_bytes, with_source: false, count, place });
            assert_eq!(wish(text).ok(), expected, "{text}");
        }
        let both = Wish { with_bytes: true, with_source: true, count: None, place: "main" };
        assert_eq!(wish("/rs main").ok(), Some(both));
    }
}
