//! `breakpoints`: what is set in the process, how often it was met, and what it does.

use schemars::JsonSchema;
use serde::Serialize;

use super::break_::PlaceOf;
use crate::addr::{Pid, RuntimeAddr, Tid};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::Locations;
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words, catch_words};
use crate::target::{Breakpoint, Catch, Catchpoint, Kind, Process};

pub(super) const COMMAND: Command = Command {
    name: "breakpoints",
    aliases: &["bp", "info breakpoints", "info break", "info watchpoints"],
    group: Group::Breakpoints,
    summary: "List breakpoints, watchpoints, tracepoints and catchpoints",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Listing>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
struct Args {}

#[derive(Serialize, JsonSchema)]
struct Listing {
    process: Option<Pid>,
    breakpoints: Vec<Row>,
}

/// One of them.
#[derive(Serialize, JsonSchema)]
pub(super) struct Row {
    number: u32,
    /// `break`, `hbreak`, `watch`, `rwatch`, `awatch`, `trace`, `catch` or `tcatch`.
    kind: &'static str,
    enabled: bool,
    /// How often it was met with its condition true.
    hits: u64,
    /// How many hits are still to be passed over.
    ignore: u64,
    /// The location as it was written, or what is caught.
    location: String,
    /// The first of its places; null if nothing that is mapped has it.
    address: Option<RuntimeAddr>,
    /// All of its places.
    places: Vec<PlaceOf>,
    /// Whether it waits for a library that has what it names.
    pending: bool,
    /// How many bytes are watched, 1 for a place in the text; null for a catchpoint.
    length: Option<u64>,
    place: Option<String>,
    condition: Option<String>,
    thread: Option<Tid>,
    temporary: bool,
    /// What a watchpoint's bytes were last.
    value: Option<u64>,
    /// What `on` has it run.
    commands: Vec<String>,
    /// What `trace` has it tell.
    trace: Option<Vec<String>>,
    /// What a catchpoint stops at.
    catch: Option<Catch>,
    #[serde(skip)]
    is_watch: bool,
}

impl Row {
    pub(super) fn new(one: &Breakpoint, locations: &Locations) -> Row {
        let texts = |all: &Vec<crate::target::expr::Expr>| all.iter().map(|expr| expr.text().to_owned()).collect();
        Row {
            number: one.number,
            kind: one.kind_word(),
            enabled: one.enabled,
            hits: one.hits,
            ignore: one.ignore,
            location: one.location.clone(),
            address: one.address(),
            places: PlaceOf::all(&one.addresses, locations),
            pending: one.follows && one.addresses.is_empty(),
            length: Some(one.length),
            place: one.address().and_then(|address| locations.long_words(address)),
            condition: one.condition.as_ref().map(|condition| condition.text().to_owned()),
            thread: one.thread.map(|(_, tid)| tid),
            temporary: one.temporary,
            value: one.value,
            commands: one.commands.clone(),
            trace: one.trace.as_ref().map(texts),
            catch: None,
            is_watch: matches!(one.kind, Kind::Watch(_)),
        }
    }

    fn of_catchpoint(one: Catchpoint) -> Row {
        Row {
            number: one.number,
            kind: if one.temporary { "tcatch" } else { "catch" },
            enabled: one.enabled,
            hits: one.hits,
            ignore: one.ignore,
            location: catch_words(&one.what),
            address: None,
            places: Vec::new(),
            pending: false,
            length: None,
            place: None,
            condition: one.condition.map(|condition| condition.text().to_owned()),
            thread: None,
            temporary: one.temporary,
            value: None,
            commands: one.commands,
            trace: None,
            catch: Some(one.what),
            is_watch: false,
        }
    }

    fn spans(&self) -> Vec<Span> {
        let on = if self.enabled { Span::from("on") } else { Span::new("off", Style::Dim) };
        let place = match (&self.address, &self.place) {
            _ if self.places.len() > 1 => format!("{}, {} places", self.location, self.places.len()),
            (Some(address), Some(place)) => format!("{address} {place}"),
            (Some(address), None) => address.to_string(),
            (None, _) if self.catch.is_some() => self.location.clone(),
            (None, _) if self.pending => format!("{} (waits for its library)", self.location),
            (None, _) => format!("({} is not mapped)", self.location),
        };
        vec![
            self.number.to_string().into(),
            Span::new(self.kind, Style::Name),
            on,
            self.hits.to_string().into(),
            Span::new(place, Style::Address),
            self.what().into(),
        ]
    }

    /// The row, and one for each of several places.
    fn with_places(&self) -> Vec<Vec<Span>> {
        let several = if self.places.len() > 1 { &self.places[..] } else { &[] };
        let row = |(index, place): (usize, &PlaceOf)| {
            let (address, words) = place.show();
            let blank = Span::default;
            vec![
                format!("{}.{}", self.number, index + 1).into(),
                blank(),
                blank(),
                blank(),
                Span::new(format!("{address} {}", words.unwrap_or_default()), Style::Address),
                blank(),
            ]
        };
        std::iter::once(self.spans()).chain(several.iter().enumerate().map(row)).collect()
    }

    fn what(&self) -> String {
        let mut parts = Vec::new();
        if let (true, Some(length)) = (self.is_watch, self.length) {
            parts.push(format!("{}, {length} bytes", self.location));
        }
        if let Some(value) = self.value {
            parts.push(format!("last {value} ({value:#x})"));
        }
        parts.extend(self.condition.as_ref().map(|condition| format!("if {condition}")));
        parts.extend(self.thread.map(|tid| format!("thread {tid} only")));
        if self.temporary {
            parts.push("once".into());
        }
        if self.ignore > 0 {
            parts.push(format!("ignores {} more", self.ignore));
        }
        parts.extend(self.trace.as_ref().map(|values| match values.as_slice() {
            [] => "tells who comes by".to_owned(),
            values => format!("tells {}", values.join(", ")),
        }));
        if !self.commands.is_empty() {
            parts.push(format!("runs {}", self.commands.join("; ")));
        }
        parts.join(", ")
    }
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let Args {} = parse(&COMMAND, words)?;
    let process = cx.session.current();
    let mut breakpoints: Vec<Row> = cx.session.rules().catches.list().into_iter().map(Row::of_catchpoint).collect();
    if let Some(process) = process {
        let locations = cx.session.locations();
        breakpoints.extend(process.breakpoints().iter().map(|one| Row::new(one, &locations)));
    }
    breakpoints.sort_by_key(|row| row.number);
    Ok(Outcome::Reply(Reply::new(Listing { process: process.map(Process::pid), breakpoints })))
}

impl Show for Listing {
    fn show(&self, page: &mut Page) {
        if self.breakpoints.is_empty() {
            return page.line("no breakpoints are set");
        }
        let columns = vec![
            Column::right("#"),
            Column::left("KIND"),
            Column::left("ON"),
            Column::right("HITS"),
            Column::left("WHERE"),
            Column::wrapping("WHAT"),
        ];
        page.table(Table { columns, rows: self.breakpoints.iter().flat_map(Row::with_places).collect() });
    }
}
