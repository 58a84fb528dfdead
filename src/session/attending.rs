//! The waits that stay attentive: whatever a command waits for, stops and ends of tracees, the leash and requests to leave
//! are taken in meanwhile. Knows no command.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::failure::Interrupted;
use super::hooks;
use super::state::{Outcome, Session};
use crate::kernel::own;
use crate::target::{News, Process, Signal, StopReport};

/// How soon it is looked whether a thread is done, at first and at most.
const SHORTEST_LOOK: Duration = Duration::from_micros(200);
const LONGEST_LOOK: Duration = Duration::from_millis(10);

impl Session {
    /// Waits until the process is held or has ended, or until the deadline.
    pub fn wait_for_process(&mut self, deadline: Option<Instant>) -> anyhow::Result<Outcome> {
        self.claimed = true;
        let outcome = self.wait_for_outcome(deadline);
        self.claimed = false;
        outcome
    }

    fn wait_for_outcome(&mut self, deadline: Option<Instant>) -> anyhow::Result<Outcome> {
        self.awaited = self.process.as_ref().map(Process::pid);
        loop {
            // With several processes another one is current then.
            if let Some(last) = self.last_end.filter(|last| Some(last.process) == self.awaited) {
                return Ok(Outcome::Ended(last));
            }
            let Some(process) = &self.process else {
                return Ok(Outcome::Ended(self.last_end.context("no process is attached")?));
            };
            match process.held() {
                Some((_, report)) if process.has_stopped_thread() => return Ok(Outcome::Stopped(report.clone())),
                // All its threads sleep in the kernel: one of them will wake, or be killed.
                Some(_) | None => {}
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(Outcome::StillRuns);
            }
            self.attend(deadline)?;
        }
    }

    /// Waits until a condition holds or the deadline has passed; true if it holds.
    pub fn wait_until(&mut self, deadline: Option<Instant>, done: impl Fn() -> bool) -> anyhow::Result<bool> {
        loop {
            if done() {
                return Ok(true);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(false);
            }
            self.attend(deadline)?;
        }
    }

    /// Waits for a thread that does work of a command's. Fails if the command is to stop; the thread works on, for whoever asks next.
    /// `None`: there is nothing to wait for.
    pub fn wait_for_thread(&mut self, thread: Option<JoinHandle<()>>) -> anyhow::Result<()> {
        let mut pause = SHORTEST_LOOK;
        while thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            // The leash counts from the command's end.
            self.last_command = Instant::now();
            self.attend(Some(Instant::now() + pause))?;
            pause = (pause * 2).min(LONGEST_LOOK);
        }
        Ok(())
    }

    /// Takes in what has come, for a command that is busy itself and not waiting. Fails if it is to stop. The leash counts
    /// from the command's end.
    pub fn glance(&mut self) -> anyhow::Result<()> {
        self.last_command = Instant::now();
        self.attend(Some(Instant::now()))
    }

    /// Waits for whatever comes next while no job runs.
    pub(super) fn idle(&mut self) {
        let deadline = self.next_deadline(None);
        // An error of poll(2) would be one of godbg's own; jobs are served all the same.
        let _ = self.take_in(deadline);
        self.obey_request();
    }

    /// Leaves if a signal asked for that: SIGTERM, SIGHUP and SIGQUIT always, SIGINT where a script is being read.
    pub(super) fn obey_request(&mut self) {
        match self.request {
            // The shell ends the script. At the prompt the line that comes next decides: see `drop_stale_request`.
            Some(Signal::INT) if !self.reading_script => {}
            Some(signal) => {
                self.let_go();
                own::leave(128 + signal.0);
            }
            None => {}
        }
    }

    /// Waits for one thing to come, takes it in, and fails if there is a request to stop: one that came just before the
    /// command began counts too.
    pub(super) fn attend(&mut self, deadline: Option<Instant>) -> anyhow::Result<()> {
        if self.request.is_some() {
            anyhow::bail!(Interrupted);
        }
        let deadline = self.next_deadline(deadline);
        self.take_in(deadline)?;
        if self.request.is_some() {
            anyhow::bail!(Interrupted);
        }
        Ok(())
    }

    fn next_deadline(&self, deadline: Option<Instant>) -> Option<Instant> {
        deadline.into_iter().chain(self.next_look()).chain(self.leash_end()).chain(self.forks_end()).min()
    }

    /// When the children that were only counted are to be told; not into the screen of a program that has the terminal.
    fn forks_end(&self) -> Option<Instant> {
        self.forks.deadline().filter(|_| !self.process.as_ref().is_some_and(Process::has_terminal))
    }

    fn take_in(&mut self, deadline: Option<Instant>) -> anyhow::Result<()> {
        self.outbox.flush();
        self.allow_fetch();
        let deadline = deadline.into_iter().chain(self.next_fetch_notice()).min();
        let wakeup = self.poller.wait(deadline).context("cannot wait for events");
        self.forbid_fetch();
        let wakeup = wakeup?;
        self.take_in_changes(wakeup.child);
        if wakeup.child.is_some() {
            self.attend_leaving();
        }
        self.pass_on_news();
        self.run_due_hooks();
        self.take_in_fetched();
        self.mind_the_leash();
        if wakeup.request.is_some() {
            self.note_request(wakeup.request);
        }
        Ok(())
    }

    /// Passes on what the processes have to tell, follows their children, and notes their ends.
    pub(super) fn pass_on_news(&mut self) {
        self.tell_current();
        self.tell_beside();
        self.follow_newborns();
        self.tell_folded(false);
        self.bury();
    }

    /// Runs what is to be run at stops that no command waits for: in the process that has stopped, whichever is the current
    /// one.
    fn run_due_hooks(&mut self) {
        while let Some(report) = self.hooks_due.pop_front() {
            let before = self.process.as_ref().map(Process::pid);
            self.make_current(report.process);
            if self.process.as_ref().is_some_and(|process| process.pid() == report.process) {
                self.run_hooks(&report);
            }
            // Unless a command has chosen another one.
            let stayed = self.process.as_ref().is_some_and(|process| process.pid() == report.process);
            if let Some(before) = before.filter(|_| stayed) {
                self.make_current(before);
            }
        }
    }

    fn run_hooks(&mut self, report: &StopReport) {
        let after = hooks::after_stop(self, report);
        if after.goes_on
            && let Some(process) = &mut self.process
            && process.held().is_some()
        {
            // An error: it is ending, which comes next.
            let resumed = process.resume(false).is_ok() && process.held().is_none();
            if resumed && self.settings.schedule_multiple {
                self.resume_beside();
            }
            if resumed && !after.silent {
                self.tell(News::Resumed { process: report.process });
            }
            self.pass_on_news();
        }
    }

    /// Takes the process away while it makes steps: the session still attends to requests then.
    pub(super) fn take_process(&mut self) -> Option<Process> {
        self.process.take()
    }

    pub(super) fn put_process(&mut self, process: Process) {
        self.process = Some(process);
    }

    /// Takes in signals to godbg, without waiting.
    pub(super) fn notice_requests(&mut self) {
        // An error of poll(2) would be one of godbg's own; the command at hand goes on.
        if let Ok(wakeup) = self.poller.wait(Some(Instant::now()))
            && wakeup.request.is_some()
        {
            self.note_request(wakeup.request);
        }
    }

    fn note_request(&mut self, request: Option<Signal>) {
        self.request = request;
        self.requested = Instant::now();
        if request == Some(Signal::INT) {
            self.outbox.interrupt();
        }
    }

    /// Runs something for a command that tells of the process's stop or end itself.
    pub(super) fn claim(&mut self, run: impl FnOnce(&mut Session)) {
        let before = std::mem::replace(&mut self.claimed, true);
        run(self);
        self.claimed = before;
    }

    /// Tells of the children that were only counted, once a second or `now`.
    pub(super) fn tell_folded(&mut self, now: bool) {
        let process = self.process.as_ref();
        if let Some(children) = self.forks.due(now, process.is_some_and(Process::has_terminal))
            && let Some(pid) = self.forks.process
        {
            self.tell(News::ForkedMore { process: pid, children });
        }
    }
}
