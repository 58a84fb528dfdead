//! Signals by number, name and meaning, the realtime ones included (`nix`'s enum has none of those). Knows no process.

use std::fmt;

use nix::libc;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

pub use super::origin::{SI_KERNEL, SignalOrigin};

/// A signal number, 1 to 64 (signal(7)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String")]
pub struct Signal(pub i32);

/// The first realtime signal that a program may use. The kernel's first is 32; glibc keeps 32 and 33 for itself
/// (cancellation, setxid), and its `SIGRTMIN` is 34.
const SIGRTMIN: i32 = 34;
const SIGRTMAX: i32 = 64;

/// Names of the classical signals, by number; x86-64 and aarch64 share them (`asm-generic/signal.h`).
const NAMES: [&str; 32] = [
    "",
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// What the classical signals mean, by number (signal(7)).
const MEANINGS: [&str; 32] = [
    "",
    "hangup",
    "interrupt from the keyboard",
    "quit from the keyboard",
    "illegal instruction",
    "trace or breakpoint trap",
    "abort",
    "bus error",
    "arithmetic error",
    "kill; cannot be held back",
    "user-defined 1",
    "invalid memory reference",
    "user-defined 2",
    "write to a pipe that nobody reads",
    "alarm clock",
    "termination",
    "stack fault of a coprocessor",
    "a child stopped or ended",
    "continue if stopped",
    "stop; the stop itself is what is reported",
    "stop typed at the terminal",
    "terminal input for a background process",
    "terminal output for a background process",
    "urgent condition on a socket; Go preempts with it",
    "processor time limit exceeded",
    "file size limit exceeded",
    "virtual alarm clock",
    "profiling timer",
    "window size changed",
    "I/O now possible",
    "power failure",
    "bad system call",
];

/// Other names of the same numbers (signal(7)).
const OTHER_NAMES: [(&str, i32); 4] =
    [("SIGIOT", libc::SIGIOT), ("SIGCLD", libc::SIGCHLD), ("SIGPOLL", libc::SIGIO), ("SIGUNUSED", libc::SIGSYS)];

#[allow(missing_docs)]
impl Signal {
    pub const HUP: Signal = Signal(libc::SIGHUP);
    pub const INT: Signal = Signal(libc::SIGINT);
    pub const QUIT: Signal = Signal(libc::SIGQUIT);
    pub const TERM: Signal = Signal(libc::SIGTERM);
    pub const KILL: Signal = Signal(libc::SIGKILL);
    pub const TRAP: Signal = Signal(libc::SIGTRAP);
    pub const STOP: Signal = Signal(libc::SIGSTOP);
    pub const TSTP: Signal = Signal(libc::SIGTSTP);
    pub const TTIN: Signal = Signal(libc::SIGTTIN);
    pub const TTOU: Signal = Signal(libc::SIGTTOU);
    pub const CONT: Signal = Signal(libc::SIGCONT);
    pub const CHLD: Signal = Signal(libc::SIGCHLD);
    pub const SEGV: Signal = Signal(libc::SIGSEGV);
    pub const URG: Signal = Signal(libc::SIGURG);
    pub const USR1: Signal = Signal(libc::SIGUSR1);
}

impl Signal {
    /// All signals, by number.
    pub fn all() -> impl Iterator<Item = Signal> {
        (1..=SIGRTMAX).map(Signal)
    }

    /// Reads a name, with or without `SIG`, in any case, or a number from 1 to 64. Realtime signals are `SIGRTMIN+N`,
    /// `SIGRTMAX-N` or, as gdb has them, `SIG34`.
    pub fn parse(text: &str) -> Option<Signal> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let offset = |text: &str| if text.is_empty() { Some(0) } else { text[1..].parse::<i32>().ok() };
        let number = if let Some(rest) =
            name.strip_prefix("RTMIN").filter(|rest| rest.is_empty() || rest.starts_with('+'))
        {
            SIGRTMIN.checked_add(offset(rest)?)?
        } else if let Some(rest) = name.strip_prefix("RTMAX").filter(|rest| rest.is_empty() || rest.starts_with('-')) {
            SIGRTMAX.checked_sub(offset(rest)?)?
        } else if name.starts_with(|c: char| c.is_ascii_digit()) {
            name.parse().ok()?
        } else {
            let known =
                NAMES.iter().position(|known| known.strip_prefix("SIG") == Some(name)).map(|number| number as i32);
            known.or_else(|| OTHER_NAMES.iter().find(|(other, _)| &other[3..] == name).map(|(_, number)| *number))?
        };
        (1..=SIGRTMAX).contains(&number).then_some(Signal(number))
    }

    /// What it means, in words.
    pub fn meaning(self) -> &'static str {
        match self.0 {
            n @ 1..=31 => MEANINGS[n as usize],
            32 | 33 => "used by libc inside",
            SIGRTMIN..=SIGRTMAX => "realtime, for the program to use",
            _ => "no signal",
        }
    }

    /// SIGKILL ends a process at once and cannot be held back by anybody.
    pub fn is_kill(self) -> bool {
        self == Signal::KILL
    }

    /// The signals whose default action stops the whole process (job control).
    pub fn stops_process(self) -> bool {
        matches!(self, Signal::STOP | Signal::TSTP | Signal::TTIN | Signal::TTOU)
    }

    /// 32 and 33: glibc and musl use them inside (thread cancellation, setuid of all threads).
    pub fn is_libc_internal(self) -> bool {
        (32..SIGRTMIN).contains(&self.0)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        match n {
            1..=31 => f.pad(NAMES[n as usize]),
            32 | 33 => f.pad(&format!("SIG{n}")),
            SIGRTMIN => f.pad("SIGRTMIN"),
            SIGRTMAX => f.pad("SIGRTMAX"),
            35..SIGRTMAX => f.pad(&format!("SIGRTMIN+{}", n - SIGRTMIN)),
            _ => f.pad(&format!("signal {n}")),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_signal_7() {
        for (n, name) in [
            (1, "SIGHUP"),
            (11, "SIGSEGV"),
            (31, "SIGSYS"),
            (33, "SIG33"),
            (34, "SIGRTMIN"),
            (37, "SIGRTMIN+3"),
            (64, "SIGRTMAX"),
        ] {
            assert_eq!(Signal(n).to_string(), name);
        }
        assert_eq!(Signal(99).to_string(), "signal 99");
    }

    #[test]
    fn every_name_is_read_back() {
        for signal in Signal::all() {
            assert_eq!(Signal::parse(&signal.to_string()), Some(signal));
            assert_eq!(Signal::parse(&signal.0.to_string()), Some(signal));
            assert!(!signal.meaning().is_empty());
        }
        for (text, number) in [("usr1", 10), ("SIG34", 34), ("SIGRTMAX-1", 63), ("rtmin+2", 36), ("SIGPOLL", 29)] {
            assert_eq!(Signal::parse(text), Some(Signal(number)), "{text}");
        }
        let huge = "SIGRTMIN+2147483647";
        for text in ["", "SIG", "0", "65", "-1", "SIGFOO", "SIGRTMIN+31", "SIGRTMIN-1", "SIGRTMAX+1", "1.5", huge, "+5"]
        {
            assert_eq!(Signal::parse(text), None, "{text}");
        }
    }
}
