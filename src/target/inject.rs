//! System calls made by the target itself on godbg's behalf. One stopped thread makes the call with a `syscall` instruction
//! that the process has already (in its vDSO or any text), in one single step, and stands afterwards exactly as it stood
//! before: the same registers, and a stop that no death of godbg turns into a signal. Which threads must be left alone is
//! `callable`'s. Refuses to decide which calls are wise.

use std::time::{Duration, Instant};

use super::process::Process;
use super::thread::{State, Thread};
use super::{Error, Result};
use crate::addr::{Pid, RuntimeAddr, Tid};
use crate::kernel::Errno;
use crate::kernel::arch::{Registers, SYSCALL_INSTRUCTION};
use crate::kernel::ptrace::SignalInfo;
use crate::kernel::signal::Signal;
use crate::kernel::wait::{self, Report, Stop};

/// How long a call may take before it is broken off.
const LONGEST: Duration = Duration::from_secs(2);

/// How long a thread may take to come out of a call that was broken off. Only one in state D takes longer.
const LONGEST_END: Duration = Duration::from_secs(30);

/// Where the system call `rseq_cs` pointer is in `struct rseq` (rseq(2)).
const RSEQ_CS: u64 = 8;

/// A call that was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    /// What it returned, `-errno` for an error.
    pub result: i64,
    /// The child that it made, as godbg's PID namespace numbers it. It is a tracee, and stands before its first
    /// instruction or is about to.
    pub child: Option<Pid>,
}

/// What a thread has that a call would change, and that is put back.
struct Saved {
    registers: Registers,
    mask: u64,
    /// A restartable sequence that the thread was interrupted in: the kernel forgets it when the thread is seen elsewhere, and
    /// would not abort it any more.
    sequence: Option<(RuntimeAddr, [u8; 8])>,
    /// A signal that was dequeued for the thread and that it is still to be given.
    owed: Option<(Signal, SignalInfo)>,
}

impl Process {
    /// Makes a system call in a stopped thread and gives its result, negative for an error (`-errno`). The thread stands
    /// as before afterwards. A call that waits is broken off after 2 s. Not for calls that end the thread or return elsewhere.
    pub fn call_system(&mut self, tid: Tid, number: u64, args: [u64; 6]) -> Result<i64> {
        let made = self.inject(tid, number, args)?;
        if let Some(child) = made.child {
            self.strays.push(child);
        }
        Ok(made.result)
    }

    pub(super) fn inject(&mut self, tid: Tid, number: u64, args: [u64; 6]) -> Result<Made> {
        let request = |what| move |errno| Error::Request { what, tid, errno };
        self.check_callable(tid)?;
        if !matches!(self.state_of(tid), Some(State::Stopped(Stop::Interrupt | Stop::Group(_) | Stop::Signal(_)))) {
            // It stands within a call of its own (clone, exec), whose result would be written over the registers set here.
            self.settle(tid)?;
        }
        let saved = self.save(tid)?;
        let call = saved.registers.prepare_call(self.syscall_instruction()?, number, args);
        let metronome = self.metronome.clone();
        let _beating = metronome.start();
        let mut owed = saved.owed;
        // All signals wait meanwhile, so that the step is the only thing that can happen. Not SIGTRAP: a step's SIGTRAP that
        // finds itself blocked takes the program's handler for it away (kernel/signal.c, force_sig_info_to_task).
        let blocked = !(1 << (Signal::TRAP.0 - 1));
        let made = (self.tracer.set_signal_mask(tid, blocked))
            .and_then(|()| self.tracer.set_registers(tid, &call))
            .map_err(request("set the registers of"))
            .and_then(|()| self.step_through(tid, &call, &mut owed));
        // Whatever came of it, what was the thread's own comes back first.
        let back = self.put_back(tid, &saved);
        let kept = match owed {
            // It must stay where a signal can be given to it.
            Some((signal, info)) => self.owe(tid, signal, &info),
            None => self.settle(tid),
        };
        let made = made?;
        back.map_err(request("restore the registers of"))?;
        kept?;
        Ok(made)
    }

    pub(super) fn state_of(&self, tid: Tid) -> Option<State> {
        self.threads.get(&tid).map(|thread| thread.state)
    }

    fn save(&self, tid: Tid) -> Result<Saved> {
        let request = |what| move |errno| Error::Request { what, tid, errno };
        let registers = self.tracer.registers(tid).map_err(request("read the registers of"))?;
        if !registers.is_64_bit() {
            return Err(Error::NoCalls { tid, why: "it runs 32-bit code" });
        }
        let owed = self.threads.get(&tid).and_then(Thread::signal_to_pass);
        Ok(Saved {
            registers,
            mask: self.tracer.signal_mask(tid).map_err(request("read the signal mask of"))?,
            sequence: self.sequence(tid),
            owed: match owed {
                Some(signal) => Some((signal, self.tracer.signal_info(tid).map_err(request("read the signal of"))?)),
                None => None,
            },
        })
    }

    /// The restartable sequence that a thread may be in.
    fn sequence(&self, tid: Tid) -> Option<(RuntimeAddr, [u8; 8])> {
        let at = RuntimeAddr(self.tracer.rseq_area(tid)?.0.wrapping_add(RSEQ_CS));
        let mut pointer = [0; 8];
        let known = self.read_memory(at, &mut pointer).is_ok() && pointer != [0; 8];
        known.then_some((at, pointer))
    }

    fn put_back(&mut self, tid: Tid, saved: &Saved) -> std::result::Result<(), Errno> {
        self.tracer.set_signal_mask(tid, saved.mask)?;
        self.tracer.set_registers(tid, &saved.registers)?;
        if let Some((at, pointer)) = saved.sequence {
            // Gone with the call only where that unmapped it.
            let _ = self.write_memory(at, &pointer);
        }
        Ok(())
    }

    /// Steps until the `syscall` instruction has been made.
    fn step_through(&mut self, tid: Tid, call: &Registers, owed: &mut Option<(Signal, SignalInfo)>) -> Result<Made> {
        let request = |what| move |errno| Error::Request { what, tid, errno };
        let begin = Instant::now();
        let mut broken_off = false;
        let mut child = None;
        self.tracer.step(tid, None).map_err(request("step"))?;
        loop {
            let mut pass = None;
            match wait::take_until_beat(tid) {
                Ok(Some(Report::Stopped(Stop::Signal(signal), _))) => {
                    let now = self.tracer.registers(tid).map_err(request("read the registers of"))?;
                    if now.pc() != call.pc() {
                        let waits = broken_off && now.is_broken_off();
                        let slow = Error::NoCalls { tid, why: "the call waited and was broken off after 2 s" };
                        return if waits { Err(slow) } else { Ok(Made { result: now.call_result(), child }) };
                    }
                    // SIGSTOP, which no mask keeps out, is obeyed at once; a SIGTRAP that somebody has just sent comes later.
                    match signal {
                        Signal::TRAP => *owed = owed.or(self.tracer.signal_info(tid).ok().map(|info| (signal, info))),
                        signal => pass = Some(signal),
                    }
                }
                Ok(Some(Report::Stopped(Stop::Clone | Stop::Fork | Stop::Vfork, _))) => {
                    child = self.tracer.event_message(tid).ok().map(|child| Pid(child as i32));
                }
                // A group-stop, or an interrupt: one that was still due, or that broke the call off.
                Ok(Some(Report::Stopped(..))) => {}
                Ok(Some(Report::Ended(..))) => {
                    self.note_end(tid);
                    return Err(Error::Ended(self.pid));
                }
                Ok(None) | Err(Errno::EINTR) if begin.elapsed() < LONGEST => continue,
                Ok(None) | Err(Errno::EINTR) if begin.elapsed() < LONGEST_END => {
                    if !broken_off {
                        self.tracer.interrupt(tid).map_err(request("interrupt"))?;
                    }
                    broken_off = true;
                    continue;
                }
                Ok(None) | Err(Errno::EINTR) => {
                    return Err(Error::NoCalls {
                        tid,
                        why: "it sleeps in the kernel in that call and does not come back",
                    });
                }
                Err(errno) => return Err(Error::Request { what: "wait for", tid, errno }),
            }
            self.tracer.step(tid, pass).map_err(request("step"))?;
        }
    }

    /// Notes a signal that the thread is still to be given, in the stop of a step that came after its own.
    fn owe(&mut self, tid: Tid, signal: Signal, info: &SignalInfo) -> Result<()> {
        // ESRCH: it was killed.
        let _ = self.tracer.set_signal_info(tid, info);
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.state = State::Stopped(Stop::Signal(signal));
        }
        Ok(())
    }

    /// Turns a stop that a step has made into one that asks for nothing: should godbg die, the thread goes on without a
    /// signal, and job control's stop is in force again.
    pub(super) fn settle(&mut self, tid: Tid) -> Result<()> {
        let request = |what| move |errno| Error::Request { what, tid, errno };
        let begin = Instant::now();
        let metronome = self.metronome.clone();
        let _beating = metronome.start();
        self.tracer.interrupt(tid).map_err(request("interrupt"))?;
        self.tracer.cont(tid, None).map_err(request("resume"))?;
        loop {
            match wait::look_until_beat(tid) {
                Ok(Some(Report::Stopped(stop, _))) => {
                    self.mend_call(tid, stop);
                    if let Some(thread) = self.threads.get_mut(&tid) {
                        thread.state = State::Stopped(stop);
                    }
                    return Ok(());
                }
                Ok(Some(Report::Ended(..))) => {
                    self.note_end(tid);
                    return Err(Error::Ended(self.pid));
                }
                Ok(None) | Err(Errno::EINTR) if begin.elapsed() < LONGEST_END => {}
                Ok(None) | Err(Errno::EINTR) => return Err(request("stop")(Errno::ETIMEDOUT)),
                Err(errno) => return Err(request("wait for")(errno)),
            }
        }
    }

    /// Where a `syscall` instruction is that any thread may use: the vDSO has some, and so has every C library. Looked at each
    /// time: a fault there would cost the program its handler for SIGSEGV.
    fn syscall_instruction(&self) -> Result<RuntimeAddr> {
        let is_there = |at: &RuntimeAddr| {
            let mut bytes = [0; 2];
            self.read_memory(*at, &mut bytes).is_ok() && bytes == SYSCALL_INSTRUCTION
        };
        if let Some(addr) = self.syscall_at.get().filter(is_there) {
            return Ok(addr);
        }
        let tid = self.pid.leader();
        let nowhere = Error::NoCalls { tid, why: "its memory holds no syscall instruction, not even a vDSO" };
        let mappings = self.mappings().map_err(|_| Error::Ended(self.pid))?;
        let mut texts: Vec<_> = mappings.iter().filter(|mapping| mapping.execute && mapping.read).collect();
        texts.sort_by_key(|mapping| mapping.name.as_deref() != Some("[vdso]"));
        for text in texts {
            let length = (text.end.0 - text.start.0).min(MOST_TEXT) as usize;
            let mut bytes = vec![0; length];
            let got = self.read_memory_partly(text.start, &mut bytes).unwrap_or(0);
            if let Some(at) = bytes[..got].windows(2).position(|pair| pair == SYSCALL_INSTRUCTION) {
                let addr = RuntimeAddr(text.start.0 + at as u64);
                self.syscall_at.set(Some(addr));
                return Ok(addr);
            }
        }
        Err(nowhere)
    }
}

/// How much of one mapping is searched for the instruction.
const MOST_TEXT: u64 = 8 << 20;
