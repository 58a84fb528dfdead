//! What is done with each signal, as `handle` changes it, and which signal a thread gets when it goes on. Sends nothing by
//! itself but what a person asks for.

use std::cell::Cell;

use schemars::JsonSchema;
use serde::Serialize;

use super::process::Process;
use super::thread::{State, Thread};
use super::{Caught, Error, News, Result, Why};
use crate::addr::Tid;
use crate::kernel::signal::{Signal, SignalOrigin};
use crate::kernel::wait::Stop;
use crate::kernel::{proc, ptrace};

/// What is done with a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Disposition {
    /// Whether the process is stopped and the signal reported.
    pub stop: bool,
    /// Whether it is told. A signal that stops is always told.
    pub print: bool,
    /// Whether the program gets it.
    pub pass: bool,
}

/// One word of `handle`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Handling {
    Stop,
    NoStop,
    Print,
    NoPrint,
    Pass,
    NoPass,
}

impl Disposition {
    /// The disposition as this word changes it: `stop` implies `print`, and `noprint` implies `nostop`.
    #[must_use]
    pub fn with(self, word: Handling) -> Disposition {
        match word {
            Handling::Stop => Disposition { stop: true, print: true, ..self },
            Handling::NoStop => Disposition { stop: false, ..self },
            Handling::Print => Disposition { print: true, ..self },
            Handling::NoPrint => Disposition { stop: false, print: false, ..self },
            Handling::Pass => Disposition { pass: true, ..self },
            Handling::NoPass => Disposition { pass: false, ..self },
        }
    }

    /// What is done with a signal unless `handle` says otherwise. The signals that programs use all the time are passed
    /// on without a word: timers, children, I/O, Go's preemption (SIGURG), window size, and what libc uses inside.
    /// SIGCONT's work is done when it is sent. The stop signals are passed on because the group-stop that follows is what
    /// is reported.
    pub fn default_of(signal: Signal) -> Disposition {
        const PASSED: [&str; 8] =
            ["SIGALRM", "SIGCHLD", "SIGIO", "SIGPROF", "SIGURG", "SIGVTALRM", "SIGWINCH", "SIGCONT"];
        let silent =
            signal.is_libc_internal() || signal.stops_process() || PASSED.contains(&signal.to_string().as_str());
        Disposition { stop: !silent, print: !silent, pass: true }
    }
}

/// What is done with every signal. It outlives processes.
#[derive(Debug)]
pub struct SignalTable {
    entries: [Cell<Disposition>; 65],
    /// Whether the program gets the SIGTRAP of its own `int3` too, which only `handle SIGTRAP pass` makes so.
    passes_int3: Cell<bool>,
}

impl Default for SignalTable {
    fn default() -> SignalTable {
        let entry = |number| Cell::new(Disposition::default_of(Signal(number as i32)));
        SignalTable { entries: std::array::from_fn(entry), passes_int3: Cell::new(false) }
    }
}

impl SignalTable {
    /// What is done with a signal.
    pub fn of(&self, signal: Signal) -> Disposition {
        usize::try_from(signal.0).ok().and_then(|index| self.entries.get(index)).map_or(
            // No number that the kernel gives comes here; an unknown signal is the program's business.
            Disposition { stop: false, print: false, pass: true },
            Cell::get,
        )
    }

    /// Changes what is done with a signal, word by word.
    pub fn handle(&self, signal: Signal, words: &[Handling]) {
        let changed = words.iter().fold(self.of(signal), |disposition, word| disposition.with(*word));
        if let Some(entry) = usize::try_from(signal.0).ok().and_then(|index| self.entries.get(index)) {
            entry.set(changed);
        }
        if signal == Signal::TRAP && words.iter().any(|word| matches!(word, Handling::Pass | Handling::NoPass)) {
            self.passes_int3.set(changed.pass);
        }
    }

    /// Whether the program gets the SIGTRAP of its own `int3`.
    pub fn passes_int3(&self) -> bool {
        self.passes_int3.get()
    }

    /// The signal that a thread gets when it goes on. `leaving`: godbg lets it go. `caught`: the program has a handler
    /// for SIGTRAP; without one its own `int3` would end it.
    pub(super) fn signal_for(&self, thread: &Thread, leaving: bool, caught: bool) -> Option<Signal> {
        if let Some(order) = thread.order {
            return order;
        }
        let signal = thread.signal_to_pass()?;
        let passes = match thread.int3 {
            // Somebody was told of it and lets the thread go on behind it. What nobody was told of is the program's.
            Some(told) => self.passes_int3() || (caught && (leaving || !told)),
            None => self.of(signal).pass,
        };
        passes.then_some(signal)
    }
}

impl Process {
    /// The signal that a thread gets when it goes on. `leaving`: godbg lets it go.
    pub(super) fn signal_for(&self, tid: Tid, leaving: bool) -> Option<Signal> {
        let thread = self.threads.get(&tid)?;
        // Asked only where a thread stands at an `int3` of the program's own.
        let caught = thread.int3.is_some() && self.catches_traps();
        self.rules.signals.signal_for(thread, leaving, caught)
    }

    /// Whether the program has a handler for SIGTRAP of its own.
    fn catches_traps(&self) -> bool {
        self.steering.trap_is_caught().unwrap_or_else(|| proc::catches(self.pid, Signal::TRAP).unwrap_or(false))
    }

    /// Tells of a signal that stops nothing.
    pub(super) fn tell_signal(&mut self, tid: Tid, signal: Signal, origin: Option<SignalOrigin>) {
        let number = self.threads.get(&tid).map_or(1, |thread| thread.number);
        let sender_name = self.sender_name(&Why::Signal { signal, origin });
        let passed = self.rules.signals.of(signal).pass;
        self.news.push_back(News::Signalled {
            process: self.pid,
            thread: tid,
            number,
            signal,
            origin,
            sender_name,
            passed,
        });
    }

    /// The name of the process that sent a signal. The kernel tells its pid as the target's PID namespace has it: what that
    /// means in ours is known only where both are the same.
    pub(super) fn sender_name(&self, why: &Why) -> Option<String> {
        let (Why::Signal { origin: Some(origin), .. }
        | Why::Catch { event: Caught::Signal { origin: Some(origin), .. }, .. }) = why
        else {
            return None;
        };
        let sender = origin.sender.filter(|sender| sender.0 > 0)?;
        let same = proc::namespace_differs(self.pid, "pid") == Some(false);
        same.then(|| proc::thread_name(sender, sender.leader()).ok()).flatten()
    }

    /// Has a stopped thread go on with this signal instead of the one it stopped for. Where it stopped for none, the
    /// signal is sent to it, and reaches it when it goes on; the kernel gives one in its stead only there.
    pub fn give_signal(&mut self, tid: Tid, signal: Option<Signal>) -> Result<()> {
        let pid = self.pid;
        let thread = self.threads.get_mut(&tid).ok_or(Error::NoThread(tid))?;
        match (thread.state, signal) {
            (State::Stopped(Stop::Signal(_)), _) => thread.order = Some(signal),
            (_, None) => {}
            (_, Some(signal)) => {
                ptrace::tgkill(pid, tid, signal).map_err(|errno| Error::Request { what: "signal", tid, errno })?;
            }
        }
        if signal == Some(Signal::CONT) {
            // Job control lets the process go with the sending: no thread of it may be left to a stop that is over.
            for thread in self.threads.values_mut() {
                if matches!(thread.state, State::Stopped(Stop::Group(_))) {
                    thread.state = State::Stopped(Stop::Interrupt);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_signals_pass_and_others_stop() {
        let table = SignalTable::default();
        for (number, stops) in [
            (14, false),
            (17, false),
            (23, false),
            (32, false),
            (33, false),
            (19, false),
            (20, false),
            (18, false),
            (29, false),
            (2, true),
            (10, true),
            (11, true),
            (15, true),
            (34, true),
            (64, true),
            (5, true),
        ] {
            let expected = Disposition { stop: stops, print: stops, pass: true };
            assert_eq!(table.of(Signal(number)), expected, "{}", Signal(number));
        }
        for number in [-1, 0, 65, i32::MAX] {
            assert!(table.of(Signal(number)).pass);
        }
    }

    #[test]
    fn words_imply_others() {
        let none = Disposition { stop: false, print: false, pass: false };
        let both = Disposition { stop: true, print: true, pass: false };
        for (from, word, to) in [
            (none, Handling::Stop, both),
            (both, Handling::NoPrint, none),
            (both, Handling::NoStop, Disposition { print: true, ..none }),
            (none, Handling::Print, Disposition { print: true, ..none }),
            (both, Handling::Print, both),
            (none, Handling::Pass, Disposition { pass: true, ..none }),
            (Disposition { pass: true, ..both }, Handling::NoPass, both),
        ] {
            assert_eq!(from.with(word), to, "{from:?} {word:?}");
        }
    }

    #[test]
    fn a_thread_gets_what_it_stopped_for_unless_told_otherwise() {
        let table = SignalTable::default();
        let mut thread = Thread::new(1, State::Stopped(Stop::Signal(Signal::USR1)));
        let usr1 = Some(Signal::USR1);
        assert_eq!(table.signal_for(&thread, false, false), usr1);
        thread.order = Some(None);
        assert_eq!(table.signal_for(&thread, true, true), None);
        thread.order = Some(Some(Signal::HUP));
        assert_eq!(table.signal_for(&thread, false, false), Some(Signal::HUP));
        thread.order = None;
        table.handle(Signal::USR1, &[Handling::NoPass]);
        assert_eq!(table.signal_for(&thread, true, false), None);
    }

    #[test]
    fn an_int3_that_was_told_is_passed_by() {
        let table = SignalTable::default();
        let trap = Some(Signal::TRAP);
        let at = |int3| Thread { int3, ..Thread::new(1, State::Stopped(Stop::Signal(Signal::TRAP))) };
        for (int3, leaving, caught, expected) in [
            (None, false, false, trap),
            (Some(true), false, false, None),
            (Some(true), false, true, None),
            (Some(true), true, true, trap),
            (Some(true), true, false, None),
            (Some(false), false, true, trap),
            (Some(false), false, false, None),
        ] {
            assert_eq!(table.signal_for(&at(int3), leaving, caught), expected, "{int3:?} {leaving} {caught}");
        }
        table.handle(Signal::TRAP, &[Handling::Pass]);
        assert_eq!(table.signal_for(&at(Some(true)), false, false), trap);
        table.handle(Signal::TRAP, &[Handling::NoPass]);
        assert_eq!(table.signal_for(&at(Some(true)), false, true), None);
    }
}
