//! `ignore`: passes over so many hits of a breakpoint.

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::Page;
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "ignore",
    aliases: &[],
    group: Group::Breakpoints,
    summary: "Pass over so many hits of a breakpoint",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Ignored>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
struct Args {
    /// The breakpoint's number
    #[arg(value_name = "N")]
    number: u32,
    /// How many hits to pass over
    #[arg(value_name = "COUNT")]
    count: u64,
}

#[derive(Serialize, JsonSchema)]
struct Ignored {
    number: u32,
    /// `breakpoint` or `catchpoint`.
    #[serde(skip)]
    kind: &'static str,
    ignore: u64,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    cx.session.change_point(args.number, |one| *one.ignore = args.count)?;
    let kind = cx.session.point_word(args.number);
    Ok(Outcome::Reply(Reply::new(Ignored { number: args.number, kind, ignore: args.count })))
}

impl Show for Ignored {
    fn show(&self, page: &mut Page) {
        match self.ignore {
            0 => page.line(format!("{} {} stops at its next hit", self.kind, self.number)),
            count => page.line(format!("{} {} passes over {count} hits", self.kind, self.number)),
        }
    }
}
