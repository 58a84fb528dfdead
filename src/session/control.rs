//! What commands ask for the process as a whole: attach to it, start it, let it run, stop it, let it go, end it, write its
//! core. Each passes on what the process had to tell. Waits are in `attending`; knows no words of commands.

use anyhow::Context as _;

use super::settings::Locking;
use super::{Seen, Session};
use crate::addr::{Pid, Tid};
use crate::target::expr::Expr;
use crate::target::{
    self, AttachFacts, Catch, Catchpoint, CoreFacts, CoreImage, End, Launch, Released, Repaired, Resumed, Signal,
    StopReport, Why,
};

impl Session {
    /// Attaches to a process and stops it.
    pub fn attach(&mut self, pid: Pid) -> target::Result<AttachFacts> {
        let (process, facts) = target::attach(pid, self.tracer, self.metronome.clone(), self.rules.clone())?;
        // Threads of it that were still to be let go are its threads again.
        self.leaving.retain(|leaving| leaving.process != facts.report.process);
        self.selected = Some(facts.report.thread);
        self.seen = Seen::default();
        self.last_end = None;
        self.process = Some(process);
        self.begin_numbers();
        self.pass_on_news();
        Ok(facts)
    }

    /// Undoes what a killed godbg has left in a process that is not attached.
    pub fn repair(&mut self, pid: Pid) -> target::Result<Option<Repaired>> {
        target::repair(pid, self.tracer, self.metronome.clone())
    }

    /// Starts a program and holds it at its first instruction.
    pub fn launch(&mut self, launch: Launch) -> target::Result<StopReport> {
        let mut process = target::launch(launch, self.tracer, self.metronome.clone(), self.rules.clone())?;
        let report = process.interrupt(Why::Start)?;
        self.selected = Some(report.thread);
        self.seen = Seen::default();
        self.last_end = None;
        self.process = Some(process);
        self.begin_numbers();
        Ok(report)
    }

    /// Lets the process run on. In the foreground it gets the terminal, if it was started with one.
    pub fn resume(&mut self, foreground: bool) -> anyhow::Result<Resumed> {
        self.check_vfork()?;
        self.note_registers();
        let (selected, variables) = (self.selected, self.variables.clone());
        let alone = selected.filter(|_| self.settings.locking == Locking::On);
        let process = self.process()?;
        process.lend_variables(variables);
        if let Some(tid) = selected {
            process.pass_breakpoint_here(tid);
        }
        process.run_alone_next(alone);
        let resumed = process.resume(foreground);
        if self.settings.schedule_multiple && self.process.as_ref().is_some_and(|process| process.held().is_none()) {
            self.resume_beside();
        }
        // What was met while all were being stopped is the stop that comes of it.
        if foreground {
            self.claim(|session| session.pass_on_news());
        } else {
            self.pass_on_news();
        }
        let resumed = resumed?;
        Ok(resumed)
    }

    /// Has the selected thread go on with a signal, or with none, instead of the one that it stopped for.
    pub fn give_signal(&mut self, signal: Option<Signal>) -> anyhow::Result<Tid> {
        let tid = self.selected.context("no thread is selected")?;
        self.process()?.give_signal(tid, signal)?;
        Ok(tid)
    }

    /// Sets a catchpoint for this process and those to come. A running process takes note of it at once.
    pub fn catch(&mut self, what: Catch, temporary: bool, condition: Option<Expr>) -> anyhow::Result<Catchpoint> {
        let catchpoint = self.rules.catches.add(self.rules.next_number(), what, temporary, condition);
        self.renew_rules()?;
        Ok(catchpoint)
    }

    /// Makes a running process take note of changed catchpoints.
    pub fn renew_rules(&mut self) -> anyhow::Result<()> {
        if self.process.is_some() {
            self.briefly(|_| Ok(()))?;
        }
        self.renew_beside();
        Ok(())
    }

    /// Makes changed settings hold for the processes that are there.
    pub fn apply_settings(&mut self) {
        self.rules.follow.set(self.settings.follow_fork);
        self.sources.clear();
        self.symbols.set_debuginfod_cache(self.settings.debuginfod_cache());
        self.symbols.set_debug_folders(self.settings.debug_folders.split(':').map(Into::into).collect());
    }

    /// Stops the process.
    pub fn interrupt(&mut self) -> anyhow::Result<StopReport> {
        let report = self.process()?.interrupt(Why::Interrupt);
        if self.settings.schedule_multiple {
            self.hold_beside();
        }
        self.pass_on_news();
        let report = report?;
        self.selected = Some(report.thread);
        Ok(report)
    }

    /// Lets the process go. Another one of the session takes its place.
    pub fn detach(&mut self) -> anyhow::Result<Released> {
        let released = self.detach_current();
        self.step_in();
        released
    }

    pub(super) fn detach_current(&mut self) -> anyhow::Result<Released> {
        let mut process = self.process.take().context("no process is attached")?;
        self.selected = None;
        let released = process.detach();
        // What it still has to tell; its children, if any, go with it.
        self.process = Some(process);
        self.tell_current();
        self.process = None;
        let mut released = released?;
        self.leaving.extend(released.leaving.take());
        Ok(released)
    }

    /// Ends the process with SIGKILL.
    pub fn kill(&mut self) -> anyhow::Result<End> {
        self.kill_current()
    }

    pub(super) fn kill_current(&mut self) -> anyhow::Result<End> {
        let end = self.process()?.kill();
        self.claimed = true;
        self.pass_on_news();
        self.claimed = false;
        Ok(end?)
    }

    /// Takes what a core is written from: see [`target::Process::begin_core`].
    pub fn begin_core(&mut self) -> anyhow::Result<CoreImage> {
        let image = self.process()?.begin_core();
        self.pass_on_news();
        Ok(image?)
    }

    /// Gives it back. `None`: the process has ended meanwhile.
    pub fn end_core(&mut self, image: CoreImage) -> anyhow::Result<Option<CoreFacts>> {
        let Some(process) = self.process.as_mut().filter(|process| process.pid() == image.process_id()) else {
            return Ok(None);
        };
        let facts = process.end_core(image);
        self.pass_on_news();
        Ok(Some(facts?))
    }
}
