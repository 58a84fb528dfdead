//! Which thread may make a system call for godbg, and why another must not: a pure rule over facts that the kernel tells.
//! Makes no call.

use super::process::Process;
use super::thread::State;
use super::{Error, Result};
use crate::addr::{Pid, Tid};
use crate::kernel::proc;
use crate::kernel::signal::Signal;
use crate::kernel::wait::Stop;

/// How many threads are looked at for one that suits.
const MOST_ASKED: usize = 256;

/// What decides.
#[derive(Clone, Copy, Debug)]
struct Facts {
    stop: Option<Stop>,
    /// `Seccomp:` of the thread: 0 none, 1 strict, 2 a filter.
    seccomp: u32,
    /// Whether the program turns its own calls into signals.
    dispatches: bool,
    trap_ignored: bool,
    trap_pending: bool,
}

/// Why a thread must not make a call, if it must not.
fn refusal(facts: Facts) -> Option<&'static str> {
    match facts.stop {
        None => return Some("it does not stand still"),
        Some(Stop::Vfork) => return Some("it is about to wait for the child of a vfork"),
        Some(Stop::Exiting) => return Some("it is about to end"),
        Some(Stop::Syscall | Stop::Other(_)) => return Some("it stands within a system call of its own"),
        Some(_) => {}
    }
    if facts.seccomp != 0 {
        return Some("it has a seccomp filter, which may end the process for a call that its program never makes");
    }
    if facts.dispatches {
        return Some("its program has system calls turned into signals (PR_SET_SYSCALL_USER_DISPATCH)");
    }
    // Only one that is still to be given a signal has to be stepped.
    let steps = matches!(facts.stop, Some(Stop::Signal(_)));
    if steps && facts.trap_ignored {
        return Some("its program ignores SIGTRAP, and the step that is needed would change that");
    }
    let mixes = "a SIGTRAP waits for it, which the step that is needed would mix up with its own";
    (steps && facts.trap_pending).then_some(mixes)
}

/// How well a thread suits: 0 best. One that is in a system call is in no restartable sequence; one that has dequeued a
/// signal cannot be let stand where a death of godbg leaves that signal to it.
fn rank(stop: Stop, in_call: bool) -> Option<u8> {
    match stop {
        Stop::Interrupt if in_call => Some(0),
        Stop::Interrupt => Some(1),
        Stop::Group(_) => Some(2),
        Stop::Clone | Stop::Fork | Stop::Exec | Stop::VforkDone => Some(3),
        Stop::Signal(_) => Some(4),
        Stop::Vfork | Stop::Exiting | Stop::Syscall | Stop::Other(_) => None,
    }
}

impl Process {
    /// The thread that suits [`Process::call_system`] best, or why none does.
    pub fn thread_for_calls(&self) -> Result<Tid> {
        let mut best: Option<(u8, Tid)> = None;
        let mut refused = None;
        for (tid, thread) in self.threads.iter().take(MOST_ASKED) {
            let State::Stopped(stop) = thread.state else { continue };
            let in_call = self.tracer.registers(*tid).is_ok_and(|registers| registers.syscall().is_some());
            let Some(rank) = rank(stop, in_call) else { continue };
            if best.is_some_and(|(known, _)| known <= rank) {
                continue;
            }
            match self.check_callable(*tid) {
                Ok(()) => best = Some((rank, *tid)),
                Err(error) => refused = Some(error),
            }
            if best.is_some_and(|(rank, _)| rank == 0) {
                break;
            }
        }
        let why = "no thread of the process stands where a call can be made";
        let nothing = || refused.unwrap_or(Error::NoCalls { tid: self.pid.leader(), why });
        best.map(|(_, tid)| tid).ok_or_else(nothing)
    }

    /// Refuses a thread that a call could harm.
    pub(super) fn check_callable(&self, tid: Tid) -> Result<()> {
        let status = proc::status(Pid(tid.0)).map_err(|_| Error::Ended(self.pid))?;
        let trap = 1 << (Signal::TRAP.0 - 1);
        let facts = Facts {
            stop: match self.state_of(tid) {
                Some(State::Stopped(stop)) => Some(stop),
                _ => None,
            },
            // A kernel that does not tell has no seccomp.
            seccomp: status.seccomp.unwrap_or(0),
            dispatches: self.tracer.dispatches_syscalls(tid),
            trap_ignored: status.sigign & trap != 0,
            trap_pending: (status.sigpnd | status.shdpnd) & trap != 0,
        };
        refusal(facts).map_or(Ok(()), |why| Err(Error::NoCalls { tid, why }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_danger_is_refused_by_name() {
        let fine = Facts {
            stop: Some(Stop::Interrupt),
            seccomp: 0,
            dispatches: false,
            trap_ignored: false,
            trap_pending: false,
        };
        assert_eq!(refusal(fine), None);
        let at_signal = Facts { stop: Some(Stop::Signal(Signal::SEGV)), ..fine };
        assert_eq!(refusal(at_signal), None);
        assert_eq!(refusal(Facts { trap_ignored: true, trap_pending: true, ..fine }), None, "without a step");
        for (facts, word) in [
            (Facts { stop: None, ..fine }, "stand still"),
            (Facts { stop: Some(Stop::Vfork), ..fine }, "vfork"),
            (Facts { stop: Some(Stop::Exiting), ..fine }, "about to end"),
            (Facts { stop: Some(Stop::Syscall), ..fine }, "system call of its own"),
            (Facts { seccomp: 1, ..fine }, "seccomp"),
            (Facts { seccomp: 2, ..fine }, "seccomp"),
            (Facts { dispatches: true, ..fine }, "turned into signals"),
            (Facts { trap_ignored: true, ..at_signal }, "ignores SIGTRAP"),
            (Facts { trap_pending: true, ..at_signal }, "waits for it"),
        ] {
            assert!(refusal(facts).is_some_and(|why| why.contains(word)), "{facts:?}");
        }
    }

    #[test]
    fn a_thread_asleep_in_a_call_suits_best() {
        let ranks = [
            rank(Stop::Interrupt, true),
            rank(Stop::Interrupt, false),
            rank(Stop::Group(Signal::STOP), true),
            rank(Stop::Exec, true),
            rank(Stop::Signal(Signal::USR1), false),
        ];
        assert!(ranks.is_sorted() && ranks.iter().all(Option::is_some));
        assert_eq!(rank(Stop::Syscall, true), None);
    }
}
