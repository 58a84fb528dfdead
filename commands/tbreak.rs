//! `tbreak`: a breakpoint that is gone after its first stop.

use super::break_::{self, Asked, set};
use crate::session::command::{args, parse};
use crate::session::{Command, Context, Outcome};

pub(super) const COMMAND: Command = Command {
    name: "tbreak",
    aliases: &["tb"],
    summary: "Stop once where the program comes to a location",
    args: args::<Args>,
    run,
    ..break_::COMMAND
};

/// As `break -t`.
#[derive(clap::Parser)]
struct Args {
    /// `LOC [if EXPR] [thread N]`, as of `break`
    #[arg(value_name = "LOC [if EXPR] [thread N]", allow_hyphen_values = true)]
    words: Option<String>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let asked = Asked { temporary: true, ..Asked::default() };
    set(cx, args.words.as_deref().unwrap_or("*$pc"), asked, "usage: tbreak LOC [if EXPR] [thread N]")
}
