//! `quit`: leaves the shell. An attached process is let go, one that godbg started is ended.

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::command::{args, parse, reply};
use crate::session::{Command, Context, Group, Needs, Outcome, Session, Words};
use crate::target::Origin;

pub(super) const COMMAND: Command = Command {
    name: "quit",
    aliases: &["q", "exit"],
    group: Group::Shell,
    summary: "Leave: detach from an attached process, end a started one",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Quit>,
    question,
    run,
};

#[derive(clap::Parser)]
struct Args {}

/// In JSON the last reply is an empty object.
#[derive(Serialize, JsonSchema)]
struct Quit {}

fn question(session: &Session) -> Option<String> {
    let process = session.current().filter(|process| process.origin() == Origin::Started)?;
    Some(format!("process {} ({}) was started by godbg and ends with it; quit", process.pid(), process.name()))
}

fn run(_: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let Args {} = parse(&COMMAND, words)?;
    Ok(Outcome::Quit)
}
