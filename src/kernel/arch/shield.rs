//! The code that godbg lends to a target while it has breakpoints there: a handler for SIGTRAP. As long as godbg traces the
//! process the handler never runs, because a tracer is told of every signal first. Should godbg be killed, a thread that
//! meets a breakpoint (or a step, or a watchpoint) before the text is repaired runs it instead of dying: it moves the thread
//! back to the breakpoint and waits there until the program's own byte has come back. Only the code and its layout; putting
//! it there and taking it away is `target::shield`'s.

use std::slice;

/// How far the data lies below the code: four pages.
pub const DATA_BELOW: u64 = 0x4000;

/// In the data: the program's own handler (`SIG_DFL` 0, `SIG_IGN` 1), for a SIGTRAP that is none of godbg's.
pub const OLD_HANDLER: u64 = 0;

/// In the data: the `struct sigaction` to be set, as rt_sigaction(2) takes it.
pub const NEW_ACTION: u64 = 0x20;

/// In the data: where rt_sigaction(2) writes the one before; `sa_restorer` is its third word.
pub const OLD_ACTION: u64 = 0x40;

/// In the data: a `struct sigaction` of zeroes, SIG_DFL.
pub const DEFAULT_ACTION: u64 = 0x60;

/// In the data: the addresses of the breakpoints, ended by 0.
pub const TABLE: u64 = 0x80;

/// How many addresses the table can hold.
pub const MOST_SITES: usize = (DATA_BELOW - TABLE) as usize / 8 - 1;

/// The `si_code` that godbg gives the SIGTRAP of a breakpoint that it has taken note of. `si_addr` then holds where the
/// thread goes on. No code of the kernel's has this value.
pub const MARK: i32 = 0x4744_4247;

// System V ABI: rdi the signal, rsi the siginfo_t, rdx the ucontext_t; rt_sigreturn(2) gives all registers back, so that any
// may be used. In ucontext_t RIP is at 168 (`uc_mcontext.gregs[REG_RIP]`), in siginfo_t si_code at 8 and si_addr at 16.
std::arch::global_asm!(
    // The compiler may put the code that reads these into another object.
    ".globl godbg_shield, godbg_shield_return, godbg_shield_end",
    ".hidden godbg_shield, godbg_shield_return, godbg_shield_end",
    ".p2align 4",
    "godbg_shield:",
    "    mov eax, dword ptr [rsi + 8]",
    "    cmp eax, 0x47444247",
    "    je 20f",
    "    cmp eax, 0x80", // SI_KERNEL: an int3
    "    je 30f",
    "    lea ecx, [rax - 1]",
    "    cmp ecx, 5", // TRAP_BRKPT to TRAP_PERF: a step or a debug register, of godbg's making
    "    ja 60f",
    "    ret",
    "20: mov r12, [rsi + 16]",
    "    jmp 40f",
    "30: mov r12, [rdx + 168]",
    "    dec r12",
    "    lea rcx, [rip + godbg_shield - 0x4000 + 0x80]",
    "31: mov r8, [rcx]",
    "    test r8, r8",
    "    jz 50f",
    "    add rcx, 8",
    "    cmp r8, r12",
    "    jne 31b",
    "40: mov [rdx + 168], r12",
    "41: cmp byte ptr [r12], 0xcc",
    "    jne 42f",
    "    mov eax, 7", // poll(2) with a limit of one millisecond
    "    xor edi, edi",
    "    xor esi, esi",
    "    mov edx, 1",
    "    syscall",
    "    jmp 41b",
    "42: ret",
    // No breakpoint of ours: the program's own int3 stands there, or the signal is of a hit that is dealt with already.
    "50: cmp byte ptr [r12], 0xcc",
    "    je 60f",
    "    ret",
    "60: mov rcx, [rip + godbg_shield - 0x4000]",
    "    cmp rcx, 1",
    "    je 61f",
    "    jb 62f",
    // The program's own handler returns by the program's own restorer: it may return when this memory is no more.
    "    mov r8, [rip + godbg_shield - 0x4000 + 0x50]",
    "    mov [rsp], r8",
    "    jmp rcx",
    "61: ret",
    // SIG_DFL: the signal comes again when this handler has returned, and ends the program as it would have.
    "62: mov eax, 13",
    "    mov edi, 5",
    "    lea rsi, [rip + godbg_shield - 0x4000 + 0x60]",
    "    xor edx, edx",
    "    mov r10d, 8",
    "    syscall",
    "    mov eax, 39",
    "    syscall",
    "    mov r12d, eax",
    "    mov eax, 186",
    "    syscall",
    "    mov edi, r12d",
    "    mov esi, eax",
    "    mov edx, 5",
    "    mov eax, 234",
    "    syscall",
    "    ret",
    "godbg_shield_return:",
    "    mov eax, 15",
    "    syscall",
    "godbg_shield_end:",
);

unsafe extern "C" {
    static godbg_shield: u8;
    static godbg_shield_return: u8;
    static godbg_shield_end: u8;
}

/// The handler's machine code, to be put behind its data. It can lie at any address.
pub fn code() -> &'static [u8] {
    let (begin, end) = (&raw const godbg_shield, &raw const godbg_shield_end);
    // SAFETY: both labels are of the block above, in this order, in text that is never unmapped.
    unsafe { slice::from_raw_parts(begin, end.addr() - begin.addr()) }
}

/// Where in the code rt_sigreturn(2) is called, for `sa_restorer`.
pub fn return_offset() -> u64 {
    ((&raw const godbg_shield_return).addr() - (&raw const godbg_shield).addr()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_one_small_block() {
        let code = code();
        assert!(code.len() < 256, "{}", code.len());
        assert_eq!(&code[return_offset() as usize..], [0xb8, 15, 0, 0, 0, 0x0f, 0x05]);
    }
}
