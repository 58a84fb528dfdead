//! Where answers and notices go: standard output as text or JSON, errors to standard error. A write that fails is
//! remembered, never a panic, and the runner ends godbg for it. Knows no commands.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::Value;

use super::cli::Format;
use super::render::{self, Look};
use super::{json, prompt};
use crate::session::page::{Page, escape};
use crate::session::settings::Color;
use crate::session::{Event, Failure, Prompt, Reply, Settings, Show};

/// The screen, shared by the threads that write to it.
pub struct Screen {
    format: Format,
    echoes: bool,
    settings: Mutex<(Color, Option<u16>)>,
    lost: Mutex<Option<io::Error>>,
}

/// So much is written at once, bytes.
const BUFFER: usize = 64 << 10;

/// What is shown in more pieces than this takes a while to be freed.
const FEW_PIECES: usize = 16;

/// Frees something while what comes next is done: the memory of a hundred thousand rows takes as long as a short stop.
fn drop_beside<T: Send + 'static>(large: T) {
    // Without a thread it is freed here and now.
    let _ = thread::Builder::new().name("free".into()).spawn(move || drop(large));
}

impl Screen {
    /// A screen. `quiet`: script lines are not echoed.
    pub fn new(format: Format, quiet: bool, color: Color) -> Screen {
        Screen {
            format,
            echoes: !quiet && format == Format::Text,
            settings: Mutex::new((color, None)),
            lost: Mutex::default(),
        }
    }

    /// Whether answers are JSON.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Takes over what `set color` and `set width` say now.
    pub fn adopt(&self, settings: &Settings) {
        *lock(&self.settings) = (settings.color, settings.width);
    }

    /// How text on standard output looks now.
    pub fn look(&self) -> Look {
        let (color, width) = *lock(&self.settings);
        let stdout = io::stdout();
        let width = width.or_else(|| Some(terminal_size::terminal_size_of(stdout.lock())?.0.0));
        Look { color: wants_color(color, &stdout), width: width.map(usize::from) }
    }

    /// Whether script lines are echoed.
    pub fn echoes(&self) -> bool {
        self.echoes
    }

    /// Shows a reply. False: it is long, and `stop` said that nobody wants to see the rest. A line of JSON is always whole.
    pub fn reply(&self, command: &str, reply: Reply, stop: &dyn Fn() -> bool) -> bool {
        match self.format {
            Format::Text => {
                let page = reply.page();
                let (pieces, whole) = self.page(&page, stop);
                if pieces > FEW_PIECES {
                    drop_beside((reply, page));
                }
                return whole;
            }
            Format::Json => {
                let mut stdout = BufWriter::with_capacity(BUFFER, io::stdout().lock());
                self.remember(json::reply(command, &reply, &mut stdout).and_then(|()| stdout.flush()));
            }
        }
        true
    }

    /// Shows that a command without a reply of its own (`quit`, `source`) succeeded.
    pub fn done(&self, command: &str) {
        if self.is_json() {
            self.write(&json::success(command, &Value::Object(Default::default())));
        }
    }

    /// Shows a failure. `place` is where in which script it happened.
    pub fn failure(&self, command: &str, failure: &Failure, place: Option<&str>) {
        match self.format {
            // The place names the command already.
            Format::Text if place.is_some() => self.complain(&without_name(failure, command), place),
            Format::Text => self.complain(failure, place),
            Format::Json => self.write(&json::failure(command, failure)),
        }
    }

    /// Shows a failure on standard error, whatever the format.
    pub fn complain(&self, failure: &Failure, place: Option<&str>) {
        let stderr = io::stderr();
        let (color, _) = *lock(&self.settings);
        let width = terminal_size::terminal_size_of(stderr.lock()).map(|(width, _)| usize::from(width.0));
        let look = Look { color: wants_color(color, &stderr), width };
        // A closed standard error leaves nobody to tell.
        let _ = stderr.lock().write_all(render::failure(failure, place, look).as_bytes());
    }

    /// Shows an event.
    pub fn event(&self, event: &Event) {
        self.write(&self.event_text(event));
    }

    /// An event as it would be shown.
    pub fn event_text(&self, event: &Event) -> String {
        match self.format {
            Format::Text => {
                let mut page = Page::default();
                event.show(&mut page);
                render::page(&page, self.look())
            }
            Format::Json => json::event(event),
        }
    }

    /// Shows a script's line behind the prompt that it would have had.
    pub fn echo(&self, prompt: &Prompt, line: &str) {
        if self.echoes {
            self.write(&format!("{}{}\n", prompt::without_leash(prompt), escape(line)));
        }
    }

    /// Tells a person something that is no answer; not in JSON.
    pub fn say(&self, text: &str) {
        if !self.is_json() {
            self.write(&format!("{text}\n"));
        }
    }

    /// After a Ctrl-C the terminal has written `^C` where the next line should begin.
    pub fn step_behind_ctrl_c(&self, interrupted: bool) {
        if interrupted && io::stdin().is_terminal() && io::stdout().is_terminal() {
            self.say("");
        }
    }

    /// How many pieces were written, and whether these were all.
    fn page(&self, page: &Page, stop: &dyn Fn() -> bool) -> (usize, bool) {
        let look = self.look();
        let mut stdout = io::stdout().lock();
        let (mut written, mut pieces, mut stopped) = (Ok(()), 0, false);
        render::in_pieces(page, look, &mut |piece| {
            stopped |= pieces > 0 && stop();
            if written.is_ok() && !stopped {
                written = stdout.write_all(piece.as_bytes());
                pieces += 1;
            }
        });
        self.remember(written.and_then(|()| stdout.flush()));
        (pieces, !stopped)
    }

    fn write(&self, text: &str) {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        self.remember(written);
    }

    fn remember(&self, written: io::Result<()>) {
        if let Err(error) = written {
            lock(&self.lost).get_or_insert(error);
        }
    }

    /// The first write that failed, if one did.
    pub fn lost(&self) -> Option<io::Error> {
        lock(&self.lost).take()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wants_color(color: Color, stream: &impl IsTerminal) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            stream.is_terminal() && !refused && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
        }
    }
}

/// A failure whose message does not begin with the first word of its command.
fn without_name(failure: &Failure, command: &str) -> Failure {
    let name = command.split_whitespace().next().unwrap_or_default();
    let rest = failure.message.strip_prefix(name).and_then(|rest| rest.strip_prefix(": "));
    Failure { message: rest.unwrap_or(&failure.message).to_owned(), ..failure.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_its_place_names_is_not_named_again() {
        for (command, message, expected) in [
            ("sleep abc", "sleep: invalid value", "invalid value"),
            ("  c x", "continue: no such word", "continue: no such word"),
            ("sleep abc", "sleep lasts too long", "sleep lasts too long"),
        ] {
            assert_eq!(without_name(&Failure::plain(message), command).message, expected, "{command}");
        }
    }
}
