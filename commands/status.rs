//! `status`: the session at one glance: program, state and why, threads by state, tracer, limits in force.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::{Pid, Tid};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::event::{end_words, show_late, why_words};
use crate::session::page::{Page, Span, Style};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Session, Show, Words, duration};
use crate::target::{End, Origin, StopReport};

pub(super) const COMMAND: Command = Command {
    name: "status",
    aliases: &["info program", "info proc"],
    group: Group::Process,
    summary: "Say what is attached, in which state, since when",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Status>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
struct Args {}

#[derive(Serialize, JsonSchema)]
struct Status {
    process: Option<ProcessStatus>,
    /// The process before, if it has ended.
    ended: Option<Ended>,
    /// The leash in milliseconds.
    leash_ms: Option<f64>,
}

#[derive(Serialize, JsonSchema)]
struct Ended {
    process: Pid,
    #[serde(flatten)]
    end: End,
}

#[derive(Serialize, JsonSchema)]
struct ProcessStatus {
    process: Pid,
    name: String,
    /// Its executable, as the kernel knows it; ` (deleted)` behind it if the file is gone.
    program: Option<String>,
    /// `attached` or `started`.
    origin: &'static str,
    /// `stopped` or `running`.
    state: &'static str,
    /// Why it is stopped.
    stop: Option<StopReport>,
    /// Whether job control keeps it stopped.
    job_stopped: bool,
    /// The number of threads by state letter.
    threads: BTreeMap<char, usize>,
    /// The selected thread.
    thread: Option<Tid>,
    /// The thread of godbg that the kernel names as tracer.
    tracer: Tid,
    /// Milliseconds for which it has been held.
    held_ms: Option<f64>,
    /// Milliseconds until the leash lets it run.
    leash_left_ms: Option<f64>,
    /// How many breakpoints are set.
    breakpoints: usize,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let Args {} = parse(&COMMAND, words)?;
    let session = &*cx.session;
    let ended = session.last_end().filter(|_| session.current().is_none());
    Ok(Outcome::Reply(Reply::new(Status {
        process: process_status(session),
        ended: ended.map(|last| Ended { process: last.process, end: last.end }),
        leash_ms: session.settings.leash.map(millis),
    })))
}

fn process_status(session: &Session) -> Option<ProcessStatus> {
    let process = session.current()?;
    let held = process.held();
    Some(ProcessStatus {
        process: process.pid(),
        name: process.name().to_owned(),
        program: process.program(),
        origin: if process.origin() == Origin::Attached { "attached" } else { "started" },
        state: if held.is_some() { "stopped" } else { "running" },
        stop: held.map(|(_, report)| report.clone()),
        job_stopped: process.is_job_stopped(),
        threads: process.states(),
        thread: session.selected(),
        tracer: process.tracer(),
        held_ms: process.held_for().map(millis),
        leash_left_ms: session.leash_left().map(millis),
        breakpoints: 0,
    })
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn show_millis(millis: f64) -> String {
    duration::show(Duration::from_secs_f64(millis.max(0.0) / 1e3))
}

impl Show for Status {
    fn show(&self, page: &mut Page) {
        if let Some(process) = &self.process {
            process.show(page, self.leash_ms);
            return;
        }
        match &self.ended {
            Some(ended) => {
                page.line(format!("no process is attached; process {} {}", ended.process, end_words(&ended.end)))
            }
            None => page.line("no process is attached"),
        }
        if let Some(leash) = self.leash_ms {
            row(page, "leash", format!("{}, for the next process", show_millis(leash)));
        }
    }
}

impl ProcessStatus {
    fn show(&self, page: &mut Page, leash: Option<f64>) {
        let why = self.stop.as_ref().map(|stop| format!(", {}", why_words(&stop.why))).unwrap_or_default();
        page.spans(vec![
            Span::new(format!("process {} ({}): ", self.process, self.name), Style::Strong),
            Span::new(format!("{}{why}", self.state), if self.stop.is_some() { Style::Warn } else { Style::Good }),
        ]);
        let program = self.program.as_deref().unwrap_or("unknown");
        row(page, "program", format!("{program} ({})", self.origin));
        let total: usize = self.threads.values().sum();
        let states: Vec<String> = self.threads.iter().map(|(state, count)| format!("{count} {state}")).collect();
        row(page, "threads", format!("{total}: {}", states.join(", ")));
        if let Some(stop) = &self.stop {
            show_late(page, &stop.late);
        }
        if self.job_stopped {
            row(page, "job control", "keeps it stopped: SIGCONT starts it");
        }
        row(page, "tracer", format!("thread {} of godbg ({})", self.tracer, std::process::id()));
        if let Some(held) = self.held_ms {
            row(page, "held for", show_millis(held));
        }
        let leash = match (leash, self.leash_left_ms) {
            (None, _) => "off: it is held until continue or detach".into(),
            (Some(leash), None) => format!("{} (counts while it is held)", show_millis(leash)),
            (Some(leash), Some(left)) => format!("{} left of {}", show_millis(left), show_millis(leash)),
        };
        row(page, "leash", leash);
        let breakpoints = if self.breakpoints == 0 { "none".into() } else { self.breakpoints.to_string() };
        row(page, "breakpoints", breakpoints);
    }
}

fn row(page: &mut Page, name: &str, value: impl AsRef<str>) {
    page.spans(vec![Span::new(format!("  {name:12} "), Style::Dim), value.as_ref().into()]);
}
