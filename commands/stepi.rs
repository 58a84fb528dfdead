//! `stepi`: makes so many instructions of the selected thread.

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::code::{self, CodeRow};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::Page;
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words};
use crate::target::StopReport;

pub(super) const COMMAND: Command = Command {
    name: "stepi",
    aliases: &["si", "step-instruction"],
    group: Group::Stepping,
    summary: "Make one instruction, or so many",
    needs: Needs::Stopped,
    words: Words::Split,
    repeats: true,
    args: args::<Args>,
    reply: reply::<Stepped>,
    question: no_question,
    run,
};

/// The other threads stay where they are meanwhile; they are let run if the thread waits for one of them. A breakpoint that
/// the step leads to is met. Ctrl-C ends the stepping.
#[derive(clap::Parser)]
struct Args {
    /// How many
    #[arg(value_name = "COUNT", default_value_t = 1)]
    count: u64,
}

#[derive(Serialize, JsonSchema)]
struct Stepped {
    /// How many instructions were made.
    steps: u64,
    /// The instruction that it would make next.
    next: Option<CodeRow>,
    #[serde(flatten)]
    stop: StopReport,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let (stop, steps) = cx.session.step(args.count)?;
    let stop = cx.session.described(stop);
    Ok(Outcome::Reply(Reply::new(Stepped { steps, next: cx.session.next_instruction(), stop })))
}

impl Show for Stepped {
    fn show(&self, page: &mut Page) {
        self.stop.show(page);
        code::show(page, self.next.as_slice(), false);
    }
}
