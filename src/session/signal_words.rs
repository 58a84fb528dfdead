//! What a signal's origin says to people: who sent it or what raised it. The facts are `target`'s.

use crate::addr::Pid;
use crate::target::{Signal, SignalOrigin};

/// `SIGUSR1 from process 77 (bash)`, `SIGSEGV at address 0x10: nothing is mapped there (SEGV_MAPERR)`.
pub(super) fn signal_words(process: Pid, signal: Signal, origin: Option<SignalOrigin>, sender: Option<&str>) -> String {
    let from = origin.map_or_else(String::new, |origin| origin_words(process, signal, &origin, sender));
    format!("{signal}{from}")
}

fn origin_words(process: Pid, signal: Signal, origin: &SignalOrigin, sender: Option<&str>) -> String {
    if signal == Signal::CHLD
        && let (Some(child), Some(status)) = (origin.sender, origin.child_status)
    {
        return format!(" of child {child} ({})", child_words(origin.code_name, status));
    }
    if let Some(address) = origin.address {
        let words = origin.code_name.map_or_else(|| format!("code {}", origin.code), fault_words);
        let call = origin.syscall.map_or_else(String::new, |number| format!(" for system call {number}"));
        return format!(" at address {address:#x}{call}: {words}");
    }
    let mut words = match (origin.sender, sender) {
        (Some(sender), _) if sender == process => " from itself".to_owned(),
        (Some(Pid(0)), _) => " from a process outside its PID namespace".to_owned(),
        (Some(sender), Some(name)) => format!(" from process {sender} ({name})"),
        (Some(sender), None) => format!(" from process {sender}"),
        (None, _) => match (origin.code_name, origin.timer, origin.fd) {
            (Some("SI_KERNEL"), ..) => " from the kernel".to_owned(),
            (_, Some(timer), _) => format!(" from timer {timer}"),
            (Some(name), _, Some(fd)) => format!(" for file descriptor {fd} ({name})"),
            (Some(name), ..) => format!(" ({name})"),
            (None, ..) => format!(" (code {})", origin.code),
        },
    };
    if let Some(value) = origin.value {
        words.push_str(&format!(", with value {}", value_words(value)));
    }
    if let Some(overruns) = origin.overruns.filter(|overruns| *overruns > 0) {
        words.push_str(&format!(", {overruns} overruns"));
    }
    words
}

/// A value that fits is an int, as most programs send one.
fn value_words(value: u64) -> String {
    match i32::try_from(value as i64) {
        Ok(small) => small.to_string(),
        Err(_) => format!("{value:#x}"),
    }
}

fn child_words(code: Option<&str>, status: i32) -> String {
    match code {
        Some("CLD_EXITED") => format!("exited with status {status}"),
        Some("CLD_KILLED") => format!("was ended by {}", Signal(status)),
        Some("CLD_DUMPED") => format!("was ended by {} (core dumped)", Signal(status)),
        Some("CLD_STOPPED") => format!("was stopped by {}", Signal(status)),
        Some("CLD_CONTINUED") => "was continued".into(),
        code => format!("{}, status {status}", code.unwrap_or("changed")),
    }
}

fn fault_words(name: &str) -> String {
    let words = match name {
        "SEGV_MAPERR" => "nothing is mapped there",
        "SEGV_ACCERR" => "it may not be accessed so",
        "SEGV_PKUERR" => "a protection key forbids it",
        "SEGV_BNDERR" => "it is out of bounds",
        "BUS_ADRALN" => "it is not aligned",
        "BUS_ADRERR" => "nothing is behind it: past the end of a mapped file?",
        "BUS_MCEERR_AR" | "BUS_MCEERR_AO" => "the memory is broken",
        "ILL_ILLOPC" | "ILL_ILLOPN" => "no such instruction",
        "ILL_PRVOPC" | "ILL_PRVREG" => "a privileged instruction",
        "FPE_INTDIV" => "division by zero",
        "FPE_INTOVF" => "integer overflow",
        "FPE_FLTDIV" => "floating-point division by zero",
        "FPE_FLTOVF" => "floating-point overflow",
        "FPE_FLTUND" => "floating-point underflow",
        "FPE_FLTINV" => "invalid floating-point operation",
        "TRAP_TRACE" => "a single step of its own",
        "TRAP_HWBKPT" => "a hardware breakpoint of its own",
        "SYS_SECCOMP" => "a seccomp filter refuses the call",
        _ => return name.to_owned(),
    };
    format!("{words} ({name})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_origin_has_its_words() {
        let base = SignalOrigin::default();
        let from = |pid| SignalOrigin { code_name: Some("SI_USER"), sender: Some(Pid(pid)), ..base };
        let timer = SignalOrigin { code_name: Some("SI_TIMER"), timer: Some(3), overruns: Some(2), ..base };
        let fault = SignalOrigin { code_name: Some("SEGV_MAPERR"), address: Some(16), ..base };
        let seccomp = SignalOrigin { code_name: Some("SYS_SECCOMP"), address: Some(16), syscall: Some(59), ..base };
        let child = SignalOrigin { code_name: Some("CLD_EXITED"), child_status: Some(3), ..from(78) };
        let seven = SignalOrigin { value: Some(7), ..from(5) };
        let pointer = SignalOrigin { value: Some(0x7fff_0000_1234), ..from(5) };
        for (signal, origin, sender, expected) in [
            (10, from(77), Some("bash"), "SIGUSR1 from process 77 (bash)"),
            (10, from(77), None, "SIGUSR1 from process 77"),
            (6, from(9), Some("x"), "SIGABRT from itself"),
            (10, from(0), None, "SIGUSR1 from a process outside its PID namespace"),
            (34, seven, None, "SIGRTMIN from process 5, with value 7"),
            (34, pointer, None, "SIGRTMIN from process 5, with value 0x7fff00001234"),
            (34, timer, None, "SIGRTMIN from timer 3, 2 overruns"),
            (2, SignalOrigin { code_name: Some("SI_KERNEL"), ..base }, None, "SIGINT from the kernel"),
            (11, fault, None, "SIGSEGV at address 0x10: nothing is mapped there (SEGV_MAPERR)"),
            (17, child, None, "SIGCHLD of child 78 (exited with status 3)"),
            (10, SignalOrigin { code: -99, ..base }, None, "SIGUSR1 (code -99)"),
            (
                31,
                seccomp,
                None,
                "SIGSYS at address 0x10 for system call 59: a seccomp filter refuses the call (SYS_SECCOMP)",
            ),
        ] {
            assert_eq!(signal_words(Pid(9), Signal(signal), Some(origin), sender), expected);
        }
        assert_eq!(signal_words(Pid(9), Signal(10), None, None), "SIGUSR1");
    }
}
