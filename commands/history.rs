//! `history`: the lines entered so far.

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::{Page, Span, Style};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "history",
    aliases: &[],
    group: Group::Shell,
    summary: "Show the lines entered so far",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<History>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
struct Args {
    /// Only the last N
    #[arg(value_name = "N")]
    last: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
struct History {
    /// The number of the first line here.
    first: usize,
    lines: Vec<String>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let all = &cx.session.history;
    let skipped = all.len().saturating_sub(args.last.unwrap_or(usize::MAX));
    Ok(Outcome::Reply(Reply::new(History { first: skipped + 1, lines: all[skipped..].to_vec() })))
}

impl Show for History {
    fn show(&self, page: &mut Page) {
        for (index, line) in self.lines.iter().enumerate() {
            page.spans(vec![Span::new(format!("{:5}  ", self.first + index), Style::Dim), line.into()]);
        }
    }
}
