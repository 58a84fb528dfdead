//! `nexti`: makes one instruction of the selected thread, and a call as a whole.

use schemars::JsonSchema;
use serde::Serialize;

use super::continue_::{Continued, go_on};
use crate::session::code::{self, CodeRow};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::Page;
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words};
use crate::target::{Goal, StopReport, Why};

pub(super) const COMMAND: Command = Command {
    name: "nexti",
    aliases: &["ni", "next-instruction"],
    group: Group::Stepping,
    summary: "Make one instruction, or so many; calls as a whole",
    needs: Needs::Stopped,
    words: Words::Split,
    repeats: true,
    args: args::<Args>,
    reply: reply::<Answer>,
    question: no_question,
    run,
};

/// All threads run while a call is made.
#[derive(clap::Parser)]
struct Args {
    /// How many
    #[arg(value_name = "COUNT", default_value_t = 1)]
    count: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Answer {
    Stepped {
        /// How many instructions or calls were made.
        steps: u64,
        /// The instruction that it would make next.
        next: Box<Option<CodeRow>>,
        #[serde(flatten)]
        stop: StopReport,
    },
    /// It came to something else.
    Ran(Continued),
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let mut steps = 0;
    loop {
        let tid = cx.session.stopped_thread()?;
        let process = cx.session.process()?;
        let registers = process.registers_at(tid);
        let behind = registers.and_then(|registers| process.behind_call(&registers).map(|addr| (addr, registers.sp())));
        let stop = match behind {
            None => cx.session.step(1)?.0,
            Some((addr, sp)) => {
                // Once the call has returned the stack pointer is where it is now, or above.
                let above = Some(crate::addr::RuntimeAddr(sp.0.wrapping_sub(1)));
                cx.session.set_goals(vec![Goal { addr, thread: Some(tid), above }])?;
                match go_on(cx, false)? {
                    Continued::Stopped { report, .. } => report,
                    other => return Ok(Outcome::Reply(Reply::new(Answer::Ran(other)))),
                }
            }
        };
        steps += 1;
        if stop.why != Why::Step || steps >= args.count {
            let stop = cx.session.described(stop);
            return Ok(Outcome::Reply(Reply::new(Answer::Stepped {
                steps,
                next: Box::new(cx.session.next_instruction()),
                stop,
            })));
        }
    }
}

impl Show for Answer {
    fn show(&self, page: &mut Page) {
        match self {
            Answer::Stepped { stop, next, .. } => {
                stop.show(page);
                code::show(page, next.as_slice(), false);
            }
            Answer::Ran(continued) => continued.show(page),
        }
    }
}
