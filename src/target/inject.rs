//! System calls made by the target itself on godbg's behalf. One stopped thread makes the call with a `syscall` instruction
//! that the process has already (`landing`), from the stop at the call's entry to that at its return, and stands afterwards
//! exactly as it stood before: the same registers, and a stop that no death of godbg turns into a signal. Should godbg be
//! killed meanwhile, the thread stays where the call took it, and is put back by what is written down. Which threads must be
//! left alone is `callable`'s. Refuses to decide which calls are wise.

use std::time::{Duration, Instant};

use super::breakpoints::CallNote;
use super::landing::Landing;
use super::process::Process;
use super::thread::{State, Thread};
use super::{Error, Result};
use crate::addr::{Pid, RuntimeAddr, Tid};
use crate::kernel::Errno;
use crate::kernel::arch::Registers;
use crate::kernel::ptrace::{SignalInfo, SyscallStop, Tracer};
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
    /// Where it was made: what the child has of it.
    pub landing: Landing,
}

/// What a thread has that a call would change, and that is put back.
#[derive(Clone, Copy)]
pub(super) struct Saved {
    pub registers: Registers,
    pub mask: u64,
    /// A restartable sequence that the thread was interrupted in: the kernel forgets it when the thread is seen elsewhere, and
    /// would not abort it any more.
    pub sequence: Option<(RuntimeAddr, [u8; 8])>,
    /// A signal that was dequeued for the thread and that it is still to be given.
    pub owed: Option<(Signal, SignalInfo)>,
}

/// How a thread is led through a call. Should godbg die, no signal comes of a stop at an entry or a return; of a step's comes
/// a SIGTRAP, until the stop has been taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Call,
    Step,
}

impl Way {
    /// All signals wait meanwhile. Not a step's SIGTRAP: one that finds itself blocked takes the program's handler for it away
    /// (kernel/signal.c, force_sig_info_to_task).
    fn blocked(self) -> u64 {
        match self {
            Way::Call => u64::MAX,
            Way::Step => !(1 << (Signal::TRAP.0 - 1)),
        }
    }

    fn go(self, tracer: Tracer, tid: Tid, signal: Option<Signal>) -> std::result::Result<(), Errno> {
        match self {
            Way::Call => tracer.cont_to_syscall(tid, signal),
            Way::Step => tracer.step(tid, signal),
        }
    }
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
        self.ensure_guard();
        let landing = self.land(tid, &saved.registers, self.has_guard())?;
        let call = saved.registers.prepare_call(landing.call, landing.sp, number, args);
        let metronome = self.metronome.clone();
        let _beating = metronome.start();
        let mut owed = saved.owed;
        // A signal that was dequeued for the thread can only be given to it in a stop for a signal, as a step makes one.
        let way = if owed.is_some() { Way::Step } else { Way::Call };
        self.note_call(&CallNote { tid, number, saved, landing });
        self.prepare_stay(&landing);
        // The registers first and the mask last, and back the other way round: a thread that stands in its own place has its
        // own mask, whatever has become of godbg.
        let made = (self.tracer.set_registers(tid, &call))
            .and_then(|()| self.tracer.set_signal_mask(tid, way.blocked()))
            .map_err(request("set the registers of"))
            .and_then(|()| self.make(tid, &landing, way, &mut owed));
        // Whatever came of it, what was the thread's own comes back first.
        let back = self.put_back(tid, &saved, &landing);
        self.note_call_over();
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

    /// Gives a stopped thread back what it had before the call.
    pub(super) fn put_back(&mut self, tid: Tid, saved: &Saved, landing: &Landing) -> std::result::Result<(), Errno> {
        self.tracer.set_signal_mask(tid, saved.mask)?;
        if let Some((at, pointer)) = saved.sequence {
            // Gone with the call only where that unmapped it.
            let _ = self.write_memory(at, &pointer);
        }
        self.tracer.set_registers(tid, &saved.registers)?;
        // Not before: it is by this word that the thread finds where to stay.
        self.clear_stay(landing);
        Ok(())
    }

    /// Lets a thread that stands before a `syscall` instruction make the call.
    fn make(&mut self, tid: Tid, landing: &Landing, way: Way, owed: &mut Option<(Signal, SignalInfo)>) -> Result<Made> {
        let request = |what| move |errno| Error::Request { what, tid, errno };
        let begin = Instant::now();
        let (mut broken_off, mut child) = (false, None);
        way.go(self.tracer, tid, None).map_err(request("let on"))?;
        loop {
            let mut pass = None;
            match wait::take_until_beat(tid) {
                Ok(Some(Report::Stopped(stop @ (Stop::Syscall | Stop::Signal(_)), _))) => {
                    let now = self.tracer.registers(tid).map_err(request("read the registers of"))?;
                    let returns = match stop {
                        Stop::Syscall => matches!(self.tracer.syscall_stop(tid), Ok(Some(SyscallStop::Exit { .. }))),
                        // The step is made.
                        _ => way == Way::Step && now.pc() != landing.call,
                    };
                    if returns {
                        let waits = broken_off && now.is_broken_off();
                        let slow = Error::NoCalls { tid, why: "the call waited and was broken off after 2 s" };
                        let made = Made { result: now.call_result(), child, landing: *landing };
                        return if waits { Err(slow) } else { Ok(made) };
                    }
                    // SIGSTOP, which no mask keeps out, is obeyed at once; a SIGTRAP that somebody has just sent comes later.
                    match stop {
                        Stop::Signal(Signal::TRAP) => {
                            *owed = owed.or(self.tracer.signal_info(tid).ok().map(|info| (Signal::TRAP, info)));
                        }
                        Stop::Signal(signal) => pass = Some(signal),
                        _ => {}
                    }
                }
                Ok(Some(Report::Stopped(Stop::Clone | Stop::Fork | Stop::Vfork, _))) => {
                    child = self.tracer.event_message(tid).ok().map(|child| Pid(child as i32));
                    self.note_copy(child);
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
            way.go(self.tracer, tid, pass).map_err(request("let on"))?;
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

    /// Turns a stop that a call or a step has made into one that asks for nothing: should godbg die, the thread goes on without a
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
}
