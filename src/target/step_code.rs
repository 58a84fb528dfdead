//! The text in which steps are made: what the next instruction does with the flags, and whether it may trap by itself. Only
//! reads.

use super::breakpoints::INT3;
use super::process::Process;
use crate::addr::RuntimeAddr;
use crate::kernel::arch::{FlagUse, Registers};

/// Bytes (Intel SDM volume 2, 2.3.11).
const LONGEST_INSTRUCTION: usize = 15;

/// The page of text in which steps are made: read once as long as they stay in it.
#[derive(Default)]
pub(super) struct CodePage {
    start: u64,
    bytes: Vec<u8>,
    /// The registers behind the last step, if they are known.
    pub after: Option<Registers>,
}

impl CodePage {
    const LENGTH: u64 = 4096;

    /// What the instruction at an address does with the flags. One at the end of the page may go on in the next.
    pub fn flag_use(&mut self, process: &Process, pc: RuntimeAddr) -> FlagUse {
        let code = self.at(process, pc);
        if code.len() < LONGEST_INSTRUCTION { FlagUse::of(&process.code_at(pc)) } else { FlagUse::of(code) }
    }

    /// Whether the instruction at an address may raise SIGTRAP itself: int3, int and int1, behind any prefixes.
    pub fn may_trap(&mut self, process: &Process, pc: RuntimeAddr) -> bool {
        const PREFIXED: usize = 4;
        self.at(process, pc).iter().take(PREFIXED).any(|byte| matches!(*byte, INT3 | 0xcd | 0xf1))
    }

    /// The bytes at an address, as far as the page goes.
    fn at(&mut self, process: &Process, pc: RuntimeAddr) -> &[u8] {
        let start = pc.0 & !(Self::LENGTH - 1);
        if self.start != start || self.bytes.is_empty() {
            self.start = start;
            self.bytes.resize(Self::LENGTH as usize, 0);
            let got = process.read_memory_partly(RuntimeAddr(start), &mut self.bytes).unwrap_or(0);
            self.bytes.truncate(got);
        }
        self.bytes.get((pc.0 - start) as usize..).unwrap_or_default()
    }
}
