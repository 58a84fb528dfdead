//! `queue-signal`: gives the selected thread a signal for when it goes on, without letting it run.

use schemars::JsonSchema;
use serde::Serialize;

use super::signal::find_or_none;
use crate::addr::Tid;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::Page;
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words};
use crate::target::Signal;

pub(super) const COMMAND: Command = Command {
    name: "queue-signal",
    aliases: &[],
    group: Group::Signals,
    summary: "Have the selected thread go on with this signal later (0: none)",
    needs: Needs::Stopped,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Queued>,
    question: no_question,
    run,
};

/// As `signal`, but the process stays stopped: several threads can be given signals before `continue`.
#[derive(clap::Parser)]
struct Args {
    /// The signal, or 0
    #[arg(value_name = "SIG|0", allow_hyphen_values = true)]
    signal: String,
}

#[derive(Serialize, JsonSchema)]
struct Queued {
    thread: Tid,
    /// Null: none.
    signal: Option<Signal>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let signal = find_or_none(&args.signal)?;
    let thread = cx.session.give_signal(signal)?;
    Ok(Outcome::Reply(Reply::new(Queued { thread, signal })))
}

impl Show for Queued {
    fn show(&self, page: &mut Page) {
        match self.signal {
            Some(signal) => page.line(format!("thread {} goes on with {signal}", self.thread)),
            None => page.line(format!("thread {} goes on without a signal", self.thread)),
        }
    }
}
