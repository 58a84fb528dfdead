//! `awatch`: stops where memory is read or written.

use super::watch::{self, set};
use crate::session::{Command, Context, Outcome};
use crate::target::Access;

pub(super) const COMMAND: Command =
    Command { name: "awatch", aliases: &[], summary: "Stop where memory is read or written", run, ..watch::COMMAND };

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    set(cx, &COMMAND, words, Access::Any)
}
