//! The registers of a frame that has called another, as commands read them: what is not known is not there. Reads nothing.

use super::FrameRegisters;
use crate::kernel::arch::{Bank, GENERAL, RegisterId, Registers};
use crate::symbols::unwind;

/// A frame that is not the innermost.
#[derive(Clone, Debug)]
pub struct OuterFrame {
    /// Its number among all frames, inlined calls counted.
    pub number: usize,
    general: Registers,
    /// One bit a word of them.
    known: u32,
}

impl OuterFrame {
    /// `thread`: the registers where the thread stands. Segments are the same in all frames.
    pub fn new(number: usize, thread: &Registers, registers: &FrameRegisters) -> OuterFrame {
        let (mut general, mut known) = (*thread, 0);
        for (index, name) in GENERAL.iter().enumerate() {
            let dwarf = unwind::NAMES.iter().position(|known| known == name);
            let value = match dwarf {
                Some(number) => registers.get(number as u16),
                None if !matches!(*name, "eflags" | "orig_rax") => Some(general.words()[index]),
                None => None,
            };
            general.words_mut()[index] = value.unwrap_or(0);
            known |= u32::from(value.is_some()) << index;
        }
        OuterFrame { number, general, known }
    }

    /// The same of what is on no thread, and so has no registers but those.
    pub fn parked(number: usize, registers: &FrameRegisters) -> OuterFrame {
        let mut frame = OuterFrame::new(number, &Registers::default(), registers);
        for (index, _) in GENERAL.iter().enumerate().filter(|(_, name)| !unwind::NAMES.contains(name)) {
            frame.known &= !(1 << index);
        }
        frame
    }

    /// A register or a part of one; `None`: it is not known.
    pub fn get(&self, register: RegisterId) -> Option<u64> {
        match register.bank {
            Bank::General(index) if self.known >> index & 1 == 1 => register.of_general(&self.general),
            _ => None,
        }
    }

    /// Its general registers, zero where they are not known.
    pub fn general(&self) -> &Registers {
        &self.general
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_saved_is_unknown_in_all_its_parts() {
        let thread = Registers { rax: 7, rbx: 8, fs_base: 9, eflags: 1, ..Registers::default() };
        let frame =
            OuterFrame::new(1, &thread, &FrameRegisters::default().with(unwind::RBX, 0x1234).with(unwind::RIP, 5));
        let get = |name| frame.get(RegisterId::parse(name).expect("a register"));
        assert_eq!((get("rbx"), get("bh"), get("pc"), get("fs_base")), (Some(0x1234), Some(0x12), Some(5), Some(9)));
        let parked = OuterFrame::parked(0, &FrameRegisters::default().with(unwind::RSP, 6));
        let get_parked = |name| parked.get(RegisterId::parse(name).expect("a register"));
        assert_eq!((get_parked("rsp"), get_parked("fs_base"), get_parked("rax")), (Some(6), None, None));
        for name in ["rax", "eax", "al", "eflags", "cf", "orig_rax", "xmm0", "rsp"] {
            assert_eq!(get(name), None, "{name}");
        }
    }
}
