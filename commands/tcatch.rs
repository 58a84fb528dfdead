//! `tcatch`: a catchpoint that goes with its first hit.

use super::catch::{Args, Catchpoints, set_or_list};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::{Command, Context, Group, Needs, Outcome, Words};

pub(super) const COMMAND: Command = Command {
    name: "tcatch",
    aliases: &[],
    group: Group::Breakpoints,
    summary: "As catch, but only once",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Catchpoints>,
    question: no_question,
    run,
};

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    set_or_list(cx, "tcatch", &args, true)
}
