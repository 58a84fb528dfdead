//! `variables`: names of variables, by a regular expression.

use super::functions::{Args, Names, list};
use crate::session::command::{args, no_question, reply};
use crate::session::{Command, Context, Group, Needs, Outcome, Words};
use crate::symbols::NameKind;

pub(super) const COMMAND: Command = Command {
    name: "variables",
    aliases: &["info variables"],
    group: Group::Source,
    summary: "List variables with addresses whose names match a regular expression",
    needs: Needs::Process,
    words: Words::Raw,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Names>,
    question: no_question,
    run,
};

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    list(cx, &COMMAND, words, NameKind::Variable)
}
