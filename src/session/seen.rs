//! The registers that threads had when they were last let go, so that what has changed since can be marked. Decides nothing.

use std::collections::BTreeMap;

use super::Session;
use crate::addr::Tid;
use crate::target::{Extended, Process, Registers};

/// With more threads than that only the selected one's registers are kept: a request for each would be felt.
const MOST_THREADS: usize = 256;

/// What was seen when the process was last let run.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    general: BTreeMap<Tid, Registers>,
    extended: Option<(Tid, Extended)>,
}

impl Seen {
    /// Takes note of a process that stands still and is about to run. A thread that cannot be asked is left out: nothing
    /// will be marked for it.
    pub(super) fn of(process: &Process, selected: Option<Tid>) -> Seen {
        let all = process.thread_numbers();
        let few = all.len() <= MOST_THREADS;
        let wanted = all.into_iter().map(|(_, tid)| tid).filter(|tid| few || Some(*tid) == selected);
        let general = wanted.filter_map(|tid| Some((tid, process.stopped_thread(tid)?.registers().ok()?)));
        let extended = selected.and_then(|tid| Some((tid, process.stopped_thread(tid)?.extended().ok()?)));
        Seen { general: general.collect(), extended }
    }

    /// The general registers that a thread had.
    pub fn general(&self, tid: Tid) -> Option<&Registers> {
        self.general.get(&tid)
    }

    /// The extended registers that a thread had: only the selected one's are kept.
    pub fn extended(&self, tid: Tid) -> Option<&Extended> {
        self.extended.as_ref().filter(|(known, _)| *known == tid).map(|(_, extended)| extended)
    }
}

impl Session {
    /// Keeps the registers of the process that is about to run, for what is to be marked as changed at its next stop.
    /// Whatever lets the process run on calls it first.
    pub fn note_registers(&mut self) {
        self.looking.listed = None;
        self.leave_parked();
        if let Some(process) = self.current().filter(|process| process.held().is_some()) {
            self.seen = Seen::of(process, self.selected());
        }
    }

    /// The registers that threads had when the process was last let run.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }
}
