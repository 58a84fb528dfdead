//! `interrupt`: stops all threads of a running process.

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::Page;
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, RunState, Show, Words};
use crate::target::StopReport;

pub(super) const COMMAND: Command = Command {
    name: "interrupt",
    aliases: &["pause", "halt"],
    group: Group::Running,
    summary: "Stop all threads of the running process",
    needs: Needs::Process,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Interrupt>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
struct Args {}

#[derive(Serialize, JsonSchema)]
struct Interrupt {
    /// Whether it was stopped before.
    already: bool,
    #[serde(flatten)]
    stop: StopReport,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let Args {} = parse(&COMMAND, words)?;
    let already = cx.session.process_state().is_some_and(|(_, state)| state == RunState::Stopped);
    Ok(Outcome::Reply(Reply::new(Interrupt { already, stop: cx.session.interrupt()? })))
}

impl Show for Interrupt {
    fn show(&self, page: &mut Page) {
        if self.already {
            page.line(format!("process {} is stopped already", self.stop.process));
        } else {
            self.stop.show(page);
        }
    }
}
