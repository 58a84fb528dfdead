//! `maintenance`: what godbg's own tests need; not listed in `help`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::command::{args, no_question, parse, reply};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Words};

pub(super) const COMMAND: Command = Command {
    name: "maintenance",
    aliases: &[],
    group: Group::Maintenance,
    summary: "Things for godbg's own tests",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Nothing>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
struct Args {
    /// `internal-error`: a panic in a handler
    #[arg(value_name = "WHAT")]
    what: String,
}

#[derive(Serialize, JsonSchema)]
struct Nothing {}

fn run(_: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    match args.what.as_str() {
        "internal-error" => panic!("maintenance internal-error"),
        _ => Err(Failure::usage("maintenance: no such thing", "usage: maintenance internal-error").into()),
    }
}
