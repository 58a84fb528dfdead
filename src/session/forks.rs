//! Which births of children are told one by one and which are only counted: a shell forks for every command, and a line for
//! each would bury the prompt. Tells nothing itself.

use std::time::{Duration, Instant};

use crate::addr::Pid;
use crate::target::News;

/// So many children a second are told one by one.
const MOST: u32 = 3;

const SECOND: Duration = Duration::from_secs(1);

/// The children of the last second.
#[derive(Default)]
pub(super) struct Forks {
    /// Whose children.
    pub process: Option<Pid>,
    second: Option<Instant>,
    told: u32,
    folded: u64,
}

impl Forks {
    /// Whether an event is only counted. `away`: a program has the terminal, and a line would end up in its screen.
    pub fn folds(&mut self, event: &News, away: bool) -> bool {
        let News::Forked { process, .. } = event else { return false };
        self.process = Some(*process);
        let now = Instant::now();
        if self.second.is_none_or(|second| now.duration_since(second) >= SECOND) && self.folded == 0 {
            self.second = Some(now);
            self.told = 0;
        }
        let folds = away || self.told >= MOST;
        if folds {
            self.folded += 1;
        } else {
            self.told += 1;
        }
        folds
    }

    /// How many were only counted, if it is time to tell.
    pub fn due(&mut self, now: bool, away: bool) -> Option<u64> {
        let second_over = self.deadline().is_some_and(|end| Instant::now() >= end);
        if self.folded == 0 || away || !(now || second_over) {
            return None;
        }
        self.second = Some(Instant::now());
        self.told = MOST;
        Some(std::mem::take(&mut self.folded))
    }

    /// When the counted ones are to be told.
    pub fn deadline(&self) -> Option<Instant> {
        (self.folded > 0).then_some(self.second? + SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Tid;
    use crate::target::Birth;

    #[test]
    fn a_few_are_told_and_the_rest_counted() {
        let fork = News::Forked { process: Pid(1), thread: Tid(1), child: Pid(2), birth: Birth::Fork };
        let mut forks = Forks::default();
        let folded: Vec<bool> = (0..5).map(|_| forks.folds(&fork, false)).collect();
        assert_eq!(folded, [false, false, false, true, true]);
        assert_eq!(forks.due(false, false), None);
        assert_eq!(forks.due(true, true), None);
        assert_eq!(forks.due(true, false), Some(2));
        assert_eq!(forks.due(true, false), None);
        assert!(forks.folds(&fork, true), "nothing is told into another program's screen");
    }
}
