//! `clear`: removes breakpoints and catchpoints by number, breakpoints by location too.

use super::enable::{Changed, Numbers, numbers};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Words};

pub(super) const COMMAND: Command = Command {
    name: "clear",
    aliases: &["delete", "delete breakpoints"],
    group: Group::Breakpoints,
    summary: "Remove breakpoints and catchpoints",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Numbers>,
    reply: reply::<Changed>,
    question: no_question,
    run,
};

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Numbers = parse(&COMMAND, words)?;
    if args.numbers.is_empty() {
        let hint = "usage: clear N|N-M|LOC…; clearall removes all";
        return Err(Failure::usage("clear: which breakpoint is missing", hint).into());
    }
    let numbers = numbers(cx, &args.numbers)?;
    remove(cx, numbers)
}

/// Removes these.
pub(super) fn remove(cx: &mut Context<'_>, numbers: Vec<u32>) -> anyhow::Result<Outcome> {
    let held = cx.session.remove_points(&numbers)?;
    Ok(Outcome::Reply(Reply::new(Changed::new("cleared", numbers, held))))
}
