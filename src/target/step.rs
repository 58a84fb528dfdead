//! Single steps: one thread of the held process makes so many instructions while the others stay where they are. The trap
//! flag by which the processor does it is never seen by the program. Refuses to wait for ever: whoever asks for steps is asked
//! at every beat whether they are still wanted.

use std::time::{Duration, Instant};

use super::breakpoints::{Goal, STEP_CODE};
use super::process::{Phase, Process};
use super::thread::State;
use super::{Error, Result, StopReport, Why};
use crate::addr::{RuntimeAddr, Tid};
use crate::kernel::arch::{FlagUse, Registers};
use crate::kernel::own;
use crate::kernel::signal::Signal;
use crate::kernel::wait::{self, Report, Stop};
use crate::kernel::{Errno, proc};

/// How long a thread may stand in a system call before the others are let run: one of them may have to end it.
const ALONE: Duration = Duration::from_millis(100);

/// After so many steps the tracer thread looks on which processor the thread runs.
const FOLLOW: u64 = 512;

/// The code of a SIGTRAP by which the kernel tells that a signal's handler was entered in a step (kernel/signal.c,
/// signal_setup_done).
const HANDLER_CODE: i32 = 5;

/// The code of the trap of a step that ends with a system call, TRAP_BRKPT (`user_single_step_report`,
/// arch/x86/kernel/ptrace.c).
const CALL_CODE: i32 = 1;

/// Bytes (Intel SDM volume 2, 2.3.11).
const LONGEST_INSTRUCTION: usize = 15;

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
        let why = loop {
            if made == count {
                break Why::Step;
            }
            if made % FOLLOW == 0
                && let Some(processor) = proc::processor_of(self.pid, tid)
            {
                own::run_on(processor);
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
        let why = self.arrive(tid, why);
        Ok((self.stand(tid, why)?, made))
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
        let thread = self.threads.get(&tid).ok_or(Error::Ended(self.pid))?;
        let (signal, told) = (thread.signal_to_pass(), matches!(thread.why, Why::Signal { .. }));
        let before = self.registers_of(tid)?;
        let made = self.step_thread(tid, signal, &before, code, wanted)?;
        if matches!(made, Made::Handler) && !told {
            self.run_handler(tid, &before, wanted)?;
            return Ok(Made::Instruction);
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
        self.sync_debug(tid);
        self.threads.entry(tid).and_modify(|thread| {
            thread.step_over = None;
            thread.for_godbg = false;
        });
        self.enter_copy(tid, before);
        self.request_step(tid, signal)?;
        let begin = Instant::now();
        let mut loosened = false;
        loop {
            let seen = self.await_step(tid);
            match seen {
                Ok(Some(Report::Stopped(Stop::Signal(Signal::TRAP), _))) => {
                    let info = self.tracer.signal_info(tid).map_err(|_| Error::Ended(self.pid))?;
                    if info.code() == STEP_CODE && self.is_in_copy(tid) {
                        self.request_step(tid, None)?;
                        continue;
                    }
                    self.threads.entry(tid).and_modify(|thread| {
                        thread.state = State::Stopped(Stop::Signal(Signal::TRAP));
                        thread.for_godbg = true;
                        thread.why = Why::Step;
                    });
                    return Ok(match info.code() {
                        // The program steps itself: the trap is its own as well.
                        STEP_CODE | CALL_CODE if before.has_trap_flag() => self.foreign_trap(tid),
                        STEP_CODE | CALL_CODE => {
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
                        Stop::Exec => return Ok(Made::Event(Why::Exec)),
                        Stop::Signal(_) => {
                            let thread = self.threads.get(&tid).ok_or(Error::Ended(self.pid))?;
                            let (why, signal) = (thread.why, thread.signal_to_pass());
                            if matches!(why, Why::Signal { .. } | Why::Terminal { .. }) || thread.for_godbg {
                                return Ok(Made::Event(why));
                            }
                            // It came before the instruction, and is delivered with it.
                            return self.step_past_signal(tid, signal, before, wanted);
                        }
                        Stop::Group(signal) => return Ok(Made::Event(Why::JobControl { signal })),
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

    /// Where other threads run meanwhile breakpoints are in the text: the instruction is made in its copy. Where there is none
    /// they are taken out.
    fn enter_copy(&mut self, tid: Tid, before: &Registers) {
        if !self.steering.sites.get(before.pc()).is_some_and(|site| site.armed) {
            return;
        }
        match self.way_past(before.pc()) {
            // ESRCH: it was killed.
            Some(way) => drop(self.tracer.set_registers(tid, &Registers { rip: way.0, orig_rax: u64::MAX, ..*before })),
            None => self.disarm(),
        }
    }

    /// Whether a thread is still within a copy, whose jump back is no instruction of the program's.
    fn is_in_copy(&self, tid: Tid) -> bool {
        self.steering.sites.any_armed()
            && self.tracer.registers(tid).is_ok_and(|registers| self.steering.sites.copy_at(registers.pc()).is_some())
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
            let again = self.registers_of(tid)?;
            return self.step_thread(tid, None, &again, &mut CodePage::default(), wanted);
        }
        Ok(made)
    }

    fn request_step(&mut self, tid: Tid, signal: Option<Signal>) -> Result<()> {
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
        self.set_goals(vec![Goal { addr: before.pc(), thread: Some(tid), above: Some(sp) }]);
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
        Ok(())
    }

    fn is_waiting(&self, tid: Tid) -> bool {
        matches!(proc::thread_state(self.pid, tid), Some('S' | 'D'))
    }

    /// The thread waits for something that only another can do.
    fn let_others_run(&mut self, tid: Tid) {
        self.arm();
        let others: Vec<Tid> = self.stopped_tids().into_iter().filter(|other| *other != tid).collect();
        for other in others {
            // ESRCH: it was killed, and its end will be reported.
            let _ = self.let_on(other);
        }
    }

    /// Where the steps have led: a breakpoint that stands there is met, as gdb has it.
    fn arrive(&mut self, tid: Tid, why: Why) -> Why {
        let Ok(registers) = self.tracer.registers(tid) else { return why };
        if why != Why::Step {
            return why;
        }
        let met = self.met_by_step(registers.pc(), tid, &registers).unwrap_or(why);
        if met != why {
            self.threads.entry(tid).and_modify(|thread| thread.step_over = Some(registers.pc()));
        }
        met
    }

    /// All stand still again; the process's report is the step's.
    fn stand(&mut self, tid: Tid, why: Why) -> Result<StopReport> {
        if self.threads.values().any(|thread| thread.state == State::Running) {
            self.halt_again(Instant::now());
        }
        self.report_of(tid, why).ok_or(Error::Ended(self.pid))
    }

    /// The instruction bytes at an address, for whoever decides how to step.
    pub fn code_at(&self, addr: RuntimeAddr) -> Vec<u8> {
        let mut bytes = vec![0; 15];
        let got = self.read_memory_partly(addr, &mut bytes).unwrap_or(0);
        bytes.truncate(got);
        bytes
    }
}

/// The page of text in which steps are made: read once as long as they stay in it.
#[derive(Default)]
struct CodePage {
    start: u64,
    bytes: Vec<u8>,
}

impl CodePage {
    const LENGTH: u64 = 4096;

    /// What the instruction at an address does with the flags. One at the end of the page may go on in the next.
    fn flag_use(&mut self, process: &Process, pc: RuntimeAddr) -> FlagUse {
        let code = self.at(process, pc);
        if code.len() < LONGEST_INSTRUCTION { FlagUse::of(&process.code_at(pc)) } else { FlagUse::of(code) }
    }

    /// The bytes at an address, as far as the page goes.
    fn at(&mut self, process: &Process, pc: RuntimeAddr) -> &[u8] {
        let start = pc.0 & !(Self::LENGTH - 1);
        if self.start != start || self.bytes.is_empty() {
            self.start = start;
            self.bytes.resize(Self::LENGTH as usize, 0);
            let got = process.read_memory_partly(RuntimeAddr(start), &mut self.bytes).unwrap_or(0);
            self.bytes.truncate(got);
        }
        self.bytes.get((pc.0 - start) as usize..).unwrap_or_default()
    }
}
