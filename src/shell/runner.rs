//! Runs lines and scripts on the tracer thread and shows what comes back. Refuses to read terminals.

use std::io::{self, Read};
use std::sync::Arc;

use super::screen::Screen;
use super::script::{Line, Source};
use crate::session::dispatch;
use crate::session::tracer::{Panicked, TracerHandle};
use crate::session::{Event, Failure, FailureKind, Outcome, Prompt, Reply, Session};
use crate::target::Signal;

/// Scripts may be nested this deep.
const DEEPEST: usize = 32;

/// Why a line or script did not go on to the next. What failed has been shown.
#[derive(Debug)]
pub enum Stop {
    /// A command failed.
    Failed(Failure),
    /// The command line's own `attach` or `exec` failed.
    Begin,
    /// Its words make no sense.
    Usage,
    /// SIGINT came.
    Interrupted,
    /// `quit`.
    Quit,
    /// Standard output cannot be written to.
    Output(io::Error),
    /// A handler panicked.
    Bug(String),
}

/// Who gave a line.
#[derive(Clone, Copy)]
pub enum Giver<'a> {
    /// A person at the prompt.
    Person,
    /// The script whose last line it is.
    Script(&'a Source),
}

/// The way from lines to the screen.
pub struct Runner {
    pub(super) handle: Arc<TracerHandle>,
    pub(super) screen: Arc<Screen>,
    /// The files that are being run, the outermost first.
    pub(super) running: Vec<Option<(u64, u64)>>,
    /// Whether any command failed so far: the exit status.
    pub failed: bool,
}

impl Runner {
    /// A runner.
    pub fn new(handle: Arc<TracerHandle>, screen: Arc<Screen>) -> Runner {
        Runner { handle, screen, running: Vec::new(), failed: false }
    }

    /// The tracer thread.
    pub fn handle(&self) -> &Arc<TracerHandle> {
        &self.handle
    }

    /// The screen.
    pub fn screen(&self) -> &Arc<Screen> {
        &self.screen
    }

    /// Runs a job, showing the events that come meanwhile.
    pub fn run<R: Send + 'static>(&self, job: impl FnOnce(&mut Session) -> R + Send + 'static) -> Result<R, Stop> {
        self.run_noting(job, |_| ())
    }

    /// The same, and `note` is told of the events too.
    pub fn run_noting<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Session) -> R + Send + 'static,
        note: impl Fn(&Event),
    ) -> Result<R, Stop> {
        let outcome = self.handle.run(job, |event| {
            note(&event);
            self.screen.event(&event);
        });
        if let Some(error) = self.screen.lost() {
            return Err(Stop::Output(error));
        }
        outcome.map_err(|Panicked { message }| Stop::Bug(message))
    }

    /// Runs one line.
    pub fn line(&mut self, line: &str, giver: Giver<'_>) -> Result<(), Stop> {
        let (owned, typed) = (line.to_owned(), matches!(giver, Giver::Person));
        let answer = self.run(move |session| {
            session.interactive = typed;
            dispatch::execute(session, &owned)
        })?;
        let Some(answer) = answer else { return Ok(()) };
        self.screen.adopt(&answer.settings);
        let interrupted = !typed && answer.request == Some(Signal::INT);
        self.screen.step_behind_ctrl_c(answer.request == Some(Signal::INT));
        let place = match giver {
            Giver::Person => None,
            Giver::Script(source) => Some(source.place(line)),
        };
        self.show(line.trim(), answer.result, place.as_deref())?;
        if interrupted { Err(Stop::Interrupted) } else { Ok(()) }
    }

    /// Shows a line's result, running the script that it may have brought.
    pub(super) fn show(
        &mut self,
        line: &str,
        result: Result<Outcome, Failure>,
        place: Option<&str>,
    ) -> Result<(), Stop> {
        match result {
            Ok(Outcome::Reply(reply)) => self.show_reply(line, reply),
            Ok(Outcome::Script(script)) => self.nested(line, Source::read(script), place),
            Ok(Outcome::Quit) => {
                self.run(Session::let_go)?;
                self.screen.done(line);
                self.check_output()?;
                Err(Stop::Quit)
            }
            Err(failure) => self.fail(line, failure, place),
        }
    }

    pub(super) fn show_reply(&self, line: &str, reply: Reply) -> Result<(), Stop> {
        let outbox = self.handle.outbox();
        // What came before was meant for the command.
        outbox.take_interrupt();
        let whole = self.screen.reply(line, reply, &|| outbox.take_interrupt());
        self.check_output()?;
        if whole { Ok(()) } else { Err(Stop::Interrupted) }
    }

    /// Shows a failure and ends what it happened in.
    pub(super) fn fail(&self, line: &str, failure: Failure, place: Option<&str>) -> Result<(), Stop> {
        self.screen.failure(line, &failure, place);
        self.check_output()?;
        if failure.kind == FailureKind::Interrupted {
            return Err(Stop::Interrupted);
        }
        let message = place.map_or_else(|| failure.message.clone(), |place| format!("{place}: {}", failure.message));
        Err(Stop::Failed(Failure { message, ..failure }))
    }

    pub(super) fn check_output(&self) -> Result<(), Stop> {
        self.screen.lost().map_or(Ok(()), |error| Err(Stop::Output(error)))
    }

    /// Runs a script that a line of another, or a person, asked for. Only in JSON does that line get an answer of its
    /// own: one object for each command.
    fn nested(&mut self, line: &str, source: Source, place: Option<&str>) -> Result<(), Stop> {
        if let Some(failure) = self.refuse(&source) {
            return self.fail(line, failure, place);
        }
        let ended = self.script(source);
        match &ended {
            Ok(()) => self.screen.done(line),
            Err(Stop::Failed(failure)) if self.screen.is_json() => self.screen.failure(line, failure, None),
            Err(_) => {}
        }
        self.check_output()?;
        ended
    }

    fn refuse(&self, source: &Source) -> Option<Failure> {
        let name = &source.name;
        if source.identity.is_some() && self.running.contains(&source.identity) {
            return Some(Failure::hinted(
                format!("the script {name} is being run already: it would source itself for ever"),
                "move what both need into a script of its own",
            ));
        }
        (self.running.len() >= DEEPEST)
            .then(|| Failure::plain(format!("{name}: scripts are nested more than {DEEPEST} deep")))
    }

    /// Runs a script to its end, or to its first failing line.
    pub fn script(&mut self, mut source: Source) -> Result<(), Stop> {
        self.running.push(source.identity);
        let ended = self.lines(&mut source);
        self.running.pop();
        ended
    }

    fn lines(&mut self, source: &mut Source) -> Result<(), Stop> {
        loop {
            let line = match source.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(()),
                Err(failure) => return self.fail(&format!("source {}", source.name), failure, None),
            };
            let (request, prompt) = self.run(|session| (session.take_request(), session.prompt()))?;
            if request == Some(Signal::INT) {
                return Err(Stop::Interrupted);
            }
            match self.script_line(source, line, &prompt) {
                Err(Stop::Failed(_)) if source.tolerant => {}
                other => other?,
            }
        }
    }

    fn script_line(&mut self, source: &Source, line: Line, prompt: &Prompt) -> Result<(), Stop> {
        match line {
            Line::Text(text) if text.trim().is_empty() => Ok(()),
            Line::Text(text) => {
                self.screen.echo(prompt, &text);
                self.check_output()?;
                self.line(&text, Giver::Script(source))
            }
            Line::Bad { shown, why } => {
                self.screen.echo(prompt, &shown);
                self.fail(&shown, Failure::plain(why), Some(&source.place(&shown)))
            }
        }
    }

    /// Wraps what may let its reader wait for long, so that SIGINT ends godbg meanwhile.
    pub fn attentive<R: Read + 'static>(&self, inner: R) -> Attentive<R> {
        Attentive { handle: self.handle.clone(), screen: self.screen.clone(), inner }
    }
}

/// A reader that tells the tracer thread while it sleeps: nobody else could act on a signal.
pub struct Attentive<R> {
    handle: Arc<TracerHandle>,
    screen: Arc<Screen>,
    inner: R,
}

impl<R: Read> Read for Attentive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tell(true)?;
        let outcome = self.inner.read(buffer);
        self.tell(false)?;
        outcome
    }
}

impl<R> Attentive<R> {
    fn tell(&self, reading: bool) -> io::Result<()> {
        let told = self.handle.run(move |session| session.reading_script = reading, |event| self.screen.event(&event));
        told.map_err(io::Error::other)
    }
}
