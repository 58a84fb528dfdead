//! Reading and writing the registers of a thread that stands still: general ones in one request, all others through the
//! XSAVE area. What was written is read back, for the kernel keeps some bits to itself. Knows no expression.

use super::StoppedThread;
use crate::addr::Tid;
use crate::kernel::Errno;
use crate::kernel::arch::{Extended, RegisterId, Registers};

/// A register that could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterFault {
    /// This processor, or this kernel, has no such register.
    #[error("this processor has no ${0}")]
    Missing(String),
    /// The thread has been killed.
    #[error("thread {0} has been killed")]
    Gone(Tid),
    /// The kernel refuses.
    #[error("cannot {verb} ${register} of thread {tid}: {}", .errno.desc())]
    Refused {
        /// `read` or `set`.
        verb: &'static str,
        /// The register's name.
        register: String,
        /// Whose.
        tid: Tid,
        /// What it answered.
        errno: Errno,
    },
    /// The kernel took the value and kept bits of it back.
    #[error("the kernel does not let ${register} of thread {tid} be set to that: it is {kept:#x} now")]
    Kept {
        /// The register's name.
        register: String,
        /// Whose.
        tid: Tid,
        /// What it is now.
        kept: u64,
    },
}

impl StoppedThread<'_> {
    /// Its tid.
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// Sets all general registers, as they are given: [`StoppedThread::set_register`] knows what goes with which.
    pub fn set_registers(&self, registers: &Registers) -> Result<(), Errno> {
        self.tracer.set_registers(self.tid, registers)
    }

    /// x87, SSE, AVX and so on. ENODEV: no XSAVE.
    pub fn extended(&self) -> Result<Extended, Errno> {
        Extended::new(self.tracer.extended_registers(self.tid)?).ok_or(Errno::ENODEV)
    }

    /// Sets them to what [`StoppedThread::extended`] gave, changed.
    pub fn set_extended(&self, extended: &Extended) -> Result<(), Errno> {
        self.tracer.set_extended_registers(self.tid, extended.bytes())
    }

    /// The bytes of any register or lane, the lowest first, in the beginning of 64.
    pub fn register(&self, register: RegisterId) -> Result<[u8; 64], RegisterFault> {
        let fault = |errno| self.fault("read", register, errno);
        if register.is_general() {
            let value = register.of_general(&self.registers().map_err(fault)?).unwrap_or_default();
            return Ok(widened(value));
        }
        let extended = self.extended().map_err(fault)?;
        extended.get(register).ok_or_else(|| RegisterFault::Missing(register.to_string()))
    }

    /// Sets a register or lane to bytes, as many as it has. A program counter that is set is where the thread goes on: a
    /// system call that a stop has broken off is not made again.
    pub fn set_register(&self, register: RegisterId, value: &[u8]) -> Result<(), RegisterFault> {
        let fault = |errno| self.fault("set", register, errno);
        let low = value.iter().take(8).rev().fold(0, |low, byte| low << 8 | u64::from(*byte));
        if register.is_general() {
            let mut all = self.registers().map_err(fault)?;
            register.put_general(&mut all, low);
            if register.is_program_counter() {
                all.leave_syscall();
            }
            self.set_registers(&all).map_err(fault)?;
            let now = register.of_general(&self.registers().map_err(fault)?).unwrap_or_default();
            let wanted = register.of_general(&all).unwrap_or_default();
            let register = register.to_string();
            return if now == wanted {
                Ok(())
            } else {
                Err(RegisterFault::Kept { register, tid: self.tid, kept: now })
            };
        }
        let mut extended = self.extended().map_err(fault)?;
        extended.put(register, value).ok_or_else(|| RegisterFault::Missing(register.to_string()))?;
        self.set_extended(&extended).map_err(fault)
    }

    fn fault(&self, verb: &'static str, register: RegisterId, errno: Errno) -> RegisterFault {
        match errno {
            Errno::ESRCH => RegisterFault::Gone(self.tid),
            Errno::ENODEV => RegisterFault::Missing(register.to_string()),
            errno => RegisterFault::Refused { verb, register: register.to_string(), tid: self.tid, errno },
        }
    }
}

fn widened(value: u64) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..8].copy_from_slice(&value.to_le_bytes());
    bytes
}
