//! `debuginfo`: which debug info is missing, and what became of it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::file_name;
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::settings::Debuginfod;
use crate::session::{Command, Context, DebugInfo, FetchState, Group, Needs, Outcome, Reply, Show, Words, size};

pub(super) const COMMAND: Command = Command {
    name: "debuginfo",
    aliases: &["info debuginfo"],
    group: Group::Source,
    summary: "List files without debug info, and what debuginfod servers had of it",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Missing>,
    question: no_question,
    run,
};

/// Files with a build id that have no debug info of their own and none on this machine. What is fetched (`set debuginfod on`, or a
/// yes at the prompt) is fetched while no process is held, and kept where gdb finds it too.
#[derive(clap::Parser)]
struct Args {}

#[derive(Serialize, JsonSchema)]
struct Missing {
    /// `on`, `ask` or `off`.
    debuginfod: String,
    /// The servers that are asked.
    servers: Vec<String>,
    files: Vec<DebugInfo>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let Args {} = parse(&COMMAND, words)?;
    let mode = match cx.session.settings.debuginfod {
        Debuginfod::On => "on",
        Debuginfod::Ask => "ask",
        Debuginfod::Off => "off",
    };
    let servers = cx.session.debuginfod_servers();
    Ok(Outcome::Reply(Reply::new(Missing { debuginfod: mode.into(), servers, files: cx.session.debug_info() })))
}

/// A table of them.
pub(super) fn table(files: &[DebugInfo]) -> Table {
    let columns = vec![Column::shrinking("FILE", 0), Column::left("BUILD ID"), Column::wrapping("DEBUG INFO")];
    let row = |one: &DebugInfo| {
        let (words, style) = words(one);
        let id: String = one.build_id.chars().take(16).collect();
        vec![Span::new(file_name(&one.file), Style::Name), Span::new(id, Style::Dim), Span::new(words, style)]
    };
    Table { columns, rows: files.iter().map(row).collect() }
}

fn words(one: &DebugInfo) -> (String, Style) {
    let why = one.why.as_deref().unwrap_or_default();
    match one.state {
        FetchState::Waiting => ("not here".into(), Style::Plain),
        FetchState::Fetching => (format!("on its way: {} so far", size::show(one.bytes)), Style::Plain),
        FetchState::Fetched => (format!("fetched: {}", size::show(one.bytes)), Style::Good),
        FetchState::NotThere => ("not here, and no server has it".into(), Style::Plain),
        FetchState::Failed => (format!("not here: {why}"), Style::Warn),
        FetchState::CalledOff => ("not here: called off".into(), Style::Plain),
    }
}

impl Show for Missing {
    fn show(&self, page: &mut Page) {
        let servers = if self.servers.is_empty() { "no server is known".into() } else { self.servers.join(", ") };
        page.spans(vec![Span::new(format!("debuginfod {}: {servers}", self.debuginfod), Style::Dim)]);
        if self.files.is_empty() {
            return page.line("no file is known to lack debug info");
        }
        page.table(table(&self.files));
    }
}
