//! One `g` of Go's runtime as its bytes say, and where it stands when it runs. Reads no memory.

use super::layout::{G_M, Layout, SCHED_PC, SCHED_SP, STACK_HI};
use super::runtime::GoRuntime;
use crate::addr::RuntimeAddr;
use crate::target::stacks::FrameRegisters;

/// A `g` as far as it is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawG {
    /// Where it is.
    pub addr: u64,
    /// The stack's lowest address.
    pub lo: u64,
    /// The address behind the stack.
    pub hi: u64,
    /// The `m` that runs it, 0 if none does.
    pub m: u64,
    /// Where it goes on: pc, sp and bp, in a system call those of its caller.
    pub pc: u64,
    /// Its stack pointer.
    pub sp: u64,
    /// Its frame pointer, 0 if it is not known.
    pub bp: u64,
    /// `atomicstatus` without the collector's bit.
    pub status: u32,
    /// `waitreason`.
    pub reason: u8,
    /// `goid`.
    pub id: u64,
    /// `waitsince`, of CLOCK_MONOTONIC in nanoseconds; 0 if the runtime has not noted it.
    pub since: u64,
    /// `parentGoid`, 0 if it is not known.
    pub parent: u64,
    /// `gopc`.
    pub creator_pc: u64,
    /// `startpc`.
    pub start_pc: u64,
    /// `labels`.
    pub labels: u64,
    /// Where its stack stands in the copy.
    pub(super) piece: Piece,
    /// Whether it goes on at exactly `pc`, which is not behind a call.
    pub is_exact: bool,
}

/// A part of the copied stacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    /// Where it begins.
    pub start: usize,
    /// How long it is.
    pub length: u32,
    /// Which reader has it.
    pub reader: u32,
}

/// `_Gscan` of runtime/runtime2.go: the collector looks at it; the status is the rest.
const SCAN: u32 = 0x1000;
/// `_Gdead` and, since 1.26, `_Gdeadextra`; `_Gidle` has never been one.
const DEAD: [u32; 3] = [0, 6, 11];
/// `_Grunning`.
pub(super) const RUNNING: u32 = 2;
/// `_Gsyscall`.
pub(super) const SYSCALL: u32 = 3;

impl RawG {
    /// Of its bytes; `None` if they are too few.
    pub(super) fn read(bytes: &[u8], addr: u64, layout: &Layout) -> Option<RawG> {
        let word = |at: u64| Some(u64::from_le_bytes(bytes.get(at as usize..at as usize + 8)?.try_into().ok()?));
        let status = u32::from_le_bytes(bytes.get(layout.status as usize..)?.get(..4)?.try_into().ok()?) & !SCAN;
        let (syscall_sp, syscall_pc) = (word(layout.syscall_sp)?, word(layout.syscall_sp + 8)?);
        let (pc, sp, bp) = match syscall_sp {
            0 => (word(SCHED_PC)?, word(SCHED_SP)?, word(layout.sched_bp)?),
            sp => (syscall_pc, sp, layout.syscall_bp.and_then(word).unwrap_or(0)),
        };
        Some(RawG {
            addr,
            lo: word(0)?,
            hi: word(STACK_HI)?,
            m: word(G_M)?,
            pc,
            sp,
            bp,
            status,
            reason: *bytes.get(layout.wait_reason as usize)?,
            id: word(layout.id)?,
            since: word(layout.wait_since)?,
            parent: layout.parent.and_then(word).unwrap_or(0),
            creator_pc: word(layout.creator_pc)?,
            start_pc: word(layout.start_pc)?,
            labels: word(layout.labels)?,
            piece: Piece::default(),
            is_exact: false,
        })
    }

    /// Whether it is a goroutine, and no `g` that waits to be one again.
    pub(super) fn is_alive(&self) -> bool {
        !DEAD.contains(&self.status) && self.id != 0
    }

    /// A running one goes on where its thread stands. False: that is on another stack just now or in code that is not Go's, and
    /// only its registers tell what the goroutine does: it handles a signal, asks the vDSO, or is in C. In a system call of
    /// Go's the runtime has noted the caller, which is what its own traces begin with.
    pub(super) fn stand_at(&mut self, registers: Option<FrameRegisters>, runtime: &GoRuntime) -> bool {
        let Some((pc, sp)) = registers.and_then(|registers| Some((registers.pc()?, registers.sp()?))) else {
            return true;
        };
        let rule = || runtime.tables()?.stack_rule(runtime.bias().link(RuntimeAddr(pc)));
        // What enters a goroutine has not called it.
        let is_its = || rule().is_some_and(|rule| !matches!(&*rule.name, "gogo" | "runtime.gogo"));
        let is_here = (self.lo..self.hi).contains(&sp) && is_its();
        if is_here && self.status == RUNNING {
            (self.pc, self.sp, self.is_exact) = (pc, sp, true);
            self.bp = registers.and_then(|registers| registers.get(crate::symbols::unwind::RBP)).unwrap_or(0);
        }
        is_here
    }
}
