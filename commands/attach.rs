//! `attach`: stops every thread of a running process and follows new ones.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::{Pid, Tid};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::event::show_late;
use crate::session::page::{Page, Span, Style};
use crate::session::{AttachFacts, Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words, duration};
use crate::target::{self, Candidate, LARGEST_PID, LateThread, ThreadSignal, Why};

pub(super) const COMMAND: Command = Command {
    name: "attach",
    aliases: &[],
    group: Group::Process,
    summary: "Stop every thread of a running process",
    needs: Needs::NoProcess,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Attached>,
    question: no_question,
    run,
};

/// Stops every thread of a process and follows new ones. The process goes on as it was at `detach` and at every way out
/// of godbg.
#[derive(clap::Parser)]
struct Args {
    /// Let the process run by itself when it has been held this long since the last command (also: set leash)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    leash: Option<Duration>,
    /// The process: its pid, a thread's tid, or its name
    #[arg(value_name = "PID|NAME", allow_hyphen_values = true)]
    process: String,
}

#[derive(Serialize, JsonSchema)]
struct Attached {
    process: Pid,
    name: String,
    /// Its executable, as the kernel knows it.
    program: Option<String>,
    threads: usize,
    /// How many of them stand still.
    stopped: usize,
    /// Milliseconds from the first request to stop until the last thread stood.
    stopped_in_ms: f64,
    /// The selected thread.
    thread: Tid,
    #[serde(flatten)]
    why: Why,
    /// Signals that threads had been given just before; they get them when they go on.
    signals: Vec<ThreadSignal>,
    /// Threads that sleep in the kernel and have not stopped yet.
    late: Vec<LateThread>,
    /// The tid that was asked for, where it was not the process's pid.
    asked: Option<Tid>,
    /// Whether godbg descends from it, so that the shell it was started from stands still.
    is_ancestor: bool,
    /// Whether its leader thread had exited before.
    leader_exited: bool,
    /// Whether breakpoints that a killed godbg had left in it were taken out.
    repaired: bool,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let pid = find(&args.process, "attach")?;
    let facts = cx.session.attach(pid)?;
    if args.leash.is_some() {
        cx.session.settings.leash = args.leash.filter(|leash| !leash.is_zero());
    }
    Ok(Outcome::Reply(Reply::new(Attached::from(facts))))
}

/// The process that a word means. What begins like a number is one; all else is a name.
pub(super) fn find(word: &str, command: &str) -> Result<Pid, Failure> {
    let numeric = word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    if let Ok(pid) = word.parse::<i32>()
        && (1..=LARGEST_PID).contains(&pid)
    {
        return Ok(Pid(pid));
    }
    let called: Vec<Candidate> = target::called(word);
    let short: String = word.chars().take(40).collect();
    match called.as_slice() {
        [one] => Ok(one.pid),
        [] if numeric => Err(Failure::usage(
            format!("{command}: {short:?} is no pid: a whole number from 1 to {LARGEST_PID}"),
            format!("usage: {command} [OPTIONS] PID|NAME; ps lists the processes"),
        )),
        [] => Err(Failure::usage(
            format!("{command}: no process is called {short:?}"),
            format!("usage: {command} [OPTIONS] PID|NAME; ps lists the processes"),
        )),
        several => {
            let list: Vec<String> = several.iter().take(10).map(brief).collect();
            let more = if several.len() > 10 { ", …" } else { "" };
            Err(Failure::hinted(
                format!("{command}: {short:?} fits {} processes: {}{more}", several.len(), list.join(", ")),
                format!("{command} one of them by its pid; ps {short} shows more of them"),
            ))
        }
    }
}

/// A process in a list: programs pad their titles with blanks, and some are long.
fn brief(one: &Candidate) -> String {
    let words: Vec<&str> = one.command.split_whitespace().collect();
    let title: String = words.join(" ").chars().take(40).collect();
    format!("{} ({})", one.pid, title.trim_end())
}

impl From<AttachFacts> for Attached {
    fn from(facts: AttachFacts) -> Attached {
        let report = facts.report;
        Attached {
            process: report.process,
            name: facts.name,
            program: facts.program,
            threads: facts.threads,
            stopped: facts.stopped,
            stopped_in_ms: facts.stopped_in.as_secs_f64() * 1e3,
            thread: report.thread,
            why: report.why,
            signals: report.also,
            late: report.late,
            asked: facts.asked,
            is_ancestor: facts.is_ancestor,
            leader_exited: facts.leader_exited,
            repaired: facts.repaired,
        }
    }
}

impl Show for Attached {
    fn show(&self, page: &mut Page) {
        let threads = match (self.stopped, self.threads) {
            (1, 1) => "1 thread".into(),
            (stopped, threads) if stopped == threads => format!("{threads} threads"),
            (stopped, threads) => format!("{stopped} of {threads} threads"),
        };
        let time = duration::show(Duration::from_secs_f64(self.stopped_in_ms / 1e3));
        page.spans(vec![
            Span::new(format!("process {} ({}): ", self.process, self.name), Style::Strong),
            format!("{threads} stopped in {time}").into(),
        ]);
        if let Some(tid) = self.asked {
            page.line(format!("  {tid} is a thread of process {}: all of it is attached", self.process));
        }
        if let Why::JobControl { signal } = self.why {
            page.line(format!("  job control had stopped it before ({signal}); it stays stopped after detach"));
        }
        if self.leader_exited {
            page.line("  its leader thread has exited (Z) and answers nothing; the others are here");
        }
        if self.repaired {
            page.line("  a godbg that was killed had left breakpoints in it; they were taken out");
        }
        if self.is_ancestor {
            let warning =
                "  godbg was started from this process: it stands still, and its terminal with it, until detach";
            page.spans(vec![Span::new(warning, Style::Warn)]);
        }
        for given in &self.signals {
            page.line(format!("  thread {} was just given {}; it gets it when it goes on", given.thread, given.signal));
        }
        show_late(page, &self.late);
    }
}
