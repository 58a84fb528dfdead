//! Panics: kept silent until the process has been let go, then told with the place where they happened. Prints only what
//! nobody else can: a panic of the tracer thread outside any command.

use std::any::Any;
use std::io::{self, Write};
use std::panic;
use std::sync::{Mutex, PoisonError};

/// Where the last panic happened.
static PLACE: Mutex<Option<String>> = Mutex::new(None);

/// From now on a panic prints nothing by itself; whoever catches it tells it by [`message`], after the process has been
/// let go.
pub fn keep_silent() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }));
}

/// What a panic said, and where if [`keep_silent`] was called.
pub fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text =
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".into());
    let place = PLACE.lock().unwrap_or_else(PoisonError::into_inner).take();
    place.map_or_else(|| text.clone(), |place| format!("{text} ({place})"))
}

/// Says on standard error that this is a bug in godbg.
pub fn report(message: &str) {
    let message = super::page::escape(message);
    // A closed standard error leaves nobody to tell.
    let _ = writeln!(
        io::stderr(),
        "error: a bug in godbg: {message}\nhint: the process was let go; please report this with what you did"
    );
}
