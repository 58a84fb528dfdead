//! What a person wants to be run at a breakpoint (`on N COMMAND`): run at its stop, one after the other, each answer told as
//! an event at once. Decides nothing about stops.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::command::Outcome;
use super::dispatch::{self, run_line};
use super::page::Page;
use super::{Event, Failure, Session};
use crate::addr::Pid;
use crate::target::{Process, StopReport};

/// A command that a breakpoint has run.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(tag = "event", rename = "ran")]
pub struct Ran {
    /// The process.
    pub process: Pid,
    /// The breakpoint.
    pub number: u32,
    /// The command, as it was written.
    pub command: String,
    /// Whether it succeeded.
    pub ok: bool,
    /// Its reply.
    pub reply: Value,
    /// Why it failed.
    pub error: Option<Failure>,
    /// What people see of it.
    #[serde(skip)]
    pub page: Page,
}

/// What became of a stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AfterStop {
    /// The stop is not to be told: the first command was `silent`, at each breakpoint that was met.
    pub silent: bool,
    /// A command let the process run on.
    pub goes_on: bool,
}

/// Runs what is to be run at a stop. A `continue` among the commands is not made here but by whoever waits for the process:
/// a breakpoint that is met often must not nest.
pub fn after_stop(session: &mut Session, report: &StopReport) -> AfterStop {
    let all = session.current().map(|process| process.commands_at(&report.why)).unwrap_or_default();
    let mut after = AfterStop { silent: are_silent(&all), goes_on: false };
    let each =
        all.into_iter().flat_map(|(number, commands)| commands.into_iter().map(move |command| (number, command)));
    for (number, command) in each {
        if command == "silent" {
            continue;
        }
        if dispatch::is_continue(session, &command) {
            after.goes_on = true;
            return after;
        }
        let ran = run_one(session, report.process, number, command);
        let ok = ran.ok;
        session.tell(Event::Ran(Box::new(ran)));
        if !ok {
            return after;
        }
    }
    after
}

/// Whether something is to be run at a stop.
pub(super) fn has_commands(process: &Process, report: &StopReport) -> bool {
    !process.commands_at(&report.why).is_empty()
}

/// Whether the stop is not to be told.
pub(super) fn is_silent(process: &Process, report: &StopReport) -> bool {
    are_silent(&process.commands_at(&report.why))
}

/// As in gdb, a stop is told unless all that were met with it say otherwise.
fn are_silent(all: &[(u32, Vec<String>)]) -> bool {
    !all.is_empty() && all.iter().all(|(_, commands)| commands.first().is_some_and(|first| first == "silent"))
}

fn run_one(session: &mut Session, process: Pid, number: u32, command: String) -> Ran {
    let done = run_line(session, &command).and_then(|outcome| match outcome {
        None => Ok((Value::Null, Page::default())),
        Some(Outcome::Reply(reply)) => Ok((reply.json(), reply.page())),
        Some(_) => Err(Failure::plain("it cannot be run at a breakpoint")),
    });
    match done {
        Ok((reply, page)) => Ran { process, number, command, ok: true, reply, error: None, page },
        Err(error) => {
            Ran { process, number, command, ok: false, reply: Value::Null, error: Some(error), page: Page::default() }
        }
    }
}
