//! x86-64: the general registers as PTRACE_GETREGSET gives them and the system call convention (syscall(2)).

use crate::addr::RuntimeAddr;

/// The machine's name, as `uname -m` prints it.
pub const MACHINE: &str = "x86_64";

/// `struct user_regs_struct` of `<sys/user.h>`, the layout of NT_PRSTATUS.
#[derive(Clone, Copy, Default, Debug)]
#[repr(C)]
#[allow(missing_docs)]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// The number of the system call that the thread is in, or -1.
    pub orig_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub eflags: u64,
    pub rsp: u64,
    pub ss: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    pub ds: u64,
    pub es: u64,
    pub fs: u64,
    pub gs: u64,
}

impl Registers {
    /// The program counter.
    pub fn pc(&self) -> RuntimeAddr {
        RuntimeAddr(self.rip)
    }

    /// The stack pointer.
    pub fn sp(&self) -> RuntimeAddr {
        RuntimeAddr(self.rsp)
    }

    /// The system call that the thread was stopped in, with its six argument registers.
    pub fn syscall(&self) -> Option<(u64, [u64; 6])> {
        let inside = (self.orig_rax as i64) >= 0;
        inside.then_some((self.orig_rax, [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]))
    }
}

/// The name of a system call by its number.
pub fn syscall_name(number: u64) -> Option<&'static str> {
    syscalls::Sysno::new(usize::try_from(number).ok()?).map(|call| call.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_kernels() {
        assert_eq!(std::mem::size_of::<Registers>(), 27 * 8);
        assert_eq!(std::mem::offset_of!(Registers, orig_rax), 15 * 8);
        assert_eq!(std::mem::offset_of!(Registers, rip), 16 * 8);
    }

    #[test]
    fn calls_have_names() {
        assert_eq!(syscall_name(202), Some("futex"));
        assert_eq!(syscall_name(u64::MAX), None);
    }
}
