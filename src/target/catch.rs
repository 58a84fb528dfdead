//! Catchpoints: stops at signals, system calls, births, exec and ends of threads. The list belongs to the session and holds
//! for all its processes; what a stop matches is found here. Sets no breakpoint and evaluates no condition.

use std::cell::RefCell;
use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;

use super::Why;
use super::process::Process;
use super::thread::State;
use crate::addr::{Pid, Tid};
use crate::kernel::Errno;
use crate::kernel::arch;
use crate::kernel::ptrace::{Follow, OnTracerDeath, SyscallStop};
use crate::kernel::signal::{Signal, SignalOrigin};
use crate::kernel::wait::{self, End, Report, Stop};

/// What a catchpoint stops at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Catch {
    /// A signal is about to be given to a thread.
    Signal {
        /// Which; none: all but SIGTRAP and SIGINT.
        signals: Vec<Signal>,
    },
    /// A system call begins or returns.
    Syscall {
        /// Their numbers on this machine; none: all.
        syscalls: Vec<u64>,
    },
    /// fork(2), or clone(2) of a process.
    Fork,
    /// vfork(2) or posix_spawn(3).
    Vfork,
    /// The process executes another program.
    Exec,
    /// A thread makes another thread.
    Clone,
    /// A thread is about to end.
    Exit,
}

/// A catchpoint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Catchpoint {
    /// Its number, shared with breakpoints.
    pub number: u32,
    /// What it stops at.
    #[serde(flatten)]
    pub what: Catch,
    /// Whether it is in force.
    pub enabled: bool,
    /// Whether it goes with its first hit.
    pub temporary: bool,
    /// How often it has been hit.
    pub hits: u64,
}

/// What a catchpoint was hit by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(tag = "caught", rename_all = "snake_case")]
pub enum Caught {
    /// A signal, which the thread gets when it goes on.
    Signal {
        /// Which.
        signal: Signal,
        /// From whom.
        origin: Option<SignalOrigin>,
    },
    /// A system call that has not begun yet.
    SyscallEntry {
        /// Its number.
        syscall: u64,
        /// Its name, where known.
        syscall_name: Option<&'static str>,
        /// All six argument registers; most calls take fewer.
        args: [u64; 6],
    },
    /// A system call that returns.
    SyscallReturn {
        /// Its number; null where its entry was not seen.
        syscall: Option<u64>,
        /// Its name, where known.
        syscall_name: Option<&'static str>,
        /// What it returns: a negative error number if it failed.
        result: i64,
        /// What the error number means.
        error: Option<&'static str>,
    },
    /// A child by fork(2) or clone(2).
    Fork {
        /// The child.
        child: Pid,
    },
    /// A child by vfork(2) or posix_spawn(3).
    Vfork {
        /// The child.
        child: Pid,
    },
    /// Another program: it stands at its first instruction.
    Exec,
    /// A new thread.
    Clone {
        /// The new thread.
        new_thread: Tid,
    },
    /// The end of a thread, which still has its registers.
    Exit {
        /// How it ends.
        end: End,
    },
}

/// The catchpoints of a session.
#[derive(Debug, Default)]
pub struct Catches {
    list: RefCell<Vec<Catchpoint>>,
}

impl Catches {
    /// Sets a catchpoint. A process takes note of it when it is let run again.
    pub fn add(&self, number: u32, what: Catch, temporary: bool) -> Catchpoint {
        let catchpoint = Catchpoint { number, what, enabled: true, temporary, hits: 0 };
        self.list.borrow_mut().push(catchpoint.clone());
        catchpoint
    }

    /// All of them, by number.
    pub fn list(&self) -> Vec<Catchpoint> {
        self.list.borrow().clone()
    }

    /// Takes one away. False: there is none of that number.
    pub fn remove(&self, number: u32) -> bool {
        let before = self.list.borrow().len();
        self.list.borrow_mut().retain(|catchpoint| catchpoint.number != number);
        self.list.borrow().len() < before
    }

    /// Takes all away.
    pub fn clear(&self) {
        self.list.borrow_mut().clear();
    }

    /// Puts one in force or out of it. False: there is none of that number.
    pub fn enable(&self, number: u32, enabled: bool) -> bool {
        let mut list = self.list.borrow_mut();
        let found = list.iter_mut().find(|catchpoint| catchpoint.number == number);
        found.map(|catchpoint| catchpoint.enabled = enabled).is_some()
    }

    /// Whether any enabled one is of this kind.
    fn any(&self, kind: impl Fn(&Catch) -> bool) -> bool {
        self.list.borrow().iter().any(|catchpoint| catchpoint.enabled && kind(&catchpoint.what))
    }

    /// Whether threads must stop at system calls.
    pub(super) fn wants_syscalls(&self) -> bool {
        self.any(|what| matches!(what, Catch::Syscall { .. }))
    }

    /// Whether threads must stop before they end.
    pub(super) fn wants_exits(&self) -> bool {
        self.any(|what| *what == Catch::Exit)
    }

    /// Counts a hit of every catchpoint that this matches, and gives the first one's number.
    fn hit(&self, caught: &Caught) -> Option<u32> {
        let mut list = self.list.borrow_mut();
        let mut first = None;
        for catchpoint in list.iter_mut().filter(|catchpoint| catchpoint.enabled && catchpoint.what.matches(caught)) {
            catchpoint.hits += 1;
            first = first.or(Some(catchpoint.number));
        }
        list.retain(|catchpoint| !catchpoint.temporary || catchpoint.hits == 0);
        first
    }
}

impl Catch {
    fn matches(&self, caught: &Caught) -> bool {
        match (self, caught) {
            (Catch::Signal { signals }, Caught::Signal { signal, .. }) => {
                let usual = ![Signal::TRAP, Signal::INT].contains(signal);
                if signals.is_empty() { usual } else { signals.contains(signal) }
            }
            (Catch::Syscall { syscalls }, Caught::SyscallEntry { syscall, syscall_name, .. }) => {
                syscalls.is_empty() || syscall_name.is_some() && syscalls.contains(syscall)
            }
            (Catch::Syscall { syscalls }, Caught::SyscallReturn { syscall, .. }) => {
                syscalls.is_empty() || syscall.is_some_and(|number| syscalls.contains(&number))
            }
            (Catch::Fork, Caught::Fork { .. })
            | (Catch::Vfork, Caught::Vfork { .. })
            | (Catch::Exec, Caught::Exec)
            | (Catch::Clone, Caught::Clone { .. })
            | (Catch::Exit, Caught::Exit { .. }) => true,
            _ => false,
        }
    }
}

impl Process {
    /// What a stop that was just noted means to the catchpoints: the report that is due, if one was hit.
    pub(super) fn caught(&mut self, tid: Tid, stop: Stop, origin: Option<SignalOrigin>) -> Option<Why> {
        let event = match stop {
            Stop::Signal(_) if origin.is_some_and(|origin| origin.is_from_godbg()) => return None,
            Stop::Signal(signal) => Caught::Signal { signal, origin },
            Stop::Syscall => self.syscall_stop(tid)?,
            // The other events cost a request, and are only asked for where somebody wants to know.
            _ if self.rules.catches.list.borrow().is_empty() => return None,
            Stop::Fork => Caught::Fork { child: Pid(self.message(tid)?) },
            Stop::Vfork => Caught::Vfork { child: Pid(self.message(tid)?) },
            Stop::Clone => {
                let new = Tid(self.message(tid)?);
                if self.threads.contains_key(&new) {
                    Caught::Clone { new_thread: new }
                } else {
                    Caught::Fork { child: Pid(new.0) }
                }
            }
            Stop::Exec => Caught::Exec,
            Stop::Exiting => Caught::Exit { end: wait::end_of_status(self.message(tid)?) },
            _ => return None,
        };
        let catchpoint = self.rules.catches.hit(&event)?;
        Some(Why::Catch { catchpoint, event })
    }

    fn message(&self, tid: Tid) -> Option<i32> {
        self.tracer.event_message(tid).ok().map(|message| message as i32)
    }

    /// Whether a thread enters or leaves a system call, and which. The entry is kept in mind: the return does not name it.
    fn syscall_stop(&mut self, tid: Tid) -> Option<Caught> {
        let tracer = self.tracer;
        let thread = self.threads.get_mut(&tid)?;
        match self.tracer.syscall_stop(tid).ok()?? {
            SyscallStop::Entry { number, args, native } => {
                thread.call = Some((number, native));
                let syscall_name = native.then(|| arch::syscall_name(number)).flatten();
                Some(Caught::SyscallEntry { syscall: number, syscall_name, args })
            }
            SyscallStop::Exit { result, is_error } => {
                let call = thread.call.take();
                // A number of another convention (32-bit programs) names nothing here.
                let syscall = call.filter(|(_, native)| *native).map(|(number, _)| number);
                if result == -(Errno::EINTR as i64) {
                    // Any stop takes the place of an interrupt that was still due (kernel/signal.c, `ptrace_stop`): what that
                    // one's stop would have mended is mended here. ESRCH: it was killed.
                    let _ = tracer.mend_interrupted_call(tid);
                }
                let error = is_error.then(|| error_words(-(result as i32)));
                Some(Caught::SyscallReturn {
                    syscall,
                    syscall_name: syscall.and_then(arch::syscall_name),
                    result,
                    error,
                })
            }
        }
    }

    /// Lets a thread run on, to its next system call where one is to be caught.
    pub(super) fn go_on(&self, tid: Tid, signal: Option<Signal>) -> Result<(), Errno> {
        if self.rules.catches.wants_syscalls() {
            self.tracer.cont_to_syscall(tid, signal)
        } else {
            self.tracer.cont(tid, signal)
        }
    }

    /// Asks for, or no longer asks for, a stop at each thread's end. For a process that is held and about to run; new
    /// threads have what their makers have.
    pub(super) fn renew_options(&mut self) {
        let exit = self.rules.catches.wants_exits();
        let death = self.on_tracer_death();
        for (tid, thread) in &mut self.threads {
            if thread.traces_exit != exit && matches!(thread.state, State::Stopped(_)) {
                thread.traces_exit = exit;
                // ESRCH: it was killed.
                let _ = self.tracer.follow(*tid, Follow { exit }, death);
            }
        }
    }

    pub(super) fn on_tracer_death(&self) -> OnTracerDeath {
        match self.origin {
            super::Origin::Attached => OnTracerDeath::LetRun,
            super::Origin::Started => OnTracerDeath::Kill,
        }
    }

    /// For a process about to be let go. A stop that was asked for leaves a mark on a thread that met a call's entry first
    /// (TIF_SIGPENDING): the call returns EINTR at once. Calls that answer EINTR to their program are therefore gone
    /// through to their return, where that is mended.
    pub(super) fn leave_entries(&mut self) {
        let metronome = self.metronome.clone();
        let _beating = metronome.start();
        let tracer = self.tracer;
        for (tid, thread) in self.threads.iter_mut().filter(|(_, thread)| thread.is_at_entry()) {
            let waits = tracer.registers(*tid).is_ok_and(|registers| registers.waits_for_ever());
            if waits && tracer.cont_to_syscall(*tid, None).is_ok() {
                thread.state = State::Stopping { late: false };
                // ESRCH: it was killed, and its end is waited for.
                let _ = tracer.interrupt(*tid);
            }
        }
        self.gather(Instant::now(), Why::Interrupt);
    }

    /// While the process is held: a thread that was killed stops once more before it ends, where ends are caught. It is
    /// let on, or the process's parent would wait for it.
    pub(super) fn pass_by_deadly_exits(&mut self) {
        let asked = self.threads.iter().filter(|(_, thread)| thread.traces_exit);
        for (tid, _) in asked.filter(|(_, thread)| !matches!(thread.state, State::Stopped(Stop::Exiting))) {
            if matches!(wait::look(*tid), Ok(Some(Report::Stopped(Stop::Exiting, _)))) {
                let _ = self.tracer.cont(*tid, None);
            }
        }
    }

    /// The hit of a thread of the running process that has stopped just now, taken from those that nobody was told of.
    pub(super) fn take_caught(&mut self, tid: Tid) -> Option<Why> {
        let found = self.unreported.iter().rposition(|(hit, why)| *hit == tid && matches!(why, Why::Catch { .. }))?;
        self.unreported.remove(found).map(|(_, why)| why)
    }
}

/// What an error number means, those that the kernel keeps to itself included (include/linux/errno.h): with them a call
/// that a stop has broken off is made again, unless a signal handler runs.
fn error_words(number: i32) -> &'static str {
    match number {
        512..=514 | 516 => "broken off, to be made again",
        number => Errno::from_raw(number).desc(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_catch_matches_its_own() {
        let signal = |number| Caught::Signal { signal: Signal(number), origin: None };
        let entry = |syscall| Caught::SyscallEntry { syscall, syscall_name: Some("x"), args: [0; 6] };
        let left = |syscall| Caught::SyscallReturn { syscall, syscall_name: None, result: 0, error: None };
        let foreign = Caught::SyscallEntry { syscall: 3, syscall_name: None, args: [0; 6] };
        let any_signal = Catch::Signal { signals: vec![] };
        let any_call = Catch::Syscall { syscalls: vec![] };
        let calls = Catch::Syscall { syscalls: vec![3] };
        for (catch, caught, matches) in [
            (&any_signal, signal(10), true),
            (&any_signal, signal(5), false),
            (&any_signal, signal(2), false),
            (&Catch::Signal { signals: vec![Signal(5)] }, signal(5), true),
            (&Catch::Signal { signals: vec![Signal(5)] }, signal(10), false),
            (&any_call, entry(7), true),
            (&any_call, left(None), true),
            (&any_call, foreign, true),
            (&any_call, signal(10), false),
            (&calls, entry(3), true),
            (&calls, entry(4), false),
            (&calls, foreign, false),
            (&calls, left(Some(3)), true),
            (&calls, left(None), false),
            (&Catch::Fork, Caught::Fork { child: Pid(1) }, true),
            (&Catch::Fork, Caught::Vfork { child: Pid(1) }, false),
            (&Catch::Exec, Caught::Exec, true),
            (&Catch::Clone, Caught::Clone { new_thread: Tid(1) }, true),
            (&Catch::Exit, Caught::Exit { end: End::Exited { status: 0 } }, true),
            (&Catch::Exit, Caught::Exec, false),
        ] {
            assert_eq!(catch.matches(&caught), matches, "{catch:?} {caught:?}");
        }
    }

    #[test]
    fn hits_are_counted_and_temporary_ones_go() {
        let catches = Catches::default();
        catches.add(1, Catch::Exec, false);
        catches.add(2, Catch::Exec, true);
        assert_eq!(catches.hit(&Caught::Fork { child: Pid(1) }), None);
        assert_eq!(catches.hit(&Caught::Exec), Some(1));
        assert!(catches.enable(1, false) && !catches.enable(2, true), "2 has gone");
        assert_eq!(catches.hit(&Caught::Exec), None);
        assert_eq!(catches.list()[0].hits, 1);
        assert!(catches.remove(1) && !catches.remove(1));
        assert!(!catches.wants_exits() && !catches.wants_syscalls());
        catches.add(3, Catch::Exit, false);
        assert!(catches.wants_exits());
        catches.clear();
        assert!(catches.list().is_empty());
    }
}
