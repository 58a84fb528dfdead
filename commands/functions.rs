//! `functions`, and what `variables` and `types` share with it: names of the process's files, by a regular expression.

use std::ops::ControlFlow;

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::{Pid, RuntimeAddr};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::{file_name, names, regex};
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words};
use crate::symbols::NameKind;

pub(super) const COMMAND: Command = Command {
    name: "functions",
    aliases: &["info functions", "funcs"],
    group: Group::Source,
    summary: "List functions whose names match a regular expression",
    needs: Needs::Process,
    words: Words::Raw,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Names>,
    question: no_question,
    run,
};

/// Of the program and all its libraries. The expression may match anywhere in a name; `^` and `$` are its ends, `(?i)` in front
/// makes cases equal. A function that stands only within others has the word inlined in place of an address.
#[derive(clap::Parser)]
pub(super) struct Args {
    /// What the names match
    #[arg(value_name = "REGEX", allow_hyphen_values = true)]
    pattern: Option<String>,
}

/// Names of a kind.
#[derive(Serialize, JsonSchema)]
pub(super) struct Names {
    process: Pid,
    /// `functions`, `variables` or `types`.
    kind: &'static str,
    names: Vec<Row>,
    /// Whether there are more than are listed.
    more: bool,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    name: String,
    /// Where the first instance begins; null if it has no address of its own.
    address: Option<RuntimeAddr>,
    /// Whether its code stands only within other functions.
    inlined: bool,
    /// The source file, as the compiler names it.
    file: Option<String>,
    /// The line of its declaration.
    line: Option<u32>,
    /// The file that is mapped.
    module: String,
}

/// No more are listed: nobody reads so many, and a file can hold millions.
const MOST: usize = 100_000;

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    list(cx, &COMMAND, words, NameKind::Function)
}

/// Lists the names of a kind.
pub(super) fn list(
    cx: &mut Context<'_>,
    command: &Command,
    words: &[String],
    kind: NameKind,
) -> anyhow::Result<Outcome> {
    let args: Args = parse(command, words)?;
    let pattern = args.pattern.as_deref().map(|text| regex(command.name, text)).transpose()?;
    let locations = cx.session.locations();
    cx.session.wait_for_thread(names::prepare(locations.modules(), kind))?;
    let (mut rows, mut more) = (Vec::new(), false);
    names::each_name(locations.modules(), kind, &mut |loaded, bias, entry| {
        if pattern.as_ref().is_some_and(|pattern| !pattern.is_match(entry.name)) {
            return ControlFlow::Continue(());
        }
        if rows.len() == MOST {
            more = true;
            return ControlFlow::Break(());
        }
        rows.push(Row {
            name: entry.name.to_owned(),
            address: entry.addr.filter(|_| !entry.inlined).map(|addr| bias.runtime(addr)),
            inlined: entry.inlined,
            file: entry.file.map(str::to_owned),
            line: Some(entry.line).filter(|line| *line > 0),
            module: loaded.path().to_owned(),
        });
        ControlFlow::Continue(())
    });
    rows.sort_by(|a, b| (&a.name, a.address).cmp(&(&b.name, b.address)));
    let kind = match kind {
        NameKind::Function => "functions",
        NameKind::Variable => "variables",
        NameKind::Type => "types",
    };
    let process = cx.session.process()?.pid();
    Ok(Outcome::Reply(Reply::new(Names { process, kind, names: rows, more })))
}

impl Row {
    fn spans(&self) -> Vec<Span> {
        let address = match self.address {
            Some(address) => Span::new(address.to_string(), Style::Address),
            None if self.inlined => Span::new("inlined", Style::Dim),
            None => Span::default(),
        };
        let place = match (&self.file, self.line) {
            (Some(file), Some(line)) => format!("{}:{line}", file_name(file)),
            (Some(file), None) => file_name(file).to_owned(),
            (None, _) => file_name(&self.module).to_owned(),
        };
        vec![address, Span::new(&self.name, Style::Name), place.into()]
    }
}

impl Show for Names {
    fn show(&self, page: &mut Page) {
        if self.names.is_empty() {
            return page.line(format!("no {} have such names", self.kind));
        }
        let columns = vec![Column::left("ADDRESS"), Column::shrinking("NAME", 1), Column::shrinking("WHERE", 2)];
        page.table(Table { columns, rows: self.names.iter().map(Row::spans).collect() });
        if self.more {
            page.line(format!("more than {MOST} names fit: give a narrower expression"));
        }
    }
}
