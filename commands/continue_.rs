//! `continue`: lets all threads run, until something happens or in the background.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::Pid;
use crate::session::code::{self, CodeRow};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::event::end_words;
use crate::session::hooks;
use crate::session::page::{Page, Span, Style};
use crate::session::{
    Command, Context, Failure, Group, Interrupted, LastEnd, Needs, Outcome, ProcessOutcome, Reply, Show, Words,
};
use crate::target::{End, Origin, Resumed, Signal, StopReport, Why};

pub(super) const COMMAND: Command = Command {
    name: "continue",
    aliases: &["c", "cont", "c&", "continue&"],
    group: Group::Running,
    summary: "Let the process run until something happens (continue &: in the background)",
    needs: Needs::Stopped,
    words: Words::Split,
    repeats: true,
    args: args::<Args>,
    reply: reply::<Continued>,
    question: no_question,
    run,
};

/// Lets all threads run until one of them is given a signal, job control stops the process, or it ends. Ctrl-C stops it
/// without a signal. With `&` the prompt comes back at once, and what happens is told above it.
#[derive(clap::Parser)]
struct Args {
    /// `&`: do not wait
    #[arg(value_name = "&")]
    background: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
// One a command: its size does not matter.
#[allow(clippy::large_enum_variant)]
pub(super) enum Continued {
    /// It runs in the background.
    Running { process: Pid },
    /// Job control keeps it stopped.
    JobStopped { process: Pid },
    /// It has stopped again.
    Stopped {
        #[serde(flatten)]
        report: StopReport,
        /// Whether `on N silent` keeps it from being told to people.
        #[serde(skip)]
        silent: bool,
        /// The instruction that it would make next, where a step has ended.
        next: Box<Option<CodeRow>>,
    },
    /// It has ended.
    Ended { process: Pid, end: End },
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let background = match args.background.as_deref() {
        None => false,
        Some("&") => true,
        Some(word) => {
            return Err(Failure::usage(format!("continue: {word:?} is not known here"), "usage: continue [&]").into());
        }
    };
    let continued = go_on(cx, background)?;
    Ok(Outcome::Reply(Reply::new(continued)))
}

/// Lets the process run, and waits for what comes of it unless it is to run in the background.
pub(super) fn go_on(cx: &mut Context<'_>, background: bool) -> anyhow::Result<Continued> {
    let process = cx.session.process()?.pid();
    let resumed = cx.session.resume(!background)?;
    let continued = match (resumed, background) {
        (Resumed::StaysStopped, _) => Continued::JobStopped { process },
        (Resumed::Runs, true) => Continued::Running { process },
        (Resumed::Runs, false) => loop {
            if let Some(continued) = run_until_stop(cx)? {
                break continued;
            }
        },
    };
    Ok(continued)
}

/// `None`: what is run at a breakpoint has let it run on.
fn run_until_stop(cx: &mut Context<'_>) -> anyhow::Result<Option<Continued>> {
    let outcome = match cx.session.wait_for_process(None) {
        // Ctrl-C at a terminal means the process; in a script it ends the script.
        Err(error) if error.is::<Interrupted>() && cx.session.interactive => {
            if cx.session.request() != Some(Signal::INT) {
                return Err(error);
            }
            return Ok(Some(Continued::stopped(cx.session.interrupt()?)));
        }
        outcome => outcome?,
    };
    match outcome {
        ProcessOutcome::Stopped(report) => {
            let started = cx.session.current().is_some_and(|process| process.origin() == Origin::Started);
            if started && report.why == Why::Interrupt {
                // Ctrl-C went to the program, which had the terminal; it was meant for godbg, or for its script.
                cx.session.request_interrupt();
                if !cx.session.interactive {
                    return Err(Interrupted.into());
                }
            }
            let after = hooks::after_stop(cx.session, &report);
            if after.goes_on {
                cx.session.resume(true)?;
                return Ok(None);
            }
            let arrived = matches!(report.why, Why::Step | Why::FunctionFinished | Why::LocationReached);
            let next = if arrived { cx.session.next_instruction() } else { None };
            let report = if after.silent { report } else { cx.session.described(report) };
            Ok(Some(Continued::Stopped { report, silent: after.silent, next: Box::new(next) }))
        }
        ProcessOutcome::Ended(last) => Ok(Some(last.into())),
        ProcessOutcome::StillRuns => unreachable!("a wait without a deadline does not run out"),
    }
}

impl From<LastEnd> for Continued {
    fn from(last: LastEnd) -> Continued {
        Continued::Ended { process: last.process, end: last.end }
    }
}

impl Continued {
    fn stopped(report: StopReport) -> Continued {
        Continued::Stopped { report, silent: false, next: Box::new(None) }
    }
}

impl Show for Continued {
    fn show(&self, page: &mut Page) {
        match self {
            Continued::Running { process } => page.line(format!("process {process} runs")),
            Continued::JobStopped { process } => {
                let text = format!("process {process} stays stopped: job control has stopped it");
                page.spans(vec![Span::new(text, Style::Warn)]);
                page.line(format!("  kill -CONT {process} starts it"));
            }
            Continued::Stopped { silent: true, .. } => {}
            Continued::Stopped { report, next, .. } => {
                report.show(page);
                code::show(page, next.as_slice(), false);
            }
            Continued::Ended { process, end } => page.line(format!("process {process} {}", end_words(end))),
        }
    }
}
