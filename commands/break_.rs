//! `break`, and what `tbreak`, `hbreak` and `trace` share with it: setting a breakpoint at a location.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::thread::find;
use crate::addr::{Pid, RuntimeAddr, Tid};
use crate::session::breakpoint_words::{self, BreakWords};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::{Locations, Place, resolve_spots};
use crate::session::page::{Page, Span, Style};
use crate::session::settings::Pending;
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words, duration};
use crate::target::expr::Expr;
use crate::target::{Breakpoint, Kind, NewBreakpoint};

pub(super) const COMMAND: Command = Command {
    name: "break",
    aliases: &["b", "br", "brea"],
    group: Group::Breakpoints,
    summary: "Stop where the program comes to a location",
    needs: Needs::Process,
    words: Words::Raw,
    repeats: false,
    args: args::<Args>,
    reply: reply::<BreakpointSet>,
    question: no_question,
    run,
};

/// Locations are functions (`work`, `ns::f`, `pkg.(*T).Method`, `FILE:FUNC`), lines (`FILE:LINE`, `LINE`, `+N`, `-N`) and
/// addresses (`*ADDRESS`, `*EXPR`, `MODULE+OFFSET`); without one it is the selected thread's program counter. A function or line
/// that has code in several places, because it is inlined or generic, stops in all of them. With `if` it stops only where the
/// expression is not 0, with `thread N` only that thread. `-t`: gone after its first stop; `-H`: by a debug register, so that no
/// text is changed; `-p`: where nothing has the name, it waits for a library that has it. A running process is held for a
/// moment. With several processes it is set in all that have the same file at the same place, as children have until they
/// execute a program; then only if it has a name and no condition. Each process counts its own hits; `condition`, `ignore`,
/// `on`, `enable` and `clear` change it in all.
#[derive(clap::Parser)]
struct Args {
    /// `LOC [if EXPR] [thread N] [-t] [-H] [-p]`
    #[arg(value_name = "LOC [if EXPR] [thread N] [-t] [-H] [-p]", allow_hyphen_values = true)]
    words: Option<String>,
}

/// A breakpoint, watchpoint or tracepoint that was set.
#[derive(Serialize, JsonSchema)]
pub(super) struct BreakpointSet {
    process: Pid,
    number: u32,
    /// `break`, `hbreak`, `watch`, `rwatch`, `awatch` or `trace`.
    kind: &'static str,
    /// The location; what its words left open is filled in.
    location: String,
    /// The first of its places; null if it waits for a library.
    address: Option<RuntimeAddr>,
    /// All of its places.
    places: Vec<PlaceOf>,
    /// Whether it waits for a library that has what it names.
    pending: bool,
    /// How many bytes are watched; 1 for a place in the text.
    length: u64,
    /// Where that is, for people.
    place: Option<String>,
    condition: Option<String>,
    thread: Option<Tid>,
    temporary: bool,
    /// The watched value now.
    value: Option<u64>,
    /// For how long a running process was held to set it.
    held_ms: Option<f64>,
}

/// One of the places of a breakpoint.
#[derive(Serialize, JsonSchema)]
pub(super) struct PlaceOf {
    #[serde(flatten)]
    place: Place,
    /// The same for people.
    words: Option<String>,
}

impl PlaceOf {
    pub(super) fn all(addresses: &[RuntimeAddr], locations: &Locations) -> Vec<PlaceOf> {
        let one = |address: &RuntimeAddr| PlaceOf {
            place: locations.place_or_bare(*address),
            words: locations.long_words(*address),
        };
        addresses.iter().map(one).collect()
    }

    /// `0x401136 (work at /src/main.c:12)`, or another mark in between.
    pub(super) fn show(&self) -> (RuntimeAddr, Option<&str>) {
        (self.place.address, self.words.as_deref())
    }
}

impl BreakpointSet {
    pub(super) fn new(cx: &mut Context<'_>, number: u32, held: Option<Duration>) -> anyhow::Result<BreakpointSet> {
        let locations = cx.session.locations();
        let process = cx.session.process()?;
        let pid = process.pid();
        let found = process.breakpoints().iter().find(|one| one.number == number);
        // It may have been met, and gone, before anybody could look.
        let one: &Breakpoint = found.ok_or_else(|| Failure::plain(format!("breakpoint {number} is gone already")))?;
        Ok(BreakpointSet {
            process: pid,
            number,
            kind: one.kind_word(),
            location: one.location.clone(),
            address: one.address(),
            places: PlaceOf::all(&one.addresses, &locations),
            pending: one.addresses.is_empty(),
            length: one.length,
            place: one.address().and_then(|address| locations.long_words(address)),
            condition: one.condition.as_ref().map(|condition| condition.text().to_owned()),
            thread: one.thread.map(|(_, tid)| tid),
            temporary: one.temporary,
            value: one.value,
            held_ms: held.map(|held| held.as_secs_f64() * 1e3),
        })
    }
}

/// So many places of one breakpoint are shown when it is set.
const MOST_SHOWN: usize = 10;

/// What differs between the commands that set a breakpoint in the text.
#[derive(Default)]
pub(super) struct Asked {
    pub hardware: bool,
    pub temporary: bool,
    pub trace: Option<Vec<Expr>>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    set(
        cx,
        args.words.as_deref().unwrap_or("*$pc"),
        Asked::default(),
        "usage: break LOC [if EXPR] [thread N] [-t] [-H] [-p]",
    )
}

/// Sets a breakpoint by the words of a command.
pub(super) fn set(cx: &mut Context<'_>, text: &str, asked: Asked, usage: &str) -> anyhow::Result<Outcome> {
    let words = breakpoint_words::parse(text, usage)?;
    let locations = cx.session.locations();
    let found = resolve_spots(cx.session, &locations, &words.location)?;
    let waits = found.follows && (words.pending || cx.session.settings.pending == Pending::On);
    if let Some(missing) = found.missing.filter(|_| !waits) {
        let waits = "break -p waits for a library that has it";
        let hint = missing.hint.map_or_else(String::new, |hint| hint + "; ").replace("?; ", "? ") + waits;
        return Err(Failure { hint: Some(hint), ..missing }.into());
    }
    let kind = if asked.hardware || words.hardware { Kind::Hardware } else { Kind::Software };
    let new = NewBreakpoint {
        kind,
        addresses: found.spots.iter().map(|spot| spot.address).collect(),
        follows: found.follows,
        length: 1,
        temporary: asked.temporary || words.temporary,
        thread: thread_of(cx, &words)?,
        condition: words.condition.as_deref().map(|text| cx.session.compile(text)).transpose()?,
        location: found.location,
        trace: asked.trace,
    };
    let (number, held) = cx.session.add_breakpoint(new)?;
    Ok(Outcome::Reply(Reply::new(BreakpointSet::new(cx, number, held)?)))
}

/// The thread that is meant by `thread N`.
pub(super) fn thread_of(cx: &mut Context<'_>, words: &BreakWords) -> anyhow::Result<Option<(u32, Tid)>> {
    words.thread.as_deref().map(|word| find(cx, word)).transpose()
}

impl Show for BreakpointSet {
    fn show(&self, page: &mut Page) {
        let noun = match self.kind {
            "break" | "hbreak" => "breakpoint",
            "trace" => "tracepoint",
            _ => "watchpoint",
        };
        let mut text = String::new();
        match (self.places.as_slice(), &self.place) {
            ([], _) => text += &format!(" waits for a library that has {}", self.location),
            ([one], Some(place)) => text += &format!(" at {} ({place})", one.place.address),
            ([one], None) => text += &format!(" at {}", one.place.address),
            (several, _) => text += &format!(" at {} places of {}", several.len(), self.location),
        }
        if self.length > 1 {
            text += &format!(", {} bytes", self.length);
        }
        if let Some(value) = self.value {
            text += &format!(", now {value} ({value:#x})");
        }
        if let Some(condition) = &self.condition {
            text += &format!(" if {condition}");
        }
        if let Some(held) = self.held_ms {
            let held = duration::show(Duration::from_secs_f64(held / 1e3));
            text += &format!("; process {} was held for {held}", self.process);
        }
        page.spans(vec![Span::new(format!("{noun} {}", self.number), Style::Strong), text.into()]);
        for (index, place) in self.places.iter().enumerate().take(MOST_SHOWN).filter(|_| self.places.len() > 1) {
            let (address, words) = place.show();
            let words = words.map(|words| format!(" ({words})")).unwrap_or_default();
            page.spans(vec![
                format!("  {}.{}  ", self.number, index + 1).into(),
                Span::new(address.to_string(), Style::Address),
                words.into(),
            ]);
        }
        if self.places.len() > MOST_SHOWN {
            page.line(format!("  and {} more: breakpoints lists them", self.places.len() - MOST_SHOWN));
        }
    }
}
