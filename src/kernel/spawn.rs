//! Starts a program as a tracee: fork, seize, exec, with nothing of godbg's inherited but what was asked for. The child
//! waits on a pipe until it is traced, so that no instruction of the program runs untraced, and it ends by itself should
//! godbg die before that. Refuses to know shells or search paths.

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::unistd::{self, ForkResult};

use super::ptrace::{OnTracerDeath, Tracer};
use crate::addr::Pid;

/// A program to start. Strings are as execve(2) takes them.
pub struct Program {
    /// The file to execute: a path, not a name to look up.
    pub path: CString,
    /// The arguments, the program's name first.
    pub args: Vec<CString>,
    /// The environment, `NAME=value` each.
    pub env: Vec<CString>,
    /// The folder to start in; godbg's own if none.
    pub cwd: Option<CString>,
    /// Standard input, output and error; godbg's own where none.
    pub stdio: [Option<OwnedFd>; 3],
    /// Whether addresses are the same each time (personality(2), ADDR_NO_RANDOMIZE).
    pub no_aslr: bool,
}

/// The step of starting that failed in the child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Step {
    /// It could not be traced, or could not be told to go on.
    Trace,
    /// chdir(2).
    ChangeFolder,
    /// personality(2).
    Personality,
    /// execve(2).
    Execute,
}

/// Starts the program in a process group of its own. On success the child is traced and about to call execve(2): its
/// next stop is the exec event, and [`Starting::failure`] tells afterwards what went wrong if it ended instead.
pub fn start(tracer: Tracer, program: &Program) -> Result<Starting, (Step, Errno)> {
    let trace = |errno| (Step::Trace, errno);
    let (go_read, go_write) = unistd::pipe2(OFlag::O_CLOEXEC).map_err(trace)?;
    let (error_read, error_write) = unistd::pipe2(OFlag::O_CLOEXEC).map_err(trace)?;
    let argv = pointers(&program.args);
    let envp = pointers(&program.env);
    let stdio = program.stdio.each_ref().map(|fd| fd.as_ref().map(AsRawFd::as_raw_fd));
    // SAFETY: the child calls async-signal-safe functions only, on memory that was prepared before.
    match unsafe { unistd::fork() }.map_err(trace)? {
        ForkResult::Child => {
            // SAFETY: as above; the pointers are into `program`, which this copy of memory still holds.
            unsafe {
                libc::close(go_write.as_raw_fd());
                child(program, &argv, &envp, stdio, go_read.as_raw_fd(), error_write.as_raw_fd())
            }
        }
        ForkResult::Parent { child } => {
            let pid = Pid(child.as_raw());
            drop((go_read, error_write));
            // The child ends by itself when `go_write` is closed unwritten.
            tracer.seize(pid.leader(), OnTracerDeath::Kill).map_err(trace)?;
            unistd::write(&go_write, b"!").map_err(trace)?;
            Ok(Starting { pid, errors: error_read })
        }
    }
}

/// A child that is between fork and exec.
pub struct Starting {
    /// Its pid.
    pub pid: Pid,
    errors: OwnedFd,
}

impl Starting {
    /// What the child reported before it ended. Call it only once the child has ended or executed: then it never blocks,
    /// since both close the pipe.
    pub fn failure(self) -> Option<(Step, Errno)> {
        let mut bytes = [0; 5];
        std::fs::File::from(self.errors).read_exact(&mut bytes).ok()?;
        let step = match bytes[0] {
            0 => Step::Trace,
            1 => Step::ChangeFolder,
            2 => Step::Personality,
            _ => Step::Execute,
        };
        Some((step, Errno::from_raw(i32::from_ne_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]))))
    }
}

/// An array of C strings with the null pointer at its end.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// The child's way to execve(2).
///
/// # Safety
/// Runs between fork and exec of a process with threads: no allocation, no lock, no panic.
unsafe fn child(
    program: &Program,
    argv: &[*const libc::c_char],
    envp: &[*const libc::c_char],
    stdio: [Option<RawFd>; 3],
    go: RawFd,
    errors: RawFd,
) -> ! {
    let fail = |step: Step| -> ! {
        let mut bytes = [step as u8; 5];
        bytes[1..].copy_from_slice(&(Errno::last() as i32).to_ne_bytes());
        // SAFETY: writes from a live array; there is nobody left to tell about an error of write(2).
        unsafe {
            libc::write(errors, bytes.as_ptr().cast(), bytes.len());
            libc::_exit(127)
        }
    };
    // SAFETY: system calls on numbers and on memory that lives until exec.
    unsafe {
        libc::setpgid(0, 0);
        let mut byte = 0u8;
        if libc::read(go, (&raw mut byte).cast(), 1) != 1 {
            libc::_exit(127);
        }
        for (target, fd) in stdio.iter().enumerate() {
            // dup2 onto itself would keep FD_CLOEXEC; our own files are opened above 2.
            if let Some(fd) = fd
                && libc::dup2(*fd, target as RawFd) < 0
            {
                fail(Step::Trace);
            }
        }
        if let Some(folder) = &program.cwd
            && libc::chdir(folder.as_ptr()) != 0
        {
            fail(Step::ChangeFolder);
        }
        if program.no_aslr && libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) < 0 {
            fail(Step::Personality);
        }
        // Everything above the three is closed by exec; the pipe for errors stays open until then.
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        default_signals();
        libc::execve(program.path.as_ptr(), argv.as_ptr(), envp.as_ptr());
        fail(Step::Execute)
    }
}

/// Default dispositions and an empty mask: Rust's runtime ignores SIGPIPE, and godbg blocks what it reads from
/// descriptors. The mask comes last, or a signal that is pending could meet a handler of godbg's.
///
/// # Safety
/// For a child that is about to exec.
unsafe fn default_signals() {
    // SAFETY: plain system calls; SIGKILL, SIGSTOP and glibc's own two answer EINVAL.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut empty: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut empty);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, ptr::null_mut());
    }
}

/// Turns a string into what execve(2) takes; a NUL in it is an error.
pub fn c_string(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{text:?} holds a NUL byte")))
}
