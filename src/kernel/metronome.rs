//! A timer that beats on the tracer thread, so that no wait in the kernel lasts: each beat ends a waitid(2) with EINTR.
//! While threads are being seized a beat also takes in the ends of dead tracees, which breaks the kernel's one deadlock
//! of ptrace with exec (below). Knows neither threads nor processes.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{self, SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;

use super::own;
use crate::addr::Pid;

/// The process whose dead threads a beat takes in, while PTRACE_SEIZE may block on it: execve(2) in the target holds
/// `cred_guard_mutex`, which PTRACE_SEIZE needs, while it waits for its traced sibling threads to be reaped, which only
/// their tracer can do (ptrace(2), BUGS). Some of them nobody has heard of yet: the kernel seizes what seized threads make.
/// 0: none.
static SEIZING: AtomicI32 = AtomicI32::new(0);

/// Which call that is, counted, and which one the last beat met: only a call that two beats meet is stuck. Going through the
/// threads of a large process takes longer than a beat, and would otherwise be all that is done.
static CALL: AtomicU32 = AtomicU32::new(0);
static MET: AtomicU32 = AtomicU32::new(0);

/// How long after the start, and how often from then on, a beat comes. A repeated beat closes the gap in which the
/// first one arrives just before the wait begins.
const BEAT: Duration = Duration::from_millis(10);

/// The timer. It beats only between [`Metronome::start`] and the drop of what that returns.
pub struct Metronome {
    timer: RefCell<Timer>,
    /// How many want it to beat: one may ask for it within another.
    wanted: Cell<u32>,
}

/// Beats until it is dropped.
pub struct Beating<'a> {
    metronome: &'a Metronome,
}

extern "C" fn beat(_: libc::c_int) {
    let pid = SEIZING.load(Ordering::Relaxed);
    let call = CALL.load(Ordering::Relaxed);
    if pid == 0 || MET.swap(call, Ordering::Relaxed) != call {
        return;
    }
    // Async-signal-safe: system calls on the stack's memory, and errno is put back.
    // SAFETY: errno belongs to this thread.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        reap_dead_threads(pid);
        *errno = saved;
    }
}

/// Takes the ends of all threads that `/proc/PID/task` lists. Threads that have ended stay listed until they are taken.
///
/// # Safety
/// Async-signal-safe; needs errno to be put back by the caller.
unsafe fn reap_dead_threads(pid: i32) {
    let mut path = [0u8; 32];
    write_path(&mut path, pid);
    // SAFETY: a NUL-terminated path, a buffer that lives on the stack, and a descriptor that is closed again.
    unsafe {
        let folder = libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC);
        if folder < 0 {
            return;
        }
        let mut buffer = [0u64; 512];
        let size = std::mem::size_of_val(&buffer);
        loop {
            let got = libc::syscall(libc::SYS_getdents64, folder, buffer.as_mut_ptr(), size);
            if got <= 0 {
                break;
            }
            let bytes = std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), got as usize);
            for_each_number(bytes, |tid| reap(tid));
        }
        libc::close(folder);
    }
}

/// Writes `/proc/PID/task` without allocating.
fn write_path(path: &mut [u8; 32], pid: i32) {
    let mut digits = [0u8; 10];
    let (mut left, mut count) = (pid, 0);
    while left > 0 {
        digits[count] = b'0' + (left % 10) as u8;
        left /= 10;
        count += 1;
    }
    let number = digits[..count].iter().rev();
    let text = b"/proc/".iter().chain(number).chain(b"/task");
    for (slot, byte) in path.iter_mut().zip(text) {
        *slot = *byte;
    }
}

/// The names of `struct linux_dirent64` records (getdents64(2)) that are numbers.
fn for_each_number(records: &[u8], mut each: impl FnMut(i32)) {
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let mut rest = records;
    while let Some(&[low, high]) = rest.get(LENGTH..LENGTH + 2) {
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let Some(name) = rest.get(NAME..length) else { return };
        let digits = name.iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0i32, |number, digit| number.wrapping_mul(10).wrapping_add(i32::from(digit - b'0')));
        if number > 0 {
            each(number);
        }
        rest = &rest[length..];
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

/// Makes a call that may block until threads of `pid` are reaped, and reaps them at every beat meanwhile.
pub fn reaping<R>(pid: Pid, call: impl FnOnce() -> R) -> R {
    CALL.fetch_add(1, Ordering::Relaxed);
    SEIZING.store(pid.0, Ordering::Relaxed);
    let answer = call();
    SEIZING.store(0, Ordering::Relaxed);
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
        Ok(Metronome { timer: RefCell::new(timer), wanted: Cell::new(0) })
    }

    /// Starts the beat.
    pub fn start(&self) -> nix::Result<Beating<'_>> {
        if self.wanted.get() == 0 {
            let beat = TimeSpec::from_duration(BEAT);
            self.timer.borrow_mut().set(Expiration::IntervalDelayed(beat, beat), TimerSetTimeFlags::empty())?;
        }
        self.wanted.set(self.wanted.get() + 1);
        Ok(Beating { metronome: self })
    }
}

impl Drop for Beating<'_> {
    fn drop(&mut self) {
        let left = self.metronome.wanted.get() - 1;
        self.metronome.wanted.set(left);
        if left == 0 {
            let never = Expiration::OneShot(TimeSpec::from_duration(Duration::ZERO));
            // Disarming a timer that exists cannot fail; a beat too many would only end a wait early.
            let _ = self.metronome.timer.borrow_mut().set(never, TimerSetTimeFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_without_allocating() {
        let mut path = [0; 32];
        write_path(&mut path, 4_194_303);
        assert!(path.starts_with(b"/proc/4194303/task\0"));
    }

    #[test]
    fn the_tids_of_this_process_are_found() {
        let mut buffer = [0u64; 512];
        // The list ends early where a thread of another test has just ended: proc::tasks says why.
        let found = (0..1000).find_map(|_| {
            let folder = std::fs::File::open("/proc/self/task").expect("own tasks");
            let descriptor = std::os::fd::AsRawFd::as_raw_fd(&folder);
            // SAFETY: the buffer is live and as long as is said.
            let got = unsafe { libc::syscall(libc::SYS_getdents64, descriptor, buffer.as_mut_ptr(), 4096usize) };
            // SAFETY: so many bytes of it were written.
            let bytes = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), got as usize) };
            let mut found = Vec::new();
            for_each_number(bytes, |tid| found.push(tid));
            for_each_number(&bytes[..10], |_| panic!("a record that is cut off"));
            found.contains(&own::tid().0).then_some(found)
        });
        assert!(found.is_some_and(|found| found.contains(&std::process::id().cast_signed())));
    }
}
