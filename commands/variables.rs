//! `variables`: names of variables, by a regular expression.

use super::functions::{self, list};
use crate::session::{Command, Context, Outcome};
use crate::symbols::NameKind;

pub(super) const COMMAND: Command = Command {
    name: "variables",
    aliases: &["info variables"],
    summary: "List variables with addresses whose names match a regular expression",
    run,
    ..functions::COMMAND
};

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    list(cx, &COMMAND, words, NameKind::Variable)
}
