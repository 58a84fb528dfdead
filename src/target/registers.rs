//! Reading and writing the registers of a thread that stands still: general ones in one request, all others through the
//! XSAVE area. What was written is read back, for the kernel keeps some bits to
//! itself. Knows no expression.

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
    /// The kernel would make another value of it. The register is as it was.
    #[error("the kernel does not let ${register} of thread {tid} be set to that: it would make {made:#x} of it")]
    Altered {
        /// The register's name.
        register: String,
        /// Whose.
        tid: Tid,
        /// What it would be.
        made: u64,
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
            let before = self.registers().map_err(fault)?;
            let mut all = before;
            register.put_general(&mut all, low);
            if register.is_program_counter() {
                all.leave_syscall();
            }
            self.set_registers(&all).map_err(fault)?;
            return self.confirm(register, &before, &all);
        }
        let mut extended = self.extended().map_err(fault)?;
        extended.put(register, value).ok_or_else(|| RegisterFault::Missing(register.to_string()))?;
        self.set_extended(&extended).map_err(fault)
    }

    /// Compares what the thread has with what it was given, and gives it back what it had if that is not the same. Of
    /// `eflags` some bits are always the kernel's, so that a value for all of them cannot but be altered.
    fn confirm(&self, register: RegisterId, before: &Registers, wanted: &Registers) -> Result<(), RegisterFault> {
        let fault = |errno| self.fault("set", register, errno);
        let now = self.registers().map_err(fault)?;
        let (made, wanted) = (register.of_general(&now), register.of_general(wanted));
        if made == wanted || register.is_eflags() {
            return Ok(());
        }
        self.set_registers(before).map_err(fault)?;
        let (register, made) = (register.to_string(), made.unwrap_or_default());
        Err(RegisterFault::Altered { register, tid: self.tid, made })
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
