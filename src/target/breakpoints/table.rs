//! What a person has set: the breakpoints of a process and what each of them asks for. Pure data and rules; touches no
//! process.

use super::watch::Access;
use crate::addr::{RuntimeAddr, Tid};
use crate::target::expr::Expr;

/// By what a breakpoint is met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An int3 in the text.
    Software,
    /// A debug register: no text is changed.
    Hardware,
    /// A debug register that watches data.
    Watch(Access),
}

/// A breakpoint, watchpoint or tracepoint.
#[derive(Clone, Debug)]
pub struct Breakpoint {
    /// Its number, never given twice in a session.
    pub number: u32,
    /// By what it is met.
    pub kind: Kind,
    /// The location as it was written.
    pub location: String,
    /// Where it is now: a function that is inlined or instantiated, or a line, can be in several places. Nowhere: what it names
    /// is not mapped, and it waits until it is.
    pub addresses: Vec<RuntimeAddr>,
    /// Whether the location is looked up again whenever files are mapped or unmapped: it names a function or a line.
    pub follows: bool,
    /// How many bytes are watched; 1 for a place in the text.
    pub length: u64,
    /// Whether it is in force.
    pub enabled: bool,
    /// Whether it is gone after its first stop.
    pub temporary: bool,
    /// The only thread that it stops: its number and tid.
    pub thread: Option<(u32, Tid)>,
    /// It stops only where this is not 0.
    pub condition: Option<Expr>,
    /// How many hits are still to be passed over.
    pub ignore: u64,
    /// How often it was met (with its condition true).
    pub hits: u64,
    /// What is run at a stop, as it was written.
    pub commands: Vec<String>,
    /// It does not stop: these values are told. Empty expressions: only that it was met.
    pub trace: Option<Vec<Expr>>,
    /// What a watchpoint's bytes were when it was set or last met.
    pub value: Option<u64>,
}

/// What is asked for when one is set.
#[derive(Clone, Debug)]
pub struct NewBreakpoint {
    /// By what it is to be met.
    pub kind: Kind,
    /// The location as it was written.
    pub location: String,
    /// Where; nowhere, if it is to wait for a file that has what it names.
    pub addresses: Vec<RuntimeAddr>,
    /// Whether the location is looked up again whenever files are mapped or unmapped.
    pub follows: bool,
    /// How many bytes are watched; 1 for a place in the text.
    pub length: u64,
    /// Whether it is to go after its first stop.
    pub temporary: bool,
    /// The only thread that it is to stop.
    pub thread: Option<(u32, Tid)>,
    /// When it is to stop.
    pub condition: Option<Expr>,
    /// What it is to tell instead of stopping.
    pub trace: Option<Vec<Expr>>,
}

impl NewBreakpoint {
    /// Gives it a number.
    pub(super) fn numbered(self, number: u32) -> Breakpoint {
        let NewBreakpoint { kind, location, addresses, follows, length, temporary, thread, condition, trace } = self;
        Breakpoint {
            number,
            kind,
            location,
            addresses,
            follows,
            length,
            enabled: true,
            temporary,
            thread,
            condition,
            ignore: 0,
            hits: 0,
            commands: Vec::new(),
            trace,
            value: None,
        }
    }
}

impl Breakpoint {
    /// Whether it is one of the text at this address, and in force for this thread.
    pub(super) fn is_at(&self, addr: RuntimeAddr, thread: Tid, kind: Kind) -> bool {
        self.enabled
            && self.kind == kind
            && self.addresses.contains(&addr)
            && self.thread.is_none_or(|(_, tid)| tid == thread)
    }

    /// Counts a hit whose condition holds. Whether it stops.
    pub(super) fn count(&mut self) -> bool {
        self.hits += 1;
        if self.ignore > 0 {
            self.ignore -= 1;
            return false;
        }
        true
    }

    /// The first of its places.
    pub fn address(&self) -> Option<RuntimeAddr> {
        self.addresses.first().copied()
    }

    /// Its kind in a word.
    pub fn kind_word(&self) -> &'static str {
        match self.kind {
            _ if self.trace.is_some() => "trace",
            Kind::Software => "break",
            Kind::Hardware => "hbreak",
            Kind::Watch(Access::Write) => "watch",
            Kind::Watch(Access::Read) => "rwatch",
            Kind::Watch(Access::Any) => "awatch",
        }
    }
}
