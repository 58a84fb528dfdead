//! What happened to a target: why a thread or process stands still, and events that come unasked. Plain data for replies,
//! notices and JSON. Decides nothing.

use schemars::JsonSchema;
use serde::Serialize;

use super::Caught;
use super::breakpoints::Access;
use super::listing::Place;
use crate::addr::{Pid, Tid};
use crate::kernel::signal::{Signal, SignalOrigin};
use crate::kernel::wait::End;

/// Why a thread stands still.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Why {
    /// godbg attached.
    Attach,
    /// A person or script asked for a stop, or another thread's stop stopped all.
    Interrupt,
    /// The program was started and stands at its first instruction.
    Start,
    /// It has just executed another program.
    Exec,
    /// It has been given a signal, which it gets when it goes on.
    Signal {
        /// Which.
        signal: Signal,
        /// From whom.
        origin: Option<SignalOrigin>,
    },
    /// It has made a child that is followed too; the child is held at its first instruction.
    Fork {
        /// The child.
        child: Pid,
        /// How.
        birth: Birth,
    },
    /// It has just been born, and stands at its first instruction.
    Born {
        /// The process that made it.
        parent: Pid,
    },
    /// A catchpoint was hit.
    Catch {
        /// Its number.
        catchpoint: u32,
        /// By what.
        #[serde(flatten)]
        event: Caught,
    },
    /// The program, which godbg started, wants the terminal (SIGTTIN, SIGTTOU); `continue` gives it.
    Terminal {
        /// What the terminal raised; the program does not get it.
        signal: Signal,
    },
    /// A breakpoint was met; the thread stands before its instruction.
    Breakpoint {
        /// Its number.
        number: u32,
    },
    /// Watched memory was read or written; the thread stands behind the instruction that did it.
    Watchpoint {
        /// Its number.
        number: u32,
        /// What it waits for.
        access: Access,
        /// The value before, of at most 8 bytes.
        old: Option<u64>,
        /// The value now.
        new: Option<u64>,
    },
    /// A step has ended.
    Step,
    /// The function that `finish` or `until` was to run to the end has returned.
    FunctionFinished,
    /// The thread has come to where `until` or `advance` was to run.
    LocationReached,
    /// Job control has stopped the process (SIGSTOP, Ctrl-Z); it stays stopped until SIGCONT.
    JobControl {
        /// By which signal.
        signal: Signal,
    },
}

/// Why a process was stopped, and which thread did it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct StopReport {
    /// The process.
    pub process: Pid,
    /// The thread to look at first.
    pub thread: Tid,
    /// Its number in `threads`. `number` is that of a breakpoint.
    #[serde(rename = "thread_number")]
    pub number: u32,
    /// Why.
    #[serde(flatten)]
    pub why: Why,
    /// Where that thread stands, if it stopped by itself.
    pub place: Option<Box<Place>>,
    /// The name of the process that sent the signal, any characters; null where none did or it is gone.
    pub sender_name: Option<String>,
    /// Other threads that were given a signal at the same time, which would have stopped the process as well.
    pub also: Vec<ThreadSignal>,
    /// Threads that could not be stopped yet, because they sleep in the kernel (state D).
    pub late: Vec<LateThread>,
}

/// A thread that was given a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct ThreadSignal {
    /// The thread.
    pub thread: Tid,
    /// The signal.
    pub signal: Signal,
}

/// A thread that does not answer, and what the kernel says of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct LateThread {
    /// The thread.
    pub thread: Tid,
    /// Its state letter.
    pub state: Option<char>,
    /// The kernel function that it waits in, where the kernel tells.
    pub wait_channel: Option<String>,
}

/// What one expression of a tracepoint came to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct TracedValue {
    /// As it was written.
    pub expression: String,
    /// Its value, if it has one.
    pub value: Option<u64>,
    /// Why it has none.
    pub error: Option<String>,
}

/// How a child came to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Birth {
    /// fork(2).
    Fork,
    /// vfork(2) or posix_spawn(3).
    Vfork,
    /// clone(2) of a process.
    Clone,
}

/// An event that comes unasked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum News {
    /// The process has stopped.
    Stopped(StopReport),
    /// A thread was given a signal that stops nothing but is to be told (`handle SIG print`).
    Signalled {
        /// The process.
        process: Pid,
        /// The thread.
        thread: Tid,
        /// Its number in `threads`.
        number: u32,
        /// The signal.
        signal: Signal,
        /// From whom.
        origin: Option<SignalOrigin>,
        /// The sending process's name, any characters.
        sender_name: Option<String>,
        /// Whether the program gets it.
        passed: bool,
    },
    /// The process has ended.
    Ended {
        /// The process.
        process: Pid,
        /// How.
        #[serde(flatten)]
        end: End,
    },
    /// A tracepoint was met.
    Traced {
        /// The process.
        process: Pid,
        /// The thread.
        thread: Tid,
        /// The tracepoint's number.
        number: u32,
        /// What its expressions came to.
        values: Vec<TracedValue>,
    },
    /// A breakpoint's condition has no value; the process was stopped.
    ConditionFailed {
        /// The process.
        process: Pid,
        /// The thread.
        thread: Tid,
        /// The breakpoint's number.
        number: u32,
        /// Why not.
        why: String,
    },
    /// A breakpoint is in force no more: what it stood in is gone.
    BreakpointLost {
        /// The process.
        process: Pid,
        /// Its number.
        number: u32,
        /// Why.
        why: String,
    },
    /// A breakpoint is in force at other places than before: what it names was mapped or unmapped.
    BreakpointFound {
        /// The process.
        process: Pid,
        /// Its number.
        number: u32,
        /// At how many places.
        places: usize,
    },
    /// Nothing can be lent to the process, so that it would not outlive a SIGKILL of godbg in the moment of a breakpoint.
    Unshielded {
        /// The process.
        process: Pid,
        /// Why.
        why: String,
    },
    /// It has a new child, which was let go untraced.
    Forked {
        /// The process.
        process: Pid,
        /// The thread that made the child.
        thread: Tid,
        /// The child.
        child: Pid,
        /// How.
        birth: Birth,
    },
    /// A child is followed, and is a process of the session from now on.
    Followed {
        /// The process.
        process: Pid,
        /// The thread that made the child.
        thread: Tid,
        /// The child.
        child: Pid,
        /// How.
        birth: Birth,
        /// The child's number in `processes`.
        number: u32,
        /// Whether the process that made it was let go, and the child has taken its place.
        instead: bool,
    },
    /// The current process has gone, and another of the session has taken its place.
    Selected {
        /// The process that is the current one now.
        process: Pid,
        /// Its number in `processes`.
        number: u32,
    },
    /// It has made so many children in a short time that they are counted, not told one by one. All were let go untraced.
    ForkedMore {
        /// The process.
        process: Pid,
        /// How many.
        children: u64,
    },
    /// It was let go when the session ended.
    Detached {
        /// The process.
        process: Pid,
        /// How long it had been held, in milliseconds.
        held_ms: u64,
    },
    /// It executes another program now.
    Executed {
        /// The process.
        process: Pid,
        /// The tid that the calling thread had before; it has the leader's now.
        former_thread: Tid,
        /// The program, as the kernel knows it.
        program: Option<String>,
    },
    /// A thread that did not answer has stopped with the others now.
    Joined {
        /// The process.
        process: Pid,
        /// The thread.
        thread: Tid,
    },
    /// The last thread that did not answer was let go.
    LetGo {
        /// The process.
        process: Pid,
        /// The thread.
        thread: Tid,
    },
    /// Its leash ran out: it was let run, still attached.
    LeashOver {
        /// The process.
        process: Pid,
        /// How long it had been held, in milliseconds.
        held_ms: u64,
    },
    /// What `on` has a breakpoint run let it run on, after a stop that was told.
    Resumed {
        /// The process.
        process: Pid,
    },
    /// A file is being written: told to people who wait for it.
    Progress {
        /// The process.
        process: Pid,
        /// Which file.
        file: String,
        /// Bytes so far.
        bytes: u64,
        /// Of how many.
        total_bytes: u64,
    },
    /// More happened than anybody came to read: the oldest events were dropped.
    Missed {
        /// How many.
        events: u64,
    },
}
