//! /proc as facts about processes and threads (proc(5)). Names come from the target and may hold any bytes: they are
//! decoded lossily here and escaped where they are shown. What is asked for once per thread is parsed here, by hand and
//! without allocation where it can be; the rest is `procfs`'s work. Refuses to trace anything.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::fcntl::{self, OFlag};
use nix::sys::stat::Mode;
use nix::unistd;
use procfs::process::Status;
use procfs::{FromBufRead, ProcError};

use super::signal::Signal;
use crate::addr::{Pid, RuntimeAddr, Tid};

/// No single file of /proc that is read here may be longer than this; a hostile target can make its maps long.
const LONGEST: u64 = 64 << 20;

/// The flag in `stat` that marks kernel threads (`PF_KTHREAD`, include/linux/sched.h).
const PF_KTHREAD: u64 = 0x0020_0000;

/// The fields of `/proc/PID/task/TID/stat` that are asked for often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The thread's name, at most 15 bytes, any bytes.
    pub name: String,
    /// `R S D T t Z X I`, as in proc_pid_stat(5).
    pub state: char,
    /// The parent's pid.
    pub parent: Pid,
    /// Start time in clock ticks after boot; together with the tid it tells threads apart although tids are reused.
    pub started: u64,
    /// Whether it is a kernel thread, which has no user memory and cannot be traced.
    pub is_kernel_thread: bool,
    /// The signal that its parent is sent at its end; 0: none.
    pub exit_signal: i32,
}

/// Where a thread is, as `/proc/PID/task/TID/syscall` says without stopping it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyscallNow {
    /// On a processor, or about to be.
    Running,
    /// In the kernel, but not in a system call.
    Elsewhere {
        /// The user program counter.
        pc: RuntimeAddr,
    },
    /// In a system call.
    In {
        /// The call's number.
        number: u64,
        /// Its argument registers.
        args: [u64; 6],
        /// The user stack pointer.
        sp: RuntimeAddr,
        /// The user program counter.
        pc: RuntimeAddr,
    },
}

pub(super) fn read_bytes(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1024);
    fs::File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_text(path: &str) -> io::Result<String> {
    Ok(match String::from_utf8(read_bytes(path)?) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// How often a list of threads that came out too short is asked for again.
const LISTINGS: usize = 16;

/// The tids in `/proc/PID/task` at this moment. Threads come and go while they are listed.
///
/// The kernel goes from each thread to the next, and where the one that it stands on has just been reaped it ends the list
/// there (next_tid of fs/proc/base.c): live threads behind it are missing. So a list counts when it is as long as the kernel
/// counts threads, before it and after; until then one list adds to the other.
pub fn tasks(pid: Pid) -> io::Result<Vec<Tid>> {
    let mut tids = Vec::new();
    for _ in 0..LISTINGS {
        let before = thread_count(pid)?;
        let listed = listed_tasks(pid)?;
        let is_whole = listed.len() >= before.max(thread_count(pid)?);
        if tids.is_empty() {
            tids = listed;
        } else {
            let known: HashSet<Tid> = tids.iter().copied().collect();
            tids.extend(listed.into_iter().filter(|tid| !known.contains(tid)));
        }
        if is_whole {
            break;
        }
    }
    Ok(tids)
}

/// What one reading of `/proc/PID/task` gives.
fn listed_tasks(pid: Pid) -> io::Result<Vec<Tid>> {
    let mut tids = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        tids.extend(entry?.file_name().to_str().and_then(|name| name.parse().ok()).map(Tid));
    }
    Ok(tids)
}

/// `Threads:` of the process: how many there are, zombies that wait to be reaped included. One read, whatever the number.
pub fn thread_count(pid: Pid) -> io::Result<usize> {
    field(&read_bytes(&format!("/proc/{pid}/status"))?, b"Threads:")
}

/// `TracerPid:` of one thread: the *tid* of the thread that traces it, if any.
pub fn tracer_of(tid: Tid) -> io::Result<Option<Tid>> {
    let tracer = field(&read_bytes(&format!("/proc/{tid}/status"))?, b"TracerPid:")?;
    Ok((tracer != 0).then_some(Tid(tracer as i32)))
}

/// `Tgid:` of a thread: its process.
pub fn process_of(tid: Tid) -> io::Result<Pid> {
    Ok(Pid(field(&read_bytes(&format!("/proc/{tid}/status"))?, b"Tgid:")? as i32))
}

/// Whether a thread has a stack of return addresses that only the processor writes (`x86_Thread_features:` of
/// Documentation/arch/x86/shstk.rst). A kernel that does not tell has none.
pub fn has_shadow_stack(tid: Tid) -> bool {
    let status = read_bytes(&format!("/proc/{tid}/status")).unwrap_or_default();
    let mut lines = status.split(|&byte| byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(b"x86_Thread_features:")).unwrap_or_default();
    line.windows(5).any(|word| word == b"shstk")
}

/// The children of a process whose end is told to nobody (exit signal 0), as it numbers them itself (`NSpid:`), zombies too.
pub fn quiet_children(pid: Pid) -> Vec<(Pid, i32)> {
    let is_quiet = |child: &Pid| {
        let line = read_bytes(&format!("/proc/{child}/stat")).unwrap_or_default();
        parse_stat(&line).is_some_and(|stat| stat.parent == pid && stat.exit_signal == 0)
    };
    let inner = |child: Pid| status(child).ok()?.nspid?.last().map(|inner| (child, *inner));
    let lists = tasks(pid).unwrap_or_default().into_iter().filter_map(|tid| {
        let text = read_text(&format!("/proc/{pid}/task/{tid}/children")).ok()?;
        Some(text.split_ascii_whitespace().filter_map(|word| word.parse().ok().map(Pid)).collect::<Vec<Pid>>())
    });
    lists.flatten().filter(is_quiet).filter_map(inner).collect()
}

/// Whether a thread belongs to a process, by one look-up.
pub fn is_thread_of(tid: Tid, pid: Pid) -> bool {
    fs::metadata(format!("/proc/{pid}/task/{tid}")).is_ok()
}

/// Whether a process has a handler for a signal (`SigCgt` of proc_pid_status(5)).
pub fn catches(pid: Pid, signal: Signal) -> io::Result<bool> {
    let status = read_text(&format!("/proc/{pid}/status"))?;
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok());
    let mask = mask.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no SigCgt in /proc/PID/status"))?;
    Ok(mask >> (signal.0 - 1) & 1 == 1)
}

fn field(status: &[u8], name: &[u8]) -> io::Result<usize> {
    status
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| std::str::from_utf8(rest).ok()?.trim().parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a field of /proc/PID/status is missing"))
}

/// All of `/proc/PID/status`.
pub fn status(pid: Pid) -> io::Result<Status> {
    let text = read_text(&format!("/proc/{pid}/status"))?;
    Status::from_buf_read(Cursor::new(text.as_bytes())).map_err(|error| match error {
        ProcError::Io(error, _) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    })
}

/// The facts of one thread of a process. `NotFound` or ESRCH: it is gone.
pub fn thread_stat(pid: Pid, tid: Tid) -> io::Result<Stat> {
    parse_stat(&read_bytes(&format!("/proc/{pid}/task/{tid}/stat"))?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an unreadable /proc/PID/stat"))
}

/// The state letter of one thread, `None` when the thread is gone.
pub fn thread_state(pid: Pid, tid: Tid) -> Option<char> {
    thread_stat(pid, tid).ok().map(|stat| stat.state)
}

fn parse_stat(line: &[u8]) -> Option<Stat> {
    let open = line.iter().position(|&byte| byte == b'(')?;
    // The name may hold parentheses and spaces itself: the last one closes it.
    let close = line.iter().rposition(|&byte| byte == b')')?;
    let name = String::from_utf8_lossy(line.get(open + 1..close)?).into_owned();
    let rest: Vec<&str> = std::str::from_utf8(line.get(close + 2..)?).ok()?.split_ascii_whitespace().collect();
    let number = |index: usize| rest.get(index)?.parse::<u64>().ok();
    Some(Stat {
        name,
        state: rest.first()?.chars().next()?,
        parent: Pid(number(1)? as i32),
        started: number(19)?,
        is_kernel_thread: number(6)? & PF_KTHREAD != 0,
        // It is the 38th; -1 for threads.
        exit_signal: rest.get(35).and_then(|word| word.parse().ok()).unwrap_or(-1),
    })
}

/// A thread's name alone.
pub fn thread_name(pid: Pid, tid: Tid) -> io::Result<String> {
    let mut name = read_text(&format!("/proc/{pid}/task/{tid}/comm"))?;
    if name.ends_with('\n') {
        name.pop();
    }
    Ok(name)
}

/// The names of many threads of a process; `None` for those that have ended. By the folder of threads: one path is walked, not
/// one a thread.
pub fn thread_names(pid: Pid, tids: impl Iterator<Item = Tid>) -> Vec<Option<String>> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let folder = fcntl::open(format!("/proc/{pid}/task").as_str(), flags, Mode::empty());
    let name = |tid: Tid| {
        let comm = format!("{tid}/comm");
        let file =
            fcntl::openat(folder.as_ref().ok()?, comm.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        // A name has at most 15 bytes, that of a kernel's worker 63 (proc_task_name of fs/proc/array.c), and comes in one piece.
        let mut bytes = [0; 128];
        let count = unistd::read(file.ok()?, &mut bytes).ok()?;
        let name = bytes[..count].strip_suffix(b"\n").unwrap_or(&bytes[..count]);
        Some(String::from_utf8_lossy(name).into_owned())
    };
    tids.map(name).collect()
}

/// Which kernel function a sleeping thread waits in, where the kernel tells (`wchan`).
pub fn wait_channel(pid: Pid, tid: Tid) -> Option<String> {
    let name = read_text(&format!("/proc/{pid}/task/{tid}/wchan")).ok()?;
    (!name.is_empty() && name != "0").then_some(name)
}

/// What a thread does in the kernel, without stopping it. Needs the right to trace it.
pub fn syscall_now(pid: Pid, tid: Tid) -> io::Result<SyscallNow> {
    let text = read_text(&format!("/proc/{pid}/task/{tid}/syscall"))?;
    parse_syscall(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an unreadable /proc/PID/syscall"))
}

fn parse_syscall(text: &str) -> Option<SyscallNow> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let hex = |word: &&str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    match words.as_slice() {
        ["running"] => Some(SyscallNow::Running),
        ["-1", _, pc] => Some(SyscallNow::Elsewhere { pc: RuntimeAddr(hex(pc)?) }),
        [number, args @ .., sp, pc] if args.len() == 6 => {
            let mut registers = [0; 6];
            for (register, word) in registers.iter_mut().zip(args) {
                *register = hex(word)?;
            }
            let (sp, pc) = (RuntimeAddr(hex(sp)?), RuntimeAddr(hex(pc)?));
            Some(SyscallNow::In { number: number.parse().ok()?, args: registers, sp, pc })
        }
        _ => None,
    }
}

/// What a core file says of a process (`struct elf_prpsinfo`), by any thread of it that lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// Its parent, process group and session, as godbg's PID namespace numbers them.
    pub parent: i32,
    /// See `parent`.
    pub group: i32,
    /// See `parent`.
    pub session: i32,
    /// `PF_*` flags.
    pub flags: u64,
    /// -20 to 19.
    pub nice: i8,
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
}

/// See [`Ids`].
pub fn ids(pid: Pid) -> io::Result<Ids> {
    let status = status(pid)?;
    let bytes = read_bytes(&format!("/proc/{pid}/stat"))?;
    let after_name = bytes.iter().rposition(|&byte| byte == b')').map_or(&[][..], |close| &bytes[close + 1..]);
    let text = String::from_utf8_lossy(after_name);
    // Behind the name: state, ppid, pgrp, session, tty_nr, tpgid, flags, … nice is the 17th.
    let words: Vec<i64> = text.split_ascii_whitespace().map(|word| word.parse().unwrap_or(0)).collect();
    let word = |index: usize| words.get(index).copied().unwrap_or(0);
    Ok(Ids {
        parent: word(1) as i32,
        group: word(2) as i32,
        session: word(3) as i32,
        flags: word(6) as u64,
        nice: word(16) as i8,
        uid: status.ruid,
        gid: status.rgid,
    })
}

/// `/proc/PID/auxv` (proc_pid_auxv(5)), as it is.
pub fn auxv(pid: Pid) -> io::Result<Vec<u8>> {
    read_bytes(&format!("/proc/{pid}/auxv"))
}

/// `/proc/PID/coredump_filter` (core(5)): which kinds of mappings a core is to hold.
pub fn core_filter(pid: Pid) -> io::Result<u32> {
    let text = read_text(&format!("/proc/{pid}/coredump_filter"))?;
    u32::from_str_radix(text.trim(), 16).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "no number"))
}

/// Makes a process the first to be ended where memory runs out (proc_pid_oom_score_adj(5)).
pub fn end_first_when_out_of_memory(pid: Pid) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/oom_score_adj"), "1000")
}

/// Where the executable is, as the kernel knows it; ` (deleted)` is part of it when the file is gone.
pub fn executable(pid: Pid) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe"))
}

/// The command line, one string a word. Empty for a kernel thread or a zombie.
pub fn command_line(pid: Pid) -> io::Result<Vec<String>> {
    let bytes = read_bytes(&format!("/proc/{pid}/cmdline"))?;
    let words = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    if words.is_empty() {
        return Ok(Vec::new());
    }
    Ok(words.split(|&byte| byte == 0).map(|word| OsStr::from_bytes(word).to_string_lossy().into_owned()).collect())
}

/// The processor that a thread ran on last: field 39 of `stat`.
pub fn processor_of(pid: Pid, tid: Tid) -> Option<usize> {
    let text = read_text(&format!("/proc/{pid}/task/{tid}/stat")).ok()?;
    // The name in brackets may hold blanks and brackets; field 3 follows it.
    text.rsplit_once(')')?.1.split_ascii_whitespace().nth(36)?.parse().ok()
}

/// Whether two processes run in the same memory, as a vfork's child does with its parent: kcmp(2). A kernel without that call
/// says no.
pub fn shares_memory(one: Pid, other: Pid) -> bool {
    const KCMP_VM: i32 = 1;
    // SAFETY: no memory is involved.
    unsafe { nix::libc::syscall(nix::libc::SYS_kcmp, one.0, other.0, KCMP_VM, 0, 0) == 0 }
}

/// All processes that /proc shows at this moment, in the order of their pids.
pub fn processes() -> io::Result<Vec<Pid>> {
    let mut pids: Vec<Pid> = Vec::new();
    for entry in fs::read_dir("/proc")? {
        pids.extend(entry?.file_name().to_str().and_then(|name| name.parse().ok()).map(Pid));
    }
    pids.sort_unstable();
    Ok(pids)
}

/// The name of a user, or its number where it has none.
pub fn user_name(uid: u32) -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

/// The largest pid that any Linux gives out (`PID_MAX_LIMIT`, proc_sys_kernel(5)): 2^22.
pub const LARGEST_PID: i32 = 1 << 22;

/// Whether one of this process's threads is in another namespace of a kind (`pid`, `mnt`, `user`) than godbg is.
/// `None`: the kernel does not let us compare them.
pub fn namespace_differs(pid: Pid, kind: &str) -> Option<bool> {
    let ours = fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
    let theirs = fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
    Some(ours != theirs)
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, mpsc};

    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let line = b"42 (a) \xff (b) t 1 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 3 0 777 0 0";
        let stat = parse_stat(line).expect("a stat line");
        assert_eq!((stat.name.as_str(), stat.state, stat.parent, stat.started), ("a) \u{fffd} (b", 't', Pid(1), 777));
        assert!(!stat.is_kernel_thread);
        assert_eq!(parse_stat(b"42 (cut"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn the_three_forms_of_syscall() {
        assert_eq!(parse_syscall("running\n"), Some(SyscallNow::Running));
        assert_eq!(parse_syscall("-1 0x7ffe 0x40\n"), Some(SyscallNow::Elsewhere { pc: RuntimeAddr(0x40) }));
        let inside = parse_syscall("35 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffe 0x40\n");
        assert_eq!(
            inside,
            Some(SyscallNow::In {
                number: 35,
                args: [1, 2, 3, 4, 5, 6],
                sp: RuntimeAddr(0x7ffe),
                pc: RuntimeAddr(0x40)
            })
        );
        assert_eq!(parse_syscall("35 0x1"), None);
    }

    /// With `listed_tasks` in the place of `tasks` this fails within a few rounds.
    #[test]
    fn a_thread_behind_one_that_ends_is_listed() {
        let me = Pid(std::process::id() as i32);
        for _ in 0..100 {
            let started = Barrier::new(18);
            std::thread::scope(|scope| {
                let brief: Vec<_> = (0..16).map(|_| scope.spawn(|| _ = started.wait())).collect();
                let (tell, told) = mpsc::channel();
                let (end, ended) = mpsc::channel::<()>();
                let started = &started;
                scope.spawn(move || {
                    tell.send(super::super::own::tid()).expect("someone asks");
                    started.wait();
                    // An error: the other end is gone, and so is the reason to be here.
                    let _ = ended.recv();
                });
                let last = told.recv().expect("a tid");
                started.wait();
                while !brief.iter().all(|thread| thread.is_finished()) {
                    assert!(tasks(me).expect("own tasks").contains(&last), "{last} is missing");
                }
                assert!(tasks(me).expect("own tasks").contains(&last), "{last} is missing");
                drop(end);
            });
        }
    }

    #[test]
    fn this_process_is_there() {
        let me = Pid(std::process::id() as i32);
        assert!(processes().expect("a /proc").contains(&me));
        assert!(tasks(me).expect("own tasks").len() <= thread_count(me).expect("own count") + 64);
        assert_eq!(status(me).expect("own status").pid, me.0);
        assert_eq!(process_of(me.leader()).expect("own Tgid"), me);
        assert_eq!(tracer_of(me.leader()).expect("own TracerPid"), None);
    }
}
