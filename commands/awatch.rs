//! `awatch`: stops where memory is read or written.

use super::break_::BreakpointSet;
use super::watch::{WatchArgs, set};
use crate::session::command::{args, no_question, reply};
use crate::session::{Command, Context, Group, Needs, Outcome, Words};
use crate::target::Access;

pub(super) const COMMAND: Command = Command {
    name: "awatch",
    aliases: &[],
    group: Group::Breakpoints,
    summary: "Stop where memory is read or written",
    needs: Needs::Process,
    words: Words::Raw,
    repeats: false,
    args: args::<WatchArgs>,
    reply: reply::<BreakpointSet>,
    question: no_question,
    run,
};

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    set(cx, &COMMAND, words, Access::Any)
}
