//! System calls for people: a name, and the arguments that a thread asleep in it most often has. What is not in the table
//! is shown by its name alone. Reads no memory of the target.

use std::fmt::Write;

use schemars::JsonSchema;
use serde::Serialize;

use crate::kernel::arch;

/// A system call that a thread is in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Syscall {
    /// Its number on this machine.
    pub number: u64,
    /// Its name, where known.
    pub name: Option<&'static str>,
    /// Its arguments, as many as it takes; none where that is not known.
    pub args: Vec<u64>,
}

/// How an argument is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A file descriptor, a pid or a count: signed 32 bits.
    Int,
    /// A size: unsigned.
    Size,
    /// An address or flags.
    Hex,
}

/// The arguments by name, from the system calls' man pages: i an int, u a size, x an address or flags.
fn signature(name: &str) -> Option<&'static str> {
    Some(match name {
        "read" | "write" | "getdents64" => "ixu",
        "pread64" | "pwrite64" => "ixuu",
        "readv" | "writev" => "ixi",
        "recvfrom" | "sendto" => "ixuxxx",
        "recvmsg" | "sendmsg" | "accept" | "connect" | "fcntl" => "ixx",
        "recvmmsg" | "sendmmsg" => "ixixx",
        "accept4" => "ixxx",
        "ioctl" => "ixx",
        "poll" => "xii",
        "ppoll" => "xixxu",
        "select" => "ixxxx",
        "pselect6" => "ixxxxx",
        "epoll_wait" => "ixii",
        "epoll_pwait" => "ixiixu",
        "epoll_pwait2" => "ixixxu",
        "futex" => "xxixxx",
        "futex_waitv" => "xixxi",
        "nanosleep" => "xx",
        "clock_nanosleep" => "ixxx",
        "wait4" => "ixxx",
        "waitid" => "iixxx",
        "rt_sigtimedwait" => "xxxu",
        "rt_sigsuspend" => "xu",
        "pause" | "sched_yield" | "restart_syscall" | "vfork" | "fork" => "",
        "flock" => "ix",
        "fsync" | "fdatasync" | "close" | "exit" | "exit_group" => "i",
        "msgrcv" => "ixuix",
        "msgsnd" => "ixux",
        "semop" => "ixu",
        "semtimedop" => "ixux",
        "io_getevents" => "xiixx",
        "io_uring_enter" => "iiixxu",
        "sendfile" => "iixu",
        "splice" => "ixixux",
        "mq_timedreceive" | "mq_timedsend" => "ixuxx",
        "openat" => "ixxx",
        "open" => "xxx",
        "execve" => "xxx",
        "mmap" => "xuxxiu",
        "munmap" => "xu",
        "madvise" => "xux",
        "clone" => "xxxxx",
        "clone3" => "xu",
        "ptrace" => "iixx",
        _ => return None,
    })
}

impl Syscall {
    /// From the registers of a thread that is in a call.
    pub fn new(number: u64, registers: [u64; 6]) -> Syscall {
        let name = arch::syscall_name(number);
        let taken = name.and_then(signature).map_or(0, str::len);
        Syscall { number, name, args: registers[..taken].to_vec() }
    }
}

impl std::fmt::Display for Syscall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(name) = self.name else { return write!(f, "syscall {}", self.number) };
        let Some(kinds) = signature(name) else { return f.write_str(name) };
        let mut text = String::new();
        for (index, (kind, value)) in kinds.chars().map(kind).zip(&self.args).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match kind {
                Kind::Int => write!(text, "{comma}{}", *value as i32)?,
                Kind::Size => write!(text, "{comma}{value}")?,
                Kind::Hex if *value < 10 => write!(text, "{comma}{value}")?,
                Kind::Hex => write!(text, "{comma}{value:#x}")?,
            }
        }
        write!(f, "{name}({text})")
    }
}

fn kind(letter: char) -> Kind {
    match letter {
        'i' => Kind::Int,
        'u' => Kind::Size,
        _ => Kind::Hex,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_shown_by_their_kind() {
        let read = Syscall::new(0, [3, 0x7ffe_0000, 4096, 9, 9, 9]);
        assert_eq!(read.to_string(), "read(3, 0x7ffe0000, 4096)");
        assert_eq!(Syscall::new(232, [5, 0x10, 128, u64::MAX, 0, 0]).to_string(), "epoll_wait(5, 0x10, 128, -1)");
        assert_eq!(Syscall::new(34, [1; 6]).to_string(), "pause()");
        assert_eq!(Syscall::new(9999, [1; 6]).to_string(), "syscall 9999");
    }

    #[test]
    fn every_signature_is_of_a_real_call_shape() {
        for number in 0..500 {
            if let Some(kinds) = arch::syscall_name(number).and_then(signature) {
                assert!(kinds.len() <= 6 && kinds.chars().all(|kind| "iux".contains(kind)), "{number}");
            }
        }
    }
}
