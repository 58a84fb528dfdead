//! waitid(2) as typed reports. Stops are *looked at* (`WNOWAIT`) and not taken: the kernel keeps the stop's signal, so
//! that it is delivered if godbg is SIGKILLed (measured on Linux 6.18: a signal-delivery-stop that was taken loses its
//! signal with the tracer, one that was only looked at does not). The next request that resumes the thread clears it.
//! Ends are taken, or their parent would never see them. A tracee's stop is reported whether `WSTOPPED` is asked for or
//! not (kernel/exit.c, wait_task_stopped): there is no way to ask for ends alone. Knows no policy: what follows from a
//! report is `target`'s.

use std::{mem, ptr};

use nix::errno::Errno;
use nix::libc;
use schemars::JsonSchema;
use serde::Serialize;

use super::signal::Signal;
use crate::addr::Tid;

/// Why a tracee stands still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// `PTRACE_EVENT_STOP` with SIGTRAP: PTRACE_INTERRUPT was answered, a new thread began, or job control let the
    /// process go on while the thread was in PTRACE_LISTEN.
    Interrupt,
    /// `PTRACE_EVENT_STOP` with a stop signal: group-stop. Only PTRACE_LISTEN leaves the process stopped.
    Group(Signal),
    /// signal-delivery-stop: the signal has been dequeued and reaches the thread only if it is passed on.
    Signal(Signal),
    /// PTRACE_EVENT_CLONE in the thread that calls clone(2).
    Clone,
    /// PTRACE_EVENT_FORK.
    Fork,
    /// PTRACE_EVENT_VFORK; the thread waits in D for its child once it is let on.
    Vfork,
    /// PTRACE_EVENT_EXEC: the old program is gone, and so are the other threads.
    Exec,
    /// PTRACE_EVENT_VFORK_DONE: the child has executed a program or ended.
    VforkDone,
    /// PTRACE_EVENT_EXIT: the thread is about to end; its registers can still be read.
    Exiting,
    /// syscall-stop (PTRACE_O_TRACESYSGOOD): entry to or return from a system call, in turns.
    Syscall,
    /// Another ptrace event, which godbg did not ask for.
    Other(u8),
}

/// How a thread or process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum End {
    /// exit(2) or exit_group(2) with this status, 0 to 255.
    Exited {
        /// The exit status.
        status: i32,
    },
    /// Ended by a signal.
    Killed {
        /// The signal.
        signal: Signal,
        /// Whether a core was written.
        core: bool,
    },
}

/// What a wait reported of one tracee or child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Report {
    /// It stands still; the second part is the wait status as wait4(2) would give it.
    Stopped(Stop, u32),
    /// It has ended, with the wait status.
    Ended(End, u32),
}

/// Resource usage as wait4(2) reports it: of the whole process and the children it has waited for (getrusage(2)).
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize, JsonSchema)]
pub struct Usage {
    /// Seconds in user mode.
    pub user_s: f64,
    /// Seconds in the kernel.
    pub system_s: f64,
    /// Largest resident set, in KiB.
    pub max_rss_kib: i64,
    /// Page faults without I/O.
    pub minor_faults: i64,
    /// Page faults with I/O.
    pub major_faults: i64,
    /// 512-byte blocks read from a device.
    pub blocks_in: i64,
    /// 512-byte blocks written to a device.
    pub blocks_out: i64,
    /// Context switches that the process asked for.
    pub voluntary_switches: i64,
    /// Context switches that the scheduler forced.
    pub involuntary_switches: i64,
}

/// The code in `si_status` of a stop: the signal, and the ptrace event above it.
fn stop_of(code: i32) -> Stop {
    let signal = Signal(code & 0x7f);
    match code >> 8 {
        0 if code & 0x80 != 0 => Stop::Syscall,
        0 => Stop::Signal(signal),
        libc::PTRACE_EVENT_STOP if signal == Signal::TRAP => Stop::Interrupt,
        libc::PTRACE_EVENT_STOP => Stop::Group(signal),
        libc::PTRACE_EVENT_CLONE => Stop::Clone,
        libc::PTRACE_EVENT_FORK => Stop::Fork,
        libc::PTRACE_EVENT_VFORK => Stop::Vfork,
        libc::PTRACE_EVENT_EXEC => Stop::Exec,
        libc::PTRACE_EVENT_VFORK_DONE => Stop::VforkDone,
        libc::PTRACE_EVENT_EXIT => Stop::Exiting,
        other => Stop::Other(other as u8),
    }
}

/// Turns what waitid(2) wrote into a report. The wait status is put together as wait4(2) would have given it.
fn report_of(code: i32, status: i32) -> Option<Report> {
    let raw = status as u32;
    match code {
        libc::CLD_TRAPPED | libc::CLD_STOPPED => Some(Report::Stopped(stop_of(status), raw << 8 | 0x7f)),
        libc::CLD_EXITED => Some(Report::Ended(End::Exited { status }, (raw & 0xff) << 8)),
        libc::CLD_KILLED => Some(Report::Ended(End::Killed { signal: Signal(status), core: false }, raw)),
        libc::CLD_DUMPED => Some(Report::Ended(End::Killed { signal: Signal(status), core: true }, raw | 0x80)),
        _ => None,
    }
}

/// How a thread ends, from the wait status that PTRACE_EVENT_EXIT gives with it (ptrace(2)).
pub fn end_of_status(status: i32) -> End {
    match status & 0x7f {
        0 => End::Exited { status: status >> 8 & 0xff },
        signal => End::Killed { signal: Signal(signal), core: status & 0x80 != 0 },
    }
}

/// The system call itself, for its fifth argument, which libc's wrapper leaves out: the resource usage. The kernel sums
/// that over all threads of the process, so asking for it with each thread would be quadratic.
fn waitid(
    kind: libc::idtype_t,
    id: i32,
    options: i32,
    usage: *mut libc::rusage,
) -> Result<Option<(Tid, Report)>, Errno> {
    // SAFETY: plain data for which all zeroes is a value.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // A tracee belongs to this thread alone, and so do the children that it starts: walk no other thread's.
    let options = options | libc::__WALL | libc::__WNOTHREAD;
    // SAFETY: `info` is live and writable; `usage` is null or points to live, writable memory of the callers below.
    let answer = unsafe { libc::syscall(libc::SYS_waitid, kind, id, &raw mut info, options, usage) };
    Errno::result(answer)?;
    // SAFETY: for a child event the kernel filled in the SIGCHLD member; else it is still all zeroes.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok(report_of(info.si_code, status).filter(|_| pid != 0).map(|report| (Tid(pid), report)))
}

const ANY_CHANGE: i32 = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT;

/// Looks whether one tracee has stopped or ended, without taking it. `ECHILD`: not a tracee (any more).
pub fn look(tid: Tid) -> Result<Option<Report>, Errno> {
    let found = waitid(libc::P_PID, tid.0, ANY_CHANGE | libc::WNOHANG, ptr::null_mut())?;
    Ok(found.map(|(_, report)| report))
}

/// Sleeps until one tracee has stopped or ended, without taking it. `EINTR`: a signal came first. Bounded only while a
/// [`Metronome`](super::metronome::Metronome) beats.
pub fn look_until_beat(tid: Tid) -> Result<Option<Report>, Errno> {
    let found = waitid(libc::P_PID, tid.0, ANY_CHANGE, ptr::null_mut())?;
    Ok(found.map(|(_, report)| report))
}

/// Any tracee of this thread that has stopped or ended, without taking it. It walks all of them, and finds a thread
/// that stands still again and again: for use while none does.
pub fn look_any() -> Result<Option<(Tid, Report)>, Errno> {
    waitid(libc::P_ALL, 0, ANY_CHANGE | libc::WNOHANG, ptr::null_mut())
}

/// Looks at one stopped tracee again, for its status and its process's resource usage. `None`: it does not stand still.
pub fn usage(tid: Tid) -> Result<Option<(Report, Usage)>, Errno> {
    with_usage(tid, ANY_CHANGE | libc::WNOHANG)
}

/// The wait status of an exec event (ptrace(2)): SIGTRAP, and the event above it.
pub const EXEC_STATUS: u32 = (libc::PTRACE_EVENT_EXEC as u32) << 16 | (libc::SIGTRAP as u32) << 8 | 0x7f;

/// Sleeps until one tracee has stopped or ended, and takes it: for stops that godbg itself made (a step), whose SIGTRAP must
/// not be delivered should godbg die. `EINTR`: a signal came first, a beat among them.
pub fn take_until_beat(tid: Tid) -> Result<Option<Report>, Errno> {
    let found = waitid(libc::P_PID, tid.0, libc::WSTOPPED | libc::WEXITED, ptr::null_mut())?;
    Ok(found.map(|(_, report)| report))
}

/// Takes a stop that a look has reported. Only for an exec by a thread that was not the leader: until its stop has been
/// taken the kernel answers ESRCH to every request, in case somebody means the leader that is no more (kernel/ptrace.c,
/// `looks_like_a_spurious_pid`).
pub fn take_stop(tid: Tid) -> Result<Option<Report>, Errno> {
    let found = waitid(libc::P_PID, tid.0, libc::WSTOPPED | libc::WNOHANG, ptr::null_mut())?;
    Ok(found.map(|(_, report)| report))
}

/// Takes the end that a look has reported: its own parent can see the end only after that.
pub fn take_end(tid: Tid) -> Result<Option<Report>, Errno> {
    let found = waitid(libc::P_PID, tid.0, libc::WEXITED | libc::WNOHANG, ptr::null_mut())?;
    Ok(found.map(|(_, report)| report))
}

/// Takes the end that a look has reported, with the resource usage. For a process's leader: the kernel sums over all
/// threads, and the leader's end comes last.
pub fn take_end_with_usage(tid: Tid) -> Result<Option<(Report, Usage)>, Errno> {
    with_usage(tid, libc::WEXITED | libc::WNOHANG)
}

fn with_usage(tid: Tid, options: i32) -> Result<Option<(Report, Usage)>, Errno> {
    // SAFETY: plain data for which all zeroes is a value.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    let found = waitid(libc::P_PID, tid.0, options, &raw mut usage)?;
    Ok(found.map(|(_, report)| (report, usage.into())))
}

/// Sleeps until the next beat of a [`Metronome`](super::metronome::Metronome), or 10 ms without one.
pub fn until_beat() {
    // SAFETY: poll(2) with no descriptors touches no memory.
    unsafe { libc::poll(ptr::null_mut(), 0, 10) };
}

impl From<libc::rusage> for Usage {
    fn from(usage: libc::rusage) -> Usage {
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        Usage {
            user_s: seconds(usage.ru_utime),
            system_s: seconds(usage.ru_stime),
            max_rss_kib: usage.ru_maxrss,
            minor_faults: usage.ru_minflt,
            major_faults: usage.ru_majflt,
            blocks_in: usage.ru_inblock,
            blocks_out: usage.ru_oublock,
            voluntary_switches: usage.ru_nvcsw,
            involuntary_switches: usage.ru_nivcsw,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_carry_the_status_that_wait4_would_have_given() {
        let stop = |status| report_of(libc::CLD_TRAPPED, status);
        assert_eq!(stop(0x8005), Some(Report::Stopped(Stop::Interrupt, 0x80057f)));
        assert_eq!(stop(0x8013), Some(Report::Stopped(Stop::Group(Signal::STOP), 0x80137f)));
        assert_eq!(stop(10), Some(Report::Stopped(Stop::Signal(Signal::USR1), 0x0a7f)));
        assert_eq!(stop(0x85), Some(Report::Stopped(Stop::Syscall, 0x857f)));
        assert_eq!(stop(0x0505), Some(Report::Stopped(Stop::VforkDone, 0x05057f)));
        assert_eq!(stop(0x0305), Some(Report::Stopped(Stop::Clone, 0x03057f)));
        assert_eq!(report_of(libc::CLD_EXITED, 3), Some(Report::Ended(End::Exited { status: 3 }, 0x300)));
        let killed = End::Killed { signal: Signal::SEGV, core: true };
        assert_eq!(report_of(libc::CLD_DUMPED, 11), Some(Report::Ended(killed, 0x8b)));
        assert_eq!(report_of(0, 0), None);
        assert_eq!(end_of_status(0x300), End::Exited { status: 3 });
        assert_eq!(end_of_status(0x8b), killed);
    }
}
