//! The words that completion knows without asking the session: registers, signals, system calls. Pure.

use crate::target::{GENERAL, RegisterId, Signal, Syscall, syscall_groups};

/// System calls have numbers below this on every machine so far.
const MOST_CALLS: u64 = 1024;

/// The registers of most use, without their `$`.
pub fn registers() -> Vec<String> {
    let numbered = |name: &'static str, count: u32| (0..count).map(move |number| format!("{name}{number}"));
    let others =
        ["pc", "sp", "eax", "ebx", "ecx", "edx", "esi", "edi", "al", "bl", "cl", "dl", "mxcsr", "fctrl", "fstat"];
    let flags = ["cf", "pf", "zf", "sf", "df", "of"];
    let all = GENERAL.iter().copied().chain(others).chain(flags).map(str::to_owned);
    let all = all.chain(numbered("st", 8)).chain(numbered("xmm", 16)).chain(numbered("ymm", 16));
    all.filter(|name| RegisterId::parse(name).is_some()).collect()
}

/// The names of all signals.
pub fn signals() -> Vec<String> {
    Signal::all().map(|signal| signal.to_string()).collect()
}

/// The names of all system calls.
pub fn syscalls() -> Vec<String> {
    (0..MOST_CALLS).filter_map(|number| Syscall::new(number, [0; 6]).name).map(str::to_owned).collect()
}

/// The groups of system calls, as `catch` takes them.
pub fn call_groups() -> Vec<String> {
    syscall_groups().iter().map(|group| format!("group:{group}")).collect()
}
