//! What commands that look at memory share: what was examined last, long work that stays attentive, and the words that say
//! that a process ran meanwhile. Shows nothing itself.

use std::time::{Duration, Instant};

use super::Session;
use super::failure::Failure;
use super::listing::Listed;
use super::page::{Page, Span, Style};
use crate::addr::{Pid, RuntimeAddr};
use crate::target::{Fault, Process};

/// What is remembered from one look to the next.
#[derive(Clone, Debug, Default)]
pub struct Looking {
    /// What `x` was asked for last.
    pub examined: Examined,
    /// What `list` showed last since the process stopped.
    pub listed: Option<Listed>,
    /// What an empty line runs now, where that is not the line itself.
    pub again: Option<String>,
}

/// gdb's memory of `x`: its next look takes what is not said from here.
#[derive(Clone, Copy, Debug)]
pub struct Examined {
    /// The letter of the format.
    pub format: char,
    /// Bytes in a unit.
    pub size: u8,
    /// How many units.
    pub count: usize,
    /// The address behind what was shown last.
    pub next: Option<RuntimeAddr>,
}

impl Default for Examined {
    fn default() -> Examined {
        Examined { format: 'x', size: 4, count: 1, next: None }
    }
}

/// How long work may go on before events are taken in: a Ctrl-C should feel obeyed at once.
const GLANCE_EVERY: Duration = Duration::from_millis(20);

/// When work that does not wait has looked up last.
pub struct Glances(Instant);

impl Glances {
    /// Begins now.
    #[expect(clippy::new_without_default, reason = "it begins at a moment, which is no default")]
    pub fn new() -> Glances {
        Glances(Instant::now())
    }

    /// To be called often by work that takes long: now and then takes in what has happened. Fails if a signal asks the command
    /// to stop, or if the process has ended.
    pub fn glance(&mut self, session: &mut Session) -> anyhow::Result<()> {
        if self.0.elapsed() < GLANCE_EVERY {
            return Ok(());
        }
        session.attend(Some(Instant::now()))?;
        self.0 = Instant::now();
        session.process().map(drop)
    }
}

/// Whether a process runs while it is looked at. Goes into replies.
pub fn runs(process: &Process) -> bool {
    process.held().is_none()
}

/// Says that the process ran meanwhile, if it did.
pub fn note_running(page: &mut Page, process: Pid, running: bool) {
    if running {
        page.spans(vec![Span::new(format!("process {process} runs: what is shown may be torn"), Style::Warn)]);
    }
}

/// A fault as a failure with a hint.
pub fn fault(fault: Fault) -> Failure {
    match fault {
        Fault::Bad { .. } => Failure::hinted(fault.to_string(), "maps lists what is mapped"),
        _ => Failure::plain(fault.to_string()),
    }
}
