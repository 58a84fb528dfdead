//! x86-64: the general registers as PTRACE_GETREGSET gives them and the system call convention (syscall(2)).

use crate::addr::RuntimeAddr;

mod core_area;
mod names;
mod xsave;

pub use core_area::in_intels_places;
pub use names::{Bank, FLAGS, GENERAL, Number, RegisterId, X87_CONTROL};
pub use xsave::Extended;

/// The machine's name, as `uname -m` prints it.
pub const MACHINE: &str = "x86_64";

/// Its number in ELF files (`EM_X86_64`).
pub const ELF_MACHINE: u16 = 62;

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

    /// All of them in the order of [`GENERAL`].
    pub fn words(&self) -> &[u64; GENERAL.len()] {
        // SAFETY: `repr(C)` and nothing but as many u64.
        unsafe { &*(&raw const *self).cast() }
    }

    /// All of them in the order of [`GENERAL`], to be changed.
    pub fn words_mut(&mut self) -> &mut [u64; GENERAL.len()] {
        // SAFETY: `repr(C)` and nothing but as many u64, any of which may have any value.
        unsafe { &mut *(&raw mut *self).cast() }
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

/// `-EINTR` and `-ERESTARTNOHAND` (include/linux/errno.h) as the result register holds them.
const INTERRUPTED: u64 = -4i64 as u64;
const RESTART_UNLESS_HANDLED: u64 = -514i64 as u64;

/// The code segment of 64-bit programs (`__USER_CS`); a 32-bit one has other system call numbers.
const USER_CS: u64 = 0x33;

impl Registers {
    /// A few system calls answer EINTR to a stop that no signal handler saw, although they would wait for ever
    /// (signal(7), "Interruption of system calls and library functions by stop signals"): their program would notice that
    /// it was held. For a thread that was stopped in such a call and has no time limit to keep, this is where in `struct
    /// user` a value is to be put, and the value: with it the kernel makes the call again when the thread goes on, or
    /// answers EINTR if a signal handler runs first, as ever. A call with a time limit would begin its time anew, and keeps
    /// its EINTR, which its program must be prepared for.
    pub fn restart(&self) -> Option<(usize, u64)> {
        let interrupted = self.rax == INTERRUPTED && self.waits_for_ever();
        interrupted.then_some((std::mem::offset_of!(Registers, rax), RESTART_UNLESS_HANDLED))
    }

    /// Whether the system call that the thread is in, or about to make, is one of those: it waits without a time limit and
    /// answers EINTR to a stop.
    pub fn waits_for_ever(&self) -> bool {
        let Some((number, [_, _, third, fourth, _, _])) = self.syscall().filter(|_| self.cs == USER_CS) else {
            return false;
        };
        match syscall_name(number) {
            Some("epoll_wait" | "epoll_pwait") => (fourth as i32) < 0,
            Some("epoll_pwait2" | "semtimedop") => fourth == 0,
            Some("rt_sigtimedwait") => third == 0,
            Some("semop") => true,
            _ => false,
        }
    }
}

/// Whether an instruction stores the flags where the program can see the trap flag by which it is being stepped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlagUse {
    /// No.
    None,
    /// `pushf`: on the stack.
    Pushed,
    /// `syscall`: in r11.
    InR11,
    /// `popf`, `iret`: it stores none and sets all, the trap flag too.
    Set,
}

impl FlagUse {
    /// Of the instruction that begins `code` (opcodes: Intel SDM volume 2).
    pub fn of(code: &[u8]) -> FlagUse {
        // Prefixes: segments, sizes, lock and repeat, REX.
        let is_prefix =
            |byte: &u8| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3);
        let prefixes = code.iter().take(14).take_while(|byte| is_prefix(byte)).count();
        match &code[prefixes..] {
            [0x9c, ..] => FlagUse::Pushed,
            [0x0f, 0x05, ..] => FlagUse::InR11,
            [0x9d | 0xcf, ..] => FlagUse::Set,
            // `mov ss`: the trap comes after the next instruction (SDM volume 3, 6.8.3).
            [0x8e, 0xd0..=0xd7, next @ ..] => FlagUse::of(next),
            _ => FlagUse::None,
        }
    }
}

/// How far above the stack pointer the flags and r11 of the interrupted code are when a handler is entered: behind the return
/// address in the `ucontext_t` (struct rt_sigframe, arch/x86/include/asm/sigframe.h).
pub const FLAGS_IN_FRAME: u64 = 8 + 176;
/// See [`FLAGS_IN_FRAME`].
pub const R11_IN_FRAME: u64 = 8 + 64;

impl Registers {
    /// TF in the flags: the processor traps after each instruction.
    pub const TRAP_FLAG: u64 = 1 << 8;

    /// Whether the program itself has set it. The kernel leaves out the one that ptrace has set.
    pub fn has_trap_flag(&self) -> bool {
        self.eflags & Self::TRAP_FLAG != 0
    }
}

/// The instruction that makes a system call (Intel SDM volume 2).
pub const SYSCALL_INSTRUCTION: [u8; 2] = [0x0f, 0x05];

/// The same, and a near `ret` behind it.
pub const SYSCALL_AND_RETURN: [u8; 3] = [0x0f, 0x05, 0xc3];

/// `jmp $`: whoever comes there stays.
pub const JUMP_TO_ITSELF: [u8; 2] = [0xeb, 0xfe];

/// What functions may use below the stack pointer (System V ABI, 3.2.2).
const RED_ZONE: u64 = 128;

impl Registers {
    /// These registers changed so that the `syscall` instruction at `at` makes this call. A system call that the kernel means
    /// to make again is put off: -1 says that the thread is in none.
    pub fn prepare_call(&self, at: RuntimeAddr, sp: RuntimeAddr, number: u64, args: [u64; 6]) -> Registers {
        let [rdi, rsi, rdx, r10, r8, r9] = args;
        let (orig_rax, eflags) = (u64::MAX, self.eflags & !Self::TRAP_FLAG);
        Registers { rax: number, rdi, rsi, rdx, r10, r8, r9, rip: at.0, rsp: sp.0, orig_rax, eflags, ..*self }
    }

    /// Where so many bytes of stack are that the thread does not use.
    pub fn below_stack(&self, bytes: u64) -> u64 {
        self.rsp.wrapping_sub(RED_ZONE + bytes) & !7
    }

    /// All of them from their words, in the order of [`GENERAL`].
    pub fn from_words(words: [u64; GENERAL.len()]) -> Registers {
        let mut registers = Registers::default();
        *registers.words_mut() = words;
        registers
    }

    /// Takes the thread out of the system call that a stop has broken off. Otherwise the kernel makes it again when the
    /// thread goes on, and to do so moves the program counter back by the length of a `syscall` instruction (`handle_signal`
    /// and `arch_do_signal_or_restart`, arch/x86/kernel/signal.c).
    pub fn leave_syscall(&mut self) {
        self.orig_rax = u64::MAX;
    }

    /// What a system call returned: `-errno` for an error.
    pub fn call_result(&self) -> i64 {
        self.rax as i64
    }
}

impl Registers {
    /// The few that are known of a thread that sleeps in a system call and cannot be asked.
    pub fn asleep_in(number: u64, args: [u64; 6], sp: RuntimeAddr, pc: RuntimeAddr) -> Registers {
        let [rdi, rsi, rdx, r10, r8, r9] = args;
        let (orig_rax, cs) = (number, USER_CS);
        Registers { orig_rax, rdi, rsi, rdx, r10, r8, r9, rsp: sp.0, rip: pc.0, cs, ..Registers::default() }
    }

    /// Whether the thread runs 64-bit code, whose system calls this file knows.
    pub fn is_64_bit(&self) -> bool {
        self.cs == USER_CS
    }

    /// Whether the result is one that only the kernel itself sees, in a call that was broken off and is to be made again
    /// (`-ERESTARTSYS` to `-ERESTART_RESTARTBLOCK`, include/linux/errno.h).
    pub fn is_broken_off(&self) -> bool {
        (-516..=-512).contains(&self.call_result())
    }
}

/// Whether a system call is one by which a thread ends itself: exit(2) and exit_group(2).
pub fn ends_caller(number: u64) -> bool {
    const EXIT: u64 = 60;
    const EXIT_GROUP: u64 = 231;
    matches!(number, EXIT | EXIT_GROUP)
}

/// The number and arguments of a clone(2) that copies the memory as fork(2) does, but tells nobody of the child's end
/// (exit signal 0) and shares the table of open files: what the process closes meanwhile is closed.
pub fn quiet_fork() -> (u64, [u64; 6]) {
    const CLONE: u64 = 56;
    (CLONE, [nix::libc::CLONE_FILES as u64, 0, 0, 0, 0, 0])
}

/// The number and arguments of a wait4(2) that takes the end of a child of any kind, and does not wait for it.
pub fn take_child(child: i32) -> (u64, [u64; 6]) {
    const WAIT4: u64 = 61;
    let options = nix::libc::WNOHANG | nix::libc::__WALL;
    (WAIT4, [child as u64, 0, options as u64, 0, 0, 0])
}

/// The name of a system call by its number.
pub fn syscall_name(number: u64) -> Option<&'static str> {
    syscalls::Sysno::new(usize::try_from(number).ok()?).map(|call| call.name())
}

/// The number of a system call by its name.
pub fn syscall_number(name: &str) -> Option<u64> {
    name.parse::<syscalls::Sysno>().ok().map(|call| call.id() as u64)
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
    fn only_endless_waits_are_made_again() {
        let call = |number, r10, rdx, rax| {
            Registers { orig_rax: number, r10, rdx, rax, cs: USER_CS, ..Registers::default() }.restart().is_some()
        };
        let never = -1i32 as u32 as u64;
        assert!(call(232, never, 0, INTERRUPTED));
        assert!(!call(232, 1000, 0, INTERRUPTED));
        assert!(!call(232, never, 0, 1));
        assert!(call(281, u64::MAX, 0, INTERRUPTED));
        assert!(call(128, 8, 0, INTERRUPTED) && !call(128, 8, 0x7000, INTERRUPTED));
        assert!(!call(0, 0, 0, INTERRUPTED), "read");
        assert!(!call(u64::MAX, never, 0, INTERRUPTED), "not in a call");
    }

    #[test]
    fn calls_have_names() {
        assert_eq!(syscall_name(202), Some("futex"));
        assert_eq!(syscall_name(u64::MAX), None);
        assert_eq!(syscall_number("futex"), Some(202));
        assert_eq!(syscall_number("no_such_call"), None);
        assert_eq!(syscall_name(quiet_fork().0), Some("clone"));
        assert_eq!(syscall_name(take_child(1).0), Some("wait4"));
    }
}
