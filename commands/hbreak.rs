//! `hbreak`: a breakpoint by a debug register.

use super::break_::{self, Asked, set};
use crate::session::command::{args, parse};
use crate::session::{Command, Context, Outcome};

pub(super) const COMMAND: Command = Command {
    name: "hbreak",
    aliases: &["hb"],
    summary: "Stop at a location by a debug register, without changing the text",
    args: args::<Args>,
    run,
    ..break_::COMMAND
};

/// As `break -H`. There are four debug registers for these and for watchpoints.
#[derive(clap::Parser)]
struct Args {
    /// `LOC [if EXPR] [thread N]`, as of `break`
    #[arg(value_name = "LOC [if EXPR] [thread N]", allow_hyphen_values = true)]
    words: Option<String>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let asked = Asked { hardware: true, ..Asked::default() };
    set(cx, args.words.as_deref().unwrap_or("*$pc"), asked, "usage: hbreak LOC [if EXPR] [thread N]")
}
