//! `kill`: ends the process.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::Pid;
use crate::session::command::{args, parse, reply};
use crate::session::event::end_words;
use crate::session::page::Page;
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Session, Show, Words};
use crate::target::End;

pub(super) const COMMAND: Command = Command {
    name: "kill",
    aliases: &[],
    group: Group::Process,
    summary: "End the process (SIGKILL)",
    needs: Needs::Process,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Killed>,
    question,
    run,
};

/// Ends the process with SIGKILL, after a question on a terminal.
#[derive(clap::Parser)]
struct Args {}

#[derive(Serialize, JsonSchema)]
struct Killed {
    process: Pid,
    #[serde(flatten)]
    end: End,
}

fn question(session: &Session) -> Option<String> {
    let process = session.current()?;
    Some(format!("end process {} ({})", process.pid(), process.name()))
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let Args {} = parse(&COMMAND, words)?;
    let process = cx.session.process()?.pid();
    let end = cx.session.kill()?;
    Ok(Outcome::Reply(Reply::new(Killed { process, end })))
}

impl Show for Killed {
    fn show(&self, page: &mut Page) {
        page.line(format!("process {} {}", self.process, end_words(&self.end)));
    }
}
