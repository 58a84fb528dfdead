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

/// The system calls that a word means: a name, a number, or `group:NAME` (`g:NAME`) as gdb has them.
pub fn syscalls_called(word: &str) -> Option<Vec<u64>> {
    if let Some(group) = word.strip_prefix("group:").or_else(|| word.strip_prefix("g:")) {
        let names = GROUPS.iter().find(|(name, _)| *name == group)?.1;
        return Some(names.split_whitespace().filter_map(arch::syscall_number).collect());
    }
    let number = word.parse::<u64>().ok().filter(|number| *number < LARGEST_NUMBER);
    number.or_else(|| arch::syscall_number(word)).map(|number| vec![number])
}

/// The groups of [`syscalls_called`], for hints.
pub fn syscall_groups() -> Vec<&'static str> {
    GROUPS.iter().map(|(name, _)| *name).collect()
}

/// No machine has a system call with a larger number.
const LARGEST_NUMBER: u64 = 1024;

/// Calls that belong together, after strace's classes (strace(1), `-e trace=%CLASS`).
const GROUPS: [(&str, &str); 7] = [
    (
        "file",
        "open openat openat2 creat stat lstat newfstatat statx access faccessat faccessat2 execve execveat chdir mkdir \
         mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat readlink readlinkat chmod \
         fchmodat chown lchown fchownat truncate utimensat statfs mknod mknodat mount umount2 pivot_root chroot \
         getxattr setxattr listxattr removexattr inotify_add_watch swapon swapoff acct name_to_handle_at getcwd",
    ),
    (
        "descriptor",
        "read write pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2 open openat openat2 creat close \
         close_range dup dup2 dup3 fcntl ioctl lseek poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl \
         epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4 timerfd_create timerfd_settime \
         timerfd_gettime inotify_init inotify_init1 pipe pipe2 splice tee vmsplice sendfile copy_file_range ftruncate \
         fstat fsync fdatasync flock fallocate getdents getdents64 fchdir fchmod fchown mmap memfd_create pidfd_open",
    ),
    (
        "network",
        "socket socketpair bind listen accept accept4 connect getsockname getpeername sendto recvfrom sendmsg recvmsg \
         sendmmsg recvmmsg shutdown setsockopt getsockopt",
    ),
    (
        "process",
        "fork vfork clone clone3 execve execveat exit exit_group wait4 waitid kill tkill tgkill rt_sigqueueinfo \
         rt_tgsigqueueinfo pidfd_send_signal unshare setns prctl",
    ),
    (
        "memory",
        "brk mmap munmap mprotect mremap madvise mincore msync mlock mlock2 mlockall munlock munlockall shmat shmdt \
         pkey_mprotect remap_file_pages mbind migrate_pages move_pages process_madvise",
    ),
    (
        "signal",
        "rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigreturn rt_sigqueueinfo \
         rt_tgsigqueueinfo sigaltstack kill tkill tgkill pause signalfd signalfd4 pidfd_send_signal",
    ),
    ("ipc", "msgget msgsnd msgrcv msgctl semget semop semtimedop semctl shmget shmat shmdt shmctl"),
];

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
    fn words_name_calls() {
        assert_eq!(syscalls_called("openat"), Some(vec![257]));
        assert_eq!(syscalls_called("3"), Some(vec![3]));
        assert_eq!(syscalls_called("1023"), Some(vec![1023]));
        for word in ["", "no_such_call", "group:nothing", "g:", "1024", "-1", "99999999999999999999"] {
            assert_eq!(syscalls_called(word), None, "{word}");
        }
        for (group, names) in GROUPS {
            for name in names.split_whitespace() {
                assert!(arch::syscall_number(name).is_some(), "{name} in {group}");
            }
            assert_eq!(
                syscalls_called(&format!("g:{group}")).map(|calls| calls.len()),
                Some(names.split_whitespace().count())
            );
        }
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
