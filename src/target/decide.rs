//! What to do after a stop: pure functions from facts to an action, tested by tables without any process.

use super::Why;
use crate::kernel::signal::{SI_KERNEL, Signal, SignalOrigin};
use crate::kernel::wait::Stop;

/// What is done with a signal by default, as `handle` will be able to change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Policy {
    /// Whether the process is stopped and the signal reported.
    pub stop: bool,
}

/// The signals that programs use all the time are passed on without a stop: timers, children, I/O, Go's preemption
/// (SIGURG), window size, and what libc uses inside. SIGCONT's work is done when it is sent. The stop signals are
/// passed on because the group-stop that follows is what is reported.
pub(super) fn policy(signal: Signal) -> Policy {
    const PASSED: [&str; 8] = ["SIGALRM", "SIGCHLD", "SIGIO", "SIGPROF", "SIGURG", "SIGVTALRM", "SIGWINCH", "SIGCONT"];
    let passed = signal.is_libc_internal() || signal.stops_process() || PASSED.contains(&signal.to_string().as_str());
    Policy { stop: !passed }
}

/// What to do with a thread that stopped although nobody asked it to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// Let it run on.
    Resume,
    /// Let it run on and give it the signal.
    Pass(Signal),
    /// Leave it to job control.
    Listen,
    /// Stop the whole process and say why.
    Report(Why),
}

/// What a signal means that the terminal itself raised in a program that godbg started: Ctrl-C and Ctrl-Z are meant for
/// godbg, and a program that wants the terminal (SIGTTIN, SIGTTOU) gets it with the next `continue`. The program gets none of
/// these. Such a signal from a process is the program's own.
pub(super) fn by_terminal(signal: Signal, origin: Option<SignalOrigin>, started: bool) -> Option<Why> {
    if !started || origin.is_none_or(|origin| origin.code != SI_KERNEL) {
        return None;
    }
    match signal {
        Signal::INT | Signal::TSTP => Some(Why::Interrupt),
        Signal::TTIN | Signal::TTOU => Some(Why::Terminal { signal }),
        _ => None,
    }
}

/// Whether a thread stopped for a signal that the program must not get.
pub(super) fn is_for_godbg(stop: Stop, origin: Option<SignalOrigin>, started: bool) -> bool {
    matches!(stop, Stop::Signal(signal) if by_terminal(signal, origin, started).is_some())
}

/// Decides about a stop of a running process's thread. `listening`: it was left to job control before.
pub(super) fn after_stop(stop: Stop, origin: Option<SignalOrigin>, started: bool, listening: bool) -> Action {
    match stop {
        // A new thread's first stop, SIGCONT's wake of a listening one, or an interrupt that came too late for a stop.
        Stop::Interrupt => Action::Resume,
        Stop::Group(_) if listening => Action::Listen,
        Stop::Group(signal) => Action::Report(Why::JobControl { signal }),
        Stop::Signal(signal) => match by_terminal(signal, origin, started) {
            Some(why) => Action::Report(why),
            None if policy(signal).stop => Action::Report(Why::Signal { signal, origin }),
            None => Action::Pass(signal),
        },
        _ => Action::Resume,
    }
}

/// Why a thread stands still that stopped while all were being stopped for `asked`.
pub(super) fn why_stopped(stop: Stop, origin: Option<SignalOrigin>, started: bool, asked: Why) -> Why {
    match stop {
        Stop::Group(signal) => Why::JobControl { signal },
        Stop::Signal(signal) => match by_terminal(signal, origin, started) {
            Some(why) => why,
            None if policy(signal).stop => Why::Signal { signal, origin },
            None => asked,
        },
        _ => asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: Option<SignalOrigin> = Some(SignalOrigin { code: SI_KERNEL, sender: None, address: None });
    const USER: Option<SignalOrigin> = Some(SignalOrigin { code: 0, sender: None, address: None });

    #[test]
    fn busy_signals_pass_and_others_stop() {
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
            assert_eq!(policy(Signal(number)).stop, stops, "{}", Signal(number));
        }
    }

    #[test]
    fn each_stop_has_its_action() {
        let usr1 = Signal::USR1;
        let table = [
            (Stop::Interrupt, USER, false, false, Action::Resume),
            (Stop::Clone, None, false, false, Action::Resume),
            (Stop::Exec, None, false, false, Action::Resume),
            (Stop::Group(Signal::TSTP), None, false, false, Action::Report(Why::JobControl { signal: Signal::TSTP })),
            (Stop::Group(Signal::TSTP), None, false, true, Action::Listen),
            (Stop::Signal(Signal::URG), USER, false, false, Action::Pass(Signal::URG)),
            (Stop::Signal(Signal::STOP), USER, false, false, Action::Pass(Signal::STOP)),
            (Stop::Signal(usr1), USER, false, false, Action::Report(Why::Signal { signal: usr1, origin: USER })),
            (Stop::Signal(Signal::INT), KERNEL, true, false, Action::Report(Why::Interrupt)),
            (Stop::Signal(Signal::TSTP), KERNEL, true, false, Action::Report(Why::Interrupt)),
            (Stop::Signal(Signal::TSTP), KERNEL, false, false, Action::Pass(Signal::TSTP)),
            (Stop::Signal(Signal::TSTP), USER, true, false, Action::Pass(Signal::TSTP)),
            (Stop::Signal(Signal::TTIN), KERNEL, true, false, Action::Report(Why::Terminal { signal: Signal::TTIN })),
            (
                Stop::Signal(Signal::INT),
                USER,
                true,
                false,
                Action::Report(Why::Signal { signal: Signal::INT, origin: USER }),
            ),
            (
                Stop::Signal(Signal::INT),
                KERNEL,
                false,
                false,
                Action::Report(Why::Signal { signal: Signal::INT, origin: KERNEL }),
            ),
        ];
        for (stop, origin, started, listening, expected) in table {
            assert_eq!(after_stop(stop, origin, started, listening), expected, "{stop:?} {origin:?} {started}");
        }
    }
    #[test]
    fn only_the_terminal_of_a_started_program_means_godbg() {
        for (signal, origin, started, meant) in [
            (Signal::TSTP, KERNEL, true, true),
            (Signal::TSTP, KERNEL, false, false),
            (Signal::TSTP, USER, true, false),
            (Signal::INT, None, true, false),
            (Signal::TERM, KERNEL, true, false),
        ] {
            assert_eq!(is_for_godbg(Stop::Signal(signal), origin, started), meant, "{signal} {origin:?} {started}");
        }
        assert!(!is_for_godbg(Stop::Interrupt, None, true));
    }
}
