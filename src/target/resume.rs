//! Lets a held process run on, and the terminal that goes with it. Refuses to wait for what comes of it.

use super::process::{Phase, Process};
use super::thread::State;
use super::{Error, Result};
use crate::addr::Tid;
use crate::kernel::Errno;
use crate::kernel::wait::Stop;

/// How a resumed process goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resumed {
    /// Its threads run.
    Runs,
    /// Job control keeps it stopped: only SIGCONT starts it.
    StaysStopped,
}

impl Process {
    /// Lets all threads run. `foreground`: a program that godbg started gets the terminal, unless job control keeps it
    /// stopped. What a thread has met already and nobody was told of is told instead.
    pub fn resume(&mut self, foreground: bool) -> Result<Resumed> {
        if self.report_next() {
            return Ok(Resumed::Runs);
        }
        self.renew_options();
        let stays = self.is_job_stopped();
        if foreground
            && !stays
            && !self.has_terminal
            && let Some(terminal) = &self.terminal
        {
            self.has_terminal = terminal.give_to(self.group).is_ok();
        }
        self.prepare_to_run()?;
        self.phase = Phase::Running;
        let tids: Vec<Tid> = match self.steering.alone {
            Some(tid) => vec![tid],
            None => self.threads.keys().copied().collect(),
        };
        for tid in tids {
            // ESRCH: it was killed meanwhile, and its end will be reported.
            if let Err(errno) = self.let_on(tid)
                && errno != Errno::ESRCH
            {
                return Err(Error::Request { what: "resume", tid, errno });
            }
        }
        Ok(if stays { Resumed::StaysStopped } else { Resumed::Runs })
    }

    /// Lets one thread of the held process run, with its signal.
    pub(super) fn let_on(&mut self, tid: Tid) -> std::result::Result<(), Errno> {
        let Some(thread) = self.threads.get_mut(&tid) else { return Ok(()) };
        match thread.state {
            State::Stopped(Stop::Group(signal)) => {
                thread.state = State::Listening(signal);
                self.tracer.listen(tid)
            }
            State::Stopped(_) => {
                let (at_entry, inside) = (thread.is_at_entry(), thread.is_inside_call());
                let signal = self.signal_for(tid, false);
                self.threads.entry(tid).and_modify(|thread| thread.state = State::Running);
                self.sync_debug(tid);
                // Inside a call registers are not the program's alone: changed ones would change or lose the call.
                if !inside {
                    self.leave_site(tid, signal.is_some());
                }
                // The return from a call is seen too where its entry was.
                if at_entry { self.tracer.cont_to_syscall(tid, signal) } else { self.go_on(tid, signal) }
            }
            // A late thread answers its interrupt when it wakes, and is let on then.
            State::Stopping { late: true } => {
                thread.state = State::Running;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes the terminal back from a program that runs: a person is about to type.
    pub fn reclaim_terminal(&mut self) {
        self.take_terminal_back(true);
    }

    pub(super) fn take_terminal_back(&mut self, keep: bool) {
        if self.has_terminal
            && let Some(terminal) = &self.terminal
        {
            // A terminal that is gone cannot be taken back; its hangup ends godbg.
            let _ = terminal.take_back(keep);
        }
        self.has_terminal = false;
    }
}
