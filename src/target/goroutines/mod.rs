//! The goroutines of a Go program, seen from outside: copied in a short stop, walked and named afterwards. Shows nothing, and
//! changes nothing.

mod copy;
mod labels;
pub mod layout;
mod raw;
mod runtime;
mod threads;
pub mod wait_reasons;
mod walk;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

pub use copy::{Ahead, GoroutineCopy};
pub use labels::Labels;
pub use raw::RawG;
pub use runtime::{GoRuntime, TlsSlot};
pub use threads::{GoThread, ParkedGoroutine};
pub use walk::Walked;

use self::labels::LabelReader;
use self::walk::{Walker, is_user_function};
use super::snapshot::Snapshot;
use super::stacks::{Limits, NamedFrame};
use super::{Error, Fault, Modules, Process};
use crate::addr::{Pid, Tid};
use crate::kernel::clock;
use crate::parallel;

/// What a goroutine does (`_Gidle` … of runtime/runtime2.go).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Status(pub u32);

impl Status {
    /// The runtime's own word (`gStatusStrings` of runtime/traceback.go).
    pub fn name(self) -> &'static str {
        match self.0 {
            0 => "idle",
            1 => "runnable",
            2 => "running",
            3 => "syscall",
            4 => "waiting",
            6 => "dead",
            8 => "copystack",
            9 => "preempted",
            10 => "leaked",
            11 => "deadextra",
            _ => "unknown",
        }
    }
}

/// One goroutine.
#[derive(Clone, Debug)]
pub struct Goroutine {
    /// Its number in the program.
    pub id: u64,
    /// The address of its `g`.
    pub addr: u64,
    /// What it does.
    pub status: Status,
    /// What it waits for.
    pub wait_reason: Option<&'static str>,
    /// About how long it has waited: the runtime notes the time when it first collects garbage after that.
    pub waiting: Option<Duration>,
    /// Its thread.
    pub thread: Option<Tid>,
    /// Its stack.
    pub stack: Arc<Walked>,
    /// The function that it began with.
    pub start: Option<Arc<[NamedFrame]>>,
    /// Where it was made.
    pub creator: Option<Arc<[NamedFrame]>>,
    /// The goroutine that has made it, since Go 1.21.
    pub parent: Option<u64>,
    /// Its labels.
    pub labels: Option<Labels>,
    /// Whether it is one of the runtime's own, by the runtime's own rule.
    pub is_system: bool,
}

/// All goroutines of a process at one moment.
pub struct Goroutines {
    /// The process.
    pub process: Pid,
    /// The toolchain that built it: `go1.27.3`; empty if that is not known.
    pub version: String,
    /// How long the process was held for it; `None`: it was held already.
    pub held: Option<Duration>,
    /// By rising number.
    pub all: Vec<Goroutine>,
    /// How many there are, those included that were not asked for.
    pub total: usize,
    /// How many could not be read.
    pub unreadable: usize,
}

/// How much of goroutines is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Depth {
    /// So many frames of each stack at most.
    pub frames: usize,
    /// Whether it is enough to come to the first frame of the program's own.
    pub only_user: bool,
    /// So much of each stack is copied, bytes.
    pub bytes: usize,
    /// Only the goroutine of this number.
    pub only: Option<u64>,
}

impl Depth {
    /// For lists: where each stands in the program's own code.
    pub const USER: Depth = Depth { frames: 64, only_user: true, bytes: 1024, only: None };

    /// For stacks of so many frames.
    pub fn stacks(frames: usize) -> Depth {
        Depth { frames, only_user: false, bytes: 256 << 10, only: None }
    }

    /// The same of one goroutine alone.
    pub fn of(self, id: u64) -> Depth {
        Depth { only: Some(id), ..self }
    }
}

/// Why goroutines could not be read.
#[derive(Debug, thiserror::Error)]
pub enum GoroutineFault {
    /// The process could not be held.
    #[error(transparent)]
    Process(#[from] Error),
    /// Its memory could not be read.
    #[error(transparent)]
    Memory(#[from] Fault),
}

impl Process {
    /// All its goroutines. A process that runs is held while they are copied.
    pub fn goroutines(
        &mut self,
        runtime: &GoRuntime,
        modules: &Modules,
        depth: Depth,
    ) -> Result<Goroutines, GoroutineFault> {
        Ok(self.unnamed_goroutines(runtime, depth, None)?.named(runtime, modules, depth))
    }

    /// The same without their names, which may be found when the process was let go. `ahead`: what was found before it was
    /// attached to.
    pub fn unnamed_goroutines(
        &mut self,
        runtime: &GoRuntime,
        depth: Depth,
        ahead: Option<Ahead>,
    ) -> Result<UnnamedGoroutines, GoroutineFault> {
        let (copy, away) = self.copy_goroutines(runtime, depth, ahead)?;
        Ok(UnnamedGoroutines { process: self.pid(), memory: self.memory()?, copy, away })
    }
}

/// What was copied of a process.
pub struct UnnamedGoroutines {
    process: Pid,
    memory: Rc<crate::kernel::memory::Memory>,
    copy: GoroutineCopy,
    /// The threads that are not on their goroutines' stacks.
    away: Snapshot,
}

/// Stacks of goroutines that were found by their threads.
type ByThread = FxHashMap<Tid, Arc<Walked>>;

impl UnnamedGoroutines {
    /// Walks their stacks and names what is on them.
    pub fn named(self, runtime: &GoRuntime, modules: &Modules, depth: Depth) -> Goroutines {
        let UnnamedGoroutines { process, memory, copy, mut away } = self;
        let labels = read_labels(&copy, &LabelSource { memory, minor: runtime.minor() });
        let by_thread = walk_threads(&mut away, modules, depth);
        let all = name_all(&copy, runtime, modules, depth, &labels, &by_thread);
        let version = runtime.build().version;
        Goroutines { process, version, held: copy.held, all, total: copy.total, unreadable: copy.unreadable }
    }
}

/// Stacks without any frame of the program's own tell less than what the runtime has noted.
fn walk_threads(away: &mut Snapshot, modules: &Modules, depth: Depth) -> ByThread {
    if away.threads.is_empty() {
        return ByThread::default();
    }
    let stacks = away.stacks(modules, Limits { frames: depth.frames, registers: false });
    let walked = stacks.into_iter().map(|(_, stack)| Arc::new(Walked::of(stack)));
    let by_thread = away.threads.iter().map(|thread| thread.tid).zip(walked);
    by_thread.filter(|(_, walked)| walked.has_user).collect()
}

struct LabelSource {
    memory: Rc<crate::kernel::memory::Memory>,
    minor: u32,
}

fn read_labels(copy: &GoroutineCopy, source: &LabelSource) -> FxHashMap<u64, Option<Labels>> {
    let mut reader = LabelReader { memory: &source.memory, minor: source.minor, known: FxHashMap::default() };
    for g in copy.gs().filter(|g| g.labels != 0) {
        reader.read(g.labels);
    }
    reader.known
}

fn name_all(
    copy: &GoroutineCopy,
    runtime: &GoRuntime,
    modules: &Modules,
    depth: Depth,
    labels: &FxHashMap<u64, Option<Labels>>,
    by_thread: &ByThread,
) -> Vec<Goroutine> {
    let (now, minor) = (clock::monotonic(), runtime.minor());
    let workers = parallel::processors();
    // Addresses are sorted, not what is made of them: that is ten times as much to move.
    let mut sorted: Vec<(u64, &RawG)> = copy.gs().map(|g| (g.id, g)).collect();
    sorted.sort_unstable_by_key(|(id, g)| (*id, g.addr));
    let parts = sorted.chunks((sorted.len() / workers + 1).max(256));
    // The first has room for all that the others will add.
    let rooms = std::iter::once(sorted.len()).chain(std::iter::repeat(0));
    let parts = parts.zip(rooms).map(|(part, room)| (part, room.max(part.len()))).collect();
    parallel::concat(parts, |(part, room): (&[(u64, &RawG)], usize)| {
        let mut walker = Walker::new(copy, modules, &copy.mappings, depth.frames, depth.only_user);
        let mut one = |g: &RawG| {
            let thread = copy.threads.get(&g.m).copied();
            let by_thread = thread.and_then(|tid| by_thread.get(&tid)).cloned();
            let stack = by_thread.unwrap_or_else(|| walker.stack(g));
            let start = walker.place(g.start_pc, false);
            let waits = g.status == WAITING;
            Goroutine {
                id: g.id,
                addr: g.addr,
                status: Status(g.status),
                wait_reason: waits.then(|| wait_reasons::wait_reason(minor, g.reason)).flatten(),
                waiting: (waits && g.since != 0).then(|| now.saturating_sub(Duration::from_nanos(g.since))),
                thread,
                is_system: is_system(start.as_deref(), &stack),
                stack,
                start,
                creator: if g.id == MAIN { None } else { walker.place(g.creator_pc, true) },
                parent: (g.parent != 0).then_some(g.parent),
                labels: if g.labels == 0 { None } else { labels.get(&g.labels).cloned().flatten() },
            }
        };
        let mut named = Vec::with_capacity(room);
        named.extend(part.iter().map(|(_, g)| one(g)));
        named
    })
}

/// The first goroutine, which no `go` statement has made: the runtime's own traces name none (`printcreatedby`).
const MAIN: u64 = 1;

/// `_Gwaiting`.
const WAITING: u32 = 4;

/// `isSystemGoroutine` of runtime/traceback.go. Whether a goroutine of finalizers or cleanups is the program's at the moment the
/// runtime keeps in a flag; its stack says the same.
fn is_system(start: Option<&[NamedFrame]>, stack: &Walked) -> bool {
    let Some(name) = start.and_then(|frames| frames.last()).and_then(|frame| frame.function.as_deref()) else {
        return false;
    };
    match name {
        "runtime.main" | "runtime.corostart" | "runtime.handleAsyncEvent" => false,
        "runtime.runfinq" | "runtime.runFinalizers" | "runtime.runCleanups" => !stack.has_user,
        name => name.starts_with("runtime."),
    }
}

/// Whether a function is the program's own, by Delve's rule.
pub fn is_programs_own(function: &str) -> bool {
    is_user_function(function)
}
