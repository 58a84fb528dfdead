//! Attaching: what is checked before, seizing every thread without stopping it, and what each refusal means. The stop
//! itself is `halt`'s. Names are read before the stop, never during it.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::process::{Origin, Process};
use super::thread::State;
use super::{Error, Result, Rules, StopReport, Why};
use crate::addr::{Pid, Tid};
use crate::kernel::metronome::{self, Metronome};
use crate::kernel::ptrace::{OnTracerDeath, Tracer};
use crate::kernel::{Errno, access, own, proc};

/// How long seizing may go on in a process that makes threads faster than they are seized.
const LONGEST: Duration = Duration::from_secs(10);

/// What attaching to a process found, and what is worth saying about it.
#[derive(Clone, Debug)]
pub struct AttachFacts {
    /// The process's name, any characters.
    pub name: String,
    /// Its executable, as the kernel knows it.
    pub program: Option<String>,
    /// Its threads at that moment.
    pub threads: usize,
    /// How many of them stand still.
    pub stopped: usize,
    /// From the first interrupt to the last thread's stop.
    pub stopped_in: Duration,
    /// Why each thread stands, and which do not yet.
    pub report: StopReport,
    /// The tid that was asked for, where that was not the leader's.
    pub asked: Option<Tid>,
    /// Whether godbg descends from it: the shell that it was started from stands still now.
    pub is_ancestor: bool,
    /// Whether its leader had exited before.
    pub leader_exited: bool,
    /// Whether an earlier godbg, which was killed, had left something in it that was taken away now.
    pub repaired: bool,
}

/// Attaches to the process that `asked` is a thread of, and stops all its threads.
pub fn attach(
    asked: Pid,
    tracer: Tracer,
    metronome: Rc<Metronome>,
    rules: Rc<Rules>,
) -> Result<(Process, AttachFacts)> {
    let pid = check(asked)?;
    let leader = proc::thread_stat(pid, pid.leader()).map_err(|_| Error::Missing(asked))?;
    let is_ancestor = access::is_descendant(own::pid(), pid);
    let mut process = Process::new(pid, Origin::Attached, leader.name, tracer, metronome, rules);
    // If this fails, what has been seized so far is let go by the drop.
    process.seize_all()?;
    let program = process.program();
    let begin = Instant::now();
    process.halt(Why::Attach);
    let stopped_in = begin.elapsed();
    let repaired = process.undo_leftovers()?;
    let report = process.interrupt(Why::Attach).map_err(|_| Error::DiedMeanwhile(pid))?;
    let facts = AttachFacts {
        name: process.name.clone(),
        threads: process.threads.len(),
        stopped: process.threads.values().filter(|thread| matches!(thread.state, State::Stopped(_))).count(),
        stopped_in,
        report,
        asked: (asked != pid).then_some(asked.leader()),
        is_ancestor,
        leader_exited: process.threads.get(&pid.leader()).is_some_and(|thread| thread.state == State::Zombie),
        repaired,
        program,
    };
    Ok((process, facts))
}

/// Refuses what cannot be traced before anything is touched, and finds the process of a thread.
fn check(asked: Pid) -> Result<Pid> {
    let pid = proc::process_of(asked.leader()).map_err(|_| Error::Missing(asked))?;
    if pid == own::pid() {
        return Err(Error::Itself(asked));
    }
    let stat = proc::thread_stat(pid, pid.leader()).map_err(|_| Error::Missing(asked))?;
    if stat.is_kernel_thread {
        return Err(Error::KernelThread(pid, stat.name));
    }
    let alone = proc::thread_count(pid).is_ok_and(|count| count <= 1);
    // Asked again: an exec by another thread ends the leader and then takes its tid over.
    let still = || proc::thread_state(pid, pid.leader()) == Some('Z');
    if stat.state == 'Z' && alone && still() {
        return Err(Error::Zombie { pid, name: stat.name, parent: stat.parent });
    }
    match proc::tracer_of(asked.leader()) {
        Ok(Some(tracer)) => Err(traced_by(pid, tracer)),
        _ => Ok(pid),
    }
}

/// Why a process can't be attached to, found without touching it; for `ps`.
pub fn refusal(pid: Pid) -> Option<Error> {
    match check(pid) {
        Err(error) => Some(error),
        Ok(pid) if !access::is_allowed(pid) => Some(Error::Denied(pid, access::explain(pid))),
        Ok(_) => None,
    }
}

fn traced_by(pid: Pid, tracer: Tid) -> Error {
    let process = proc::process_of(tracer).unwrap_or(Pid(tracer.0));
    if process == own::pid() {
        return Error::Leaving(pid);
    }
    let name = proc::thread_name(process, process.leader()).unwrap_or_else(|_| "?".into());
    Error::Traced { pid, tracer: process, name }
}

/// What became of one thread that was to be seized.
enum Seized {
    Ours(State),
    Untraced,
    Gone,
}

impl Process {
    /// Seizes every thread. Threads that seized ones make are seized by the kernel; those of others are found by listing
    /// again, until nothing is new. What is missed all the same, `halt` finds.
    fn seize_all(&mut self) -> Result<()> {
        let begin = Instant::now();
        let metronome = self.metronome.clone();
        let _beating = metronome.start();
        loop {
            let tids = proc::tasks(self.pid).map_err(|_| Error::DiedMeanwhile(self.pid))?;
            let mut found = 0;
            for tid in tids {
                if self.threads.contains_key(&tid) {
                    continue;
                }
                found += 1;
                match self.seize(tid)? {
                    Seized::Ours(state) => self.add(tid, state),
                    Seized::Untraced => {
                        self.add(tid, State::Zombie);
                        self.threads.entry(tid).and_modify(|thread| thread.traced = false);
                    }
                    Seized::Gone => {}
                }
            }
            let all = proc::thread_count(self.pid).is_ok_and(|count| count == self.threads.len());
            if all || found == 0 || begin.elapsed() > LONGEST {
                break;
            }
        }
        if self.threads.is_empty() { Err(Error::DiedMeanwhile(self.pid)) } else { Ok(()) }
    }

    fn seize(&self, tid: Tid) -> Result<Seized> {
        // An exec in the target can keep this from returning until those that it ended are reaped.
        let errno = match metronome::reaping(self.pid, || self.tracer.seize(tid, OnTracerDeath::LetRun)) {
            Ok(()) => return Ok(Seized::Ours(State::Running)),
            Err(errno) => errno,
        };
        let state = proc::thread_state(self.pid, tid);
        let tracer = proc::tracer_of(tid).ok().flatten();
        match (errno, state) {
            (_, None) => Ok(Seized::Gone),
            (Errno::ESRCH, _) => Ok(Seized::Gone),
            // The kernel seized it when a seized thread made it.
            (_, _) if tracer == Some(self.tracer.tid()) => Ok(Seized::Ours(State::Stopping { late: false })),
            (_, Some('Z' | 'X')) if tid == self.pid.leader() => Ok(Seized::Untraced),
            (_, Some('Z' | 'X')) => Ok(Seized::Gone),
            // It was dying when it was asked, and its tid has another owner since (an exec); the next pass sees that one.
            (Errno::EPERM, _) if tracer.is_none() && access::is_allowed(self.pid) => Ok(Seized::Gone),
            (Errno::EPERM | Errno::EACCES, _) => Err(match tracer {
                Some(tracer) => traced_by(self.pid, tracer),
                None => Error::Denied(self.pid, access::explain(self.pid)),
            }),
            (errno, _) => Err(Error::Request { what: "seize", tid, errno }),
        }
    }
}
