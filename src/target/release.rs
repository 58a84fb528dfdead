//! Letting go: every thread goes on exactly as it was, with its signals; threads that sleep in the kernel are let go when
//! they wake; and ending a process for good. Nothing here waits without a bound.

use std::time::{Duration, Instant};

use super::leftover_traps::Traps;
use super::process::{Phase, Process};
use super::thread::State;
use super::{Error, LateThread, News, Result};
use crate::addr::{Pid, Tid};
use crate::kernel::ptrace::{self, Tracer};
use crate::kernel::signal::Signal;
use crate::kernel::wait::{self, End, Report, Stop};
use crate::kernel::{Errno, proc};

/// How long `detach` waits for threads that sleep in the kernel.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a process may take to end after SIGKILL.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// What `detach` did.
#[derive(Debug)]
pub struct Released {
    /// How long the process was held, from the first interrupt to the last thread let go.
    pub held: Duration,
    /// How many threads were let go.
    pub threads: usize,
    /// Threads that sleep in the kernel and are let go when they wake.
    pub late: Vec<LateThread>,
    /// What is still to be done, to be kept and attended to.
    pub leaving: Option<Leaving>,
}

/// Tracees that can't be let go yet: threads in state D, children before their first stop, an exited leader that its
/// parent will only see once the tracer has taken note of its end.
#[derive(Debug)]
pub struct Leaving {
    /// The process.
    pub process: Pid,
    tids: Vec<Tid>,
    tracer: Tracer,
    /// What they may have met before they slept.
    traps: Traps,
}

impl Process {
    /// Lets every thread go. Stops them first if they run: a running thread cannot be let go.
    pub fn detach(&mut self) -> Result<Released> {
        if matches!(self.phase, Phase::Running) {
            self.halt(super::Why::Interrupt);
        }
        let since = match &self.phase {
            Phase::Held { since, .. } => *since,
            _ => return Err(Error::Ended(self.pid)),
        };
        self.drop_copy();
        let traps = self.traps();
        if self.steering.shield.is_some() {
            self.leave_a_call();
            self.leave_lent_memory();
        }
        self.clear_steering();
        self.leave_entries();
        if matches!(self.phase, Phase::Ended { .. }) {
            return Err(Error::Ended(self.pid));
        }
        self.mark_released();
        // Nobody will follow them any more.
        self.strays.extend(self.newborns.drain(..).map(|newborn| newborn.child));
        let mut left = Vec::new();
        for (tid, thread) in &self.threads {
            let signal = self.signal_for(*tid, true);
            let gone =
                matches!(thread.state, State::Stopped(_)) && self.tracer.detach(*tid, signal) != Err(Errno::ESRCH);
            if !gone && thread.traced {
                left.push(*tid);
            }
        }
        let held = since.elapsed();
        let threads = self.threads.len() - left.len();
        self.release_strays();
        let mut leaving = self.leaving(left);
        leaving.traps = traps;
        let metronome = self.metronome.clone();
        let beating = metronome.start();
        while beating.is_ok() && leaving.has_sleepers() && since_last(since, held) < PATIENCE {
            leaving.attend();
            leaving.sleep_a_beat();
        }
        leaving.attend();
        let late = leaving.late_threads();
        Ok(Released { held, threads, late, leaving: leaving.into_rest() })
    }

    /// A thread may run the handler that was lent: its program has sent itself a SIGTRAP.
    fn leave_lent_memory(&mut self) {
        self.steering.retired = true;
        // The one thread that was to go on alone need not be the one.
        self.run_alone_next(None);
        // Nobody is told of them any more.
        self.unreported.clear();
        // An error: the guardian takes it back when they have left, or the process has ended.
        let _ = self.leave_shield(super::Why::Interrupt);
    }

    /// The threads that could not be let go, and the children that have not reached their first stop.
    fn leaving(&self, mut tids: Vec<Tid>) -> Leaving {
        tids.extend(self.strays.iter().map(|stray| stray.leader()));
        tids.extend(self.newborns.iter().map(|newborn| newborn.child.leader()));
        Leaving::new(self.pid, tids, self.tracer)
    }

    /// What is left of a process that has ended: children that were born traced.
    pub fn into_leaving(mut self) -> Option<Leaving> {
        self.mark_released();
        self.leaving(Vec::new()).into_rest()
    }

    /// Ends the process with SIGKILL and waits until it has ended.
    pub fn kill(&mut self) -> Result<End> {
        if let Some((end, ..)) = self.ended() {
            return Ok(end);
        }
        self.mark_released();
        if let Err(errno) = ptrace::kill(self.pid, Signal::KILL)
            && errno != Errno::ESRCH
        {
            return Err(Error::Request { what: "send SIGKILL to", tid: self.pid.leader(), errno });
        }
        let begin = Instant::now();
        let metronome = self.metronome.clone();
        let _beating = metronome.start();
        // The leader's end is reported last, after those of all threads have been taken.
        let mut tids: Vec<Tid> = self.threads.keys().rev().copied().filter(|tid| *tid != self.pid.leader()).collect();
        tids.push(self.pid.leader());
        for tid in tids {
            while self.ended().is_none() && begin.elapsed() < KILL_PATIENCE {
                match wait::look(tid) {
                    Ok(Some(Report::Ended(..))) => {
                        self.note_end(tid);
                        break;
                    }
                    Ok(None) => drop(wait::look_until_beat(tid)),
                    // Where ends are caught, a killed thread stops before its end.
                    Ok(Some(Report::Stopped(Stop::Exiting, _))) => drop(self.tracer.cont(tid, None)),
                    // A stop that SIGKILL is about to end.
                    Ok(Some(Report::Stopped(..))) => wait::until_beat(),
                    Err(_) => break,
                }
            }
        }
        self.reap_others(begin);
        self.ended().map(|(end, ..)| end).ok_or(Error::WillNotDie(self.pid))
    }

    /// Threads that were born too late to be known are tracees all the same, and keep the leader's end from being seen.
    fn reap_others(&mut self, begin: Instant) {
        while self.ended().is_none() && begin.elapsed() < KILL_PATIENCE {
            let tids = proc::tasks(self.pid).unwrap_or_default();
            let ended = |tid: &Tid| matches!(wait::look(*tid), Ok(Some(Report::Ended(..))));
            match tids.into_iter().find(ended) {
                Some(tid) => self.note_end(tid),
                None => wait::until_beat(),
            }
        }
    }
}

fn since_last(since: Instant, held: Duration) -> Duration {
    since.elapsed().saturating_sub(held)
}

impl Leaving {
    pub(super) fn new(process: Pid, tids: Vec<Tid>, tracer: Tracer) -> Leaving {
        Leaving { process, tids, tracer, traps: Traps::default() }
    }

    /// Lets go of whatever has woken, and takes the ends of what has ended. Tells which threads were let go.
    pub fn attend(&mut self) -> Vec<News> {
        let (process, tracer, traps) = (self.process, self.tracer, &self.traps);
        let mut news = Vec::new();
        self.tids.retain(|tid| match wait::look(*tid) {
            Ok(None) => true,
            Ok(Some(Report::Ended(..))) => {
                let _ = wait::take_end(*tid);
                false
            }
            Ok(Some(Report::Stopped(stop, _))) => {
                if stop == Stop::Interrupt && traps.let_out(*tid, tracer) {
                    return true;
                }
                let signal = match stop {
                    Stop::Signal(Signal::TRAP) if traps.take(*tid, tracer) => None,
                    Stop::Signal(signal) => Some(signal),
                    _ => None,
                };
                // It slept while the others' were cleared. ESRCH: it was killed.
                let _ = tracer.set_debug_register(*tid, 7, 0);
                let gone = !matches!(tracer.detach(*tid, signal), Err(Errno::ESRCH));
                if gone {
                    news.push(News::LetGo { process, thread: *tid });
                }
                !gone
            }
            Err(_) => false,
        });
        news
    }

    /// Whether a process is among them.
    pub fn has(&self, pid: Pid) -> bool {
        self.tids.contains(&pid.leader())
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.tids.is_empty()
    }

    fn into_rest(self) -> Option<Leaving> {
        if self.is_done() { None } else { Some(self) }
    }

    fn state_of(&self, tid: Tid) -> Option<char> {
        let process = proc::process_of(tid).unwrap_or(self.process);
        proc::thread_state(process, tid)
    }

    /// Whether there is more than exited leaders, for which only their process's end helps.
    fn has_sleepers(&self) -> bool {
        self.tids.iter().any(|tid| !matches!(self.state_of(*tid), None | Some('Z')))
    }

    fn sleep_a_beat(&self) {
        if let Some(tid) = self.tids.iter().find(|tid| self.state_of(**tid) != Some('Z')) {
            // Whatever it answers, the next look sees it.
            let _ = wait::look_until_beat(*tid);
        }
    }

    fn late_threads(&self) -> Vec<LateThread> {
        let asleep = self.tids.iter().filter(|tid| !matches!(self.state_of(**tid), None | Some('Z')));
        asleep
            .map(|tid| LateThread {
                thread: *tid,
                state: self.state_of(*tid),
                wait_channel: proc::wait_channel(self.process, *tid),
            })
            .collect()
    }
}
