//! Traps that a thread which sleeps in the kernel had met before all were let go: when it wakes, nothing of godbg's is left
//! that would take them, and its program would die of them. Holds only addresses.

use super::breakpoints::{DEBUG_CODE, INT3, INT3_CODE};
use super::process::Process;
use crate::addr::{RuntimeAddr, Tid};
use crate::kernel::arch::{Registers, shield};
use crate::kernel::ptrace::Tracer;

/// What was set in a process when it was let go.
#[derive(Debug, Default)]
pub(super) struct Traps {
    sites: Vec<RuntimeAddr>,
    watched: bool,
}

impl Process {
    /// What is set now.
    pub(super) fn traps(&self) -> Traps {
        let ours = self.steering.sites.iter().filter(|(_, site)| site.original != INT3);
        Traps { sites: ours.map(|(addr, _)| addr).collect(), watched: self.steering.debug_generation > 0 }
    }
}

impl Traps {
    /// A thread that woke with a trap on its way is let run into it. True: that was so, and its next stop comes at once.
    pub fn let_out(&self, tid: Tid, tracer: Tracer) -> bool {
        let possible = !self.sites.is_empty() || self.watched;
        possible && tracer.has_pending_trap(tid) == Ok(true) && tracer.cont(tid, None).is_ok()
    }

    /// Whether the SIGTRAP that a thread has stopped for is of godbg's making. The thread then stands where its program has
    /// it.
    pub fn take(&self, tid: Tid, tracer: Tracer) -> bool {
        let (Ok(info), Ok(registers)) = (tracer.signal_info(tid), tracer.registers(tid)) else { return false };
        let behind = RuntimeAddr(registers.pc().0.wrapping_sub(1));
        let home = match info.code() {
            INT3_CODE if self.sites.contains(&behind) => behind,
            shield::MARK => info.address(),
            DEBUG_CODE if self.watched => return true,
            _ => return false,
        };
        // ESRCH: it was killed.
        let _ = tracer.set_registers(tid, &Registers { rip: home.0, ..registers });
        true
    }
}
