//! `trace`: tells values where the program comes to a location, and lets it go on.

use super::break_::{self, Asked, set};
use crate::session::breakpoint_words;
use crate::session::command::{args, parse};
use crate::session::{Command, Context, Failure, Outcome};
use crate::target::expr::Expr;

pub(super) const COMMAND: Command = Command {
    name: "trace",
    aliases: &["tp"],
    summary: "Tell values where the program comes to a location, and go on",
    args: args::<Args>,
    run,
    ..break_::COMMAND
};

/// At each hit a line says which thread came by and what the expressions came to; nothing stops. Expressions are separated by
/// commas, and stand behind the location and a comma or blank.
#[derive(clap::Parser)]
struct Args {
    /// `LOC [EXPR, …] [if EXPR] [thread N]`
    #[arg(value_name = "LOC [EXPR, …] [if EXPR] [thread N]", allow_hyphen_values = true)]
    words: Option<String>,
}

const USAGE: &str = "usage: trace LOC [EXPR, …] [if EXPR] [thread N]";

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let text = args.words.ok_or_else(|| Failure::usage("trace: a location is missing", USAGE))?;
    let (location, wanted, tail) = breakpoint_words::parse_trace(&text);
    let texts = wanted.split(',').map(str::trim).filter(|text| !text.is_empty());
    let trace = texts.map(|text| cx.session.compile(text)).collect::<anyhow::Result<Vec<Expr>>>()?;
    set(cx, &format!("{location} {tail}"), Asked { trace: Some(trace), ..Asked::default() }, USAGE)
}
