//! System calls that a person has a thread make: their names, which of them cannot be made for another, and what they
//! answered. Makes none.

use schemars::JsonSchema;
use serde::Serialize;

use crate::kernel::{Errno, arch};

/// What a system call answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct CallResult {
    /// Its name, where known.
    pub name: Option<&'static str>,
    /// Its number on this machine.
    pub number: u64,
    /// What was in the result register: `-errno` for an error.
    pub result: i64,
    /// The name of the error, `ENOENT`.
    pub error: Option<String>,
    /// The same in words.
    pub error_text: Option<String>,
}

impl CallResult {
    /// The kernel's errors are -1 to -4095 (errno(3), include/linux/err.h).
    pub fn new(number: u64, result: i64) -> CallResult {
        let errno = (-4095..0).contains(&result).then(|| Errno::from_raw(-result as i32));
        CallResult {
            name: arch::syscall_name(number),
            number,
            result,
            error: errno.map(|errno| format!("{errno:?}")),
            error_text: errno.map(|errno| errno.desc().to_owned()),
        }
    }
}

/// The number of a system call by its name, or the number itself.
pub fn call_number(word: &str) -> Option<u64> {
    let hex = word.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16));
    match hex.unwrap_or_else(|| word.parse()) {
        Ok(number) => Some(number),
        Err(_) => arch::syscall_number(word),
    }
}

/// Why a call cannot be made for a program, and what to do instead.
pub fn refuse_call(number: u64) -> Option<(&'static str, &'static str)> {
    Some(match arch::syscall_name(number)? {
        "exit" | "exit_group" => ("it would end the thread that makes it", "kill ends the process"),
        "execve" | "execveat" => {
            ("the program would be gone, and nothing could be put back", "exec starts another program")
        }
        "fork" | "vfork" | "clone" | "clone3" => (
            "the child would go on where the call was made, outside of the program",
            "gcore copies a process in that way",
        ),
        "rt_sigreturn" => ("it takes its registers from the stack and does not return", "set changes registers"),
        "restart_syscall" => ("it belongs to the call that the thread was stopped in", "continue makes that one again"),
        "uretprobe" | "uprobe" => ("only the kernel's own code may make it", "there is nothing to be had from it"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_by_name_and_number() {
        for (word, number) in
            [("getpid", Some(39)), ("39", Some(39)), ("0x27", Some(39)), ("nothing", None), ("-1", None)]
        {
            assert_eq!(call_number(word), number, "{word}");
        }
    }

    #[test]
    fn what_does_not_return_is_refused() {
        let refused = ["exit", "exit_group", "execve", "execveat", "fork", "vfork", "clone", "clone3", "rt_sigreturn"];
        for name in refused.into_iter().chain(["restart_syscall"]) {
            let number = call_number(name).expect(name);
            assert!(refuse_call(number).is_some(), "{name}");
        }
        assert_eq!(refuse_call(39), None);
        assert_eq!(refuse_call(u64::MAX), None);
    }

    #[test]
    fn errors_are_named_and_addresses_are_none() {
        assert_eq!(CallResult::new(2, -2).error.as_deref(), Some("ENOENT"));
        assert_eq!(CallResult::new(9, 0x7fff_0000_0000).error, None);
        assert_eq!(CallResult::new(9, -4096).error, None);
    }
}
