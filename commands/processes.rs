//! `processes`: the processes of this session.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::Pid;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::{Command, Context, Group, Needs, Outcome, ProcessFacts, Reply, RunState, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "processes",
    aliases: &["info inferiors", "info processes"],
    group: Group::Process,
    summary: "List the processes of this session (set follow-fork both)",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Processes>,
    question: no_question,
    run,
};

/// One row a process: number, pid, whether it is stopped, how many threads it has, its name. Most commands work on the one
/// that is marked; process N selects another.
#[derive(clap::Parser)]
struct Args {}

#[derive(Serialize, JsonSchema)]
struct Processes {
    processes: Vec<ProcessRow>,
}

/// A process of the session.
#[derive(Serialize, JsonSchema)]
pub(super) struct ProcessRow {
    number: u32,
    process: Pid,
    selected: bool,
    /// `stopped`, `running`, or `job_stopped`: let run, but kept stopped by job control.
    state: &'static str,
    threads: usize,
    name: String,
    /// Its executable, as the kernel knows it.
    program: Option<String>,
}

impl From<ProcessFacts> for ProcessRow {
    fn from(facts: ProcessFacts) -> ProcessRow {
        let state = match facts.state {
            RunState::Stopped => "stopped",
            RunState::Running => "running",
            RunState::JobStopped => "job_stopped",
        };
        let ProcessFacts { number, pid, name, threads, program, is_current, .. } = facts;
        ProcessRow { number, process: pid, selected: is_current, state, threads, name, program }
    }
}

impl ProcessRow {
    /// `process 2 (78, sh): stopped, 1 thread`.
    pub(super) fn show(&self, page: &mut Page) {
        let threads = if self.threads == 1 { "1 thread".into() } else { format!("{} threads", self.threads) };
        page.spans(vec![
            Span::new(format!("process {} ({}, {}): ", self.number, self.process, self.name), Style::Strong),
            format!("{}, {threads}", self.state.replace('_', "-")).into(),
        ]);
    }
}

/// All of them.
pub(super) fn rows(cx: &Context<'_>) -> Vec<ProcessRow> {
    cx.session.processes().into_iter().map(ProcessRow::from).collect()
}

/// The current one.
pub(super) fn current(cx: &Context<'_>) -> Option<ProcessRow> {
    rows(cx).into_iter().find(|row| row.selected)
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let Args {} = parse(&COMMAND, words)?;
    Ok(Outcome::Reply(Reply::new(Processes { processes: rows(cx) })))
}

impl Show for Processes {
    fn show(&self, page: &mut Page) {
        if self.processes.is_empty() {
            return page.line("no process is attached");
        }
        let columns = vec![
            Column::right("#"),
            Column::right("PID"),
            Column::left("STATE"),
            Column::right("THREADS"),
            Column::shrinking("NAME", 2),
            Column::shrinking("PROGRAM", 1),
        ];
        let row = |row: &ProcessRow| {
            let mark = if row.selected { "* " } else { "" };
            let strong = if row.selected { Style::Strong } else { Style::Plain };
            let style = if row.state == "running" { Style::Good } else { Style::Plain };
            vec![
                Span::new(format!("{mark}{}", row.number), strong),
                row.process.to_string().into(),
                Span::new(row.state.replace('_', "-"), style),
                row.threads.to_string().into(),
                Span::new(&row.name, Style::Name),
                row.program.as_deref().unwrap_or("").into(),
            ]
        };
        page.table(Table { columns, rows: self.processes.iter().map(row).collect() });
    }
}
