//! Holding a running process for a moment: it goes on as it ran before, unless something has come up meanwhile that people are
//! to see. Refuses to know what the moment is for.

use std::time::{Duration, Instant};

use super::super::process::{Phase, Process};
use super::super::thread::{State, Thread};
use super::super::{News, Result, Why};
use crate::addr::Tid;

/// A process that was held for a moment.
pub(in crate::target) struct Hold {
    since: Instant,
    had_terminal: bool,
    was_job_stopped: bool,
}

impl Process {
    /// Stops a process that runs. `None`: it was held already, and stays so.
    pub(in crate::target) fn take_hold(&mut self) -> Result<Option<Hold>> {
        let hold = matches!(self.phase, Phase::Running).then(|| Hold {
            since: Instant::now(),
            had_terminal: self.has_terminal,
            was_job_stopped: self.is_job_stopped(),
        });
        self.interrupt(Why::Interrupt)?;
        Ok(hold)
    }

    /// Lets it run again, and tells how long it stood still.
    pub(in crate::target) fn release(&mut self, hold: Hold) -> Result<Duration> {
        if matches!(self.phase, Phase::Held { .. }) {
            match self.come_up(&hold).and_then(|(tid, why)| self.report_of(tid, why)) {
                Some(report) => self.news.push_back(News::Stopped(report)),
                None => drop(self.resume(hold.had_terminal)?),
            }
        }
        // Otherwise a leash has let it run, or it has ended.
        Ok(hold.since.elapsed())
    }

    /// What would have stopped the process had it not been held just then.
    fn come_up(&self, hold: &Hold) -> Option<(Tid, Why)> {
        let is_news = |thread: &Thread| match thread.why {
            // One that sleeps in the kernel has nothing new to tell.
            _ if !matches!(thread.state, State::Stopped(_)) => false,
            Why::Signal { .. } | Why::Terminal { .. } => true,
            Why::JobControl { .. } => !hold.was_job_stopped,
            // What met a breakpoint just then was put before it again, and meets it when all go on.
            Why::Interrupt => false,
            _ => thread.for_godbg,
        };
        self.threads.iter().find(|(_, thread)| is_news(thread)).map(|(tid, thread)| (*tid, thread.why))
    }
}
