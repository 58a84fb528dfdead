//! System calls made by the target itself on godbg's behalf. One stopped thread makes the call with a `syscall` instruction
//! that the process has already (in its vDSO or any text), in one single step, and stands afterwards exactly as it stood
//! before: the same registers, and a stop that no death of godbg turns into a signal. Refuses to decide which calls are wise.

use std::time::{Duration, Instant};

use super::process::{Phase, Process};
use super::thread::{State, Thread};
use super::{Error, Result};
use crate::addr::{RuntimeAddr, Tid};
use crate::kernel::Errno;
use crate::kernel::arch::{Registers, SYSCALL_INSTRUCTION};
use crate::kernel::ptrace::SignalInfo;
use crate::kernel::signal::Signal;
use crate::kernel::wait::{self, Report, Stop};

/// How long a call may take that is not meant to wait.
const LONGEST: Duration = Duration::from_secs(5);

impl Process {
    /// Makes a system call in a stopped thread and gives its result, negative for an error (`-errno`). The thread stands
    /// as before afterwards. Not for calls that wait, end the thread, or return elsewhere.
    pub fn call_system(&mut self, tid: Tid, number: u64, args: [u64; 6]) -> Result<i64> {
        if self.threads.get(&tid).is_some_and(Thread::is_inside_call) {
            // Changed registers would make that call another one, or its result would overwrite them.
            return Err(Error::InCall(tid));
        }
        let request = |what| move |errno| Error::Request { what, tid, errno };
        let before = self.tracer.registers(tid).map_err(request("read the registers of"))?;
        let info = self.tracer.signal_info(tid).ok();
        let rip = self.syscall_instruction()?;
        let call = before.prepare_call(rip, number, args);
        self.tracer.set_registers(tid, &call).map_err(request("set the registers of"))?;
        let made = self.step_through(tid, &call);
        // Whatever came of it, the thread's own registers come back first.
        let back = self.tracer.set_registers(tid, &before).map_err(request("restore the registers of"));
        let kept = match self.threads.get(&tid).and_then(Thread::signal_to_pass) {
            // It must stay where a signal can be given to it.
            Some(signal) => self.owe(tid, signal, info),
            None => self.settle(tid),
        };
        let result = made?;
        back?;
        kept?;
        Ok(result)
    }

    /// A thread that suits [`Process::call_system`]: one with no signal of its own to be given.
    pub fn thread_for_calls(&self) -> Result<Tid> {
        let plain = |(_, state): &(Tid, State)| matches!(state, State::Stopped(Stop::Interrupt | Stop::Exec));
        let states: Vec<(Tid, State)> = self.threads.iter().map(|(tid, thread)| (*tid, thread.state)).collect();
        let in_call = |tid: &Tid| self.threads.get(tid).is_some_and(Thread::is_inside_call);
        let stopped = states.iter().filter(|(tid, state)| matches!(state, State::Stopped(_)) && !in_call(tid));
        let chosen = states.iter().find(|entry| plain(entry)).or_else(|| stopped.into_iter().next());
        chosen.map(|(tid, _)| *tid).ok_or(Error::Ended(self.pid))
    }

    /// Steps until the `syscall` instruction has been made. A signal that comes first is kept out: it was not dequeued for
    /// this, and comes again.
    fn step_through(&mut self, tid: Tid, call: &Registers) -> Result<i64> {
        let request = |what| move |errno| Error::Request { what, tid, errno };
        let begin = Instant::now();
        let metronome = self.metronome.clone();
        let _beating = metronome.start();
        // All signals wait meanwhile, so that the step is the only thing that can happen.
        let mask = self.tracer.signal_mask(tid).map_err(request("read the signal mask of"))?;
        self.tracer.set_signal_mask(tid, !0).map_err(request("set the signal mask of"))?;
        let stepped = self.tracer.step(tid, None).map_err(request("step"));
        let result = stepped.and_then(|()| {
            loop {
                match wait::take_until_beat(tid) {
                    Ok(Some(Report::Stopped(Stop::Signal(_), _))) => {
                        let now = self.tracer.registers(tid).map_err(request("read the registers of"))?;
                        return Ok(now);
                    }
                    // A group-stop or an interrupt that was still due; births are noted as ever.
                    Ok(Some(Report::Stopped(stop, _))) => {
                        self.note_birth_of(tid, stop);
                        self.tracer.step(tid, None).map_err(request("step"))?;
                    }
                    Ok(Some(Report::Ended(..))) => {
                        self.note_end(tid);
                        return Err(Error::Ended(self.pid));
                    }
                    Ok(None) | Err(Errno::EINTR) if begin.elapsed() < LONGEST => {}
                    Ok(None) | Err(Errno::EINTR) => {
                        return Err(Error::Request { what: "make a system call in", tid, errno: Errno::ETIMEDOUT });
                    }
                    Err(errno) => return Err(Error::Request { what: "wait for", tid, errno }),
                }
            }
        });
        // The mask comes back even where the call went wrong. ESRCH: the thread is no more.
        let _ = self.tracer.set_signal_mask(tid, mask);
        let now = result?;
        if now.pc() == call.pc() {
            return Err(Error::Request { what: "make a system call in", tid, errno: Errno::EAGAIN });
        }
        Ok(now.call_result())
    }

    /// Notes a signal that the thread is still to be given, in the stop of a step that came after its own.
    fn owe(&mut self, tid: Tid, signal: Signal, info: Option<SignalInfo>) -> Result<()> {
        if let Some(info) = info {
            // ESRCH: it was killed.
            let _ = self.tracer.set_signal_info(tid, &info);
        }
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
                    if let Some(thread) = self.threads.get_mut(&tid) {
                        thread.state = State::Stopped(stop);
                    }
                    return Ok(());
                }
                Ok(Some(Report::Ended(..))) => {
                    self.note_end(tid);
                    return Err(Error::Ended(self.pid));
                }
                Ok(None) | Err(Errno::EINTR) if begin.elapsed() < LONGEST => {}
                Ok(None) | Err(Errno::EINTR) => return Err(request("stop")(Errno::ETIMEDOUT)),
                Err(errno) => return Err(request("wait for")(errno)),
            }
        }
    }

    /// Where a `syscall` instruction is that any thread may use: the vDSO has some, and so has every C library.
    fn syscall_instruction(&self) -> Result<RuntimeAddr> {
        if let Some(addr) = self.syscall_at.get() {
            return Ok(addr);
        }
        let nowhere =
            Error::Request { what: "find a syscall instruction for", tid: self.pid.leader(), errno: Errno::ENOENT };
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

    fn note_birth_of(&mut self, tid: Tid, stop: Stop) {
        if matches!(stop, Stop::Clone | Stop::Fork | Stop::Vfork) && !matches!(self.phase, Phase::Ended { .. }) {
            self.note_birth_event(tid, stop);
        }
    }
}

/// How much of one mapping is searched for the instruction.
const MOST_TEXT: u64 = 8 << 20;
