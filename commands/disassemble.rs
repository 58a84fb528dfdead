//! `disassemble`: instructions around the program counter, of a range, or from a place on.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::{Pid, RuntimeAddr};
use crate::session::code::{self, Code, CodeRow, Until};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::{Locations, resolve};
use crate::session::looking::{fault, note_running, runs};
use crate::session::page::{Page, Span, Style};
use crate::session::ranges::{End, range};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "disassemble",
    aliases: &["disass"],
    group: Group::Looking,
    summary: "Show instructions: from the program counter, of a range or from a place on",
    needs: Needs::Process,
    words: Words::Raw,
    repeats: true,
    args: args::<Args>,
    reply: reply::<Disassembled>,
    question: no_question,
    run,
};

/// Without words, the instructions from the program counter of the selected thread on. `START, END` and `START, +LENGTH` are
/// ranges of bytes; any other expression is where to begin. `-n N` is how many instructions (12 unless said), `-r` (or `/r`)
/// shows their bytes. `=>` marks where the thread stands, `*` a breakpoint. An empty line goes on. `set disassembly
/// intel|att` says how they are written. What a jump goes to, and the memory at an address that the instruction holds, is
/// named behind it.
#[derive(clap::Parser)]
struct Args {
    /// Options, and where to begin or a range
    #[arg(value_name = "[-r] [-n N] [LOC|START,END|START,+LENGTH]", allow_hyphen_values = true)]
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
    #[serde(skip)]
    with_bytes: bool,
}

/// So many instructions, unless the words say how many.
const USUAL: usize = 12;

/// No more at once: a range of gigabytes is a mistake.
const MOST: usize = 100_000;

/// The words, taken apart.
#[derive(Debug, PartialEq, Eq, Default)]
struct Wish<'t> {
    with_bytes: bool,
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
    let bytes = if wish.with_bytes { " -r" } else { "" };
    cx.session.looking.again = Some(format!("disassemble{bytes} -n {} {next}", wish.count.unwrap_or(USUAL)));
    let process = cx.session.process()?;
    Ok(Outcome::Reply(Reply::new(Disassembled {
        process: process.pid(),
        running: runs(process),
        instructions: rows,
        next,
        fault: bad.map(fault),
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
    let found = resolve(cx.session, wish.place)?;
    match found.as_slice() {
        [] => Err(Failure::plain(format!("disassemble: nothing is at {:?}", wish.place)).into()),
        [first, ..] => Ok((*first, count)),
    }
}

fn wish(text: &str) -> Result<Wish<'_>, Failure> {
    let mut wish = Wish { place: text.trim(), ..Wish::default() };
    loop {
        let (word, rest) = wish.place.split_once(char::is_whitespace).unwrap_or((wish.place, ""));
        let mut rest = rest.trim_start();
        match word {
            "-r" | "/r" => wish.with_bytes = true,
            "-n" => {
                let (number, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                wish.count = Some(count(number)?);
                rest = behind.trim_start();
            }
            _ if word.len() > 1 && (word.starts_with('/') || is_option(word)) => {
                let short: String = word.chars().take(40).collect();
                let hint = "usage: disassemble [-r] [-n N] [LOC|START,END|START,+LENGTH]";
                return Err(Failure::usage(format!("disassemble: no such option: {short}"), hint));
            }
            _ => return Ok(wish),
        }
        wish.place = rest;
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
        code::show(page, &self.instructions, self.with_bytes);
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
    fn options_stand_before_the_place() {
        for (text, expected) in [
            ("", Some((false, None, ""))),
            ("$pc", Some((false, None, "$pc"))),
            ("/r $pc, +20", Some((true, None, "$pc, +20"))),
            ("-r -n 5 main - 4", Some((true, Some(5), "main - 4"))),
            ("-n 5", Some((false, Some(5), ""))),
            ("-1", Some((false, None, "-1"))),
            ("-n", None),
            ("-n 0", None),
            ("-n 1000000000000000000000", None),
            ("-q main", None),
            ("/s main", None),
        ] {
            let expected = expected.map(|(with_bytes, count, place)| Wish { with_bytes, count, place });
            assert_eq!(wish(text).ok(), expected, "{text}");
        }
    }
}
