//! Stopping every thread: interrupt all, wait for each, and prove from the kernel's own count that none was missed. Costs
//! system calls per thread and nothing more; whatever can be asked before or after is not asked here. Decides nothing.

use std::time::{Duration, Instant};

use super::process::{Phase, Process};
use super::thread::{State, Thread};
use super::{Error, Result, StopReport, Why};
use crate::addr::Tid;
use crate::kernel::ptrace::OnTracerDeath;
use crate::kernel::wait::{self, Report};
use crate::kernel::{Errno, metronome, proc};

/// How long a thread that sleeps in the kernel (state D) is waited for before the others go first.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long a stop may take over all, on a machine that gives the threads no processor.
const LONGEST: Duration = Duration::from_secs(10);

impl Process {
    /// Stops all threads and says why. A process that is held already stays as it is.
    pub fn interrupt(&mut self, why: Why) -> Result<StopReport> {
        if let Phase::Running = self.phase {
            self.halt(why);
        }
        match &self.phase {
            Phase::Held { report, .. } => Ok(report.clone()),
            _ => Err(Error::Ended(self.pid)),
        }
    }

    /// Stops all threads. Afterwards the process is held or has ended.
    pub(super) fn halt(&mut self, why: Why) {
        let since = Instant::now();
        let metronome = self.metronome.clone();
        let _beating = metronome.start();
        self.interrupt_running();
        self.gather(since, why);
        self.complete(since, why);
        self.steering.near = None;
        self.bring_all_home();
        self.disarm();
        self.take_terminal_back(true);
        self.release_strays();
        if !matches!(self.phase, Phase::Ended { .. }) {
            self.phase = Phase::Held { since, report: self.report(why) };
        }
    }

    /// Stops what has been let run out of the held process: steps do that.
    pub(super) fn halt_again(&mut self, since: Instant) {
        self.interrupt_running();
        self.gather(since, Why::Interrupt);
        self.complete(since, Why::Interrupt);
        self.bring_all_home();
        self.disarm();
        self.release_strays();
    }

    fn interrupt_running(&mut self) {
        let tracer = self.tracer;
        self.threads.retain(|tid, thread| {
            if !matches!(thread.state, State::Running | State::Listening(_)) {
                return true;
            }
            thread.state = State::Stopping { late: false };
            // ESRCH: the thread has ended. The leader's end is the process's, and is waited for.
            tracer.interrupt(*tid).is_ok() || *tid == self.pid.leader()
        });
    }

    /// Waits for every thread that was asked to stop. New ones that these tell of are waited for too.
    pub(super) fn gather(&mut self, since: Instant, why: Why) {
        let mut hurried = false;
        loop {
            let awaited: Vec<Tid> = self.threads.iter().filter(|(_, t)| t.is_awaited()).map(|(tid, _)| *tid).collect();
            if awaited.is_empty() {
                return;
            }
            for tid in awaited {
                // An exec that another's wait told of has swept some away, and has brought the leader's stop.
                if !self.threads.get(&tid).is_some_and(Thread::is_awaited) {
                    continue;
                }
                self.await_stop(tid, since, why, &mut hurried);
                if matches!(self.phase, Phase::Ended { .. }) {
                    return;
                }
            }
        }
    }

    /// Waits for one thread. `hurried`: patience has run out with another one, so that a third is not waited for long.
    fn await_stop(&mut self, tid: Tid, since: Instant, why: Why, hurried: &mut bool) {
        loop {
            let seen = if *hurried {
                wait::look(tid).and_then(|report| report.map_or(Err(Errno::EINTR), |report| Ok(Some(report))))
            } else {
                wait::look_until_beat(tid)
            };
            match seen {
                Ok(Some(Report::Stopped(stop, _))) => {
                    let origin = self.origin_of(tid, stop);
                    return self.note_stop(tid, stop, origin, why);
                }
                Ok(Some(Report::Ended(..))) => return self.note_end(tid),
                Ok(None) | Err(Errno::EINTR) => {}
                // Not a tracee any more: another thread's exec has swept it away, or a beat has taken its end.
                Err(_) => return self.forget(tid),
            }
            // An exec waits, in state D, until the threads that it ends have been taken, stopped ones among them.
            if !*hurried {
                self.take_dead();
            }
            let waited = since.elapsed();
            let state = match proc::thread_state(self.pid, tid) {
                None => return self.forget(tid),
                Some('Z') if tid == self.pid.leader() => State::Zombie,
                Some('D') if waited > PATIENCE => State::Stopping { late: true },
                Some(_) if waited > LONGEST => State::Stopping { late: true },
                // It has a processor to wait for, no more: look again with a beat.
                Some(_) => {
                    if *hurried && wait::look(tid).is_ok_and(|report| report.is_none()) {
                        let _ = wait::look_until_beat(tid);
                    }
                    continue;
                }
            };
            *hurried = state == State::Stopping { late: true };
            if let Some(thread) = self.threads.get_mut(&tid) {
                thread.state = state;
            }
            return;
        }
    }

    /// A thread that is no tracee any more: there is nothing to be taken.
    fn forget(&mut self, tid: Tid) {
        self.threads.remove(&tid);
        self.note_missed_exec();
    }

    /// Stopped threads make no others: when the kernel counts as many as are known, none is missing. Otherwise some were
    /// born while their maker was not yet traced; they are found in the list, which then cannot grow for long.
    fn complete(&mut self, since: Instant, why: Why) {
        while !matches!(self.phase, Phase::Ended { .. }) && since.elapsed() < LONGEST {
            match proc::thread_count(self.pid) {
                Ok(count) if count == self.threads.len() => return,
                Ok(_) => {}
                Err(_) => return self.await_end(since),
            }
            let Ok(tids) = proc::tasks(self.pid) else { return self.await_end(since) };
            let mut found = 0;
            for tid in tids {
                if !self.threads.contains_key(&tid) {
                    found += usize::from(self.seize_missed(tid));
                }
            }
            if found == 0 {
                // What is counted beyond the known has ended, and is not reaped yet.
                return;
            }
            self.gather(since, why);
        }
    }

    /// Takes in a thread that the list shows and nobody told of. True: it is one more to wait for.
    fn seize_missed(&mut self, tid: Tid) -> bool {
        match metronome::reaping(self.pid, || self.tracer.seize(tid, OnTracerDeath::LetRun)) {
            Ok(()) => {}
            // Already ours, by the clone that made it; or dead.
            Err(Errno::EPERM) if proc::tracer_of(tid).is_ok_and(|tracer| tracer == Some(self.tracer.tid())) => {}
            Err(_) => return false,
        }
        if matches!(wait::look(tid), Ok(Some(Report::Ended(..)))) {
            self.note_end(tid);
            return false;
        }
        // A new thread stops by itself; asking it again does no harm.
        let _ = self.tracer.interrupt(tid);
        self.add(tid, State::Stopping { late: false });
        true
    }

    /// The process is no longer in /proc: its leader's end is about to be reported, or another tracee has taken it.
    fn await_end(&mut self, since: Instant) {
        let leader = self.pid.leader();
        while since.elapsed() < LONGEST {
            match wait::look_until_beat(leader) {
                Ok(Some(Report::Ended(..))) => return self.note_end(leader),
                Err(Errno::EINTR) => {}
                _ => return,
            }
        }
    }
}
