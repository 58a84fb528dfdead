//! What follows when a thread meets a breakpoint or watchpoint: whose it is, whether it stops the process, and how the thread
//! gets past it. A thread that is let on costs four requests and no other thread notices. Never waits.

use super::Kind;
use crate::addr::{RuntimeAddr, Tid};
use crate::kernel::Errno;
use crate::kernel::arch::{Registers, shield};
use crate::kernel::ptrace::SignalInfo;
use crate::kernel::signal::Signal;
use crate::target::expr::{EvalError, Expr, Value};
use crate::target::process::Process;
use crate::target::thread::State;
use crate::target::{News, Scene, TracedValue, Why};

/// `si_code` of an int3, SI_KERNEL, and of a debug register, TRAP_HWBKPT (sigaction(2)).
pub(in crate::target) const INT3_CODE: i32 = 0x80;
pub(in crate::target) const DEBUG_CODE: i32 = 4;

/// `si_code` of a finished single step, TRAP_TRACE.
pub(in crate::target) const STEP_CODE: i32 = 2;

/// `si_code` of a single step that was a system call, TRAP_BRKPT (user_single_step_report, arch/x86/kernel/ptrace.c). Nothing
/// else of this processor has it.
pub(in crate::target) const CALL_STEP_CODE: i32 = 1;

/// What a SIGTRAP was.
#[derive(Clone, Copy, Debug)]
pub(in crate::target) enum Met {
    /// None of godbg's: a signal like any other.
    Foreign,
    /// godbg's, and the thread is to go on: by [`Process::pass`].
    Pass(Past),
    /// The process is to be stopped.
    Stop(Why),
}

/// How a thread gets past what it met.
// It is handed on by value, once for each hit: a box would be an allocation for each.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Copy, Debug)]
pub(in crate::target) enum Past {
    /// Past the site at this address; the thread's registers as it stands behind the int3.
    Site(RuntimeAddr, Registers),
    /// It only has to be let on.
    On,
}

impl Process {
    /// Looks at a SIGTRAP that a thread stopped for, and counts the hit.
    pub(in crate::target) fn meet_trap(&mut self, tid: Tid) -> Met {
        let (Ok(info), Ok(registers)) = (self.tracer.signal_info(tid), self.tracer.registers(tid)) else {
            return Met::Foreign;
        };
        match info.code() {
            INT3_CODE => self.meet_int3(tid, &info, &registers),
            DEBUG_CODE => self.meet_debug(tid, &registers),
            // A step that ended as its thread was stopped for something else.
            STEP_CODE | CALL_STEP_CODE if self.steering.is_active() && !registers.has_trap_flag() => {
                Met::Pass(Past::On)
            }
            _ => Met::Foreign,
        }
    }

    fn meet_int3(&mut self, tid: Tid, info: &SignalInfo, registers: &Registers) -> Met {
        let at = RuntimeAddr(registers.pc().0.wrapping_sub(1));
        if self.steering.sites.get(at).is_none() {
            return Met::Foreign;
        }
        let sp = registers.sp();
        let again = self.threads.get_mut(&tid).and_then(|thread| thread.skip_once.take());
        if again == Some((at, sp)) {
            return Met::Pass(Past::Site(at, *registers));
        }
        // Conditions are of the instruction that is to be made, not of the one behind the int3.
        let before = Registers { rip: at.0, ..*registers };
        match self.judge(at, tid, &before, Kind::Software) {
            Some(why) => {
                self.move_back(tid, info, registers, at);
                Met::Stop(why)
            }
            None => Met::Pass(Past::Site(at, *registers)),
        }
    }

    /// Puts a thread that stands behind an int3 before the instruction again. Its signal is marked first: should godbg be
    /// killed, the handler in the process moves the thread there as well.
    pub(in crate::target) fn move_back(&mut self, tid: Tid, info: &SignalInfo, registers: &Registers, at: RuntimeAddr) {
        let mut info = *info;
        info.mark(shield::MARK, at);
        // ESRCH: it was killed.
        let _ = self.tracer.set_signal_info(tid, &info);
        let _ = self.tracer.set_registers(tid, &Registers { rip: at.0, ..*registers });
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.for_godbg = true;
        }
    }

    fn meet_debug(&mut self, tid: Tid, registers: &Registers) -> Met {
        let status = self.tracer.debug_register(tid, 6).unwrap_or(0);
        let numbers = self.steering.debug.met(status);
        // The kernel leaves the bits for the next trap to add to.
        let _ = self.tracer.set_debug_register(tid, 6, 0);
        if numbers.is_empty() {
            if self.steering.debug_generation == 0 {
                return Met::Foreign;
            }
            // A register that was cleared since, or one of a godbg that was killed.
            self.threads.entry(tid).and_modify(|thread| thread.for_godbg = true);
            return Met::Pass(Past::On);
        }
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.for_godbg = true;
        }
        let judged = |number| Some((number, self.judge_debug(number, tid, registers)?));
        let stops: Vec<(u32, Why)> = numbers.into_iter().filter_map(judged).collect();
        // All are counted; the first is told.
        let Some((_, why)) = stops.first() else { return Met::Pass(Past::On) };
        self.steering.together = stops.iter().map(|(number, _)| *number).collect();
        Met::Stop(*why)
    }

    fn judge_debug(&mut self, number: u32, tid: Tid, registers: &Registers) -> Option<Why> {
        let index = self.steering.breakpoints.iter().position(|one| one.number == number)?;
        let breakpoint = &self.steering.breakpoints[index];
        let Kind::Watch(access) = breakpoint.kind else {
            return self.judge(registers.pc(), tid, registers, Kind::Hardware);
        };
        let (old, new) = (breakpoint.value, self.watched_value(breakpoint));
        self.steering.breakpoints[index].value = new;
        let changed = old != new;
        let counts = match access {
            super::Access::Write => changed,
            super::Access::Read => !changed,
            super::Access::Any => true,
        };
        let here = self.steering.breakpoints[index].thread.is_none_or(|(_, thread)| thread == tid);
        if !counts || !here || !self.asks(index, tid, registers) {
            return None;
        }
        Some(Why::Watchpoint { number, access, old, new })
    }

    /// A breakpoint in the text that a step has led to.
    pub(in crate::target) fn met_by_step(&mut self, at: RuntimeAddr, tid: Tid, registers: &Registers) -> Option<Why> {
        self.judge(at, tid, registers, Kind::Software)
    }

    /// A watchpoint that the last instruction has met.
    pub(in crate::target) fn watch_met(&mut self, tid: Tid, registers: &Registers) -> Option<Why> {
        match self.meet_debug(tid, registers) {
            Met::Stop(why) => Some(why),
            Met::Pass(_) | Met::Foreign => None,
        }
    }

    /// Whether one of the breakpoints at an address, or a goal, stops the process. Counts all that are met.
    fn judge(&mut self, at: RuntimeAddr, tid: Tid, registers: &Registers, kind: Kind) -> Option<Why> {
        let mut met = Vec::new();
        for index in 0..self.steering.breakpoints.len() {
            if self.steering.breakpoints[index].is_at(at, tid, kind) && self.asks(index, tid, registers) {
                met.push(self.steering.breakpoints[index].number);
            }
        }
        if let Some(number) = met.first().copied() {
            self.steering.together = met;
            return Some(Why::Breakpoint { number });
        }
        self.steering.goals.iter().find(|goal| goal.is_met(at, tid, registers.sp())).map(|goal| goal.why)
    }

    /// Whether one breakpoint stops the process for this thread. A condition that has no value stops it, and says so.
    fn asks(&mut self, index: usize, tid: Tid, registers: &Registers) -> bool {
        let breakpoint = &self.steering.breakpoints[index];
        let met = match &breakpoint.condition {
            None => Ok(true),
            Some(condition) => evaluate(self, tid, registers, condition).map(|value| value.bits() != 0),
        };
        let (process, number) = (self.pid, breakpoint.number);
        if let Err(error) = &met {
            let why = error.to_string();
            self.news.push_back(News::ConditionFailed { process, thread: tid, number, why });
        }
        if met == Ok(false) {
            return false;
        }
        if let Some(wanted) = &self.steering.breakpoints[index].trace {
            let values = wanted.iter().map(|expr| traced(self, tid, registers, expr)).collect();
            self.steering.breakpoints[index].count();
            self.news.push_back(News::Traced { process, thread: tid, number, values });
            return false;
        }
        self.steering.breakpoints[index].count()
    }

    /// Lets a thread past what it met, while others run. False: it cannot go on by itself, and all must be stopped for it.
    pub(in crate::target) fn pass(&mut self, tid: Tid, past: Past) -> Result<bool, Errno> {
        if let Past::Site(at, _) = past
            && self.is_own_trap(at)
        {
            // It is the program's as well, whose handler is to see it. The thread stands behind it already.
            self.note_resumed(tid);
            return self.go_on(tid, Some(Signal::TRAP)).map(|()| true);
        }
        if let Past::Site(at, registers) = past {
            let Some(way) = self.way_past(at) else { return Ok(false) };
            self.tracer.set_registers(tid, &Registers { rip: way.0, orig_rax: u64::MAX, ..registers })?;
        }
        self.note_resumed(tid);
        self.go_on(tid, None).map(|()| true)
    }

    /// Whether an int3 of the program's own stands at a site, and the program has a handler for it. Without one nobody would see
    /// it but the kernel, which ends the program.
    pub(in crate::target) fn is_own_trap(&self, at: RuntimeAddr) -> bool {
        let own = self.steering.sites.get(at).is_some_and(|site| site.original == super::sites::INT3);
        own && self.steering.trap_is_caught() == Some(true)
    }

    /// Where a thread goes on that is to get past a site: in the copy, or behind the program's own int3.
    pub(in crate::target) fn way_past(&self, at: RuntimeAddr) -> Option<RuntimeAddr> {
        let site = self.steering.sites.get(at)?;
        if site.original == super::sites::INT3 {
            return Some(RuntimeAddr(at.0 + 1));
        }
        site.copy.as_ref().map(|copy| copy.slot)
    }

    fn note_resumed(&mut self, tid: Tid) {
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.state = State::Running;
        }
    }

    /// The first thing after a stop: a thread's registers and signal as if godbg had never been there. For each thread that
    /// stands still, when all do.
    pub(in crate::target) fn bring_home(&mut self, tid: Tid, registers: &Registers) {
        let Some(thread) = self.threads.get(&tid) else { return };
        let trap =
            thread.state == State::Stopped(crate::kernel::wait::Stop::Signal(crate::kernel::signal::Signal::TRAP));
        if trap && !thread.for_godbg {
            self.bring_back_hit(tid, registers);
        }
        let copy = self.steering.sites.copy_at(registers.pc());
        let Some(place) = copy.and_then(|copy| copy.true_place(registers.pc())) else { return };
        let origin = copy.map(|copy| copy.origin);
        let rsp = registers.rsp.wrapping_add(place.unwind);
        // ESRCH: it was killed.
        let _ = self.tracer.set_registers(tid, &Registers { rip: place.pc.0, rsp, ..*registers });
        if let Some(thread) = self.threads.get_mut(&tid)
            && origin == Some(place.pc)
        {
            // It has been counted, and is still to get past.
            thread.step_over = Some(place.pc);
        }
    }

    /// A thread that met something in the moment in which all were stopped: it stands before it again and meets it anew when
    /// it goes on, so that nothing is told twice and nothing is lost. What a watchpoint saw has happened and is told next.
    fn bring_back_hit(&mut self, tid: Tid, registers: &Registers) {
        let Ok(info) = self.tracer.signal_info(tid) else { return };
        let at = RuntimeAddr(registers.pc().0.wrapping_sub(1));
        match info.code() {
            INT3_CODE if self.steering.sites.get(at).is_some() => self.move_back(tid, &info, registers, at),
            DEBUG_CODE => match self.meet_debug(tid, registers) {
                Met::Stop(why) => self.unreported.push_back((tid, why)),
                Met::Pass(_) | Met::Foreign => {}
            },
            // A hit that a godbg took note of before it was killed.
            shield::MARK => {
                let _ = self.tracer.set_registers(tid, &Registers { rip: info.address().0, ..*registers });
                self.threads.entry(tid).and_modify(|thread| thread.for_godbg = true);
            }
            STEP_CODE | CALL_STEP_CODE if !registers.has_trap_flag() => {
                self.threads.entry(tid).and_modify(|thread| thread.for_godbg = true);
            }
            // A killed godbg had sent it on already.
            INT3_CODE if self.steering.shield.as_ref().is_some_and(|shield| shield.contains(registers.pc())) => {
                self.threads.entry(tid).and_modify(|thread| thread.for_godbg = true);
            }
            _ => {}
        }
        if let Some(thread) = self.threads.get_mut(&tid)
            && thread.for_godbg
        {
            thread.why = Why::Interrupt;
        }
    }

    /// Whether a thread that was stopped for something else has a trap of godbg's making waiting: its signal must come out
    /// before the thread is let go.
    pub(in crate::target) fn has_trap_waiting(&self, tid: Tid, registers: &Registers) -> bool {
        let behind = RuntimeAddr(registers.pc().0.wrapping_sub(1));
        let met = self.steering.sites.get(behind).is_some() || self.steering.debug_generation > 0;
        (met || self.steering.stepped == Some(tid)) && self.tracer.has_pending_trap(tid) == Ok(true)
    }
}

/// Evaluates for a thread that stopped, whose registers have been read.
pub(in crate::target) fn evaluate(
    process: &Process,
    tid: Tid,
    registers: &Registers,
    expr: &Expr,
) -> std::result::Result<Value, EvalError> {
    // Names were looked up when the expression was taken.
    let mut symbols = |_: &str| None;
    let scene = Scene::new(Some(process), Some(tid), &process.steering.variables, &mut symbols);
    expr.eval(&mut scene.with_registers(*registers))
}

fn traced(process: &Process, tid: Tid, registers: &Registers, expr: &Expr) -> TracedValue {
    let value = evaluate(process, tid, registers, expr);
    TracedValue {
        expression: expr.text().to_owned(),
        value: value.as_ref().ok().map(|value| value.bits()),
        error: value.err().map(|error| error.to_string()),
    }
}
