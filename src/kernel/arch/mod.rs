//! What depends on the processor: the layout of registers and how a system call is made. An aarch64 twin stands beside
//! x86_64.rs with the same names.

#[cfg(target_arch = "x86_64")]
pub mod shield;
#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::{
    Bank, ELF_MACHINE, Extended, FLAGS, FLAGS_IN_FRAME, FlagUse, GENERAL, JUMP_TO_ITSELF, MACHINE, Number,
    R11_IN_FRAME, RegisterId, Registers, SYSCALL_AND_RETURN, SYSCALL_INSTRUCTION, X87_CONTROL, ends_caller,
    in_intels_places, quiet_fork, syscall_name, syscall_number, take_child,
};

#[cfg(not(target_arch = "x86_64"))]
compile_error!("godbg knows the registers of x86-64 only; put a twin of src/kernel/arch/x86_64.rs beside it");
