//! `repair`: undoes what a godbg that was killed has left in a process.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::Pid;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::Page;
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words};
use crate::target::LARGEST_PID;

pub(super) const COMMAND: Command = Command {
    name: "repair",
    aliases: &[],
    group: Group::Process,
    summary: "Undo what a godbg that was killed has left in a process",
    needs: Needs::NoProcess,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Repaired>,
    question: no_question,
    run,
};

/// A guardian does it by itself when godbg is killed; this is for the case that the guardian was killed as well. attach does it
/// too. It needs the user who ran that godbg, and the same home folder.
#[derive(clap::Parser)]
struct Args {
    /// The process
    #[arg(value_name = "PID", value_parser = clap::value_parser!(i32).range(1..=i64::from(LARGEST_PID)))]
    process: i32,
}

#[derive(Serialize, JsonSchema)]
struct Repaired {
    process: Pid,
    /// Whether anything had been left.
    repaired: bool,
    /// How many breakpoints were taken out.
    breakpoints: usize,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let process = Pid(args.process);
    let done = cx.session.repair(process)?;
    let breakpoints = done.as_ref().map_or(0, |done| done.breakpoints);
    Ok(Outcome::Reply(Reply::new(Repaired { process, repaired: done.is_some(), breakpoints })))
}

impl Show for Repaired {
    fn show(&self, page: &mut Page) {
        match self {
            Repaired { process, repaired: true, breakpoints } => {
                page.line(format!("process {process} repaired: {breakpoints} breakpoints were taken out"));
            }
            Repaired { process, .. } => page.line(format!("process {process}: nothing was left there")),
        }
    }
}
