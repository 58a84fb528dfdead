//! `libraries`: the files that the process has mapped, and what symbols each has.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::{Pid, RuntimeAddr};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::regex;
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::symbol_facts::{FileSymbols, file_symbols};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "libraries",
    aliases: &["info sharedlibrary", "info dll"],
    group: Group::Source,
    summary: "List the program and its libraries: where they are and what symbols they have",
    needs: Needs::Process,
    words: Words::Raw,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Libraries>,
    question: no_question,
    run,
};

/// What kinds of symbols there are, where they came from, and what was looked for in vain.
#[derive(clap::Parser)]
struct Args {
    /// What the paths match
    #[arg(value_name = "REGEX", allow_hyphen_values = true)]
    pattern: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Libraries {
    process: Pid,
    libraries: Vec<Row>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    /// Where its first mapping begins.
    start: Option<RuntimeAddr>,
    /// Where its last mapping ends.
    end: Option<RuntimeAddr>,
    #[serde(flatten)]
    symbols: FileSymbols,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let pattern = args.pattern.as_deref().map(|text| regex(COMMAND.name, text)).transpose()?;
    let locations = cx.session.locations();
    let fits = |path: &str| pattern.as_ref().is_none_or(|pattern| pattern.is_match(path));
    let chosen = locations.modules().iter().filter(|module| fits(module.path()));
    let libraries = chosen
        .filter_map(|module| {
            Some(Row {
                symbols: file_symbols(module)?,
                start: module.ranges().map(|range| range.start).min(),
                end: module.ranges().map(|range| range.end).max(),
            })
        })
        .collect();
    let process = cx.session.process()?.pid();
    Ok(Outcome::Reply(Reply::new(Libraries { process, libraries })))
}

impl Show for Libraries {
    fn show(&self, page: &mut Page) {
        if self.libraries.is_empty() {
            return page.line("no such file is mapped");
        }
        let columns =
            vec![Column::left("FROM"), Column::left("TO"), Column::shrinking("FILE", 2), Column::wrapping("SYMBOLS")];
        let address = |address: Option<RuntimeAddr>| {
            Span::new(address.map(|address| address.to_string()).unwrap_or_default(), Style::Address)
        };
        let row = |row: &Row| {
            vec![
                address(row.start),
                address(row.end),
                Span::new(&row.symbols.path, Style::Name),
                row.symbols.words().into(),
            ]
        };
        page.table(Table { columns, rows: self.libraries.iter().map(row).collect() });
    }
}
