//! A target whose parent counts every stop, continue and end that it is told of, and that counts its own signals.

use super::fixture::{BEAT, Counters, Fixture};
use super::kernel::{SOON, Snapshot, wait_until};
use super::toolchain;

/// Slots of `watch_parent.c`.
const CHILD: usize = 3;
const STOPS: usize = 4;
const CONTINUES: usize = 5;
const ENDS: usize = 6;

/// `sigcont` with four threads under `watch_parent`.
pub struct Watched {
    parent: Fixture,
    counters: Counters,
    before: Snapshot,
}

impl Watched {
    pub fn start() -> Self {
        let program = toolchain::program("sigcont").unwrap();
        let parent = Fixture::of("watch_parent").args([program.to_str().unwrap(), "4"]).start();
        let counters = Counters::open(&parent.dir().join("counters.child"));
        let pid = i32::try_from(parent.get(CHILD)).unwrap();
        let goal = counters.get(BEAT) + 1;
        wait_until(SOON, "the target to beat", || counters.get(BEAT) >= goal);
        Self { parent, counters, before: Snapshot::of(pid) }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.parent.get(CHILD)).unwrap()
    }

    /// What the parent was told: stops, continues, ends.
    pub fn reports(&self) -> (u64, u64, u64) {
        (self.parent.get(STOPS), self.parent.get(CONTINUES), self.parent.get(ENDS))
    }

    /// Runs of the SIGCONT handler, and of all others.
    pub fn handled(&self) -> (u64, u64) {
        (self.counters.get(3), self.counters.get(4))
    }

    #[track_caller]
    pub fn assert_beats(&self) {
        let goal = self.counters.get(BEAT) + 3;
        wait_until(SOON, "the target to beat again", || self.counters.get(BEAT) >= goal);
    }

    /// It runs as before, nobody was told anything, and no handler ran.
    #[track_caller]
    pub fn assert_untouched(&self) {
        self.before.assert_restored();
        self.assert_beats();
        assert_eq!(self.reports(), (0, 0, 0), "the parent was told of (stops, continues, ends)");
        assert_eq!(self.handled(), (0, 0), "signals that arrived (SIGCONT, others)");
    }
}
