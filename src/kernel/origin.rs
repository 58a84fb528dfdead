//! Who or what raised a signal, from the `siginfo_t` that the kernel keeps with it (sigaction(2)). Only the members of the
//! C union that the signal and its code select are read. Knows no process.

use nix::libc;
use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::Pid;

/// Who or what raised a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, JsonSchema)]
pub struct SignalOrigin {
    /// `si_code`: 0 `kill`, -1 `sigqueue`, -2 a timer, -6 `tgkill`, 128 the kernel, and by signal above 0.
    pub code: i32,
    /// The code's name in sigaction(2) (`SI_USER`, `SEGV_MAPERR`), where it has one.
    pub code_name: Option<&'static str>,
    /// The sending process, where the code says that one sent it, or the child of SIGCHLD; its pid in the *target's* PID
    /// namespace, 0 if not visible there.
    pub sender: Option<Pid>,
    /// The real user ID of the sender.
    pub sender_uid: Option<u32>,
    /// The faulting address of SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGTRAP raised by the processor; of SIGSYS the address
    /// of the system call.
    pub address: Option<u64>,
    /// What sigqueue(3), a timer or a message queue sent along: `sival_ptr`, of which `sival_int` is the low half.
    pub value: Option<u64>,
    /// The number of the timer (timer_create(2)) as the kernel counts it.
    pub timer: Option<i32>,
    /// How often the timer ran out meanwhile without a signal of its own.
    pub overruns: Option<i32>,
    /// Of SIGCHLD: the child's exit status, or the signal that ended or stopped it.
    pub child_status: Option<i32>,
    /// Of SIGIO: the file descriptor.
    pub fd: Option<i32>,
    /// Of SIGSYS: the number of the system call.
    pub syscall: Option<i32>,
}

/// `si_code` of a signal that the kernel itself raised, the terminal's Ctrl-C and `int3` among them (`SI_KERNEL`).
pub const SI_KERNEL: i32 = 0x80;

/// Codes that any signal can have (`asm-generic/siginfo.h`).
const GENERAL: [(i32, &str); 10] = [
    (libc::SI_USER, "SI_USER"),
    (SI_KERNEL, "SI_KERNEL"),
    (libc::SI_QUEUE, "SI_QUEUE"),
    (libc::SI_TIMER, "SI_TIMER"),
    (libc::SI_MESGQ, "SI_MESGQ"),
    (libc::SI_ASYNCIO, "SI_ASYNCIO"),
    (libc::SI_SIGIO, "SI_SIGIO"),
    (libc::SI_TKILL, "SI_TKILL"),
    (-7, "SI_DETHREAD"),
    (-60, "SI_ASYNCNL"),
];

/// The codes of one signal, counted from 1 (`asm-generic/siginfo.h`). Those without a meaning here are empty.
fn special(signal: i32) -> &'static [&'static str] {
    match signal {
        libc::SIGILL => &[
            "ILL_ILLOPC",
            "ILL_ILLOPN",
            "ILL_ILLADR",
            "ILL_ILLTRP",
            "ILL_PRVOPC",
            "ILL_PRVREG",
            "ILL_COPROC",
            "ILL_BADSTK",
            "ILL_BADIADDR",
        ],
        libc::SIGFPE => &[
            "FPE_INTDIV",
            "FPE_INTOVF",
            "FPE_FLTDIV",
            "FPE_FLTOVF",
            "FPE_FLTUND",
            "FPE_FLTRES",
            "FPE_FLTINV",
            "FPE_FLTSUB",
            "",
            "",
            "",
            "",
            "",
            "FPE_FLTUNK",
            "FPE_CONDTRAP",
        ],
        libc::SIGSEGV => &[
            "SEGV_MAPERR",
            "SEGV_ACCERR",
            "SEGV_BNDERR",
            "SEGV_PKUERR",
            "SEGV_ACCADI",
            "SEGV_ADIDERR",
            "SEGV_ADIPERR",
            "SEGV_MTEAERR",
            "SEGV_MTESERR",
            "SEGV_CPERR",
        ],
        libc::SIGBUS => &["BUS_ADRALN", "BUS_ADRERR", "BUS_OBJERR", "BUS_MCEERR_AR", "BUS_MCEERR_AO"],
        libc::SIGTRAP => &["TRAP_BRKPT", "TRAP_TRACE", "TRAP_BRANCH", "TRAP_HWBKPT", "TRAP_UNK", "TRAP_PERF"],
        libc::SIGCHLD => &["CLD_EXITED", "CLD_KILLED", "CLD_DUMPED", "CLD_TRAPPED", "CLD_STOPPED", "CLD_CONTINUED"],
        libc::SIGIO => &["POLL_IN", "POLL_OUT", "POLL_MSG", "POLL_ERR", "POLL_PRI", "POLL_HUP"],
        libc::SIGSYS => &["SYS_SECCOMP", "SYS_USER_DISPATCH"],
        _ => &[],
    }
}

fn code_name(signal: i32, code: i32) -> Option<&'static str> {
    let general = GENERAL.iter().find(|(number, _)| *number == code).map(|(_, name)| *name);
    let index = usize::try_from(code).ok().and_then(|code| code.checked_sub(1));
    general.or_else(|| special(signal).get(index?).copied()).filter(|name| !name.is_empty())
}

/// `SIGSYS`'s member of the union, which libc does not have (`asm-generic/siginfo.h`).
#[repr(C)]
struct SysCall {
    head: [i32; 4],
    address: u64,
    number: i32,
    arch: u32,
}

/// The members of a timer's signal: libc has no accessors for them (`asm-generic/siginfo.h`).
#[repr(C)]
struct Timer {
    head: [i32; 4],
    id: i32,
    overruns: i32,
    value: u64,
}

/// The members of SIGIO.
#[repr(C)]
struct Poll {
    head: [i32; 4],
    band: i64,
    fd: i32,
}

impl SignalOrigin {
    /// Takes the fields that are meant for this signal and code; the others of the C union are never read.
    pub(super) fn from_siginfo(info: &libc::siginfo_t) -> SignalOrigin {
        let (signal, code) = (info.si_signo, info.si_code);
        let base = SignalOrigin { code, code_name: code_name(signal, code), ..SignalOrigin::default() };
        let raw: *const libc::siginfo_t = info;
        // SAFETY: the kernel filled in the union member that `si_code` and `si_signo` select (kernel/signal.c,
        // `siginfo_layout`); each view is plain data within the 128 bytes of a siginfo_t, aligned as it is.
        unsafe {
            match code {
                libc::SI_USER | libc::SI_TKILL => base.sent(info),
                libc::SI_QUEUE | libc::SI_MESGQ => {
                    SignalOrigin { value: Some(info.si_value().sival_ptr as u64), ..base.sent(info) }
                }
                libc::SI_TIMER => {
                    let timer = &*raw.cast::<Timer>();
                    let (id, overruns) = (Some(timer.id), Some(timer.overruns));
                    SignalOrigin { timer: id, overruns, value: Some(timer.value), ..base }
                }
                code if code <= 0 || code == SI_KERNEL => base,
                _ => match signal {
                    libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGTRAP => {
                        SignalOrigin { address: Some(info.si_addr() as u64), ..base }
                    }
                    libc::SIGCHLD => SignalOrigin { child_status: Some(info.si_status()), ..base.sent(info) },
                    libc::SIGIO => SignalOrigin { fd: Some((*raw.cast::<Poll>()).fd), ..base },
                    libc::SIGSYS => {
                        let call = &*raw.cast::<SysCall>();
                        SignalOrigin { address: Some(call.address), syscall: Some(call.number), ..base }
                    }
                    _ => base,
                },
            }
        }
    }

    /// With the sender. For siginfo's members `_kill`, `_rt` and `_sigchld`, which begin alike.
    unsafe fn sent(self, info: &libc::siginfo_t) -> SignalOrigin {
        // SAFETY: the caller knows that the code selects a member with pid and uid.
        let (pid, uid) = unsafe { (info.si_pid(), info.si_uid()) };
        SignalOrigin { sender: Some(Pid(pid)), sender_uid: Some(uid), ..self }
    }

    /// Whether a process sent it: kill(2), tgkill(2), sigqueue(3) and their like.
    pub fn is_sent(&self) -> bool {
        matches!(self.code, libc::SI_USER | libc::SI_TKILL | libc::SI_QUEUE)
    }

    /// Whether godbg itself sent it to one thread, with [`tgkill`](super::ptrace::tgkill).
    pub fn is_from_godbg(&self) -> bool {
        self.code == libc::SI_TKILL && self.sender == Some(super::own::pid())
    }

    /// Whether a SIGTRAP with this origin is an `int3` of the program: the kernel raises it with SI_KERNEL
    /// (arch/x86/kernel/traps.c, `do_int3_user`); all other traps have codes of their own.
    pub fn is_int3(&self) -> bool {
        self.code == SI_KERNEL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(words: [i32; 10]) -> SignalOrigin {
        // SAFETY: plain data for which all zeroes is a value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: a siginfo_t has 128 bytes.
        unsafe { (&raw mut info).cast::<[i32; 10]>().write(words) };
        SignalOrigin::from_siginfo(&info)
    }

    #[test]
    fn each_code_selects_its_members() {
        let base = SignalOrigin::default();
        let user = origin([libc::SIGUSR1, 0, libc::SI_USER, 0, 77, 1000, 0, 0, 0, 0]);
        let (sender, sender_uid) = (Some(Pid(77)), Some(1000));
        assert_eq!(user, SignalOrigin { code: 0, code_name: Some("SI_USER"), sender, sender_uid, ..base });
        let queued = origin([34, 0, libc::SI_QUEUE, 0, 77, 1000, 5, 0, 0, 0]);
        assert_eq!((queued.sender, queued.value, queued.code_name), (sender, Some(5), Some("SI_QUEUE")));
        let timer = origin([34, 0, libc::SI_TIMER, 0, 3, 2, 9, 0, 0, 0]);
        assert_eq!((timer.timer, timer.overruns, timer.value, timer.sender), (Some(3), Some(2), Some(9), None));
        let fault = origin([libc::SIGSEGV, 0, 1, 0, 0x10, 0, 0, 0, 0, 0]);
        assert_eq!((fault.address, fault.code_name, fault.sender), (Some(16), Some("SEGV_MAPERR"), None));
        let child = origin([libc::SIGCHLD, 0, 1, 0, 78, 1000, 3, 0, 0, 0]);
        assert_eq!((child.sender, child.child_status), (Some(Pid(78)), Some(3)));
        let poll = origin([libc::SIGIO, 0, 1, 0, 1, 0, 7, 0, 0, 0]);
        assert_eq!((poll.fd, poll.code_name), (Some(7), Some("POLL_IN")));
        let call = origin([libc::SIGSYS, 0, 1, 0, 0x1000, 0, 59, 0, 0, 0]);
        assert_eq!((call.address, call.syscall, call.code_name), (Some(0x1000), Some(59), Some("SYS_SECCOMP")));
        let kernel = origin([libc::SIGTRAP, 0, SI_KERNEL, 0, 1, 1, 1, 1, 1, 1]);
        assert_eq!(kernel, SignalOrigin { code: SI_KERNEL, code_name: Some("SI_KERNEL"), ..base });
        assert!(kernel.is_int3() && !user.is_int3());
    }

    #[test]
    fn codes_have_the_names_of_sigaction() {
        for (signal, code, name) in [
            (libc::SIGFPE, 1, Some("FPE_INTDIV")),
            (libc::SIGFPE, 15, Some("FPE_CONDTRAP")),
            (libc::SIGFPE, 9, None),
            (libc::SIGBUS, 2, Some("BUS_ADRERR")),
            (libc::SIGTRAP, 4, Some("TRAP_HWBKPT")),
            (libc::SIGSEGV, 99, None),
            (libc::SIGUSR1, 1, None),
            (libc::SIGUSR1, -60, Some("SI_ASYNCNL")),
            (libc::SIGUSR1, i32::MIN, None),
        ] {
            assert_eq!(code_name(signal, code), name, "{signal} {code}");
        }
    }
}
