//! `disable`: takes breakpoints out of force without forgetting them.

use super::enable::{Changed, Numbers, set_enabled};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::{Command, Context, Group, Needs, Outcome, Words};

pub(super) const COMMAND: Command = Command {
    name: "disable",
    aliases: &["dis"],
    group: Group::Breakpoints,
    summary: "Take breakpoints out of force and keep them",
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
    set_enabled(cx, &args.numbers, false)
}
