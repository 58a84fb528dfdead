//! `wait`: waits until the process stops or ends, and prints its wait status and resource usage.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::{Pid, Tid};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::event::end_words;
use crate::session::hooks;
use crate::session::page::{Page, Span, Style};
use crate::session::{
    Command, Context, Failure, Group, LastEnd, Needs, Outcome, ProcessOutcome, Reply, Show, Words, duration,
};
use crate::target::{End, StopReport, Usage};

pub(super) const COMMAND: Command = Command {
    name: "wait",
    aliases: &[],
    group: Group::Running,
    summary: "Wait for a stop or the end: wait status and resource usage",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Waited>,
    question: no_question,
    run,
};

/// Waits until the process stops or ends, at once if it is stopped. Prints the wait status as wait4(2) gives it and the
/// resource usage of the whole process (getrusage(2)). When the time is up first, that is a failure.
#[derive(clap::Parser)]
struct Args {
    /// How long to wait at most
    #[arg(value_name = "DURATION", value_parser = duration::parse)]
    duration: Option<Duration>,
}

#[derive(Serialize, JsonSchema)]
struct Waited {
    process: Pid,
    /// `stopped` or `ended`.
    state: &'static str,
    /// The thread whose stop this is.
    thread: Option<Tid>,
    /// The wait status as wait4(2) would give it.
    status: u32,
    /// The status in words.
    meaning: String,
    /// Why it was stopped, which thread did it, and where that stands.
    stop: Option<StopReport>,
    end: Option<End>,
    /// Null right after an exec by a thread that was not the leader: the kernel then tells no more.
    usage: Option<Usage>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    if cx.session.current().is_none() && cx.session.last_end().is_none() {
        return Err(Failure::hinted(
            "wait needs a process, and none is attached",
            "attach PID or exec PROGRAM; ps lists the processes",
        )
        .into());
    }
    let deadline = args.duration.map(|duration| Instant::now() + duration);
    let waited = loop {
        let ran = cx.session.current().is_some_and(|process| process.held().is_none());
        match cx.session.wait_for_process(deadline)? {
            // What is to be run at a stop is run by whoever is told of it first.
            ProcessOutcome::Stopped(report) if ran && hooks::after_stop(cx.session, &report).goes_on => {
                cx.session.resume(false)?;
            }
            ProcessOutcome::Stopped(report) => break stopped(cx, report)?,
            ProcessOutcome::Ended(last) => break ended(last),
            ProcessOutcome::StillRuns => return Err(still_runs(cx, args.duration.unwrap_or_default())?.into()),
        }
    };
    Ok(Outcome::Reply(Reply::new(waited)))
}

/// The time is up.
fn still_runs(cx: &mut Context<'_>, waited: Duration) -> anyhow::Result<Failure> {
    let process = cx.session.process()?;
    let message = format!("process {} has neither stopped nor ended within {}", process.pid(), duration::show(waited));
    let held = process.held().is_some();
    let hint = if held { "all its threads sleep in the kernel: threads shows where" } else { "interrupt stops it" };
    Ok(Failure::hinted(message, hint))
}

fn stopped(cx: &mut Context<'_>, report: StopReport) -> anyhow::Result<Waited> {
    let (thread, status, usage) = cx.session.process()?.wait_status(report.thread)?;
    Ok(Waited {
        process: report.process,
        state: "stopped",
        thread: Some(thread),
        status,
        meaning: meaning(status),
        end: None,
        stop: Some(report),
        usage,
    })
}

fn ended(last: LastEnd) -> Waited {
    Waited {
        process: last.process,
        state: "ended",
        thread: None,
        status: last.status,
        meaning: end_words(&last.end),
        stop: None,
        end: Some(last.end),
        usage: Some(last.usage),
    }
}

/// What the status of a stop means (ptrace(2), "Stopped states").
fn meaning(status: u32) -> String {
    use crate::target::Signal;
    let signal = Signal((status >> 8 & 0x7f) as i32);
    match status >> 16 {
        0 if status & 0x8000 != 0 => "entry to a system call or return from it".into(),
        0 => format!("{signal} is about to be delivered"),
        128 if signal == Signal::TRAP => "stop asked for by the tracer".into(),
        128 => format!("job control stop, {signal}"),
        1 => "fork event".into(),
        2 => "vfork event".into(),
        3 => "clone event: it has made a thread".into(),
        4 => "exec event".into(),
        5 => "the child of a vfork has executed a program or ended".into(),
        6 => "exit event: the thread is about to end".into(),
        event => format!("ptrace event {event}"),
    }
}

impl Show for Waited {
    fn show(&self, page: &mut Page) {
        if let Some(stop) = &self.stop {
            stop.show(page);
        }
        let status = format!("status {:#x} ({})", self.status, self.meaning);
        match self.thread {
            Some(thread) => page.line(format!("  thread {thread}, {status}")),
            None => {
                let name = Span::new(format!("process {} ", self.process), Style::Strong);
                page.spans(vec![name, format!("ended: {status}").into()]);
            }
        }
        let Some(usage) = self.usage else { return };
        let Usage { user_s, system_s, max_rss_kib, minor_faults, major_faults, blocks_in, blocks_out, .. } = usage;
        let Usage { voluntary_switches, involuntary_switches, .. } = usage;
        page.line(format!(
            "  user {user_s:.3} s  system {system_s:.3} s  max rss {max_rss_kib} KiB  \
             faults {minor_faults} minor {major_faults} major  blocks {blocks_in} in {blocks_out} out  \
             switches {voluntary_switches} voluntary {involuntary_switches} involuntary"
        ));
    }
}
