//! Stops at signals, system calls, births, exec and ends of threads: what a stop is to the catchpoints, and what the kernel
//! must be asked for so that it comes. The list itself is in `catches`. Sets no breakpoint.

use std::time::Instant;

use super::breakpoints::evaluate;
use super::catches::Caught;
use super::expr::Expr;
use super::process::Process;
use super::thread::State;
use super::{News, Why};
use crate::addr::{Pid, Tid};
use crate::kernel::Errno;
use crate::kernel::arch;
use crate::kernel::ptrace::{Follow, OnTracerDeath, SyscallStop};
use crate::kernel::signal::{Signal, SignalOrigin};
use crate::kernel::wait::{self, End, Report, Stop};

impl Process {
    /// What a stop that was just noted means to the catchpoints: the report that is due, if one was hit.
    pub(super) fn caught(&mut self, tid: Tid, stop: Stop, origin: Option<SignalOrigin>) -> Option<Why> {
        let event = match stop {
            Stop::Signal(_) if origin.is_some_and(|origin| origin.is_from_godbg()) => return None,
            Stop::Signal(signal) => Caught::Signal { signal, origin },
            Stop::Syscall => self.syscall_stop(tid)?,
            // The other events cost a request, and are only asked for where somebody wants to know.
            _ if self.rules.catches.is_empty() => return None,
            Stop::Fork => Caught::Fork { child: Pid(self.message(tid)?) },
            Stop::Vfork => Caught::Vfork { child: Pid(self.message(tid)?) },
            Stop::Clone => {
                let new = Tid(self.message(tid)?);
                if self.threads.contains_key(&new) {
                    Caught::Clone { new_thread: new }
                } else {
                    Caught::Fork { child: Pid(new.0) }
                }
            }
            Stop::Exec => Caught::Exec,
            Stop::Exiting => Caught::Exit { end: self.own_end(tid)? },
            _ => return None,
        };
        let catchpoint = self.hit_catchpoint(tid, &event)?;
        Some(Why::Catch { catchpoint, event })
    }

    /// Counts a hit of every catchpoint that is met with its condition true, and gives the number of the first that stops
    /// the process.
    fn hit_catchpoint(&mut self, tid: Tid, event: &Caught) -> Option<u32> {
        let mut first = None;
        for (number, condition) in self.rules.catches.matching(event) {
            if condition.is_some_and(|condition| !self.holds(number, tid, &condition)) {
                continue;
            }
            let Some(hit) = self.rules.catches.count(number) else { continue };
            if first.is_none() {
                first = Some(number);
                self.parted = hit.last.map(|commands| (number, commands)).into_iter().collect();
            }
        }
        first
    }

    /// Whether a catchpoint's condition holds. One that has no value does, and says so.
    fn holds(&mut self, number: u32, tid: Tid, condition: &Expr) -> bool {
        let value = self.tracer.registers(tid).map(|registers| evaluate(self, tid, &registers, condition));
        match value {
            Ok(Ok(value)) => value.bits() != 0,
            Ok(Err(error)) => {
                let why = error.to_string();
                self.news.push_back(News::ConditionFailed { process: self.pid, thread: tid, number, why });
                true
            }
            // It was killed: nothing is left to stop for.
            Err(_) => false,
        }
    }

    /// How a thread is about to end by itself. `None`: it ends with all of its process (exit_group(2), exec, a deadly signal),
    /// of which one thread tells: the one that called, or the first that a signal's end is seen of.
    fn own_end(&mut self, tid: Tid) -> Option<End> {
        let end = wait::end_of_status(self.message(tid)?);
        match end {
            End::Exited { .. } => {
                let number = self.tracer.registers(tid).ok()?.syscall()?.0;
                arch::ends_caller(number).then_some(end)
            }
            End::Killed { .. } => (!std::mem::replace(&mut self.deadly_end_seen, true)).then_some(end),
        }
    }

    fn message(&self, tid: Tid) -> Option<i32> {
        self.tracer.event_message(tid).ok().map(|message| message as i32)
    }

    /// Whether a thread enters or leaves a system call, and which. The entry is kept in mind: the return does not name it.
    fn syscall_stop(&mut self, tid: Tid) -> Option<Caught> {
        let tracer = self.tracer;
        let thread = self.threads.get_mut(&tid)?;
        match self.tracer.syscall_stop(tid).ok()?? {
            SyscallStop::Entry { number, args, native } => {
                thread.call = Some((number, native));
                let syscall_name = native.then(|| arch::syscall_name(number)).flatten();
                Some(Caught::SyscallEntry { syscall: number, syscall_name, args })
            }
            SyscallStop::Exit { result, is_error } => {
                let call = thread.call.take();
                // A number of another convention (32-bit programs) names nothing here.
                let syscall = call.filter(|(_, native)| *native).map(|(number, _)| number);
                if result == -(Errno::EINTR as i64) {
                    // Any stop takes the place of an interrupt that was still due (kernel/signal.c, `ptrace_stop`): what that
                    // one's stop would have mended is mended here. ESRCH: it was killed.
                    let _ = tracer.mend_interrupted_call(tid);
                }
                let error = is_error.then(|| error_words(-(result as i32)));
                Some(Caught::SyscallReturn {
                    syscall,
                    syscall_name: syscall.and_then(arch::syscall_name),
                    result,
                    error,
                })
            }
        }
    }

    /// Lets a thread run on, to its next system call where one is to be caught.
    pub(super) fn go_on(&self, tid: Tid, signal: Option<Signal>) -> Result<(), Errno> {
        if self.rules.catches.wants_syscalls() {
            self.tracer.cont_to_syscall(tid, signal)
        } else {
            self.tracer.cont(tid, signal)
        }
    }

    /// Asks for, or no longer asks for, a stop at each thread's end. For a process that is held and about to run; new
    /// threads have what their makers have.
    pub(super) fn renew_options(&mut self) {
        let exit = self.rules.catches.wants_exits();
        let death = self.on_tracer_death();
        for (tid, thread) in &mut self.threads {
            if thread.traces_exit != exit && matches!(thread.state, State::Stopped(_)) {
                thread.traces_exit = exit;
                // ESRCH: it was killed.
                let _ = self.tracer.follow(*tid, Follow { exit }, death);
            }
        }
    }

    pub(super) fn on_tracer_death(&self) -> OnTracerDeath {
        match self.origin {
            super::Origin::Attached => OnTracerDeath::LetRun,
            super::Origin::Started => OnTracerDeath::Kill,
        }
    }

    /// For a process about to be let go. A stop that was asked for leaves a mark on a thread that met a call's entry first
    /// (TIF_SIGPENDING): the call returns EINTR at once. Calls that answer EINTR to their program are therefore gone
    /// through to their return, where that is mended.
    pub(super) fn leave_entries(&mut self) {
        let metronome = self.metronome.clone();
        let _beating = metronome.start();
        let tracer = self.tracer;
        for (tid, thread) in self.threads.iter_mut().filter(|(_, thread)| thread.is_at_entry()) {
            let waits = tracer.registers(*tid).is_ok_and(|registers| registers.waits_for_ever());
            if waits && tracer.cont_to_syscall(*tid, None).is_ok() {
                thread.state = State::Stopping { late: false };
                // ESRCH: it was killed, and its end is waited for.
                let _ = tracer.interrupt(*tid);
            }
        }
        self.gather(Instant::now(), Why::Interrupt);
    }

    /// For a process about to be let go: where every thread stands in a call of its own, one is taken out of it, so that it can
    /// make those that take back what was lent to the process.
    pub(super) fn leave_a_call(&mut self) {
        if self.thread_for_calls().is_ok() {
            return;
        }
        let in_calls = self.threads.iter().filter(|(_, thread)| thread.state == State::Stopped(Stop::Syscall));
        // One at the return has made its call; one at the entry makes it now instead of a moment later.
        let Some((&tid, thread)) = in_calls.min_by_key(|(_, thread)| thread.is_at_entry()) else { return };
        if thread.is_at_entry() && self.tracer.cont_to_syscall(tid, None).is_ok() {
            self.threads.entry(tid).and_modify(|thread| thread.state = State::Stopping { late: false });
            // ESRCH: it was killed, and its end is waited for.
            let _ = self.tracer.interrupt(tid);
            let metronome = self.metronome.clone();
            let _beating = metronome.start();
            self.gather(Instant::now(), Why::Interrupt);
        }
        if self.state_of(tid) == Some(State::Stopped(Stop::Syscall)) {
            // An error: it was killed, or its process sleeps in the kernel. What was lent stays, and does no harm.
            let _ = self.settle(tid);
        }
    }

    /// While the process is held: a thread that was killed stops once more before it ends, where ends are caught. It is
    /// let on, or the process's parent would wait for it.
    pub(super) fn pass_by_deadly_exits(&mut self) {
        let asked = self.threads.iter().filter(|(_, thread)| thread.traces_exit);
        for (tid, _) in asked.filter(|(_, thread)| !matches!(thread.state, State::Stopped(Stop::Exiting))) {
            if matches!(wait::look(*tid), Ok(Some(Report::Stopped(Stop::Exiting, _)))) {
                let _ = self.tracer.cont(*tid, None);
            }
        }
    }

    /// The hit of a thread of the running process that has stopped just now, taken from those that nobody was told of.
    pub(super) fn take_caught(&mut self, tid: Tid) -> Option<Why> {
        let found = self.unreported.iter().rposition(|(hit, why)| *hit == tid && matches!(why, Why::Catch { .. }))?;
        self.unreported.remove(found).map(|(_, why)| why)
    }
}

/// What an error number means, those that the kernel keeps to itself included (include/linux/errno.h): with them a call
/// that a stop has broken off is made again, unless a signal handler runs.
fn error_words(number: i32) -> &'static str {
    match number {
        512..=514 | 516 => "broken off, to be made again",
        number => Errno::from_raw(number).desc(),
    }
}
