//! `signals`: what is done with each signal.

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Session, Show, Words};
use crate::target::{Disposition, Signal};

pub(super) const COMMAND: Command = Command {
    name: "signals",
    aliases: &["info signals", "info signal", "info handle"],
    group: Group::Signals,
    summary: "List what is done with each signal (handle changes it)",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Signals>,
    question: no_question,
    run,
};

/// Whether a signal stops the process, whether it is told, and whether the program gets it.
#[derive(clap::Parser)]
struct Args {
    /// Only these
    #[arg(value_name = "SIG", allow_hyphen_values = true)]
    signals: Vec<String>,
}

/// Signals and what is done with them; `handle` answers the same for those it has changed.
#[derive(Serialize, JsonSchema)]
pub(super) struct Signals {
    signals: Vec<Row>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    signal: Signal,
    number: i32,
    #[serde(flatten)]
    disposition: Disposition,
    meaning: &'static str,
}

impl Signals {
    pub(super) fn new(session: &Session, signals: impl IntoIterator<Item = Signal>) -> Signals {
        let row = |signal: Signal| Row {
            signal,
            number: signal.0,
            disposition: session.rules().signals.of(signal),
            meaning: signal.meaning(),
        };
        Signals { signals: signals.into_iter().map(row).collect() }
    }
}

/// Reads a signal's name or number.
pub(super) fn find(word: &str) -> Result<Signal, Failure> {
    let short: String = word.chars().take(40).collect();
    Signal::parse(word).ok_or_else(|| {
        Failure::usage(format!("no such signal: {short:?}"), "signals lists their names; numbers are 1 to 64")
    })
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let signals: Vec<Signal> = match args.signals.as_slice() {
        [] => Signal::all().collect(),
        words => words.iter().map(|word| find(word)).collect::<Result<_, _>>()?,
    };
    Ok(Outcome::Reply(Reply::new(Signals::new(cx.session, signals))))
}

impl Show for Signals {
    fn show(&self, page: &mut Page) {
        let columns = vec![
            Column::right("#"),
            Column::left("SIGNAL"),
            Column::left("STOP"),
            Column::left("PRINT"),
            Column::left("PASS"),
            Column::shrinking("MEANING", 1),
        ];
        let word = |yes| if yes { Span::from("yes") } else { Span::new("no", Style::Dim) };
        let row = |row: &Row| {
            let Disposition { stop, print, pass } = row.disposition;
            let name = Span::new(row.signal.to_string(), Style::Name);
            vec![row.number.to_string().into(), name, word(stop), word(print), word(pass), row.meaning.into()]
        };
        page.table(Table { columns, rows: self.signals.iter().map(row).collect() });
    }
}
