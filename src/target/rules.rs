//! What a person has decided about all processes of a session: it outlives each of them and is lent to all. Decides
//! nothing itself.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use super::breakpoints::Locate;
use super::catches::Catches;
use super::follow::FollowFork;
use super::signals::SignalTable;
use crate::kernel::own::Bell;

/// The rules that hold for every process of a session.
#[derive(Debug, Default)]
pub struct Rules {
    /// What is done with each signal.
    pub signals: SignalTable,
    /// Which process stays with godbg when one makes a child.
    pub follow: Cell<FollowFork>,
    /// What is caught.
    pub catches: Catches,
    /// Finds what a breakpoint's location names when files are mapped or a program was executed. None: addresses are lost then.
    pub locate: RefCell<Option<Rc<dyn Locate>>>,
    /// Rings when a command waits for the tracer thread. None: nobody gives commands.
    pub bell: OnceCell<Bell>,
    last_number: Cell<u32>,
}

impl Rules {
    /// Whether a command waits.
    pub(super) fn is_called(&self) -> bool {
        self.bell.get().is_some_and(Bell::rings)
    }

    /// The next number of a breakpoint, catchpoint or tracepoint: never given twice in a session.
    pub fn next_number(&self) -> u32 {
        self.last_number.set(self.last_number.get() + 1);
        self.last_number.get()
    }

    /// Takes back the number that was given last: nothing has come of it.
    pub fn take_back_number(&self, number: u32) {
        if self.last_number.get() == number {
            self.last_number.set(number - 1);
        }
    }
}
