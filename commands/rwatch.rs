//! `rwatch`: stops where memory is read, as far as the processor can tell.

use super::watch::{self, set};
use crate::session::{Command, Context, Outcome};
use crate::target::Access;

pub(super) const COMMAND: Command =
    Command { name: "rwatch", aliases: &[], summary: "Stop where memory is read", run, ..watch::COMMAND };

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    set(cx, &COMMAND, words, Access::Read)
}
