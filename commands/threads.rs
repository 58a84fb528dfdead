//! `threads`: every thread of the traced process, one row each, and why it stands where it stands.

use schemars::JsonSchema;
use serde::Serialize;

use super::thread::ThreadRow;
use crate::addr::{Pid, Tid};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::{Column, Page, Table};
use crate::session::user_frames::UserFrames;
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words};
use crate::target::ThreadFacts;

pub(super) const COMMAND: Command = Command {
    name: "threads",
    aliases: &["info threads", "t"],
    group: Group::Threads,
    summary: "List every thread: its state, why it stands, where it is",
    needs: Needs::Process,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Threads>,
    question: no_question,
    run,
};

/// One row a thread: number, tid, state letter as top has it, name, why it was stopped, the system call it is in, and
/// where it is. Threads of a running process are shown as they are, without stopping them.
#[derive(clap::Parser)]
struct Args {}

#[derive(Serialize, JsonSchema)]
struct Threads {
    process: Pid,
    threads: Vec<ThreadRow>,
    /// Whether it is a Go program, so that threads may run goroutines.
    #[serde(skip)]
    is_go: bool,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let Args {} = parse(&COMMAND, words)?;
    let selected = cx.session.selected();
    let locations = cx.session.locations();
    let facts = cx.session.process()?.thread_facts();
    let tids: Vec<Tid> = facts.iter().map(|facts| facts.tid).collect();
    let goroutines = cx.session.goroutines_of(&tids);
    let process = cx.session.process()?;
    let mut frames = UserFrames::new(process, &locations);
    let is_go = goroutines.is_some();
    let goroutines = goroutines.unwrap_or_else(|| vec![None; tids.len()]);
    let row = |(facts, goroutine): (ThreadFacts, Option<u64>)| {
        let user = frames.of(facts.tid);
        ThreadRow::new(facts, selected, &locations, user, goroutine)
    };
    let threads = facts.into_iter().zip(goroutines).map(row).collect();
    Ok(Outcome::Reply(Reply::new(Threads { process: process.pid(), threads, is_go })))
}

impl Show for Threads {
    fn show(&self, page: &mut Page) {
        let mut columns = vec![
            Column::right("#"),
            Column::left("TID"),
            Column::left("S"),
            Column::shrinking("NAME", 2),
            Column::left("WHY"),
            Column::shrinking("IN", 3),
            Column::shrinking("WHERE", 1),
        ];
        if self.is_go {
            columns.insert(5, Column::right("GOROUTINE"));
        }
        page.table(Table { columns, rows: self.threads.iter().map(|row| row.spans(self.is_go)).collect() });
        let mut states = std::collections::BTreeMap::new();
        for thread in &self.threads {
            *states.entry(thread.state_letter()).or_insert(0) += 1;
        }
        let counts: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let noun = if self.threads.len() == 1 { "thread" } else { "threads" };
        page.line(format!("{} {noun}: {}", self.threads.len(), counts.join(", ")));
    }
}
