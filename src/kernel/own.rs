//! godbg's own process: which signals it takes in and how, the bell that wakes the tracer thread, and the terminal it
//! shares with the programs it starts. Knows nothing of tracees.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{self, SetArg, Termios};
use nix::unistd;

use super::signal::Signal;
use crate::addr::{Pid, Tid};

static IS_PROGRAM: AtomicBool = AtomicBool::new(false);

/// Says that this process runs the `godbg` program, whose executable can be started again for another part of the work. Other
/// programs that use the library must not be: they would do whatever they do.
pub fn declare_program() {
    IS_PROGRAM.store(true, Ordering::Relaxed);
}

/// Whether that was said.
pub fn is_program() -> bool {
    IS_PROGRAM.load(Ordering::Relaxed)
}

/// The calling thread's tid.
pub fn tid() -> Tid {
    Tid(unistd::gettid().as_raw())
}

/// godbg's own pid.
pub fn pid() -> Pid {
    Pid(std::process::id() as i32)
}

/// The signals that end a command or godbg, as the tracer thread takes them in.
const REQUESTS: [NixSignal; 4] = [NixSignal::SIGINT, NixSignal::SIGTERM, NixSignal::SIGHUP, NixSignal::SIGQUIT];

/// Blocks SIGCHLD and the signals that ask godbg to stop or leave, in this thread and all that it starts from now on.
/// They are then read from a descriptor on the tracer thread, never handled in the middle of something. SIGTSTP is
/// blocked too: a suspended godbg could not let a held process go.
pub fn block_signals() -> nix::Result<()> {
    let mut set = SigSet::from_iter(REQUESTS);
    set.add(NixSignal::SIGCHLD);
    set.add(NixSignal::SIGTSTP);
    // Handing the terminal to another process group from the background raises SIGTTOU unless it is blocked
    // (tcsetpgrp(3)).
    set.add(NixSignal::SIGTTOU);
    // A godbg that reads from the background gets an error, and is not stopped while it holds a process.
    set.add(NixSignal::SIGTTIN);
    // A file that may not grow (RLIMIT_FSIZE) is an error of a write, not the end of godbg.
    set.add(NixSignal::SIGXFSZ);
    set.thread_block()
}

/// Has this thread come before all that is scheduled by fair shares (sched(7), SCHED_RR). False: that is not allowed, for want of
/// CAP_SYS_NICE or RLIMIT_RTPRIO. One system call, which may be made between fork and exec.
pub fn come_first() -> bool {
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: the kernel reads one number. What this thread starts is not to come first as well.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const lowest) == 0 }
}

/// Wakes the tracer thread from another thread.
#[derive(Clone, Debug)]
pub struct Bell {
    event: Arc<EventFd>,
    /// The same for a glance that must cost nothing.
    rings: Arc<AtomicBool>,
}

impl Bell {
    /// Rings. A bell that already rings stays so.
    pub fn ring(&self) {
        self.rings.store(true, Ordering::Release);
        // The counter of an eventfd overflows after 2^64 - 2 rings without a wake; it cannot fail here otherwise.
        let _ = self.event.write(1);
    }

    /// Whether somebody has rung since the poller last looked. True once too often at most: somebody may ring while it looks.
    pub fn rings(&self) -> bool {
        self.rings.load(Ordering::Acquire)
    }
}

/// What woke the tracer thread.
#[derive(Default, Debug)]
pub struct Wakeup {
    /// Somebody rang the bell.
    pub bell: bool,
    /// SIGCHLD came; a tracee or child changed its state. Which one, as far as the signal tells: several merge into one.
    pub child: Option<Tid>,
    /// SIGINT, SIGTERM, SIGHUP or SIGQUIT came.
    pub request: Option<Signal>,
}

/// The three things that the tracer thread waits for: its bell, signals, and a deadline.
pub struct Poller {
    signals: SignalFd,
    bell: Bell,
}

impl Poller {
    /// Needs [`block_signals`] to have been called before any thread was started.
    pub fn new() -> nix::Result<Poller> {
        let mut set = SigSet::from_iter(REQUESTS);
        set.add(NixSignal::SIGCHLD);
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Poller { signals, bell: Bell { event: Arc::new(bell), rings: Arc::default() } })
    }

    /// The bell that wakes this poller.
    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Sleeps until something comes or the deadline has passed. `None` waits for as long as it takes.
    pub fn wait(&self, deadline: Option<Instant>) -> nix::Result<Wakeup> {
        let timeout = match deadline {
            None => PollTimeout::NONE,
            Some(at) => round_up(at.saturating_duration_since(Instant::now())),
        };
        let mut fds = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.bell.event.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        self.bell.rings.store(false, Ordering::Release);
        let mut wakeup = Wakeup { bell: self.bell.event.read().is_ok(), ..Wakeup::default() };
        while let Ok(Some(info)) = self.signals.read_signal() {
            match info.ssi_signo as i32 {
                libc::SIGCHLD => wakeup.child = Some(Tid(info.ssi_pid as i32)),
                request => wakeup.request = Some(Signal(request)),
            }
        }
        Ok(wakeup)
    }
}

/// poll(2) counts in milliseconds: waking up early would make the caller spin through the rest.
fn round_up(left: Duration) -> PollTimeout {
    let millis = left.as_micros().div_ceil(1000).min(i32::MAX as u128 - 1);
    PollTimeout::try_from(millis as i32).unwrap_or(PollTimeout::MAX)
}

/// The terminal on standard input, if godbg has one and is in its foreground: its settings when godbg began, and who
/// may read from it now.
pub struct Terminal {
    begin: libc::termios,
    own_group: unistd::Pid,
    /// The settings and the foreground process group that the program left behind when the terminal was taken back.
    away: Mutex<Option<(libc::termios, unistd::Pid)>>,
}

static TERMINAL: Mutex<Option<Arc<Terminal>>> = Mutex::new(None);

/// Whether a line is being edited on the terminal.
static EDITING: AtomicBool = AtomicBool::new(false);

/// Says whether a line is being edited on the terminal: [`leave`] then ends what the editor began.
pub fn set_editing(editing: bool) {
    EDITING.store(editing, Ordering::Relaxed);
}

impl Terminal {
    /// Remembers the settings of the terminal on standard input, for [`leave`] too. `None`: there is none, or another
    /// process group has it.
    pub fn of_stdin() -> Option<Arc<Terminal>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        let own_group = unistd::getpgrp();
        let begin = termios::tcgetattr(stdin.as_fd()).ok()?.into();
        let terminal = Arc::new(Terminal { begin, own_group, away: Mutex::new(None) });
        *TERMINAL.lock().unwrap_or_else(PoisonError::into_inner) = Some(terminal.clone());
        (unistd::tcgetpgrp(stdin.as_fd()).ok() == Some(own_group)).then_some(terminal)
    }

    /// Makes a program's process group the terminal's foreground, or whichever of its jobs was that when it last stopped,
    /// with the settings that the terminal had then.
    pub fn give_to(&self, group: Pid) -> nix::Result<()> {
        let stdin = io::stdin();
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner).take();
        let own = unistd::Pid::from_raw(group.0);
        if let Some((settings, _)) = away {
            termios::tcsetattr(stdin.as_fd(), SetArg::TCSADRAIN, &Termios::from(settings))?;
        }
        // A job that has ended meanwhile cannot have it.
        let job = away.map_or(own, |(_, job)| job);
        unistd::tcsetpgrp(stdin.as_fd(), job).or_else(|_| unistd::tcsetpgrp(stdin.as_fd(), own))
    }

    /// Takes the terminal back. `keep`: the program will go on, and gets its settings back then.
    pub fn take_back(&self, keep: bool) -> nix::Result<()> {
        let stdin = io::stdin();
        let settings = termios::tcgetattr(stdin.as_fd()).map(libc::termios::from);
        let job = unistd::tcgetpgrp(stdin.as_fd());
        let away = settings.and_then(|settings| Ok((settings, job?))).ok().filter(|_| keep);
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = away;
        unistd::tcsetpgrp(stdin.as_fd(), self.own_group)?;
        self.restore(stdin.as_fd());
        Ok(())
    }

    fn restore(&self, fd: BorrowedFd<'_>) {
        // A terminal that is gone needs no settings.
        let _ = termios::tcsetattr(fd, SetArg::TCSANOW, &Termios::from(self.begin));
    }
}

/// Lets this thread go where it likes again when it is dropped: see [`run_on`].
#[derive(Debug)]
pub struct StayNear {
    before: Option<CpuSet>,
}

impl StayNear {
    /// Remembers where this thread may run now.
    pub fn new() -> StayNear {
        StayNear { before: sched_getaffinity(nix::unistd::Pid::from_raw(0)).ok() }
    }
}

impl Default for StayNear {
    fn default() -> StayNear {
        StayNear::new()
    }
}

impl Drop for StayNear {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // It was allowed before; a processor that was taken away since is left out by the kernel.
            let _ = sched_setaffinity(nix::unistd::Pid::from_raw(0), before);
        }
    }
}

/// Moves this thread to a processor: a tracee that runs there and its tracer take turns without waking another processor,
/// which halves the cost of a stop. Within the life of a [`StayNear`].
pub fn run_on(processor: usize) {
    let mut one = CpuSet::new();
    // A processor that this thread may not use: it stays where it is.
    let _ = one.set(processor).and_then(|()| sched_setaffinity(nix::unistd::Pid::from_raw(0), &one));
}

/// Lets this thread run where the main thread may: one that is started while the tracer thread stays near a tracee
/// ([`run_on`]) would be in their way.
pub fn run_anywhere() {
    // An error leaves it where it is.
    let _ = sched_getaffinity(unistd::getpid()).and_then(|all| sched_setaffinity(unistd::Pid::from_raw(0), &all));
}

/// Ends godbg at once, from any thread, with the terminal as it was found. The targets must have been let go before.
pub fn leave(status: i32) -> ! {
    if let Some(terminal) = TERMINAL.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        let stdin = io::stdin();
        let _ = unistd::tcsetpgrp(stdin.as_fd(), terminal.own_group);
        terminal.restore(stdin.as_fd());
        // The line editor may be in the middle of a line, with bracketed paste on.
        if EDITING.load(Ordering::Relaxed) {
            let _ = unistd::write(stdin.as_fd(), b"\x1b[?2004l\r\n");
        }
    }
    // SAFETY: ends the process without running destructors of threads that may be in the middle of something.
    unsafe { libc::_exit(status) }
}

/// Whether a file descriptor of godbg is a terminal.
pub fn is_terminal(fd: &impl AsRawFd) -> bool {
    // SAFETY: isatty(3) takes any number.
    unsafe { libc::isatty(fd.as_raw_fd()) == 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_that_rang_before_the_wait_ends_it_once() {
        let poller = Poller::new().expect("descriptors");
        poller.bell().ring();
        poller.bell().ring();
        assert!(poller.wait(None).expect("poll").bell);
        let soon = Instant::now() + Duration::from_millis(1);
        assert!(!poller.wait(Some(soon)).expect("poll").bell);
        assert!(Instant::now() >= soon);
    }
}
