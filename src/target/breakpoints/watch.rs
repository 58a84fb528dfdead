//! Debug registers: four addresses that the processor itself watches, the same for every thread (Intel SDM volume 3, chapter
//! 18). Pure: which register holds what, and the control word. The requests are made by `arming`.

use schemars::JsonSchema;
use serde::Serialize;

use super::table::{Breakpoint, Kind};
use crate::addr::RuntimeAddr;

/// What a watchpoint is met by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// A write that changes the value.
    Write,
    /// A read. The processor cannot tell it from a write; a write that changes the value is not reported.
    Read,
    /// A read or a write.
    Any,
}

/// How many addresses can be watched.
pub const REGISTERS: usize = 4;

/// One register: what it watches, and for which breakpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::target) struct Watched {
    pub addr: RuntimeAddr,
    /// 1, 2, 4 or 8.
    pub length: u64,
    pub kind: Kind,
    pub number: u32,
}

/// All four.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::target) struct DebugRegisters(pub [Option<Watched>; REGISTERS]);

impl DebugRegisters {
    /// Gives registers to all that want some. The error: how many registers are wanted, of so many that there are.
    pub fn for_all(breakpoints: &[Breakpoint]) -> Result<DebugRegisters, usize> {
        let wanted: Vec<Watched> = breakpoints.iter().filter(|one| one.enabled).flat_map(registers_of).collect();
        if wanted.len() > REGISTERS {
            return Err(wanted.len());
        }
        let mut registers = DebugRegisters::default();
        registers.0.iter_mut().zip(wanted).for_each(|(slot, watched)| *slot = Some(watched));
        Ok(registers)
    }

    /// The control word, DR7.
    pub fn control(&self) -> u64 {
        let bits = self.0.iter().enumerate().filter_map(|(index, slot)| slot.map(|watched| (index, watched)));
        bits.fold(0, |control, (index, watched)| {
            let access = match watched.kind {
                Kind::Software | Kind::Hardware => 0b00,
                Kind::Watch(Access::Write) => 0b01,
                Kind::Watch(Access::Read | Access::Any) => 0b11,
            };
            let length = match watched.length {
                8 => 0b10,
                length => length - 1,
            };
            control | 1 << (2 * index) | (access | length << 2) << (16 + 4 * index)
        })
    }

    /// The numbers of the breakpoints that a trap was for, by the low bits of DR6.
    pub fn met(&self, status: u64) -> Vec<u32> {
        let hit = |index: &usize| status & 1 << index != 0;
        let mut numbers: Vec<u32> =
            (0..REGISTERS).filter(hit).filter_map(|index| self.0[index]).map(|watched| watched.number).collect();
        numbers.dedup();
        numbers
    }
}

/// A range as aligned pieces of 8, 4, 2 or 1 bytes, which is what a register can watch.
fn registers_of(breakpoint: &Breakpoint) -> Vec<Watched> {
    let (kind, number) = (breakpoint.kind, breakpoint.number);
    let mut pieces = Vec::new();
    let addresses = if kind == Kind::Software { &[][..] } else { &breakpoint.addresses };
    for addr in addresses {
        let (mut at, mut left) = (addr.0, breakpoint.length);
        // One more than there are registers is enough to be refused.
        while left > 0 && pieces.len() <= REGISTERS {
            let length = [8, 4, 2, 1].into_iter().find(|length| at % length == 0 && *length <= left).unwrap_or(1);
            pieces.push(Watched { addr: RuntimeAddr(at), length, kind, number });
            at = at.wrapping_add(length);
            left -= length;
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::super::table::NewBreakpoint;
    use super::*;

    fn watch(number: u32, addr: u64, length: u64, kind: Kind) -> Breakpoint {
        let (location, addresses) = (String::new(), vec![RuntimeAddr(addr)]);
        let new = NewBreakpoint {
            kind,
            location,
            addresses,
            follows: false,
            length,
            temporary: false,
            thread: None,
            condition: None,
            trace: None,
        };
        new.numbered(number)
    }

    #[test]
    fn the_control_word_is_the_processors() {
        let set = |all: &[Breakpoint]| DebugRegisters::for_all(all).map(|registers| registers.control());
        let write = Kind::Watch(Access::Write);
        assert_eq!(set(&[watch(1, 0x1000, 4, write)]), Ok(0x000d_0001));
        assert_eq!(set(&[watch(1, 0x1000, 8, Kind::Watch(Access::Any))]), Ok(0x000b_0001));
        assert_eq!(set(&[watch(1, 0x1001, 1, Kind::Hardware), watch(2, 0x1000, 1, write)]), Ok(0x0010_0005));
        assert_eq!(set(&[watch(1, 0x1001, 1, Kind::Software)]), Ok(0));
    }

    #[test]
    fn ranges_are_cut_where_the_processor_wants_it() {
        let lengths = |addr, length| {
            let pieces = registers_of(&watch(1, addr, length, Kind::Watch(Access::Write)));
            pieces.iter().map(|piece| piece.length).collect::<Vec<_>>()
        };
        assert_eq!(lengths(0x1000, 16), [8, 8]);
        assert_eq!(lengths(0x1001, 4), [1, 2, 1]);
        assert_eq!(lengths(0x1004, 8), [4, 4]);
        let many = [watch(1, 0x1000, 32, Kind::Watch(Access::Write)), watch(2, 0, 1, Kind::Hardware)];
        assert_eq!(DebugRegisters::for_all(&many), Err(5));
        assert_eq!(DebugRegisters::for_all(&[watch(1, 0, 1 << 40, Kind::Watch(Access::Write))]), Err(5));
    }

    #[test]
    fn a_trap_names_its_breakpoints() {
        let all = [watch(7, 0x1000, 16, Kind::Watch(Access::Write)), watch(9, 0x2000, 1, Kind::Hardware)];
        let registers = DebugRegisters::for_all(&all).expect("three registers");
        assert_eq!(registers.met(0b100), [9]);
        assert_eq!(registers.met(0b011), [7]);
        assert_eq!(registers.met(0xffff_0ff0), Vec::<u32>::new());
    }
}
