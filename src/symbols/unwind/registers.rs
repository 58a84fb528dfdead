//! The registers of one frame, as far as they are known, by their DWARF numbers. Reads nothing.

/// How many there are (System V psABI for x86-64, figure 3.36): 0 rax, 1 rdx, 2 rcx, 3 rbx, 4 rsi, 5 rdi, 6 rbp, 7 rsp, 8 to
/// 15 r8 to r15, 16 the return address, which of a frame is its program counter.
pub const COUNT: u16 = 17;

/// `rax`.
pub const RAX: u16 = 0;
/// `rbx`.
pub const RBX: u16 = 3;
/// `rbp`.
pub const RBP: u16 = 6;
/// `rsp`.
pub const RSP: u16 = 7;
/// `rip`.
pub const RIP: u16 = 16;

/// Their names in that order.
pub const NAMES: [&str; COUNT as usize] = [
    "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip",
];

/// Those that a function gives back to its caller as it found them (psABI, 3.2.1); `rsp` comes from the frame's address.
pub const KEPT: [u16; 6] = [RBX, RBP, 12, 13, 14, 15];

/// The general registers of a frame; each may be unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FrameRegisters {
    values: [u64; COUNT as usize],
    known: u32,
}

impl FrameRegisters {
    /// A register by its DWARF number; `None`: unknown, or no such register.
    pub fn get(&self, number: u16) -> Option<u64> {
        let value = self.values.get(usize::from(number))?;
        (self.known >> number & 1 == 1).then_some(*value)
    }

    /// Makes a register known, or unknown.
    pub fn set(&mut self, number: u16, value: Option<u64>) {
        let Some(place) = self.values.get_mut(usize::from(number)) else { return };
        *place = value.unwrap_or(0);
        self.known = self.known & !(1 << number) | u32::from(value.is_some()) << number;
    }

    /// The same, for building.
    pub fn with(mut self, number: u16, value: u64) -> FrameRegisters {
        self.set(number, Some(value));
        self
    }

    /// The program counter.
    pub fn pc(&self) -> Option<u64> {
        self.get(RIP)
    }

    /// The stack pointer.
    pub fn sp(&self) -> Option<u64> {
        self.get(RSP)
    }

    /// What is left of them in a caller: those that functions keep.
    pub fn kept(&self) -> FrameRegisters {
        let mut kept = FrameRegisters::default();
        for number in KEPT {
            kept.set(number, self.get(number));
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_is_unknown() {
        let mut all = FrameRegisters::default().with(RIP, 7).with(RBX, 0).with(0, 5).with(99, 1);
        assert_eq!((all.pc(), all.sp(), all.get(RBX), all.get(99)), (Some(7), None, Some(0), None));
        assert_eq!(all.kept().get(0), None);
        assert_eq!(all.kept().get(RBX), Some(0));
        all.set(0, None);
        assert_eq!(all.get(0), None);
    }
}
