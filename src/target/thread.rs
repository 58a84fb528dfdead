//! One thread of a traced process, as an enum of states. Registers exist only behind [`StoppedThread`], which a running
//! thread cannot be turned into. Makes no decision.

use crate::addr::{RuntimeAddr, Tid};
use crate::kernel::Errno;
use crate::kernel::arch::Registers;
use crate::kernel::ptrace::Tracer;
use crate::kernel::signal::Signal;
use crate::kernel::wait::Stop;

use super::Why;

/// What godbg knows of a tracee.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// It runs, or sleeps in the kernel.
    Running,
    /// It was asked to stop and has not been seen to. `late`: it sleeps in the kernel, and nobody waits for it any more.
    Stopping { late: bool },
    /// It stands still and answers requests.
    Stopped(Stop),
    /// It is in the group-stop of its process, left to job control (PTRACE_LISTEN).
    Listening(Signal),
    /// It has exited, but the process's other threads live: a leader that called pthread_exit. It answers nothing.
    Zombie,
}

/// A thread of the process.
#[derive(Clone, Debug)]
pub(super) struct Thread {
    /// Its number in listings: counted from 1 in the order in which threads were found, never given twice.
    pub number: u32,
    /// Its state.
    pub state: State,
    /// Why it was stopped, as people are told.
    pub why: Why,
    /// Whether the signal that it stopped for was meant for godbg, and the program does not get it (`decide::by_terminal`).
    pub for_godbg: bool,
    /// The breakpoint that it has met and still has to get past when it goes on.
    pub step_over: Option<RuntimeAddr>,
    /// The breakpoint that it will meet again although it was counted, because a signal's handler came first; and the stack
    /// pointer that it then has.
    pub skip_once: Option<(RuntimeAddr, RuntimeAddr)>,
    /// Which state of the debug registers it has been given.
    pub debug_generation: u32,
    /// What it gets when it goes on in place of the signal that it stopped for, where a person has said so.
    pub order: Option<Option<Signal>>,
    /// Whether it stopped for an `int3` of the program itself, and if so whether that was reported.
    pub int3: Option<bool>,
    /// The system call that it was seen to enter, and whether its number is of this machine's own convention.
    pub call: Option<(u64, bool)>,
    /// Whether it was asked to stop once more before it ends.
    pub traces_exit: bool,
    /// Whether godbg is its tracer: a leader that was a zombie before could not be seized.
    pub traced: bool,
}

impl Thread {
    pub fn new(number: u32, state: State) -> Thread {
        Thread {
            number,
            state,
            why: Why::Interrupt,
            for_godbg: false,
            step_over: None,
            skip_once: None,
            debug_generation: 0,
            order: None,
            int3: None,
            call: None,
            traces_exit: false,
            traced: true,
        }
    }

    /// Whether it was asked to stop and still has to be waited for.
    pub fn is_awaited(&self) -> bool {
        self.state == State::Stopping { late: false }
    }

    pub fn is_late(&self) -> bool {
        self.state == State::Stopping { late: true }
    }

    /// Whether it is about to make a system call.
    pub fn is_at_entry(&self) -> bool {
        self.state == State::Stopped(Stop::Syscall) && self.call.is_some()
    }

    /// Whether it stands inside a system call, whose number or result its registers do not hold yet: at an entry, or at
    /// the birth of a child or thread.
    pub fn is_inside_call(&self) -> bool {
        match self.state {
            State::Stopped(Stop::Syscall) => self.is_at_entry(),
            State::Stopped(stop) => {
                matches!(stop, Stop::Clone | Stop::Fork | Stop::Vfork | Stop::VforkDone | Stop::Exiting)
            }
            _ => false,
        }
    }

    /// The signal that was dequeued for it and that it gets when it goes on, unless `handle` or an order says otherwise
    /// (`SignalTable::signal_for`).
    pub fn signal_to_pass(&self) -> Option<Signal> {
        match self.state {
            State::Stopped(Stop::Signal(signal)) if !self.for_godbg => Some(signal),
            _ => None,
        }
    }
}

/// A thread that stands still. Borrowing the process keeps it from being resumed meanwhile.
pub struct StoppedThread<'a> {
    pub(super) tracer: Tracer,
    pub(super) tid: Tid,
    pub(super) process: std::marker::PhantomData<&'a ()>,
}

impl StoppedThread<'_> {
    /// Its general registers. ESRCH: it has been killed.
    pub fn registers(&self) -> Result<Registers, Errno> {
        self.tracer.registers(self.tid)
    }
}
