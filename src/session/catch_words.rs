//! What a catchpoint stops at and was hit by, in words. The facts are `target`'s.

use super::event::end_words;
use super::signal_words::signal_words;
use crate::addr::Pid;
use crate::target::{Catch, Caught, Syscall};

/// `it enters openat(-100, 0x7f…, 0, 0)`, `it left openat = 3`, `it forked process 78`.
pub(super) fn caught_words(process: Pid, caught: &Caught, sender: Option<&str>) -> String {
    match caught {
        Caught::Signal { signal, origin } => {
            format!("it was given {}", signal_words(process, *signal, *origin, sender))
        }
        Caught::SyscallEntry { syscall, args, .. } => format!("it enters {}", Syscall::new(*syscall, *args)),
        Caught::SyscallReturn { syscall, syscall_name, result, error } => {
            let name = match (syscall_name, syscall) {
                (Some(name), _) => (*name).to_owned(),
                (None, Some(number)) => format!("system call {number}"),
                (None, None) => "a system call".to_owned(),
            };
            let error = error.map_or_else(String::new, |error| format!(" ({error})"));
            format!("it left {name} = {}{error}", result_words(*result))
        }
        Caught::Fork { child } => format!("it forked process {child}"),
        Caught::Vfork { child } => format!("it started process {child} (vfork)"),
        Caught::Exec => "it has executed another program".into(),
        Caught::Clone { new_thread } => format!("it made thread {new_thread}"),
        Caught::Exit { end } => format!("it is about to end: the thread {}", end_words(end)),
    }
}

/// Results that look like addresses are shown as such.
fn result_words(result: i64) -> String {
    if (-4096..1 << 31).contains(&result) { result.to_string() } else { format!("{result:#x}") }
}

/// `fork`, `openat`, `SIGUSR1`: what fits into a column.
pub(super) fn caught_name(caught: &Caught) -> String {
    match caught {
        Caught::Signal { signal, .. } => signal.to_string(),
        Caught::SyscallEntry { syscall_name: name, .. } | Caught::SyscallReturn { syscall_name: name, .. } => {
            (*name).unwrap_or("syscall").into()
        }
        Caught::Fork { .. } => "fork".into(),
        Caught::Vfork { .. } => "vfork".into(),
        Caught::Exec => "exec".into(),
        Caught::Clone { .. } => "clone".into(),
        Caught::Exit { .. } => "exit".into(),
    }
}

/// `signal SIGUSR1 SIGUSR2`, `syscall openat`, `fork`.
pub fn catch_words(catch: &Catch) -> String {
    let list = |kind: &str, words: Vec<String>| match words.as_slice() {
        [] => format!("any {kind}"),
        words => format!("{kind} {}", words.join(" ")),
    };
    match catch {
        Catch::Signal { signals } if signals.is_empty() => "any signal but SIGTRAP and SIGINT".into(),
        Catch::Signal { signals } if signals.len() >= ALL_SIGNALS => "all signals".into(),
        Catch::Signal { signals } => list("signal", signals.iter().map(ToString::to_string).collect()),
        Catch::Syscall { syscalls } => list("syscall", syscalls.iter().map(|number| call_name(*number)).collect()),
        Catch::Fork => "fork".into(),
        Catch::Vfork => "vfork".into(),
        Catch::Exec => "exec".into(),
        Catch::Clone => "clone".into(),
        Catch::Exit => "exit".into(),
    }
}

/// So many signals are all that can be caught: 64 without SIGKILL.
const ALL_SIGNALS: usize = 63;

fn call_name(number: u64) -> String {
    Syscall::new(number, [0; 6]).name.map_or_else(|| number.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Signal;

    #[test]
    fn calls_and_catchpoints_read_as_people_write_them() {
        let left =
            |result, error| Caught::SyscallReturn { syscall: Some(257), syscall_name: Some("openat"), result, error };
        let words = |caught: Caught| caught_words(Pid(1), &caught, None);
        assert_eq!(words(left(3, None)), "it left openat = 3");
        assert_eq!(words(left(-2, Some("No such file"))), "it left openat = -2 (No such file)");
        assert_eq!(words(left(0x7f00_0000_0000, None)), "it left openat = 0x7f0000000000");
        let entry = Caught::SyscallEntry { syscall: 3, syscall_name: Some("close"), args: [7, 1, 1, 1, 1, 1] };
        assert_eq!((words(entry), caught_name(&entry)), ("it enters close(7)".into(), "close".into()));
        let unknown = Caught::SyscallReturn { syscall: None, syscall_name: None, result: 0, error: None };
        assert_eq!(words(unknown), "it left a system call = 0");
        for (catch, expected) in [
            (Catch::Syscall { syscalls: vec![257, 1000] }, "syscall openat 1000"),
            (Catch::Syscall { syscalls: vec![] }, "any syscall"),
            (Catch::Signal { signals: vec![Signal::USR1] }, "signal SIGUSR1"),
            (Catch::Signal { signals: Signal::all().filter(|signal| !signal.is_kill()).collect() }, "all signals"),
            (Catch::Exec, "exec"),
        ] {
            assert_eq!(catch_words(&catch), expected);
        }
    }
}
