//! What can go wrong with a target, in words: what was attempted, on which pid or tid, what the kernel answered, and what
//! the person can do about it.

use crate::addr::{Pid, RuntimeAddr, Tid};
use crate::kernel::Errno;
use crate::kernel::access::Denial;
use crate::kernel::spawn::Step;

/// An operation on a target that failed. The target is as it was before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such process or thread.
    #[error("no process {0}")]
    Missing(Pid),
    /// A pid of godbg's own.
    #[error("process {0} is godbg itself")]
    Itself(Pid),
    /// A kernel thread.
    #[error("process {0} ({1}) is a kernel thread, which has no program to look at")]
    KernelThread(Pid, String),
    /// It has ended and waits for its parent.
    #[error("process {pid} ({name}) is a zombie: it has ended and waits for its parent {parent} to take note")]
    Zombie {
        /// The process.
        pid: Pid,
        /// Its name.
        name: String,
        /// Its parent.
        parent: Pid,
    },
    /// Another debugger or strace traces it.
    #[error("process {pid} is already traced by process {tracer} ({name})")]
    Traced {
        /// The process.
        pid: Pid,
        /// The tracer's process.
        tracer: Pid,
        /// The tracer's name.
        name: String,
    },
    /// godbg has just detached from it, but one of its threads has not woken yet.
    #[error(
        "process {0} is still being let go: a thread of it sleeps in the kernel and cannot be released before it wakes"
    )]
    Leaving(Pid),
    /// No permission.
    #[error("cannot trace process {0}: {1}")]
    Denied(Pid, Denial),
    /// It ended while godbg was attaching.
    #[error("process {0} ended while godbg was attaching to it")]
    DiedMeanwhile(Pid),
    /// A guardian that cannot read what it is to undo.
    #[error("cannot read the journal of what is to be undone: {0}")]
    NoJournal(String),
    /// It has ended.
    #[error("process {0} has ended")]
    Ended(Pid),
    /// There is no such thread any more.
    #[error("thread {0} has ended")]
    NoThread(Tid),
    /// It does not end although it was sent SIGKILL.
    #[error("process {0} was sent SIGKILL but has not ended yet: a thread of it sleeps in the kernel")]
    WillNotDie(Pid),
    /// A program could not be started.
    #[error("cannot start {program}: {}", step_words(*.step, *.errno))]
    Start {
        /// What was to be started.
        program: String,
        /// The step that failed.
        step: Step,
        /// What the kernel answered.
        errno: Errno,
    },
    /// A program could not be traced.
    #[error("cannot start {program}: {denial}")]
    NotTraced {
        /// What was to be started.
        program: String,
        /// The rule that refuses.
        denial: Denial,
    },
    /// A program could not be started for a reason found before trying.
    #[error("cannot start {program}: {reason}")]
    NotStarted {
        /// What was to be started.
        program: String,
        /// Why not.
        reason: String,
    },
    /// A system call cannot be made in a thread without harm to it, or did not come back.
    #[error("cannot make a system call in thread {tid}: {why}")]
    NoCalls {
        /// The thread.
        tid: Tid,
        /// Why not.
        why: &'static str,
    },
    /// A core file could not be made.
    #[error("cannot take a core of process {pid}: {why}")]
    NoCore {
        /// The process.
        pid: Pid,
        /// Why not.
        why: String,
    },
    /// There is no breakpoint with this number.
    #[error("no breakpoint {0}")]
    NoBreakpoint(u32),
    /// More addresses are to be watched than the processor has registers for; so many are wanted.
    #[error("{0} debug registers are wanted, and the processor has 4")]
    NoDebugRegister(usize),
    /// A watchpoint where there is no memory.
    #[error("{0} cannot be watched: nothing is mapped there")]
    NotWatchable(RuntimeAddr),
    /// More breakpoints than can be kept safe.
    #[error("there are {0} breakpoints, and no more can be kept safe")]
    TooManyBreakpoints(usize),
    /// No breakpoint can stand there.
    #[error("no breakpoint can stand at {addr}: {why}")]
    NotText {
        /// Where.
        addr: RuntimeAddr,
        /// Why not.
        why: String,
    },
    /// A thread runs in the memory that breakpoints need, which is taken back only when none does.
    #[error("thread {thread} of process {process} still runs in memory that godbg has lent the process")]
    InLentMemory {
        /// The process.
        process: Pid,
        /// The thread.
        thread: Tid,
    },
    /// No free memory near an instruction that is to be copied.
    #[error("there is no free address space near {0}")]
    NoRoom(RuntimeAddr),
    /// A request of the kernel failed in a way that has no case of its own.
    #[error("cannot {what} thread {tid}: {}", .errno.desc())]
    Request {
        /// What was attempted.
        what: &'static str,
        /// On which thread.
        tid: Tid,
        /// What the kernel answered.
        errno: Errno,
    },
    /// Something about godbg's own process failed.
    #[error("cannot {what}: {}", .errno.desc())]
    Own {
        /// What was attempted.
        what: &'static str,
        /// What the kernel answered.
        errno: Errno,
    },
}

fn step_words(step: Step, errno: Errno) -> String {
    match step {
        Step::Execute if errno == Errno::ENOEXEC => "it is neither a program nor a script with a #! line".into(),
        Step::Execute => errno.desc().into(),
        Step::ChangeFolder => format!("its folder cannot be entered: {}", errno.desc()),
        Step::Personality => format!("address randomisation cannot be switched off: {}", errno.desc()),
        Step::Trace => format!("it cannot be traced: {}", errno.desc()),
    }
}

impl Error {
    /// What the person can do, where something can be done.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Missing(_) => "ps lists the processes that are there".into(),
            Error::Itself(_) => "start a second godbg and attach that one to this".into(),
            Error::KernelThread(..) => "ps lists the processes that can be attached to".into(),
            Error::Zombie { parent, .. } => format!("look at its parent instead: attach {parent}"),
            Error::Traced { tracer, .. } => format!("end that tracer (process {tracer}) or let it detach first"),
            Error::Leaving(_) => "try again when it has woken; status of the thread: cat /proc/PID/task/*/wchan".into(),
            Error::Denied(_, denial) | Error::NotTraced { denial, .. } => denial.hint().into(),
            Error::Start { step: Step::Execute, errno: Errno::ENOENT, .. } => "check the path".into(),
            Error::Start { step: Step::Execute, errno: Errno::EACCES, .. } => {
                "check that it may be executed (chmod +x)".into()
            }
            Error::NoBreakpoint(_) => "breakpoints lists them".into(),
            Error::NoDebugRegister(_) => {
                "clear or disable a watchpoint or hbreak; one of them covers 8 aligned bytes".into()
            }
            Error::NoCalls { .. } => "another thread may be able to: thread N syscall …".into(),
            Error::TooManyBreakpoints(_) => "clear some".into(),
            Error::NotText { .. } | Error::NotWatchable(_) => "maps lists what is mapped where".into(),
            Error::InLentMemory { process, .. } => {
                format!("nothing in it stops or harms it; \"godbg repair {process}\" takes the memory back later")
            }
            Error::WillNotDie(_) => "it ends as soon as the kernel lets the thread go".into(),
            _ => return None,
        })
    }
}

/// The result of operations on a target.
pub type Result<T> = std::result::Result<T, Error>;
