//! Signals by number and name, the realtime ones included (`nix`'s enum has none of those). Knows no process.

use std::fmt;

use nix::libc;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::addr::Pid;

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

/// Who or what raised a signal, from `siginfo_t` (sigaction(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct SignalOrigin {
    /// `si_code`: 0 `kill`, -1 `sigqueue`, -2 a timer, -6 `tgkill`, 128 the kernel, and by signal above 0.
    pub code: i32,
    /// The sending process, where the code says that one sent it; its pid in *our* PID namespace, 0 if not visible.
    pub sender: Option<Pid>,
    /// The faulting address of SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGTRAP raised by the processor.
    pub address: Option<u64>,
}

/// `si_code` of a signal that the kernel itself raised, the terminal's Ctrl-C among them (`SI_KERNEL`).
pub const SI_KERNEL: i32 = 0x80;

impl SignalOrigin {
    /// Takes the fields that are meant for this signal and code; the others of the C union are never read.
    pub(super) fn from_siginfo(info: &libc::siginfo_t) -> SignalOrigin {
        let code = info.si_code;
        let by_processor =
            matches!(info.si_signo, libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGTRAP)
                && code > 0
                && code != SI_KERNEL;
        let by_process = matches!(code, libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL);
        // SAFETY: the union member that `si_code` and `si_signo` select was filled in by the kernel.
        unsafe {
            SignalOrigin {
                code,
                sender: by_process.then(|| Pid(info.si_pid())),
                address: by_processor.then(|| info.si_addr() as u64),
            }
        }
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
}
