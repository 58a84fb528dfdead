//! The list of catchpoints: what each stops at and under which condition, and what it was hit by. It belongs to the session
//! and holds for all its processes. Touches no process.

use std::cell::RefCell;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::expr::Expr;
use crate::addr::{Pid, Tid};
use crate::kernel::signal::{Signal, SignalOrigin};
use crate::kernel::wait::End;

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
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
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
    /// How often it has been hit (with its condition true).
    pub hits: u64,
    /// It stops only where this is not 0.
    #[serde(serialize_with = "as_text")]
    #[schemars(with = "Option<String>")]
    pub condition: Option<Expr>,
    /// How many hits are still to be passed over.
    pub ignore: u64,
    /// What is run at a stop, as it was written.
    pub commands: Vec<String>,
}

fn as_text<S: Serializer>(condition: &Option<Expr>, serializer: S) -> Result<S::Ok, S::Error> {
    condition.as_ref().map(Expr::text).serialize(serializer)
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
    pub fn add(&self, number: u32, what: Catch, temporary: bool, condition: Option<Expr>) -> Catchpoint {
        let (enabled, hits, ignore, commands) = (true, 0, 0, Vec::new());
        let catchpoint = Catchpoint { number, what, enabled, temporary, hits, condition, ignore, commands };
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

    /// Whether there is one of that number.
    pub fn contains(&self, number: u32) -> bool {
        self.list.borrow().iter().any(|catchpoint| catchpoint.number == number)
    }

    /// Changes one. False: there is none of that number.
    pub fn change(&self, number: u32, change: impl FnOnce(&mut Catchpoint)) -> bool {
        let mut list = self.list.borrow_mut();
        list.iter_mut().find(|catchpoint| catchpoint.number == number).map(change).is_some()
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

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }

    /// The enabled ones that match, with their conditions.
    pub(super) fn matching(&self, caught: &Caught) -> Vec<(u32, Option<Expr>)> {
        let list = self.list.borrow();
        let met = list.iter().filter(|catchpoint| catchpoint.enabled && catchpoint.what.matches(caught));
        met.map(|catchpoint| (catchpoint.number, catchpoint.condition.clone())).collect()
    }

    /// Counts a hit of one whose condition holds. Whether it stops; a temporary one goes then, and leaves its commands.
    pub(super) fn count(&self, number: u32) -> Option<Hit> {
        let mut list = self.list.borrow_mut();
        let index = list.iter().position(|catchpoint| catchpoint.number == number)?;
        let catchpoint = &mut list[index];
        catchpoint.hits += 1;
        if catchpoint.ignore > 0 {
            catchpoint.ignore -= 1;
            return None;
        }
        let last = catchpoint.temporary.then(|| std::mem::take(&mut catchpoint.commands));
        if last.is_some() {
            list.remove(index);
        }
        Some(Hit { last })
    }
}

/// A hit that stops the process.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Hit {
    /// The commands of one that has gone with it.
    pub last: Option<Vec<String>>,
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
        catches.add(1, Catch::Exec, false, None);
        catches.add(2, Catch::Exec, true, None);
        catches.change(2, |two| two.commands.push("regs".into()));
        let numbers = |caught| catches.matching(&caught).into_iter().map(|(number, _)| number).collect::<Vec<_>>();
        assert!(numbers(Caught::Fork { child: Pid(1) }).is_empty());
        assert_eq!(numbers(Caught::Exec), [1, 2]);
        assert_eq!(catches.count(1), Some(Hit { last: None }));
        assert_eq!(catches.count(2), Some(Hit { last: Some(vec!["regs".into()]) }));
        assert!(!catches.contains(2) && !catches.change(2, |_| ()) && catches.count(2).is_none(), "2 has gone");
        assert!(catches.change(1, |one| one.ignore = 1));
        assert_eq!((catches.count(1), catches.count(1).is_some()), (None, true));
        assert_eq!((catches.list()[0].hits, catches.list()[0].ignore), (3, 0));
        assert!(catches.change(1, |one| one.enabled = false));
        assert!(numbers(Caught::Exec).is_empty());
        assert!(catches.remove(1) && !catches.remove(1));
        assert!(!catches.wants_exits() && !catches.wants_syscalls());
        catches.add(3, Catch::Exit, false, None);
        assert!(catches.wants_exits() && !catches.is_empty());
    }
}
