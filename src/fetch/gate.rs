//! When a job may use the network: only while the gate is open. Knows nothing of why it is closed.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The job was called off.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it was called off")]
pub struct CalledOff;

/// A gate, closed at first.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    called_off: bool,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens or closes it. Never waits for the job.
    pub fn set_open(&self, open: bool) {
        let was = std::mem::replace(&mut self.lock().open, open);
        if open && !was {
            self.changed.notify_all();
        }
    }

    /// Calls the job off, for good.
    pub fn call_off(&self) {
        self.lock().called_off = true;
        self.changed.notify_all();
    }

    /// Whether the job was called off.
    pub fn is_called_off(&self) -> bool {
        self.lock().called_off
    }

    /// Sleeps until the gate is open; how long that took.
    pub fn pass(&self) -> Result<Duration, CalledOff> {
        let (mut state, mut since) = (self.lock(), None);
        while !state.open && !state.called_off {
            since.get_or_insert_with(Instant::now);
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.called_off { Err(CalledOff) } else { Ok(since.map_or(Duration::ZERO, |since| since.elapsed())) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn nobody_passes_a_closed_gate() {
        let gate = Arc::new(Gate::default());
        let (told, passed) = std::sync::mpsc::channel();
        let theirs = gate.clone();
        let walker = std::thread::spawn(move || {
            let outcome = theirs.pass().map(drop);
            told.send(outcome.is_ok()).expect("somebody listens");
            theirs.pass().is_err()
        });
        assert!(passed.try_recv().is_err());
        gate.set_open(true);
        assert!(passed.recv().expect("it has passed"));
        gate.set_open(false);
        gate.call_off();
        assert!(walker.join().expect("no panic") || gate.is_called_off());
        assert!(gate.pass().is_err());
    }
}
