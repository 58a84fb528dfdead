//! `detach`: lets the process go as it was found.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::Pid;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::event::late_words;
use crate::session::page::{Page, Span, Style};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words, duration};
use crate::target::LateThread;

pub(super) const COMMAND: Command = Command {
    name: "detach",
    aliases: &[],
    group: Group::Process,
    summary: "Let the process go as it was found",
    needs: Needs::Process,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Detached>,
    question: no_question,
    run,
};

/// Removes all that godbg put into the process and lets every thread go on as it was. A program that godbg started runs
/// on too.
#[derive(clap::Parser)]
struct Args {}

#[derive(Serialize, JsonSchema)]
struct Detached {
    process: Pid,
    /// How many threads were let go.
    threads: usize,
    /// Milliseconds for which it was held, from the first request to stop until the last thread was let go.
    held_ms: f64,
    /// Threads that sleep in the kernel and are let go as soon as they wake.
    late: Vec<LateThread>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let Args {} = parse(&COMMAND, words)?;
    let process = cx.session.process()?.pid();
    let released = cx.session.detach()?;
    let held_ms = released.held.as_secs_f64() * 1e3;
    Ok(Outcome::Reply(Reply::new(Detached { process, threads: released.threads, held_ms, late: released.late })))
}

impl Show for Detached {
    fn show(&self, page: &mut Page) {
        let held = duration::show(Duration::from_secs_f64(self.held_ms / 1e3));
        page.line(format!("process {} detached; it was held for {held}", self.process));
        for late in &self.late {
            let text = format!("  {} sleeps in the kernel; it is let go as soon as it wakes", late_words(late));
            page.spans(vec![Span::new(text, Style::Warn)]);
        }
    }
}
