//! Where a thread makes a system call for godbg, and where it stays afterwards should godbg be killed meanwhile: at a jump to
//! itself, to which the `ret` behind the `syscall` takes it. All of these are instructions that the process has already.
//! Makes no call, and changes nothing but one word of free stack.

use memchr::memmem;

use super::process::Process;
use super::{Error, Result};
use crate::addr::{Pid, RuntimeAddr, Tid};
use crate::kernel::arch::{JUMP_TO_ITSELF, Registers, SYSCALL_AND_RETURN, SYSCALL_INSTRUCTION};
use crate::kernel::memory::Memory;
use crate::kernel::proc;

/// How much of one mapping is searched, and how much of all.
const MOST_TEXT: u64 = 8 << 20;
const MOST_TEXTS: u64 = 64 << 20;

/// Instructions that any thread may use.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gadgets {
    call: Option<RuntimeAddr>,
    call_and_return: Option<RuntimeAddr>,
    jump_to_itself: Option<RuntimeAddr>,
}

impl Gadgets {
    fn is_complete(self) -> bool {
        self.call_and_return.is_some() && self.jump_to_itself.is_some()
    }

    fn look_into(&mut self, text: &[u8], start: RuntimeAddr) {
        let find = |known: Option<RuntimeAddr>, what: &[u8]| {
            known.or_else(|| memmem::find(text, what).map(|at| RuntimeAddr(start.0 + at as u64)))
        };
        self.call = find(self.call, &SYSCALL_INSTRUCTION);
        self.call_and_return = find(self.call_and_return, &SYSCALL_AND_RETURN);
        self.jump_to_itself = find(self.jump_to_itself, &JUMP_TO_ITSELF);
    }
}

/// Where one call is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Landing {
    /// The `syscall` instruction.
    pub call: RuntimeAddr,
    /// The stack pointer during the call.
    pub sp: RuntimeAddr,
    /// Where the thread stays afterwards; none: it would run on behind the call.
    pub stay: Option<Stay>,
}

/// A jump to itself, and the word of stack that leads there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stay {
    pub at: RuntimeAddr,
    /// What the word held before. It is below what the thread uses, but perhaps not below what others do.
    pub word: [u8; 8],
}

impl Landing {
    /// Whether a thread with these registers is about to make the call, makes it, or has made it.
    pub fn holds(&self, registers: &Registers) -> bool {
        let (pc, sp) = (registers.pc(), registers.sp());
        let behind = RuntimeAddr(self.call.0 + SYSCALL_INSTRUCTION.len() as u64);
        sp == self.sp && (pc == self.call || pc == behind)
            || self.stay.is_some_and(|stay| pc == stay.at && sp.0 == self.sp.0.wrapping_add(8))
    }
}

impl Process {
    /// Where a thread with these registers makes a call. `stays`: it is to stay there should godbg be killed.
    pub(super) fn land(&self, tid: Tid, registers: &Registers, stays: bool) -> Result<Landing> {
        let gadgets = self.gadgets(stays)?;
        let plain = Landing { call: gadgets.call.unwrap_or(RuntimeAddr(0)), sp: registers.sp(), stay: None };
        let (Some(call), Some(at)) = (gadgets.call_and_return, gadgets.jump_to_itself) else { return Ok(plain) };
        // Where the processor keeps return addresses on a stack of its own, such a `ret` is a fault.
        if !stays || proc::has_shadow_stack(tid) {
            return Ok(plain);
        }
        let sp = RuntimeAddr(registers.below_stack(8));
        let mut word = [0; 8];
        // The end of a stack: nothing can be put there.
        let readable = self.read_memory(sp, &mut word).is_ok();
        Ok(if readable { Landing { call, sp, stay: Some(Stay { at, word }) } } else { plain })
    }

    /// Puts the way to the place where the thread stays on its stack.
    pub(super) fn prepare_stay(&mut self, landing: &Landing) {
        if let Some(stay) = landing.stay {
            // If it has just been unmapped, a fault is what follows.
            let _ = self.write_memory(landing.sp, &stay.at.0.to_le_bytes());
        }
    }

    /// Takes it away again.
    pub(super) fn clear_stay(&mut self, landing: &Landing) {
        if let Some(stay) = landing.stay {
            // Gone with the call only where that unmapped it.
            let _ = self.write_memory(landing.sp, &stay.word);
        }
    }

    /// The same in a child that was forked there.
    pub(super) fn clear_stay_of(&self, child: Pid, landing: &Landing) {
        // An error: it was killed, or does not have that memory.
        if let (Some(stay), Ok(memory)) = (landing.stay, Memory::open(child, child.leader())) {
            let _ = memory.write(landing.sp, &stay.word);
        }
    }

    /// Looks for what calls need before the process is held for them, for it takes a while.
    pub(super) fn find_gadgets(&self) {
        // What is wrong is said when a call is made.
        let _ = self.gadgets(true);
    }

    /// The vDSO has a `syscall`, and so has every C library. What was found is looked at each time: a fault there would cost
    /// the program its handler for SIGSEGV.
    fn gadgets(&self, all: bool) -> Result<Gadgets> {
        let is_there = |at: Option<RuntimeAddr>, what: &[u8]| {
            let mut bytes = [0; 3];
            let bytes = &mut bytes[..what.len()];
            at.is_none_or(|at| self.read_memory(at, bytes).is_ok() && bytes == what)
        };
        let fits = |known: &Gadgets| {
            is_there(known.call, &SYSCALL_INSTRUCTION)
                && is_there(known.call_and_return, &SYSCALL_AND_RETURN)
                && is_there(known.jump_to_itself, &JUMP_TO_ITSELF)
        };
        if let Some(known) = self.gadgets.get().filter(fits) {
            return Ok(known);
        }
        let mappings = self.mappings().map_err(|_| Error::Ended(self.pid))?;
        let mut texts: Vec<_> = mappings.iter().filter(|mapping| mapping.execute && mapping.read).collect();
        // The vDSO first, then what is quickly read.
        texts.sort_by_key(|mapping| (mapping.name.as_deref() != Some("[vdso]"), mapping.end.0 - mapping.start.0));
        let (mut found, mut searched) = (Gadgets::default(), 0);
        for text in texts {
            let length = (text.end.0 - text.start.0).min(MOST_TEXT);
            let mut bytes = vec![0; length as usize];
            let got = self.read_memory_partly(text.start, &mut bytes).unwrap_or(0);
            found.look_into(&bytes[..got], text.start);
            searched += length;
            if found.is_complete() || found.call.is_some() && (!all || searched > MOST_TEXTS) {
                break;
            }
        }
        let tid = self.pid.leader();
        let why = "its memory holds no syscall instruction, not even a vDSO";
        found.call.ok_or(Error::NoCalls { tid, why })?;
        // A search that was cut short because not all was asked for is not the last word.
        if all || found.is_complete() || self.origin == super::Origin::Started {
            self.gadgets.set(Some(found));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_found_in_any_text() {
        let mut gadgets = Gadgets::default();
        gadgets.look_into(&[0x90, 0x0f, 0x05, 0x90], RuntimeAddr(0x1000));
        assert_eq!((gadgets.call, gadgets.call_and_return), (Some(RuntimeAddr(0x1001)), None));
        assert!(!gadgets.is_complete());
        gadgets.look_into(&[0xeb, 0xfe, 0x0f, 0x05, 0xc3], RuntimeAddr(0x2000));
        assert_eq!(gadgets.call, Some(RuntimeAddr(0x1001)), "the first");
        assert_eq!(gadgets.call_and_return, Some(RuntimeAddr(0x2002)));
        assert_eq!(gadgets.jump_to_itself, Some(RuntimeAddr(0x2000)));
        assert!(gadgets.is_complete());
    }

    #[test]
    fn a_thread_is_put_back_from_nowhere_else() {
        let stay = Some(Stay { at: RuntimeAddr(0x500), word: [0; 8] });
        let landing = Landing { call: RuntimeAddr(0x100), sp: RuntimeAddr(0x7000), stay };
        let stands = |rip, rsp| landing.holds(&Registers { rip, rsp, ..Registers::default() });
        assert!(stands(0x100, 0x7000) && stands(0x102, 0x7000) && stands(0x500, 0x7008));
        for (rip, rsp) in [(0x100, 0x7008), (0x102, 0x7080), (0x500, 0x7000), (0x501, 0x7008), (0x103, 0x7000)] {
            assert!(!stands(rip, rsp), "{rip:#x} {rsp:#x}");
        }
    }
}
