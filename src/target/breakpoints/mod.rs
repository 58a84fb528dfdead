//! Breakpoints, watchpoints and what they need of the process: what a person has set ([`table`]), the text that is changed
//! for it while threads run ([`sites`], [`arming`]), copies of instructions by which threads pass ([`displaced`], [`shield`]),
//! debug registers ([`watch`]), and what follows when a thread meets one ([`hits`]). Refuses to know how they are shown.

mod aftermath;
mod arming;
mod displaced;
mod following;
mod hits;
mod journal;
mod running;
mod shield;
mod sites;
mod table;
mod watch;

use std::collections::BTreeSet;

pub(super) use aftermath::CallNote;
pub use following::Locate;
pub(super) use hits::{CALL_STEP_CODE, DEBUG_CODE, INT3_CODE, Met, STEP_CODE, evaluate};
pub use journal::{Repaired, guard, journal_folder, repair};
pub(super) use sites::INT3;
pub use table::{Breakpoint, Kind, NewBreakpoint};
pub use watch::{Access, REGISTERS};

use crate::addr::{RuntimeAddr, Tid};
use crate::kernel::own::StayNear;
use crate::target::expr::Variables;
use crate::target::flow::Return;
use crate::target::{Error, Why};

/// What godbg does to steer one process.
#[derive(Default)]
pub(super) struct Steering {
    /// What people have set, by rising number.
    pub breakpoints: Vec<Breakpoint>,
    /// Those that one thread has met with one instruction and that ask for its stop: the first is told.
    pub together: Vec<u32>,
    /// Where a step or `finish` is to end.
    pub goals: Vec<Goal>,
    /// Where the dynamic linker comes by whenever it has mapped or unmapped files; met silently.
    pub libraries: Option<RuntimeAddr>,
    /// The text that is changed while threads run.
    pub sites: sites::Sites,
    /// Whether `sites` has to be made anew from the two above.
    pub stale: bool,
    /// What was lent to the process.
    pub shield: Option<shield::Shield>,
    /// Why nothing can be lent to it.
    pub no_shield: Option<Error>,
    /// What is written down for the case that godbg is killed.
    pub guard: Option<journal::Guard>,
    /// Why nothing can be written down, or nobody would undo it.
    pub no_guard: Option<String>,
    /// Threads that wait for a child that runs in the same memory (vfork): no int3 stands in it meanwhile.
    pub vforks: BTreeSet<Tid>,
    /// Whether its memory is that of the process that made it (vfork), until it executes a program: nothing is put in.
    pub borrows: bool,
    /// The debug registers as all threads are to have them.
    pub debug: watch::DebugRegisters,
    /// Counts changes of `debug`; a thread that has an older count must be told.
    pub debug_generation: u32,
    /// How many hits were passed over.
    pub passed: u64,
    /// Lets the tracer thread go where it likes again, once the process is held.
    pub near: Option<StayNear>,
    /// The only thread that runs, where only one is let run.
    pub alone: Option<Tid>,
    /// The session's convenience variables, for conditions.
    pub variables: Variables,
    /// The thread that was stepped last: a step's trap may still be on its way to it when it is stopped for something else.
    pub stepped: Option<Tid>,
    /// Whether it was told that nothing can be lent to the process.
    pub told_unshielded: bool,
    /// Whether nothing is to be put in any more: what an earlier godbg left is being taken away.
    pub retired: bool,
}

/// Where a thread is wanted next, and once it is there the process stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Goal {
    /// The address.
    pub addr: RuntimeAddr,
    /// The thread; any if none.
    pub thread: Option<Tid>,
    /// The stack pointer must be above this one: the same function called again from within does not count.
    pub above: Option<RuntimeAddr>,
    /// What is told of the stop.
    pub why: Why,
}

impl Goal {
    /// Where a thread's function has returned.
    pub fn at_return(place: Return, thread: Tid) -> Goal {
        Goal { addr: place.addr, thread: Some(thread), above: Some(place.above), why: Why::FunctionFinished }
    }

    fn is_met(&self, addr: RuntimeAddr, thread: Tid, sp: RuntimeAddr) -> bool {
        self.addr == addr && self.thread.is_none_or(|tid| tid == thread) && self.above.is_none_or(|above| sp > above)
    }
}

impl Steering {
    /// Whether anything was set, so that traps may be of godbg's making.
    pub fn is_active(&self) -> bool {
        let set = !self.sites.is_empty() || self.stale || self.debug_generation > 0;
        set || self.shield.is_some() || self.stepped.is_some()
    }
}
