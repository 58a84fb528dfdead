//! `nexti`: makes one instruction of the selected thread, and a call as a whole.

use super::continue_::{Continued, go_on};
use super::stepi::Stepped;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Steps, Words};
use crate::target::{Goal, Why};

pub(super) const COMMAND: Command = Command {
    name: "nexti",
    aliases: &["ni", "next-instruction"],
    group: Group::Stepping,
    summary: "Make one instruction, or so many; calls as a whole",
    needs: Needs::Stopped,
    words: Words::Split,
    repeats: true,
    args: args::<Args>,
    reply: reply::<Stepped>,
    question: no_question,
    run,
};

/// All threads run while a call is made.
#[derive(clap::Parser)]
struct Args {
    /// How many
    #[arg(value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
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
            None => match cx.session.step(1)? {
                Steps::Made { stop, .. } => stop,
                Steps::Ended(last) => return Ok(Outcome::Reply(Reply::new(Stepped::Ran(last.into())))),
            },
            Some((addr, sp)) => {
                // Once the call has returned the stack pointer is where it is now, or above.
                let above = Some(crate::addr::RuntimeAddr(sp.0.wrapping_sub(1)));
                cx.session.set_goals(vec![Goal { addr, thread: Some(tid), above, why: Why::Step }])?;
                match go_on(cx, false)? {
                    Continued::Stopped { report, .. } => report,
                    other => return Ok(Outcome::Reply(Reply::new(Stepped::Ran(other)))),
                }
            }
        };
        steps += 1;
        if stop.why != Why::Step || steps >= args.count {
            return Ok(Outcome::Reply(Reply::new(Stepped::stood(cx, stop, steps))));
        }
    }
}
