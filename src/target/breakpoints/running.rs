//! What has to be done for breakpoints whenever threads are let run, stop, make children or execute programs: the hooks that
//! the rest of the target calls. Holds no policy of its own.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::hits::{Met, Past};
use super::sites::INT3;
use super::{Breakpoint, Steering};
use crate::addr::{Pid, RuntimeAddr, Tid};
use crate::kernel::arch::Registers;
use crate::kernel::memory::Memory;
use crate::kernel::metronome::Metronome;
use crate::kernel::ptrace::Tracer;
use crate::kernel::signal::Signal;
use crate::kernel::wait::{self, Report, Stop};
use crate::kernel::{Errno, own, proc};
use crate::target::process::{Origin, Phase, Process};
use crate::target::thread::State;
use crate::target::{News, Result, Why};

/// How long a trap that is known to wait may take to be met.
const LONGEST: Duration = Duration::from_secs(2);

/// After so many hits that were passed over the tracer thread looks on which processor the thread runs.
const FOLLOW: u64 = 256;

impl Process {
    /// A thread of the running process has stopped: for a trap of godbg's making, or at a vfork. True: all that follows has
    /// been done.
    pub(in crate::target) fn steer(&mut self, tid: Tid, stop: Stop) -> bool {
        match stop {
            Stop::Vfork => {
                // The child runs in the same memory, and nobody traces it: it must not meet a breakpoint.
                self.steering.vforks.insert(tid);
                self.disarm();
                false
            }
            Stop::Exec => {
                self.arm();
                false
            }
            Stop::VforkDone => {
                self.note_vfork_over(tid);
                false
            }
            Stop::Signal(_) => {
                self.bring_out(tid);
                false
            }
            _ => false,
        }
    }

    /// A thread of the running process has stopped for a SIGTRAP, of which nothing has been noted yet: one that goes on costs
    /// no more than it must. True: it was of godbg's making, and all that follows has been done.
    pub(in crate::target) fn steer_trap(&mut self, tid: Tid) -> bool {
        let stop = Stop::Signal(Signal::TRAP);
        let past = match self.meet_trap(tid) {
            Met::Foreign => return false,
            Met::Stop(why) => {
                self.note_stop(tid, stop, None, Why::Interrupt);
                self.threads.entry(tid).and_modify(|thread| thread.for_godbg = true);
                self.stop_at(tid, why);
                return true;
            }
            Met::Pass(past) => past,
        };
        self.steering.passed += 1;
        if self.steering.passed.is_multiple_of(FOLLOW) {
            self.follow(tid);
        }
        self.sync_debug(tid);
        let at_linker = matches!(past, Past::Site(at, _) if self.steering.libraries == Some(at));
        let renews = at_linker && self.relocate_following();
        // ESRCH: it was killed, and its end comes next.
        let passes = !renews && self.pass(tid, past) != Ok(false);
        if let Past::Site(at, registers) = past
            && !passes
        {
            // No copy of that instruction can be made: it is stepped over where it stands, with all others held. Or text has to
            // be changed elsewhere, which is done while all are held.
            self.note_stop(tid, stop, None, Why::Interrupt);
            if let Ok(info) = self.tracer.signal_info(tid) {
                self.move_back(tid, &info, &registers, at);
            }
            self.threads.entry(tid).and_modify(|thread| {
                thread.step_over = Some(at);
                thread.why = Why::Interrupt;
            });
            self.halt(Why::Interrupt);
            // It has ended meanwhile, or runs on.
            let _ = self.resume(false);
        }
        true
    }

    /// A thread that meets breakpoints again and again and its tracer take turns: on one processor that costs half.
    fn follow(&mut self, tid: Tid) {
        self.steering.near.get_or_insert_default();
        if let Some(processor) = proc::processor_of(self.pid, tid) {
            own::run_on(processor);
        }
    }

    /// Stops all for what one thread has met.
    fn stop_at(&mut self, tid: Tid, why: Why) {
        if let (Why::Breakpoint { .. } | Why::Step | Why::FunctionFinished | Why::LocationReached, Ok(registers)) =
            (why, self.tracer.registers(tid))
        {
            self.threads.entry(tid).and_modify(|thread| thread.step_over = Some(registers.pc()));
        }
        self.stop_for(tid, why);
        self.after_stop_at(why);
    }

    /// A temporary breakpoint is gone after its stop, and goals are.
    pub(in crate::target) fn after_stop_at(&mut self, why: Why) {
        if let Why::Breakpoint { number } | Why::Watchpoint { number, .. } = why {
            let met = self.met_with(number);
            let parts = |one: &&Breakpoint| one.temporary && met.contains(&one.number);
            let parted = self.steering.breakpoints.iter().filter(parts);
            self.parted = parted.map(|one| (one.number, one.commands.clone())).collect();
            for number in self.parted.iter().map(|(number, _)| *number).collect::<Vec<u32>>() {
                // Removing one never needs more registers than there were.
                let _ = self.remove_breakpoint(number);
            }
        }
        if !self.steering.goals.is_empty() {
            self.set_goals(Vec::new());
        }
    }

    /// Tells of the next thing that a thread has met and nobody knows of. True: the process stays held for it.
    pub(in crate::target) fn report_next(&mut self) -> bool {
        while let Some((tid, why)) = self.unreported.pop_front() {
            let Some(report) = self.report_of(tid, why) else { continue };
            self.news.push_back(News::Stopped(report));
            self.after_stop_at(why);
            return true;
        }
        false
    }

    /// All threads stand still: each is brought to where its program has it, with only its own signals before it.
    pub(in crate::target) fn bring_all_home(&mut self) {
        self.stopped_tids().into_iter().for_each(|tid| self.bring_one_home(tid));
    }

    /// The same for one thread that stands still.
    pub(in crate::target) fn bring_one_home(&mut self, tid: Tid) {
        self.drain(tid);
        let Some(State::Stopped(stop)) = self.threads.get(&tid).map(|thread| thread.state) else { return };
        self.mend_call(tid, stop);
        if self.steering.is_active()
            && let Ok(registers) = self.tracer.registers(tid)
        {
            self.bring_home(tid, &registers);
        }
    }

    /// A thread that stopped for something else while a trap of godbg's making was already on its way to it. The trap must be
    /// met now, or the thread would die of it once it is let go. It cannot make a step meanwhile: the trap comes first.
    fn drain(&mut self, tid: Tid) {
        let plain = matches!(self.threads.get(&tid).map(|thread| thread.state), Some(State::Stopped(Stop::Interrupt)));
        if !plain || !self.steering.is_active() {
            return;
        }
        let Ok(registers) = self.tracer.registers(tid) else { return };
        if !self.has_trap_waiting(tid, &registers) {
            return;
        }
        let begin = Instant::now();
        let metronome = self.metronome.clone();
        let _beating = metronome.start();
        // ESRCH: it was killed.
        if self.tracer.cont(tid, None).is_err() {
            return;
        }
        let mut asked = false;
        loop {
            match wait::look_until_beat(tid) {
                Ok(Some(Report::Stopped(stop, _))) => {
                    let origin = self.origin_of(tid, stop);
                    return self.note_stop(tid, stop, origin, Why::Interrupt);
                }
                Ok(Some(Report::Ended(..))) => return self.note_end(tid),
                Ok(None) | Err(Errno::EINTR) if !asked && begin.elapsed() > LONGEST => {
                    asked = true;
                    let _ = self.tracer.interrupt(tid);
                }
                // It sleeps in the kernel: it is late like any other that does, and comes home when it wakes.
                Ok(None) | Err(Errno::EINTR) if begin.elapsed() > 2 * LONGEST => {
                    self.threads.entry(tid).and_modify(|thread| thread.state = State::Stopping { late: true });
                    return;
                }
                Ok(None) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    /// A thread that is about to be given a signal while it stands in a copy: its handler must see the program's own place.
    pub(in crate::target) fn bring_out(&mut self, tid: Tid) {
        let Ok(registers) = self.tracer.registers(tid) else { return };
        let Some(copy) = self.steering.sites.copy_at(registers.pc()) else { return };
        let Some(place) = copy.true_place(registers.pc()) else { return };
        let (origin, slot) = (copy.origin, copy.slot);
        let sp = RuntimeAddr(registers.rsp.wrapping_add(place.unwind));
        // ESRCH: it was killed.
        let _ = self.tracer.set_registers(tid, &Registers { rip: place.pc.0, rsp: sp.0, ..registers });
        // A fault names the instruction that made it.
        if let Ok(mut info) = self.tracer.signal_info(tid)
            && info.code() > 0
            && info.address() == slot
        {
            info.mark(info.code(), origin);
            let _ = self.tracer.set_signal_info(tid, &info);
        }
        if place.pc == origin {
            self.threads.entry(tid).and_modify(|thread| {
                thread.skip_once = Some((origin, sp));
                thread.step_over = Some(origin);
            });
        }
    }

    /// Puts in what has to be in memory while threads run. Threads that have met what no copy can be made of make one step.
    pub(in crate::target) fn prepare_to_run(&mut self) -> Result<()> {
        if !self.steering.is_active() {
            return Ok(());
        }
        self.arm();
        let waiting = |process: &Process, tid: Tid| {
            let at = process.threads.get(&tid)?.step_over?;
            let site = process.steering.sites.get(at)?;
            (site.armed && process.way_past(at).is_none()).then_some(at)
        };
        let stuck: Vec<(Tid, RuntimeAddr)> =
            self.stopped_tids().into_iter().filter_map(|tid| waiting(self, tid).map(|at| (tid, at))).collect();
        if stuck.is_empty() {
            return Ok(());
        }
        self.disarm();
        for (tid, at) in stuck {
            if self.tracer.registers(tid).is_ok_and(|registers| registers.pc() == at) {
                self.step_once(tid)?;
            }
        }
        self.arm();
        Ok(())
    }

    /// A thread that goes on and stands where it met a breakpoint gets past it without meeting it again.
    pub(in crate::target) fn leave_site(&mut self, tid: Tid, has_signal: bool) {
        let Some(at) = self.threads.get_mut(&tid).and_then(|thread| thread.step_over.take()) else { return };
        if !self.steering.sites.get(at).is_some_and(|site| site.armed) {
            return;
        }
        let Ok(registers) = self.tracer.registers(tid) else { return };
        if registers.pc() != at {
            return;
        }
        if has_signal || self.is_own_trap(at) {
            // A trap of the program's own is made again, and is passed on then.
            // The signal's handler, if there is one, runs first and returns to the breakpoint.
            self.threads.entry(tid).and_modify(|thread| thread.skip_once = Some((at, registers.sp())));
            return;
        }
        self.threads.entry(tid).and_modify(|thread| thread.skip_once = None);
        if let Some(way) = self.way_past(at) {
            // ESRCH: it was killed.
            let _ = self.tracer.set_registers(tid, &Registers { rip: way.0, orig_rax: u64::MAX, ..registers });
        }
    }

    /// A person lets a thread go on from where a breakpoint stands that it has not met yet: it gets past that one, as gdb
    /// does it.
    pub fn pass_breakpoint_here(&mut self, tid: Tid) {
        let pending = self.threads.get(&tid).is_none_or(|thread| thread.for_godbg && thread.why == Why::Interrupt);
        if pending || !self.steering.is_active() {
            return;
        }
        // One that stands behind a call that was broken off makes it again first, and meets the breakpoint when it returns: were
        // it moved past, its program would see the kernel's own error number.
        let makes_call_again = |registers: &Registers| registers.syscall().is_some() && registers.is_broken_off();
        if let Ok(registers) = self.tracer.registers(tid)
            && !makes_call_again(&registers)
        {
            self.threads.entry(tid).and_modify(|thread| thread.step_over = Some(registers.pc()));
        }
    }

    /// Lets only this thread run when the process goes on, or all again.
    pub fn run_alone_next(&mut self, thread: Option<Tid>) {
        self.steering.alone = thread;
    }

    /// The only thread that ran has ended: the others are all there is to look at.
    pub(in crate::target) fn note_alone_ended(&mut self, tid: Tid) {
        if self.steering.alone == Some(tid) && matches!(self.phase, Phase::Running) {
            self.steering.alone = None;
            self.halt(Why::Interrupt);
            if let Phase::Held { report, .. } = &self.phase {
                self.news.push_back(News::Stopped(report.clone()));
            }
        }
    }

    /// The child of a vfork runs in memory of its own now, or has ended.
    pub(in crate::target) fn note_vfork_over(&mut self, tid: Tid) {
        if self.steering.vforks.remove(&tid) && self.steering.vforks.is_empty() && matches!(self.phase, Phase::Running)
        {
            self.arm();
        }
    }

    /// After an exec nothing of what was put into the old program is left. Breakpoints by address mean nothing in the new one.
    pub(in crate::target) fn forget_text(&mut self) {
        self.steering.sites.clear();
        self.steering.shield = None;
        self.steering.no_shield = None;
        self.steering.vforks.clear();
        self.steering.borrows = false;
        self.steering.goals.clear();
        self.unreported.clear();
        self.drop_guard();
        // The kernel clears the debug registers at an exec.
        self.steering.debug = Default::default();
        self.steering.debug_generation = 0;
        self.threads.values_mut().for_each(|thread| thread.debug_generation = 0);
        self.steering.libraries = None;
        for breakpoint in &mut self.steering.breakpoints {
            breakpoint.addresses.clear();
        }
        self.relocate_all();
        for breakpoint in self.steering.breakpoints.iter().filter(|one| one.addresses.is_empty() && !one.follows) {
            let (process, number) = (self.pid, breakpoint.number);
            let why = "the process executes another program".to_owned();
            self.news.push_back(News::BreakpointLost { process, number, why });
        }
        self.steering.stale = !self.steering.breakpoints.is_empty();
    }
}

impl Steering {
    /// Takes out of a new child what it has inherited. It stands at its first stop, and has memory of its own.
    pub(in crate::target) fn clean_child(&self, parent: Pid, child: Pid, tracer: Tracer, metronome: &Rc<Metronome>) {
        if self.sites.is_empty() && self.shield.is_none() || proc::shares_memory(parent, child) {
            return;
        }
        // A child that is being killed has no memory any more.
        let Ok(memory) = Memory::open(child, child.leader()) else { return };
        for (addr, site) in self.sites.iter() {
            let mut byte = [0];
            if memory.read(addr, &mut byte) == Ok(1) && byte[0] == INT3 && site.original != INT3 {
                let _ = memory.write(addr, &[site.original]);
            }
        }
        if self.shield.is_some() {
            let mut process =
                Process::new(child, Origin::Attached, String::new(), tracer, metronome.clone(), Rc::default());
            process.add(child.leader(), State::Stopped(Stop::Interrupt));
            process.steering.shield = self.shield.clone();
            // It is over in a moment.
            process.steering.no_guard = Some(String::new());
            // What cannot be taken away does no harm.
            let _ = process.lower_shield();
            process.steering = Steering::default();
            process.mark_released();
        }
    }
}
