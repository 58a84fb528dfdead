//! The vsyscall page, three system calls at fixed addresses that old programs make: the kernel carries them out in a page fault
//! and never executes the page. Knows nothing of other calls.

use super::process::Process;
use super::{Result, Why};
use crate::addr::{RuntimeAddr, Tid};
use crate::kernel::Errno;
use crate::kernel::arch::Registers;

/// Where the page is in every process that has it, and its entries, each with its system call (arch/x86/entry/vsyscall).
const PAGE: u64 = 0xffff_ffff_ff60_0000;
const ENTRIES: [(u64, u64); 3] = [(PAGE, 96), (PAGE + 0x400, 201), (PAGE + 0x800, 309)];

impl Process {
    /// Steps over an entry of the page: the processor would trap only behind the instruction that the call returns to, since
    /// the fault ends without a trap. So the thread makes the call in the ordinary way, and returns. False: it stands at no
    /// entry, or cannot be made to; an ordinary step is all that is left.
    pub(super) fn step_vsyscall(&mut self, tid: Tid, before: &Registers) -> Result<bool> {
        let Some((_, number)) = ENTRIES.into_iter().find(|(entry, _)| *entry == before.rip) else { return Ok(false) };
        let is_there = self.mappings().is_ok_and(|all| all.find(RuntimeAddr(before.rip)).is_some());
        // The call is made in the program's text, where breakpoints are while others run.
        if !is_there || self.steering.sites.any_armed() || self.check_callable(tid).is_err() {
            return Ok(false);
        }
        let mut back = [0; 8];
        if self.read_memory(before.sp(), &mut back).is_err() {
            return Ok(false);
        }
        let result = self.call_system(tid, number, [before.rdi, before.rsi, before.rdx, 0, 0, 0])?;
        // The kernel sends SIGSEGV then, not an error.
        if result == -(Errno::EFAULT as i64) {
            return Ok(false);
        }
        let (rip, rsp) = (u64::from_le_bytes(back), before.rsp.wrapping_add(8));
        let after = Registers { rax: result as u64, rip, rsp, orig_rax: u64::MAX, ..*before };
        // ESRCH: it was killed, and its end comes next.
        let _ = self.tracer.set_registers(tid, &after);
        self.threads.entry(tid).and_modify(|thread| thread.why = Why::Step);
        Ok(true)
    }
}
