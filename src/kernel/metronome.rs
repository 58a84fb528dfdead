//! A timer that beats on the tracer thread, so that no wait in the kernel lasts: each beat ends a waitid(2) with EINTR.
//! While threads are being seized a beat also takes in the ends of dead tracees, which breaks the kernel's one deadlock
//! of ptrace with exec (below). Knows neither threads nor processes.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{self, SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;

use super::own;

/// True while PTRACE_SEIZE may block: execve(2) in the target holds `cred_guard_mutex`, which PTRACE_SEIZE needs, while
/// it waits for its traced sibling threads to be reaped, which only their tracer can do (ptrace(2), BUGS).
static REAPING: AtomicBool = AtomicBool::new(false);

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
    if !REAPING.load(Ordering::Relaxed) {
        return;
    }
    // Async-signal-safe: one kind of system call, on the stack, and errno is put back.
    // SAFETY: waitid(2) with a null `infop` writes nothing; errno belongs to this thread.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        let options = libc::WEXITED | libc::WNOHANG | libc::__WALL | libc::__WNOTHREAD;
        let mut info: libc::siginfo_t = std::mem::zeroed();
        for _ in 0..1000 {
            info.si_signo = 0;
            if libc::waitid(libc::P_ALL, 0, &raw mut info, options) != 0 || info.si_signo == 0 {
                break;
            }
        }
        *errno = saved;
    }
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

    /// Starts the beat and lets each one take in the ends of tracees; for the time in which threads are seized.
    pub fn start_reaping(&self) -> nix::Result<Beating<'_>> {
        REAPING.store(true, Ordering::Relaxed);
        self.start()
    }
}

impl Drop for Beating<'_> {
    fn drop(&mut self) {
        REAPING.store(false, Ordering::Relaxed);
        // Disarming a timer that exists cannot fail; a beat too many would only end a wait early.
        let _ = self
            .timer
            .borrow_mut()
            .set(Expiration::OneShot(TimeSpec::from_duration(Duration::ZERO)), TimerSetTimeFlags::empty());
    }
}
