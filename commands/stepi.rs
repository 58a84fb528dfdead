//! `stepi`: makes so many instructions of the selected thread.

use schemars::JsonSchema;
use serde::Serialize;

use super::continue_::Continued;
use crate::session::code::{self, CodeRow};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::Page;
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Steps, Words};
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
    #[arg(value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
}

/// What steps came to.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Stepped {
    Stood {
        /// How many instructions were made; with `nexti`, calls count as one.
        steps: u64,
        /// The instruction that it would make next.
        next: Box<Option<CodeRow>>,
        #[serde(flatten)]
        stop: StopReport,
    },
    /// The process has ended, or a call came to something else than its return.
    Ran(Continued),
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let stepped = match cx.session.step(args.count)? {
        Steps::Made { stop, count } => Stepped::stood(cx, stop, count),
        Steps::Ended(last) => Stepped::Ran(last.into()),
    };
    Ok(Outcome::Reply(Reply::new(stepped)))
}

impl Stepped {
    pub(super) fn stood(cx: &mut Context<'_>, stop: StopReport, steps: u64) -> Stepped {
        Stepped::Stood { steps, next: Box::new(cx.session.next_instruction()), stop: cx.session.described(stop) }
    }
}

impl Show for Stepped {
    fn show(&self, page: &mut Page) {
        match self {
            Stepped::Stood { stop, next, .. } => {
                stop.show(page);
                code::show(page, next.as_slice(), false);
            }
            Stepped::Ran(continued) => continued.show(page),
        }
    }
}
