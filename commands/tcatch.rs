//! `tcatch`: a catchpoint that goes with its first hit.

use super::catch::{self, Args, set_or_list};
use crate::session::command::parse;
use crate::session::{Command, Context, Outcome};

pub(super) const COMMAND: Command =
    Command { name: "tcatch", aliases: &[], summary: "As catch, but only once", run, ..catch::COMMAND };

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    set_or_list(cx, "tcatch", &args, true)
}
