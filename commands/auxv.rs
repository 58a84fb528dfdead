//! `auxv`: what the kernel told the program when it began, with addresses by their places and strings read.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::{Pid, RuntimeAddr};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::{Locations, Place};
use crate::session::looking::{fault, runs};
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words};
use crate::target::{Auxiliary, AuxiliaryKind, Process};

pub(super) const COMMAND: Command = Command {
    name: "auxv",
    aliases: &["info auxv"],
    group: Group::Looking,
    summary: "Show the auxiliary vector",
    needs: Needs::Process,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Vector>,
    question: no_question,
    run,
};

/// What the kernel told the program when it began: where its headers, entry point, interpreter and vdso are, what the
/// processor can do, as whom it runs.
#[derive(clap::Parser)]
struct Args {}

#[derive(Serialize, JsonSchema)]
struct Vector {
    process: Pid,
    /// Whether the process ran meanwhile.
    running: bool,
    entries: Vec<Entry>,
}

#[derive(Serialize, JsonSchema)]
struct Entry {
    /// The number of `<elf.h>`.
    tag: u64,
    /// Its name; null where it is not known.
    name: Option<&'static str>,
    meaning: Option<&'static str>,
    value: u64,
    /// What is there, where the value is an address.
    place: Option<Place>,
    /// The string, where the value is the address of one.
    text: Option<String>,
    #[serde(skip)]
    shown: String,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let Args {} = parse(&COMMAND, words)?;
    let locations = cx.session.locations();
    let process = cx.session.process()?;
    let vector = process.auxiliary_vector().map_err(fault)?;
    let entries = vector.into_iter().map(|entry| Entry::new(entry, process, &locations)).collect();
    Ok(Outcome::Reply(Reply::new(Vector { process: process.pid(), running: runs(process), entries })))
}

impl Entry {
    fn new(entry: Auxiliary, process: &Process, locations: &Locations) -> Entry {
        let (tag, value, addr) = (entry.tag, entry.value, RuntimeAddr(entry.value));
        let (name, kind, meaning) = entry
            .meaning()
            .map_or((None, AuxiliaryKind::Bits, None), |(name, kind, meaning)| (Some(name), kind, Some(meaning)));
        let text = if kind == AuxiliaryKind::Text { string(process, addr) } else { None };
        let words = locations.words(addr).map(|words| format!(" <{words}>")).unwrap_or_default();
        let shown = match (kind, &text) {
            (AuxiliaryKind::Number, _) => value.to_string(),
            (AuxiliaryKind::Bits, _) => format!("{value:#x}"),
            (AuxiliaryKind::Address, _) | (AuxiliaryKind::Text, None) => format!("{value:#x}{words}"),
            (AuxiliaryKind::Text, Some(text)) => format!("{value:#x} {text:?}"),
        };
        let is_address = matches!(kind, AuxiliaryKind::Address | AuxiliaryKind::Text);
        let place = locations.place(addr).filter(|_| is_address);
        Entry { tag, name, meaning, value, place, text, shown }
    }
}

/// No path is longer (PATH_MAX).
const LONGEST: usize = 4096;

fn string(process: &Process, addr: RuntimeAddr) -> Option<String> {
    let mut bytes = [0; LONGEST];
    let got = process.read_memory_partly(addr, &mut bytes).ok()?;
    let end = bytes[..got].iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

impl Show for Vector {
    fn show(&self, page: &mut Page) {
        let columns = vec![Column::left("TAG"), Column::shrinking("VALUE", 1), Column::left("MEANING")];
        let rows = self.entries.iter().map(|entry| {
            vec![
                Span::new(entry.name.map_or_else(|| entry.tag.to_string(), str::to_owned), Style::Name),
                Span::new(&entry.shown, Style::Address),
                Span::new(entry.meaning.unwrap_or_default(), Style::Dim),
            ]
        });
        page.table(Table { columns, rows: rows.collect() });
    }
}
