//! A traced process: its threads, whether it is held, and what it has to tell. All-stop: either every thread runs or
//! none does. What happens on its own is taken in by `changes` and `births`; stopping, attaching, resuming and letting go
//! are in files of their own. Refuses to wait for a person.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::breakpoints::Steering;
use super::changes::Walks;
use super::follow::Newborn;
use super::gcore::CopyMark;
use super::landing::Gadgets;
use super::thread::{State, StoppedThread, Thread};
use super::{Error, News, Result, Rules, StopReport, Why};
use crate::addr::{Pid, Tid};
use crate::kernel::Errno;
use crate::kernel::memory::Memory;
use crate::kernel::metronome::Metronome;
use crate::kernel::own::Terminal;
use crate::kernel::ptrace::Tracer;
use crate::kernel::wait::{self, End, Report, Stop, Usage};

/// Where a process came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// It ran before godbg came, and is let go in the end.
    Attached,
    /// godbg started it, and ends it in the end.
    Started,
}

/// Whether the process is held, runs, or is no more.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    Running,
    Held { since: Instant, report: StopReport },
    Ended { end: End, status: u32, usage: Usage },
}

/// A process under godbg's control. Dropping it lets it go, as well as can be done.
pub struct Process {
    pub(super) pid: Pid,
    pub(super) origin: Origin,
    pub(super) name: String,
    pub(super) tracer: Tracer,
    pub(super) metronome: Rc<Metronome>,
    /// What the session's person has decided for all processes.
    pub(super) rules: Rc<Rules>,
    pub(super) threads: BTreeMap<Tid, Thread>,
    pub(super) phase: Phase,
    /// Children that were born traced and must be let go when their first stop comes.
    pub(super) strays: Vec<Pid>,
    pub(super) news: VecDeque<News>,
    /// The terminal that the program gets while it runs in the foreground.
    pub(super) terminal: Option<Arc<Terminal>>,
    pub(super) has_terminal: bool,
    /// The process group that gets the terminal: its own, or that of the process whose child it is.
    pub(super) group: Pid,
    /// Children that are to be followed.
    pub(super) newborns: VecDeque<Newborn>,
    /// Whether it was stopped only for a child that is followed in its stead, and then whether it had the terminal.
    pub(super) stopped_to_follow: Option<bool>,
    /// Whether the session has other processes.
    pub(super) company: bool,
    /// The copy of its memory that a core is being written from.
    pub(super) copy: Option<CopyMark>,
    /// Where it has the instructions that calls for godbg need, once that has been asked for.
    pub(super) gadgets: Cell<Option<Gadgets>>,
    /// Breakpoints and what they need.
    pub(super) steering: Steering,
    /// What threads met while all were being stopped, and nobody has been told yet.
    pub(super) unreported: VecDeque<(Tid, Why)>,
    /// The numbers and commands of temporary breakpoints or a catchpoint that have gone with the last stop.
    pub(super) parted: Vec<(u32, Vec<String>)>,
    /// Its memory, once it has been asked for.
    pub(super) memory: RefCell<Option<Rc<Memory>>>,
    pub(super) next_number: u32,
    pub(super) walks: Walks,
    /// Whether a thread has told of the signal that ends the process.
    pub(super) deadly_end_seen: bool,
    released: bool,
}

impl Process {
    pub(super) fn new(
        pid: Pid,
        origin: Origin,
        name: String,
        tracer: Tracer,
        metronome: Rc<Metronome>,
        rules: Rc<Rules>,
    ) -> Process {
        Process {
            pid,
            origin,
            name,
            tracer,
            metronome,
            rules,
            threads: BTreeMap::new(),
            phase: Phase::Running,
            strays: Vec::new(),
            news: VecDeque::new(),
            terminal: None,
            has_terminal: false,
            group: pid,
            newborns: VecDeque::new(),
            stopped_to_follow: None,
            company: false,
            copy: None,
            steering: Steering::default(),
            unreported: VecDeque::new(),
            parted: Vec::new(),
            gadgets: Cell::new(None),
            memory: RefCell::new(None),
            next_number: 1,
            walks: Walks::default(),
            deadly_end_seen: false,
            released: false,
        }
    }

    /// Its pid.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// A number for a breakpoint or catchpoint.
    pub fn next_breakpoint_number(&mut self) -> u32 {
        self.rules.next_number()
    }

    /// The name it had when it was attached to or started. From the target: any characters.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it came from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The tid of the thread that traces it.
    pub fn tracer(&self) -> Tid {
        self.tracer.tid()
    }

    /// Since when it has been held, and why; `None` while it runs.
    pub fn held(&self) -> Option<(Instant, &StopReport)> {
        match &self.phase {
            Phase::Held { since, report } => Some((*since, report)),
            _ => None,
        }
    }

    /// Whether the program has the terminal now.
    pub fn has_terminal(&self) -> bool {
        self.has_terminal
    }

    /// How it ended: the end, the wait status and its resource usage.
    pub fn ended(&self) -> Option<(End, u32, Usage)> {
        match self.phase {
            Phase::Ended { end, status, usage } => Some((end, status, usage)),
            _ => None,
        }
    }

    /// Whether job control keeps it stopped at this moment.
    pub fn is_job_stopped(&self) -> bool {
        self.threads.values().any(|thread| matches!(thread.state, State::Listening(_) | State::Stopped(Stop::Group(_))))
    }

    /// The next thing it has to tell.
    pub fn next_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// When [`Process::take_in`] should be called again although no signal has come.
    pub fn next_look(&self) -> Option<Instant> {
        self.walks.due
    }

    /// A thread that stands still (the preferred one if it does), its wait status, and the process's resource usage, as the
    /// kernel says them now. No usage where the stop had to be taken (an exec by a thread that was not the leader).
    pub fn wait_status(&self, preferred: Tid) -> Result<(Tid, u32, Option<Usage>)> {
        let stands = |tid: &Tid| matches!(self.threads.get(tid).map(|thread| thread.state), Some(State::Stopped(_)));
        let mut standing = std::iter::once(&preferred).chain(self.threads.keys()).filter(|tid| stands(tid));
        let tid = *standing.next().ok_or(Error::Ended(self.pid))?;
        match wait::usage(tid) {
            Ok(Some((Report::Stopped(_, status) | Report::Ended(_, status), usage))) => Ok((tid, status, Some(usage))),
            Ok(None) => Ok((tid, wait::EXEC_STATUS, None)),
            Err(Errno::ECHILD) => Err(Error::Ended(self.pid)),
            Err(errno) => Err(Error::Request { what: "ask the status of", tid, errno }),
        }
    }

    /// Whether at least one of its threads stands still; not so while all sleep in the kernel.
    pub fn has_stopped_thread(&self) -> bool {
        self.threads.values().any(|thread| matches!(thread.state, State::Stopped(_)))
    }

    /// A thread that stands still, for what only stopped threads have.
    pub fn stopped_thread(&self, tid: Tid) -> Option<StoppedThread<'_>> {
        let thread = self.threads.get(&tid)?;
        matches!(thread.state, State::Stopped(_)).then_some(StoppedThread {
            tracer: self.tracer,
            tid,
            process: std::marker::PhantomData,
        })
    }

    pub(super) fn mark_released(&mut self) {
        self.released = true;
    }

    /// How long ago it was stopped.
    pub fn held_for(&self) -> Option<Duration> {
        self.held().map(|(since, _)| since.elapsed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.released && self.ended().is_none() {
            // The last resort, for a panic: what godbg started ends with it, and all else runs on.
            match self.origin {
                Origin::Attached => drop(self.detach()),
                Origin::Started => drop(self.kill()),
            }
        }
    }
}
