//! Single steps: one thread of the held process makes so many instructions while the others stay where they are. The trap
//! flag by which the processor does it is never seen by the program. Refuses to wait for ever: whoever asks for steps is asked
//! at every beat whether they are still wanted.

use std::time::{Duration, Instant};

use super::breakpoints::{CALL_STEP_CODE, Goal, STEP_CODE};
use super::process::{Phase, Process};
use super::step_code::CodePage;
use super::thread::{State, Thread};
use super::{Error, Result, StopReport, Why};
use crate::addr::{RuntimeAddr, Tid};
use crate::kernel::arch::{FlagUse, Registers};
use crate::kernel::own;
use crate::kernel::signal::Signal;
use crate::kernel::wait::{self, Report, Stop};
use crate::kernel::{Errno, proc};

/// How long a thread may stand in a system call before the others are let run: one of them may have to end it.
const ALONE: Duration = Duration::from_millis(100);

/// So often it is looked after other threads that run meanwhile.
const TENDED: Duration = Duration::from_millis(10);

/// After so many steps the tracer thread looks on which processor the thread runs.
const FOLLOW: u64 = 512;

/// The code of a SIGTRAP by which the kernel tells that a signal's handler was entered in a step (kernel/signal.c,
/// signal_setup_done).
const HANDLER_CODE: i32 = 5;

/// What one step came to.
enum Made {
    /// An instruction.
    Instruction,
    /// The first instruction of a handler is next.
    Handler,
    /// Something else that the person is to be told.
    Event(Why),
    /// Nothing: the process has ended.
    Ended,
    /// It was not wanted any more.
    GivenUp,
}

impl Process {
    /// Makes so many steps of one thread. `wanted` is asked from time to time. The report of the stop it comes to; fewer
    /// steps if something else happens first.
    /// `others_run`: the other threads are not held meanwhile.
    pub fn step(
        &mut self,
        tid: Tid,
        count: u64,
        others_run: bool,
        wanted: &mut dyn FnMut() -> bool,
    ) -> Result<(StopReport, u64)> {
        self.shield_for_steps(tid);
        if others_run {
            self.let_others_run(tid);
        }
        let metronome = self.metronome.clone();
        let _beating = metronome.start();
        let _near = own::StayNear::new();
        let mut code = CodePage::default();
        let mut made = 0;
        let mut tended = Instant::now();
        let why = loop {
            if made > 0 && (made == count || !self.steering.breakpoints.is_empty()) {
                let met = self.arrive(tid);
                if made == count || met != Why::Step {
                    break met;
                }
            }
            if made == count {
                break Why::Step;
            }
            if made % FOLLOW == 0
                && let Some(processor) = proc::processor_of(self.pid, tid)
            {
                own::run_on(processor);
            }
            if others_run && tended.elapsed() > TENDED {
                self.tend_others(tid);
                tended = Instant::now();
            }
            if others_run && !self.steering.sites.any_armed() {
                // An instruction without a copy was stepped where it stands, or a handler was run through.
                self.arm();
            }
            match self.step_with_signal(tid, &mut code, wanted)? {
                Made::Instruction | Made::Handler => made += 1,
                Made::Event(why) => break why,
                Made::GivenUp => break Why::Interrupt,
                Made::Ended => return Err(Error::Ended(self.pid)),
            }
        };
        let stop = self.stand(tid, why)?;
        self.after_stop_at(why);
        Ok((stop, made))
    }

    /// One step past a breakpoint that no copy can be made of. The text is the program's own.
    pub(super) fn step_once(&mut self, tid: Tid) -> Result<()> {
        let metronome = self.metronome.clone();
        let _beating = metronome.start();
        let begin = Instant::now();
        match self.step_with_signal(tid, &mut CodePage::default(), &mut || begin.elapsed() < ALONE)? {
            Made::Event(why) => self.unreported.push_back((tid, why)),
            // A call that waits goes on waiting when all run.
            Made::GivenUp | Made::Instruction | Made::Handler | Made::Ended => {}
        }
        Ok(())
    }

    /// Should godbg be killed in a step, its trap must not end the process.
    fn shield_for_steps(&mut self, tid: Tid) {
        if let Ok(registers) = self.tracer.registers(tid) {
            // Without it stops are taken at once, which leaves a gap of microseconds.
            let _ = self.raise_shield(registers.pc());
        }
    }

    /// A step that passes the thread's signal. The handler of one that nobody is told of is run through.
    fn step_with_signal(&mut self, tid: Tid, code: &mut CodePage, wanted: &mut dyn FnMut() -> bool) -> Result<Made> {
        // The trap of an int3 that was told is not the program's to see, as when it goes on.
        let signal = self.signal_for(tid, false);
        let thread = self.threads.get(&tid).ok_or(Error::Ended(self.pid))?;
        let told = matches!(thread.why, Why::Signal { .. });
        let before = match code.after.take() {
            Some(registers) => registers,
            None => self.registers_of(tid)?,
        };
        let made = self.step_thread(tid, signal, &before, code, wanted)?;
        if matches!(made, Made::Handler) && !told {
            self.run_handler(tid, &before, wanted)?;
            return Ok(self.left_by_handler(tid, &before).unwrap_or(Made::Instruction));
        }
        Ok(made)
    }

    fn registers_of(&self, tid: Tid) -> Result<Registers> {
        let failed = |errno| match errno {
            Errno::ESRCH => Error::Ended(self.pid),
            errno => Error::Request { what: "read the registers of", tid, errno },
        };
        self.tracer.registers(tid).map_err(failed)
    }

    fn step_thread(
        &mut self,
        tid: Tid,
        signal: Option<Signal>,
        before: &Registers,
        code: &mut CodePage,
        wanted: &mut dyn FnMut() -> bool,
    ) -> Result<Made> {
        let flags = code.flag_use(self, before.pc());
        let plain = signal.is_none() && self.is_plain(before, flags) && !code.may_trap(self, before.pc());
        self.sync_debug(tid);
        self.threads.entry(tid).and_modify(|thread| {
            thread.step_over = None;
            thread.for_godbg = false;
        });
        if signal.is_none() {
            if self.step_vsyscall(tid, before)? {
                return Ok(Made::Instruction);
            }
            self.enter_copy(tid, before);
        }
        let was_at_entry = self.threads.get(&tid).is_some_and(Thread::is_at_entry);
        let to_call = signal.is_none() && self.stops_at_call(tid, before);
        if to_call {
            self.run_to_call(tid)?
        } else {
            self.request_step(tid, signal)?
        }
        let begin = Instant::now();
        let mut loosened = false;
        loop {
            let seen = self.await_step(tid);
            match seen {
                Ok(Some(Report::Stopped(Stop::Signal(Signal::TRAP), _))) => {
                    if plain && let Some(after) = self.has_moved_on(tid, before) {
                        code.after = Some(after);
                        self.note_step(tid);
                        return Ok(Made::Instruction);
                    }
                    let info = self.tracer.signal_info(tid).map_err(|_| Error::Ended(self.pid))?;
                    if info.code() == STEP_CODE && self.is_in_copy(tid) {
                        if flags == FlagUse::Set {
                            self.forget_step(tid)?;
                        }
                        self.request_step(tid, None)?;
                        continue;
                    }
                    if signal.is_some() && self.is_own_int3(tid, before) {
                        // The signal had no handler.
                        self.enter_copy(tid, before);
                        self.request_step(tid, None)?;
                        continue;
                    }
                    self.note_step(tid);
                    return Ok(match info.code() {
                        // The program steps itself: the trap is its own as well.
                        STEP_CODE | CALL_STEP_CODE if before.has_trap_flag() => self.foreign_trap(tid),
                        STEP_CODE | CALL_STEP_CODE => {
                            self.hide_trap_flag(tid, before, flags);
                            let met = self.watched_in_step(tid);
                            if flags == FlagUse::Set {
                                self.forget_step(tid)?;
                            }
                            met.map_or(Made::Instruction, Made::Event)
                        }
                        HANDLER_CODE => {
                            self.hide_in_frame(tid, before);
                            Made::Handler
                        }
                        _ => self.foreign_trap(tid),
                    });
                }
                Ok(Some(Report::Stopped(stop, _))) => {
                    let origin = self.origin_of(tid, stop);
                    self.note_stop(tid, stop, origin, Why::Interrupt);
                    if flags == FlagUse::InR11 {
                        // A signal that ends the call, say.
                        self.hide_trap_flag(tid, before, flags);
                    }
                    match stop {
                        Stop::Syscall if to_call => match self.take_caught(tid) {
                            Some(why) => return Ok(Made::Event(why)),
                            // Its return: the instruction is made.
                            None if was_at_entry => return Ok(Made::Instruction),
                            None => self.request_step(tid, None)?,
                        },
                        Stop::Exec => return Ok(Made::Event(Why::Exec)),
                        Stop::Signal(_) => {
                            let thread = self.threads.get(&tid).ok_or(Error::Ended(self.pid))?;
                            let (why, signal) = (thread.why, thread.signal_to_pass());
                            if matches!(why, Why::Signal { .. } | Why::Terminal { .. }) || thread.for_godbg {
                                return Ok(Made::Event(why));
                            }
                            // It came before the instruction, and is delivered with it: where the instruction stands.
                            self.bring_out(tid);
                            self.threads.entry(tid).and_modify(|thread| thread.skip_once = None);
                            return self.step_past_signal(tid, signal, before, wanted);
                        }
                        Stop::Group(signal) => return Ok(Made::Event(Why::JobControl { signal })),
                        // It waits for its child: one that is followed is held, so that no step would come to its end.
                        Stop::Vfork if let Some(newborn) = self.newborns.back() => {
                            return Ok(Made::Event(Why::Fork { child: newborn.child, birth: newborn.birth }));
                        }
                        // A birth in the system call that is being stepped, or an interrupt that was still due.
                        _ => self.request_step(tid, None)?,
                    }
                }
                Ok(Some(Report::Ended(..))) => {
                    self.note_end(tid);
                    return if matches!(self.phase, Phase::Ended { .. }) { Ok(Made::Ended) } else { Ok(Made::GivenUp) };
                }
                Ok(None) | Err(Errno::EINTR) => {
                    if !wanted() {
                        self.stop_stepping(tid)?;
                        return Ok(Made::GivenUp);
                    }
                    // What waits for a child (vfork) waits until that runs.
                    self.release_strays();
                    self.tend_others(tid);
                    if !loosened && begin.elapsed() > ALONE && self.is_waiting(tid) {
                        loosened = true;
                        self.let_others_run(tid);
                    }
                }
                Err(_) => {
                    self.note_end(tid);
                    return Ok(Made::Ended);
                }
            }
        }
    }

    /// Whether nothing but a finished step can be behind a SIGTRAP with which a thread stands elsewhere than before.
    fn is_plain(&self, before: &Registers, flags: FlagUse) -> bool {
        flags == FlagUse::None
            && !before.has_trap_flag()
            && self.steering.debug_generation == 0
            && !self.steering.sites.any_armed()
    }

    /// The registers of a thread that stands elsewhere than before.
    fn has_moved_on(&self, tid: Tid, before: &Registers) -> Option<Registers> {
        self.tracer.registers(tid).ok().filter(|after| after.pc() != before.pc())
    }

    fn note_step(&mut self, tid: Tid) {
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.state = State::Stopped(Stop::Signal(Signal::TRAP));
            thread.for_godbg = true;
            thread.why = Why::Step;
        }
    }

    /// A signal that nobody is told of came before the instruction was made: its handler runs, and then the instruction.
    fn step_past_signal(
        &mut self,
        tid: Tid,
        signal: Option<Signal>,
        before: &Registers,
        wanted: &mut dyn FnMut() -> bool,
    ) -> Result<Made> {
        let made = self.step_thread(tid, signal, before, &mut CodePage::default(), wanted)?;
        if matches!(made, Made::Handler) {
            self.run_handler(tid, before, wanted)?;
            if let Some(made) = self.left_by_handler(tid, before) {
                return Ok(made);
            }
            let again = self.registers_of(tid)?;
            return self.step_thread(tid, None, &again, &mut CodePage::default(), wanted);
        }
        Ok(made)
    }

    /// What a handler came to that did not return to where its signal came: it has gone elsewhere, as those of faults do, or
    /// something else has stopped its thread, whose signal is still to be passed.
    fn left_by_handler(&self, tid: Tid, before: &Registers) -> Option<Made> {
        let thread = self.threads.get(&tid)?;
        if matches!(thread.why, Why::Signal { .. } | Why::Terminal { .. }) {
            return Some(Made::Event(thread.why));
        }
        let elsewhere = self.tracer.registers(tid).is_ok_and(|registers| registers.pc() != before.pc());
        (elsewhere || thread.signal_to_pass().is_some()).then_some(Made::Instruction)
    }

    fn request_step(&mut self, tid: Tid, signal: Option<Signal>) -> Result<()> {
        self.steering.stepped = Some(tid);
        match self.tracer.step(tid, signal) {
            // Its end comes next.
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(Error::Request { what: "step", tid, errno }),
        }
    }

    /// Where the process has no shield the stop is taken, so that its SIGTRAP is not delivered should godbg die now.
    fn await_step(&self, tid: Tid) -> std::result::Result<Option<Report>, Errno> {
        let seen = wait::look_until_beat(tid)?;
        if self.steering.shield.is_none() && matches!(seen, Some(Report::Stopped(Stop::Signal(Signal::TRAP), _))) {
            wait::take_stop(tid)?;
        }
        Ok(seen)
    }

    /// A SIGTRAP in a step that is not the step's own: the program's int3, a watchpoint, or one that somebody sent.
    fn foreign_trap(&mut self, tid: Tid) -> Made {
        if let Some(why) = self.watched_in_step(tid) {
            return Made::Event(why);
        }
        let stop = Stop::Signal(Signal::TRAP);
        let origin = self.origin_of(tid, stop);
        self.note_stop(tid, stop, origin, Why::Interrupt);
        Made::Event(Why::Signal { signal: Signal::TRAP, origin })
    }

    /// The instruction may have met a watchpoint as well.
    fn watched_in_step(&mut self, tid: Tid) -> Option<Why> {
        if self.steering.debug_generation == 0 {
            return None;
        }
        let registers = self.tracer.registers(tid).ok()?;
        self.watch_met(tid, &registers)
    }

    /// Lets the thread run alone until the handler that it has just entered returns to where the signal came.
    fn run_handler(&mut self, tid: Tid, before: &Registers, wanted: &mut dyn FnMut() -> bool) -> Result<()> {
        let sp = RuntimeAddr(before.sp().0.wrapping_sub(1));
        self.set_goals(vec![Goal { addr: before.pc(), thread: Some(tid), above: Some(sp), why: Why::Step }]);
        let done = self.run_alone(tid, wanted);
        self.disarm();
        self.set_goals(Vec::new());
        done
    }

    /// Lets one thread run, with breakpoints in, until it stops for something that is not passed over.
    fn run_alone(&mut self, tid: Tid, wanted: &mut dyn FnMut() -> bool) -> Result<()> {
        self.arm();
        let failed = |errno| Error::Request { what: "resume", tid, errno };
        self.let_on(tid).map_err(failed)?;
        loop {
            match wait::look_until_beat(tid) {
                Ok(Some(Report::Stopped(stop, _))) => {
                    let origin = self.origin_of(tid, stop);
                    self.note_stop(tid, stop, origin, Why::Interrupt);
                    if self.reached_alone(tid, stop)? {
                        return Ok(());
                    }
                }
                Ok(Some(Report::Ended(..))) | Err(Errno::ECHILD) => {
                    self.note_end(tid);
                    return Err(Error::Ended(self.pid));
                }
                Ok(None) | Err(_) => {
                    if !wanted() {
                        return self.stop_stepping(tid);
                    }
                }
            }
        }
    }

    /// Whether a thread that runs alone has come to a stop that counts. If not it was let on.
    fn reached_alone(&mut self, tid: Tid, stop: Stop) -> Result<bool> {
        use super::breakpoints::Met;
        let failed = |errno| Error::Request { what: "resume", tid, errno };
        if stop == Stop::Signal(Signal::TRAP) {
            return match self.meet_trap(tid) {
                Met::Stop(why) => {
                    self.threads.entry(tid).and_modify(|thread| thread.why = why);
                    if why != Why::Step {
                        self.unreported.push_back((tid, why));
                    }
                    Ok(true)
                }
                Met::Foreign => Ok(true),
                Met::Pass(past) => self.pass(tid, past).map(|passed| !passed).map_err(failed),
            };
        }
        let told = self.threads.get(&tid).is_none_or(|thread| thread.why != Why::Interrupt);
        if told && matches!(stop, Stop::Signal(_) | Stop::Group(_) | Stop::Exec) {
            return Ok(true);
        }
        self.let_on(tid).map(|()| false).map_err(failed)
    }

    /// Stops a thread that is in the middle of a step or runs alone.
    fn stop_stepping(&mut self, tid: Tid) -> Result<()> {
        // ESRCH: it has ended.
        let _ = self.tracer.interrupt(tid);
        self.threads.entry(tid).and_modify(|thread| thread.state = State::Stopping { late: false });
        let since = Instant::now();
        self.halt_again(since);
        self.take_step_trap(tid)
    }

    /// A system call that is broken off in a step leaves the step's trap behind, which must not reach the program: it would end
    /// the call with EINTR.
    fn take_step_trap(&mut self, tid: Tid) -> Result<()> {
        let plain = self.threads.get(&tid).is_some_and(|thread| thread.state == State::Stopped(Stop::Interrupt));
        if !plain || self.tracer.has_pending_trap(tid) != Ok(true) {
            return Ok(());
        }
        self.tracer.cont(tid, None).or_else(|errno| match errno {
            // It was killed.
            Errno::ESRCH => Ok(()),
            errno => Err(Error::Request { what: "resume", tid, errno }),
        })?;
        self.next_stop(tid)?;
        if let Some(thread) = self.threads.get_mut(&tid)
            && thread.state == State::Stopped(Stop::Signal(Signal::TRAP))
        {
            thread.for_godbg = true;
            thread.why = Why::Step;
        }
        Ok(())
    }

    /// Where the steps have led: a breakpoint that stands there is met, as gdb has it.
    fn arrive(&mut self, tid: Tid) -> Why {
        let Ok(registers) = self.tracer.registers(tid) else { return Why::Step };
        let met = self.met_by_step(registers.pc(), tid, &registers).unwrap_or(Why::Step);
        if met != Why::Step {
            self.threads.entry(tid).and_modify(|thread| thread.step_over = Some(registers.pc()));
        }
        met
    }

    /// All stand still again; the process's report is the step's.
    fn stand(&mut self, tid: Tid, why: Why) -> Result<StopReport> {
        if self.threads.values().any(|thread| thread.state == State::Running) {
            self.halt_again(Instant::now());
        }
        match (self.report_of(tid, why), &self.phase) {
            (Some(report), _) => Ok(report),
            // The thread has ended with its step, and others are left.
            (None, Phase::Held { since, .. }) if self.has_stopped_thread() => {
                let (since, report) = (*since, self.report(Why::Interrupt));
                self.phase = Phase::Held { since, report: report.clone() };
                Ok(report)
            }
            (None, _) => Err(Error::Ended(self.pid)),
        }
    }

    /// The instruction bytes at an address, for whoever decides how to step.
    pub fn code_at(&self, addr: RuntimeAddr) -> Vec<u8> {
        let mut bytes = vec![0; 15];
        let got = self.read_memory_partly(addr, &mut bytes).unwrap_or(0);
        bytes.truncate(got);
        bytes
    }
}
