//! The thread that shows events above the prompt while a line is being edited.

use std::io::{self, IsTerminal};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread;

use rustyline::ExternalPrinter;

use super::BUG;
use super::prompt::Since;
use super::screen::Screen;
use crate::kernel::own;
use crate::session::tracer::{Outbox, TracerHandle};
use crate::session::{Session, panics};

/// Prints above the line that is being edited.
pub type Printer = Box<dyn ExternalPrinter + Send>;

/// Starts the thread. It ends with the session. Without a printer (no line editing) events are plain lines.
pub fn start(
    handle: &Arc<TracerHandle>,
    screen: Arc<Screen>,
    since: Arc<Since>,
    printer: Option<Printer>,
) -> io::Result<()> {
    let (outbox, weak) = (handle.outbox(), Arc::downgrade(handle));
    let printer = printer.filter(|_| io::stdout().is_terminal());
    let work = move || match catch_unwind(AssertUnwindSafe(|| show(&outbox, &screen, &since, printer))) {
        Ok(()) => {}
        Err(panic) => give_up(&weak, &panics::message(&*panic)),
    };
    thread::Builder::new().name("notices".into()).spawn(work).map(drop)
}

fn show(outbox: &Outbox, screen: &Screen, since: &Since, mut printer: Option<Printer>) {
    while let Some(events) = outbox.next_at_prompt() {
        for event in events {
            // First: printing draws the prompt anew.
            since.note(&event);
            let shown = printer.as_mut().is_some_and(|printer| printer.print(screen.event_text(&event)).is_ok());
            if !shown {
                screen.event(&event);
            }
        }
    }
}

/// A bug: the process first, as everywhere.
fn give_up(handle: &Weak<TracerHandle>, message: &str) {
    if let Some(handle) = handle.upgrade() {
        let _ = handle.run(Session::let_go, |_| ());
    }
    panics::report(message);
    own::leave(i32::from(BUG));
}
