//! `clearall`: removes every breakpoint, watchpoint, tracepoint and catchpoint.

use super::clear::remove;
use super::enable::{Changed, numbers};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::{Command, Context, Group, Needs, Outcome, Words};

pub(super) const COMMAND: Command = Command {
    name: "clearall",
    aliases: &[],
    group: Group::Breakpoints,
    summary: "Remove all breakpoints and catchpoints",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Changed>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
struct Args {}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let Args {} = parse(&COMMAND, words)?;
    let numbers = numbers(cx, &[])?;
    remove(cx, numbers)
}
