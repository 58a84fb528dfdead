//! A timer that beats on the tracer thread, so that no wait in the kernel lasts: each beat ends a waitid(2) with EINTR.
//! While threads are being seized a beat also takes in the ends of dead tracees, which breaks the kernel's one deadlock
//! of ptrace with exec (below). Knows neither threads nor processes.

use std::cell::RefCell;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{self, SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;

use super::own;
use crate::addr::Tid;

/// The tracees whose ends a beat takes in, while PTRACE_SEIZE may block: execve(2) in the target holds
/// `cred_guard_mutex`, which PTRACE_SEIZE needs, while it waits for its traced sibling threads to be reaped, which only
/// their tracer can do (ptrace(2), BUGS). Null: none.
static SEIZED: AtomicPtr<Tid> = AtomicPtr::new(ptr::null_mut());
static SEIZED_COUNT: AtomicUsize = AtomicUsize::new(0);

/// How long after the start, and how often from then on, a beat comes. A repeated beat closes the gap in which the
/// first one arrives just before the wait begins.
const BEAT: Duration = Duration::from_millis(10);

/// The timer. It beats only between [`Metronome::start`] and the drop of what that returns.
pub struct Metronome {
    timer: RefCell<Timer>,
}

/// Beats until it is dropped.
pub struct Beating<'a> {
    timer: &'a RefCell<Timer>,
}

extern "C" fn beat(_: libc::c_int) {
    let tids = SEIZED.load(Ordering::Acquire);
    if tids.is_null() {
        return;
    }
    // Async-signal-safe: system calls on the stack's memory, and errno is put back.
    // SAFETY: the list is only published around one system call of this very thread, during which nobody changes it.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        for index in 0..SEIZED_COUNT.load(Ordering::Acquire) {
            reap((*tids.add(index)).0);
        }
        *errno = saved;
    }
}

/// Takes the end of one tracee, if it has ended; never a stop.
///
/// # Safety
/// Async-signal-safe; needs errno to be put back by the caller.
unsafe fn reap(tid: i32) {
    let options = libc::WEXITED | libc::WNOHANG | libc::__WALL | libc::__WNOTHREAD;
    // SAFETY: plain data for which all zeroes is a value, written by waitid(2).
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let looked = libc::waitid(libc::P_PID, tid as libc::id_t, &raw mut info, options | libc::WNOWAIT);
        if looked == 0 && matches!(info.si_code, libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED) {
            libc::waitid(libc::P_PID, tid as libc::id_t, &raw mut info, options);
        }
    }
}

/// Makes a call that may block until one of `seized` is reaped, and reaps them at every beat meanwhile.
pub fn reaping<R>(seized: &mut [Tid], call: impl FnOnce() -> R) -> R {
    SEIZED_COUNT.store(seized.len(), Ordering::Release);
    SEIZED.store(seized.as_mut_ptr(), Ordering::Release);
    let answer = call();
    SEIZED.store(ptr::null_mut(), Ordering::Release);
    answer
}

impl Metronome {
    /// Makes the timer for the calling thread and unblocks its signal (SIGALRM) there. SIGALRM has no other use here.
    pub fn on_this_thread() -> nix::Result<Metronome> {
        // No SA_RESTART: the beat exists to end a system call.
        let action = SigAction::new(SigHandler::Handler(beat), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler above is async-signal-safe.
        unsafe { signal::sigaction(Signal::SIGALRM, &action) }?;
        SigSet::from(Signal::SIGALRM).thread_unblock()?;
        let notify = SigevNotify::SigevThreadId { signal: Signal::SIGALRM, thread_id: own::tid().0, si_value: 0 };
        let timer = Timer::new(ClockId::CLOCK_MONOTONIC, SigEvent::new(notify))?;
        Ok(Metronome { timer: RefCell::new(timer) })
    }

    /// Starts the beat.
    pub fn start(&self) -> nix::Result<Beating<'_>> {
        let beat = TimeSpec::from_duration(BEAT);
        self.timer.borrow_mut().set(Expiration::IntervalDelayed(beat, beat), TimerSetTimeFlags::empty())?;
        Ok(Beating { timer: &self.timer })
    }
}

impl Drop for Beating<'_> {
    fn drop(&mut self) {
        // Disarming a timer that exists cannot fail; a beat too many would only end a wait early.
        let _ = self
            .timer
            .borrow_mut()
            .set(Expiration::OneShot(TimeSpec::from_duration(Duration::ZERO)), TimerSetTimeFlags::empty());
    }
}
