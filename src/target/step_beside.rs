//! A thread that steps while others run: breakpoints are in the text then, and what stops the others must not keep the one that
//! steps from going on. Makes no step itself.

use super::breakpoints::INT3;
use super::process::Process;
use super::thread::{State, Thread};
use crate::addr::Tid;
use crate::kernel::arch::Registers;
use crate::kernel::signal::Signal;
use crate::kernel::wait::{self, Report, Stop};
use crate::kernel::{Errno, proc};
use crate::target::{Error, Result, Why};

impl Process {
    /// Where other threads run meanwhile breakpoints are in the text: the instruction is made in its copy. Where there is none
    /// they are taken out.
    pub(super) fn enter_copy(&mut self, tid: Tid, before: &Registers) {
        if !self.steering.sites.get(before.pc()).is_some_and(|site| site.armed) {
            return;
        }
        if self.is_own_trap(before.pc()) {
            return;
        }
        match self.way_past(before.pc()) {
            // ESRCH: it was killed.
            Some(way) => drop(self.tracer.set_registers(tid, &Registers { rip: way.0, orig_rax: u64::MAX, ..*before })),
            None => self.disarm(),
        }
    }

    /// Whether a thread is still within a copy, whose jump back is no instruction of the program's. One that stands at its
    /// beginning has made one round of an instruction that repeats: it stands before the original again.
    pub(super) fn is_in_copy(&self, tid: Tid) -> bool {
        if !self.steering.sites.any_armed() {
            return false;
        }
        let Ok(registers) = self.tracer.registers(tid) else { return false };
        let Some(copy) = self.steering.sites.copy_at(registers.pc()) else { return false };
        if registers.pc() != copy.slot {
            return true;
        }
        // ESRCH: it was killed.
        let _ = self.tracer.set_registers(tid, &Registers { rip: copy.origin.0, ..registers });
        false
    }

    /// Whether a thread that was to make one instruction has met the breakpoint in its place.
    pub(super) fn is_own_int3(&self, tid: Tid, before: &Registers) -> bool {
        let armed = self.steering.sites.get(before.pc()).is_some_and(|site| site.armed && site.original != INT3);
        armed && self.tracer.registers(tid).is_ok_and(|registers| registers.pc().0 == before.pc().0 + 1)
    }

    /// Whether the next instruction is a system call whose entry or return may be caught.
    pub(super) fn stops_at_call(&self, tid: Tid, before: &Registers) -> bool {
        const SYSCALL: [u8; 2] = [0x0f, 0x05];
        self.rules.catches.wants_syscalls()
            && (self.threads.get(&tid).is_some_and(Thread::is_at_entry)
                || self.code_at(before.pc()).starts_with(&SYSCALL))
    }

    /// Has a thread go on to the entry of its call, or to its return.
    pub(super) fn run_to_call(&self, tid: Tid) -> Result<()> {
        match self.tracer.cont_to_syscall(tid, None) {
            // Its end comes next.
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(Error::Request { what: "step", tid, errno }),
        }
    }

    pub(super) fn is_waiting(&self, tid: Tid) -> bool {
        matches!(proc::thread_state(self.pid, tid), Some('S' | 'D'))
    }

    /// The thread waits for something that only another can do.
    pub(super) fn let_others_run(&mut self, tid: Tid) {
        self.arm();
        let others: Vec<Tid> = self.stopped_tids().into_iter().filter(|other| *other != tid).collect();
        for other in others {
            // ESRCH: it was killed, and its end will be reported.
            let _ = self.let_on(other);
        }
        self.welcome_newborns(tid);
        self.tend_others(tid);
    }

    /// Threads that were born in a step stand at their first stop, which nobody has looked at: they run with the others.
    pub(super) fn welcome_newborns(&mut self, tid: Tid) {
        for (_, thread) in self.threads.iter_mut().filter(|(other, thread)| **other != tid && thread.is_awaited()) {
            thread.state = State::Running;
        }
    }

    /// Other threads that run while one steps: what stopped for nothing that counts goes on, or the stepping thread might wait
    /// for it for ever. What has met a breakpoint meets it again once all run.
    pub(super) fn tend_others(&mut self, tid: Tid) {
        if self.threads.iter().any(|(other, thread)| *other != tid && thread.state == State::Running) {
            self.welcome_newborns(tid);
        }
        let runs =
            |(other, thread): (&Tid, &Thread)| (*other != tid && thread.state == State::Running).then_some(*other);
        let running: Vec<Tid> = self.threads.iter().filter_map(runs).collect();
        for other in running {
            match wait::look(other) {
                Ok(Some(Report::Stopped(stop, _))) => {
                    let origin = self.origin_of(other, stop);
                    self.note_stop(other, stop, origin, Why::Interrupt);
                    let silent = self.threads.get(&other).is_some_and(|thread| thread.why == Why::Interrupt);
                    if silent && stop != Stop::Signal(Signal::TRAP) {
                        // ESRCH: it was killed, and its end comes next.
                        let _ = self.let_on(other);
                    }
                }
                Ok(Some(Report::Ended(..))) => self.note_end(other),
                Ok(None) | Err(_) => {}
            }
        }
    }
}
