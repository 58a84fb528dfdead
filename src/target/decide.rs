//! What to do after a stop: pure functions from facts to an action, tested by tables without any process.

use super::Why;
use super::signals::SignalTable;
use crate::kernel::signal::{SI_KERNEL, Signal, SignalOrigin};
use crate::kernel::wait::Stop;

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

/// Whether godbg sent the signal for a person, who knows of it.
fn is_from_godbg(origin: Option<SignalOrigin>) -> bool {
    origin.is_some_and(|origin| origin.is_from_godbg())
}

/// Whether a signal stops the process and is reported.
fn reports(signal: Signal, origin: Option<SignalOrigin>, signals: &SignalTable) -> bool {
    signals.of(signal).stop && !is_from_godbg(origin)
}

/// Whether a signal is told without a stop.
pub(super) fn is_told(
    stop: Stop,
    origin: Option<SignalOrigin>,
    started: bool,
    signals: &SignalTable,
) -> Option<Signal> {
    let Stop::Signal(signal) = stop else { return None };
    let disposition = signals.of(signal);
    let told = disposition.print && !disposition.stop && !is_from_godbg(origin);
    (told && by_terminal(signal, origin, started).is_none()).then_some(signal)
}

/// Whether a thread stopped for an `int3` of the program itself.
pub(super) fn is_int3(stop: Stop, origin: Option<SignalOrigin>) -> bool {
    stop == Stop::Signal(Signal::TRAP) && origin.is_some_and(|origin| origin.is_int3())
}

/// Decides about a stop of a running process's thread. `listening`: it was left to job control before.
pub(super) fn after_stop(
    stop: Stop,
    origin: Option<SignalOrigin>,
    started: bool,
    listening: bool,
    signals: &SignalTable,
) -> Action {
    match stop {
        // A new thread's first stop, SIGCONT's wake of a listening one, or an interrupt that came too late for a stop.
        Stop::Interrupt => Action::Resume,
        Stop::Group(_) if listening => Action::Listen,
        Stop::Group(signal) => Action::Report(Why::JobControl { signal }),
        Stop::Signal(signal) => match by_terminal(signal, origin, started) {
            Some(why) => Action::Report(why),
            None if reports(signal, origin, signals) => Action::Report(Why::Signal { signal, origin }),
            None if signals.of(signal).pass || is_from_godbg(origin) => Action::Pass(signal),
            None => Action::Resume,
        },
        _ => Action::Resume,
    }
}

/// Why a thread stands still that stopped while all were being stopped for `asked`.
pub(super) fn why_stopped(
    stop: Stop,
    origin: Option<SignalOrigin>,
    started: bool,
    asked: Why,
    signals: &SignalTable,
) -> Why {
    match stop {
        Stop::Group(signal) => Why::JobControl { signal },
        Stop::Signal(signal) => match by_terminal(signal, origin, started) {
            Some(why) => why,
            None if reports(signal, origin, signals) => Why::Signal { signal, origin },
            None => asked,
        },
        _ => asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn origin(code: i32) -> SignalOrigin {
        SignalOrigin {
            code,
            code_name: None,
            sender: None,
            sender_uid: None,
            address: None,
            value: None,
            timer: None,
            overruns: None,
            child_status: None,
            fd: None,
            syscall: None,
        }
    }

    const KERNEL: Option<SignalOrigin> = Some(origin(SI_KERNEL));
    const USER: Option<SignalOrigin> = Some(origin(0));

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
        let signals = SignalTable::default();
        for (stop, origin, started, listening, expected) in table {
            let action = after_stop(stop, origin, started, listening, &signals);
            assert_eq!(action, expected, "{stop:?} {origin:?} {started}");
        }
    }

    #[test]
    fn handle_decides_about_signals() {
        use crate::target::Handling::{NoPass, NoPrint, NoStop};
        let signals = SignalTable::default();
        let stop = Stop::Signal(Signal::USR1);
        let after = |signals: &SignalTable| after_stop(stop, USER, false, false, signals);
        signals.handle(Signal::USR1, &[NoStop]);
        assert_eq!(after(&signals), Action::Pass(Signal::USR1));
        assert_eq!(is_told(stop, USER, false, &signals), Some(Signal::USR1));
        signals.handle(Signal::USR1, &[NoPass]);
        assert_eq!(after(&signals), Action::Resume);
        signals.handle(Signal::USR1, &[NoPrint]);
        assert_eq!(is_told(stop, USER, false, &signals), None);
        assert_eq!(why_stopped(stop, USER, false, Why::Attach, &signals), Why::Attach);
        let own = SignalOrigin { sender: Some(crate::kernel::own::pid()), ..origin(-6) };
        let hup = Stop::Signal(Signal::HUP);
        assert_eq!(after_stop(hup, Some(own), false, false, &signals), Action::Pass(Signal::HUP));
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
