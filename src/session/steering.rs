//! Breakpoints and steps as commands ask for them: changes to a process that runs are made in a stop too short to notice, and
//! a step or `finish` is a request and a wait. Knows no words of commands.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::settings::Locking;
use super::state::Outcome;
use super::{Failure, LastEnd, Session};
use crate::addr::{Pid, Tid};
use crate::target::expr::Expr;
use crate::target::{self, Goal, Metronome, NewBreakpoint, Process, Repaired, Result, Signal, StopReport, Tracer};

/// What the guardian does, a process of its own: waits for the end of the godbg that started it, and undoes what that one has
/// left.
pub fn guard(journal: &Path) -> anyhow::Result<()> {
    if !target::await_tracers_end().context("cannot wait for the end of godbg")? {
        return Ok(());
    }
    let metronome = Rc::new(Metronome::on_this_thread().context("cannot make a timer")?);
    let done = target::guard(journal, Tracer::on_this_thread(), metronome);
    let line = match &done {
        Ok(None) => return Ok(()),
        Ok(Some(Repaired { process, breakpoints })) => {
            format!("godbg was killed: process {process} repaired, {breakpoints} breakpoints taken out")
        }
        Err(error) => {
            format!("godbg was killed, and what {} describes could not be undone: {error}", journal.display())
        }
    };
    // Nobody watches a guardian: what it did can be read afterwards.
    if let Some(folder) = journal.parent() {
        note(&folder.with_file_name("guardian.log"), &line)?;
    }
    Ok(done.map(drop)?)
}

/// Adds a line to a log that does not grow for ever.
fn note(log: &Path, line: &str) -> std::io::Result<()> {
    const LONGEST: u64 = 64 << 10;
    let full = std::fs::metadata(log).is_ok_and(|facts| facts.len() > LONGEST);
    let mut options = OpenOptions::new();
    options.create(true).append(!full).write(true).truncate(full).mode(0o600);
    writeln!(options.open(log)?, "{line}")
}

/// What single steps came to.
// One a command: its size does not matter.
#[allow(clippy::large_enum_variant)]
pub enum Steps {
    /// The thread stands again.
    Made {
        /// The stop.
        stop: StopReport,
        /// How many were made.
        count: u64,
    },
    /// The process has ended.
    Ended(LastEnd),
}

impl Session {
    /// Makes a change that needs a held process. One that runs is held for it and let run again: how long, then. A signal that
    /// arrives in that moment and would have stopped the process does so.
    pub fn briefly<T>(
        &mut self,
        change: impl FnOnce(&mut Process) -> Result<T>,
    ) -> anyhow::Result<(T, Option<Duration>)> {
        let process = self.process()?;
        if process.held().is_some() {
            return Ok((change(process)?, None));
        }
        let begin = Instant::now();
        let report = process.interrupt(crate::target::Why::Interrupt)?;
        let done = change(process);
        let stays = !report.also.is_empty();
        if stays {
            self.tell(crate::target::News::Stopped(report));
        } else {
            process.resume(false)?;
        }
        let held = begin.elapsed();
        self.pass_on_news();
        Ok((done?, Some(held)))
    }

    /// Sets a breakpoint, watchpoint or tracepoint: its number, and how long a running process was held for it.
    pub fn add_breakpoint(&mut self, new: NewBreakpoint) -> anyhow::Result<(u32, Option<Duration>)> {
        let number = self.process()?.next_breakpoint_number();
        let added = self.briefly(|process| process.add_breakpoint(number, new.clone()));
        if added.is_ok() {
            self.set_beside(number, &new);
        }
        if !self.point_numbers().contains(&number) && added.is_err() {
            self.rules.take_back_number(number);
        }
        Ok((number, added?.1))
    }

    /// Sets several at once: their numbers, and how long a running process was held for it. Those that were set before one
    /// could not be stay.
    pub fn add_breakpoints(&mut self, all: Vec<NewBreakpoint>) -> anyhow::Result<(Vec<u32>, Option<Duration>)> {
        let process = self.process()?;
        let numbered: Vec<(u32, NewBreakpoint)> =
            all.into_iter().map(|new| (process.next_breakpoint_number(), new)).collect();
        let numbers = numbered.iter().map(|(number, _)| *number).collect();
        let set = |process: &mut Process| {
            numbered.iter().try_for_each(|(number, new)| process.add_breakpoint(*number, new.clone()))
        };
        let ((), held) = self.briefly(set)?;
        numbered.iter().for_each(|(number, new)| self.set_beside(*number, new));
        Ok((numbers, held))
    }

    /// An expression with its names looked up, ready for being evaluated often.
    pub fn compile(&self, text: &str) -> anyhow::Result<Expr> {
        let expr = super::locations::parse_expr(text)?;
        let compiled = self.with_scene(None, |scene| expr.with_symbols(scene));
        Ok(compiled.map_err(|error| super::locations::failure("understand", text, &error))?)
    }

    /// The selected thread, which stands still.
    pub fn stopped_thread(&mut self) -> anyhow::Result<Tid> {
        let tid = self.selected().context("no thread is selected")?;
        if self.process()?.stopped_thread(tid).is_none() {
            let message = format!("thread {tid} does not stand still");
            return Err(Failure::hinted(message, "threads lists them; thread N selects one").into());
        }
        Ok(tid)
    }

    /// Makes so many single steps of the selected thread. Ctrl-C ends them early, and so does the end of the process.
    pub fn step(&mut self, count: u64) -> anyhow::Result<Steps> {
        let tid = self.stopped_thread()?;
        self.note_registers();
        let Some(mut process) = self.take_process() else { anyhow::bail!("no process is attached") };
        let others_run = self.settings.locking == Locking::Off;
        let stepped = process.step(tid, count, others_run, &mut || {
            self.notice_requests();
            self.request().is_none()
        });
        self.put_process(process);
        self.claim(|session| session.pass_on_news());
        let (report, made) = match stepped {
            Err(target::Error::Ended(pid)) => return self.end_in_step(pid),
            stepped => stepped?,
        };
        self.select(report.thread);
        if self.request().is_some_and(|signal| signal != Signal::INT) || self.request().is_some() && !self.interactive {
            return Err(super::Interrupted.into());
        }
        Ok(Steps::Made { stop: report, count: made })
    }

    /// The process has ended in a step. What it came to is told as by `continue`; the kernel reports it once all its threads
    /// have gone.
    fn end_in_step(&mut self, pid: Pid) -> anyhow::Result<Steps> {
        const LONGEST: Duration = Duration::from_secs(2);
        match self.wait_for_process(Some(Instant::now() + LONGEST))? {
            Outcome::Ended(last) if last.process == pid => Ok(Steps::Ended(last)),
            _ => Err(target::Error::Ended(pid).into()),
        }
    }

    /// Asks for a stop at these places when the process goes on.
    pub fn set_goals(&mut self, goals: Vec<Goal>) -> anyhow::Result<()> {
        Ok(self.process()?.run_to(goals)?)
    }
}
