//! Stacks: the frames of a thread, one behind the other, from its registers and memory. Works on a process that is held and on
//! copies that were made of one. Names nothing; changes nothing.

mod go_step;
mod memory;
mod named;
mod outer;
mod tail_calls;
mod unwinder;

use crate::addr::RuntimeAddr;
use crate::symbols::unwind;

pub use crate::symbols::unwind::FrameRegisters;
pub use go_step::GoStep;
pub use memory::{HeldMemory, StackMemory};
pub use named::{NamedFrame, NamedStack, Namer};
pub use outer::OuterFrame;
pub use unwinder::{Caller, Step, StepContext, Unwinder, depth_limit};

/// How a frame was found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FoundBy {
    /// It is where the thread stands.
    Registers,
    /// Unwind tables: `.eh_frame`, `.debug_frame`.
    Cfi,
    /// The frame pointer.
    FramePointer,
    /// The instructions of the function.
    Code,
    /// What the kernel has saved of it for a signal's handler.
    Signal,
    /// The return address on top of the stack: something that is no code was called.
    WildCall,
    /// The tables of a language's runtime.
    Runtime,
    /// It has left by a jump to what its caller's callee then was.
    TailCall,
}

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FrameKind {
    /// A function.
    Normal,
    /// What the kernel has made for a signal's handler; its caller is what was interrupted.
    SignalTrampoline,
}

/// One frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Where the thread is in it, or comes back to.
    pub pc: RuntimeAddr,
    /// The address by which it is named: within the call, where `pc` is behind one.
    pub lookup: RuntimeAddr,
    /// Its stack pointer.
    pub sp: RuntimeAddr,
    /// The canonical frame address: the stack pointer before it was called; `None` where no caller was found.
    pub cfa: Option<RuntimeAddr>,
    /// What it is.
    pub kind: FrameKind,
    /// How it was found.
    pub found_by: FoundBy,
    /// Its registers, where they were asked for.
    pub registers: Option<Box<FrameRegisters>>,
}

/// Why a stack ends where it does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum End {
    /// It is whole: the outermost function has no caller.
    Outermost,
    /// So many frames were asked for.
    Enough,
    /// There are more frames than are ever looked at.
    TooMany,
    /// The return address is no code.
    BadReturn(RuntimeAddr),
    /// Memory at this address cannot be read.
    NoMemory(RuntimeAddr),
    /// The memory at this address was not copied.
    NotCopied(RuntimeAddr),
    /// The caller's frame would not lie above.
    NoProgress,
    /// Nothing tells where the caller is.
    NoRule,
    /// A register that is needed is not known.
    NoRegister(u16),
    /// The thread's registers cannot be read.
    NoThread,
}

impl End {
    /// Whether the stack is as whole as it was asked for.
    pub fn is_good(self) -> bool {
        matches!(self, End::Outermost | End::Enough)
    }

    /// The word for scripts.
    pub fn name(self) -> &'static str {
        match self {
            End::Outermost => "outermost",
            End::Enough => "enough",
            End::TooMany => "too_many",
            End::BadReturn(_) => "bad_return_address",
            End::NoMemory(_) => "unreadable_memory",
            End::NotCopied(_) => "not_copied",
            End::NoProgress => "no_progress",
            End::NoRule => "no_rule",
            End::NoRegister(_) => "unknown_register",
            End::NoThread => "no_registers",
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Outermost => write!(f, "it is whole"),
            End::Enough => write!(f, "so many frames were asked for"),
            End::TooMany => write!(f, "there are more frames than are ever shown"),
            End::BadReturn(addr) => {
                write!(f, "the return address {addr} is no code: the stack is smashed, or no stack")
            }
            End::NoMemory(addr) => write!(f, "the stack cannot be read at {addr}"),
            End::NotCopied(addr) => {
                write!(f, "the memory at {addr} is beyond what was copied while the process was held")
            }
            End::NoProgress => write!(f, "the caller's frame would not lie above: the stack is smashed, or no stack"),
            End::NoRule => write!(f, "nothing tells where the caller is"),
            End::NoRegister(number) => {
                let name = unwind::NAMES.get(usize::from(*number)).copied().unwrap_or("a register");
                write!(f, "the caller is found by {name}, which is not known here")
            }
            End::NoThread => write!(f, "the thread sleeps in the kernel or has ended: its registers cannot be read"),
        }
    }
}

/// A stack, the innermost frame first.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The frames; inlined calls are not among them.
    pub frames: Vec<Frame>,
    /// Why it ends.
    pub end: End,
}

/// How far a stack is followed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// So many frames.
    pub frames: usize,
    /// Whether the registers of each frame are kept.
    pub registers: bool,
}

/// The registers of a thread as those of its innermost frame.
pub fn registers_of(general: &super::Registers) -> FrameRegisters {
    let by_number = [
        general.rax,
        general.rdx,
        general.rcx,
        general.rbx,
        general.rsi,
        general.rdi,
        general.rbp,
        general.rsp,
        general.r8,
        general.r9,
        general.r10,
        general.r11,
        general.r12,
        general.r13,
        general.r14,
        general.r15,
        general.rip,
    ];
    let mut registers = FrameRegisters::default();
    for (number, value) in (0u16..).zip(by_number) {
        registers.set(number, Some(value));
    }
    registers
}
