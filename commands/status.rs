//! `status`: the session at one glance: program, state and why, threads by state, tracer, limits in force.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::{Pid, Tid};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::event::{end_words, show_late, why_words};
use crate::session::locations::file_name;
use crate::session::page::{Page, Span, Style};
use crate::session::settings::{ALL, Settings};
use crate::session::symbol_facts::{FileSymbols, file_symbols};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Session, Show, Words, duration};
use crate::target::{End, Kind, LoadedModule, Origin, Protection, REGISTERS, StopReport};

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

/// So many files are told of: `libraries` tells of all.
const MOST_FILES: usize = 12;

/// The settings that change what processes do.
const STEERING: [&str; 3] = ["scheduler-locking", "follow-fork", "schedule-multiple"];

#[derive(Serialize, JsonSchema)]
struct Status {
    process: Option<ProcessStatus>,
    /// The process before, if it has ended.
    ended: Option<Ended>,
    /// The leash in milliseconds.
    leash_ms: Option<f64>,
    /// How many catchpoints are set.
    catchpoints: usize,
    /// Settings of how processes run and are followed, where they are not the usual ones.
    limits: Vec<Limit>,
}

/// A setting that is not the usual one.
#[derive(Serialize, JsonSchema)]
struct Limit {
    name: &'static str,
    value: String,
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
    /// How many watchpoints are set.
    watchpoints: usize,
    /// How many tracepoints are set.
    tracepoints: usize,
    /// How many of the debug registers are in use, of 4.
    debug_registers_in_use: usize,
    /// The program and its libraries with their symbols: so many as `status` shows.
    files: Vec<FileSymbols>,
    /// How many files there are.
    files_mapped: usize,
    /// What would become of the process if godbg were killed now.
    #[serde(flatten)]
    protection: Protection,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let Args {} = parse(&COMMAND, words)?;
    let session = &*cx.session;
    let ended = session.last_end().filter(|_| session.current().is_none());
    Ok(Outcome::Reply(Reply::new(Status {
        process: process_status(session),
        ended: ended.map(|last| Ended { process: last.process, end: last.end }),
        leash_ms: session.settings.leash.map(millis),
        catchpoints: session.rules().catches.list().len(),
        limits: limits(&session.settings),
    })))
}

fn limits(settings: &Settings) -> Vec<Limit> {
    let usual = Settings::default();
    let named = ALL.iter().filter(|setting| STEERING.contains(&setting.name));
    let changed = named.filter(|setting| setting.get(settings) != setting.get(&usual));
    changed.map(|setting| Limit { name: setting.name, value: setting.get(settings) }).collect()
}

fn process_status(session: &Session) -> Option<ProcessStatus> {
    let process = session.current()?;
    let held = process.held();
    let set = process.breakpoints();
    let locations = session.locations();
    let files: Vec<&LoadedModule> = locations.modules().iter().filter(|file| file.is_executable()).collect();
    let tracepoints = set.iter().filter(|one| one.trace.is_some()).count();
    let watchpoints = set.iter().filter(|one| one.trace.is_none() && matches!(one.kind, Kind::Watch(_))).count();
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
        breakpoints: set.len() - watchpoints - tracepoints,
        watchpoints,
        tracepoints,
        debug_registers_in_use: process.debug_registers_in_use(),
        files_mapped: files.len(),
        files: files.into_iter().take(MOST_FILES).filter_map(file_symbols).collect(),
        protection: process.protection(),
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
            process.show(page, self);
            return self.show_limits(page);
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
        if self.catchpoints > 0 {
            row(page, "breakpoints", format!("{}, for the next process", count(self.catchpoints, "catchpoint")));
        }
        self.show_limits(page);
    }
}

impl Status {
    fn show_limits(&self, page: &mut Page) {
        let words: Vec<String> = self.limits.iter().map(|limit| format!("{} {}", limit.name, limit.value)).collect();
        if !words.is_empty() {
            row(page, "settings", words.join(", "));
        }
    }
}

/// `2 breakpoints`.
fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

impl ProcessStatus {
    fn show(&self, page: &mut Page, status: &Status) {
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
        let leash = match (status.leash_ms, self.leash_left_ms) {
            (None, _) => "off: it is held until continue or detach".into(),
            (Some(leash), None) => format!("{} (counts while it is held)", show_millis(leash)),
            (Some(leash), Some(left)) => format!("{} left of {}", show_millis(left), show_millis(leash)),
        };
        row(page, "leash", leash);
        row(page, "breakpoints", self.breakpoint_words(status.catchpoints));
        for (index, file) in self.files.iter().enumerate() {
            let name = if index == 0 { "symbols" } else { "" };
            row(page, name, format!("{}: {}", file_name(&file.path), file.brief_words()));
        }
        if self.files_mapped > self.files.len() {
            row(page, "", format!("and {} more files: libraries lists them", self.files_mapped - self.files.len()));
        }
        if self.files.iter().any(FileSymbols::is_brief) {
            row(page, "", "libraries REGEX names the places where was looked");
        }
        match &self.protection {
            Protection::NotNeeded | Protection::EndsWithGodbg => {}
            Protection::Guarded => row(page, "guardian", "waits, and repairs the process should godbg be killed"),
            Protection::Unguarded { why } => row(page, "guardian", format!("none: {why}")),
        }
    }

    /// `1 breakpoint, 1 watchpoint, 2 catchpoints; 1 of 4 debug registers in use`.
    fn breakpoint_words(&self, catchpoints: usize) -> String {
        let counts = [
            (self.breakpoints, "breakpoint"),
            (self.watchpoints, "watchpoint"),
            (self.tracepoints, "tracepoint"),
            (catchpoints, "catchpoint"),
        ];
        let words: Vec<String> =
            counts.iter().filter(|(number, _)| *number > 0).map(|(number, word)| count(*number, word)).collect();
        let registers = match self.debug_registers_in_use {
            0 => String::new(),
            used => format!("; {used} of {REGISTERS} debug registers in use"),
        };
        if words.is_empty() { "none".into() } else { words.join(", ") + &registers }
    }
}

fn row(page: &mut Page, name: &str, value: impl AsRef<str>) {
    page.spans(vec![Span::new(format!("  {name:12} "), Style::Dim), value.as_ref().into()]);
}
