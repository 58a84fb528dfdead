//! The prompt: reads lines from a person, asks before what cannot be undone, and keeps the history.

use std::sync::Arc;

use rustyline::error::ReadlineError;
use rustyline::history::History as _;

use super::editor::{self, Assistant, LineEditor};
use super::history::History;
use super::notices;
use super::prompt::{self, Since};
use super::runner::{Giver, Runner, Stop};
use crate::kernel::own;
use crate::session::{Failure, Prompt, dispatch};

/// What a person sees first.
const BANNER: &str = concat!("godbg ", env!("CARGO_PKG_VERSION"), "; help lists the commands, quit leaves");

/// The prompt and what it remembers.
struct Repl<'a> {
    runner: &'a mut Runner,
    editor: LineEditor,
    history: History,
    since: Arc<Since>,
    /// The last command, if an empty line runs it again.
    again: Option<String>,
}

/// What came of reading a line.
enum Typed {
    Line(String),
    /// Ctrl-C: the line is forgotten.
    Dropped,
    /// Ctrl-D.
    End,
    /// The terminal is gone.
    Gone,
}

/// Shows the prompt until `quit`. `quiet`: without the banner.
pub fn run(runner: &mut Runner, quiet: bool) -> Result<(), Stop> {
    let mut repl = Repl::new(runner).map_err(|error| {
        let failure = Failure::plain(format!("cannot open the prompt: {error}"));
        Stop::Failed(failure)
    })?;
    if !quiet {
        repl.runner.screen().say(BANNER);
    }
    loop {
        repl.ask_for_debug_info()?;
        match repl.read()? {
            Typed::Line(lines) => lines.split('\n').try_for_each(|line| repl.typed(line))?,
            Typed::Dropped => {}
            Typed::End => repl.command("quit")?,
            Typed::Gone => return Ok(()),
        }
    }
}

impl<'a> Repl<'a> {
    fn new(runner: &'a mut Runner) -> rustyline::Result<Repl<'a>> {
        let since = Arc::new(Since::default());
        let assistant = Assistant::new(crate::commands::TABLE, runner.handle().clone(), since.clone());
        let mut editor = editor::editor(assistant, runner.screen().is_json())?;
        let (history, lines) = History::open();
        for line in &lines {
            editor.history_mut().add(line)?;
        }
        let printer = editor.create_external_printer().ok().map(|printer| Box::new(printer) as notices::Printer);
        notices::start(runner.handle(), runner.screen().clone(), since.clone(), printer)?;
        let told = runner.run(move |session| session.history = lines);
        // What went wrong there comes again with the first command.
        drop(told);
        Ok(Repl { runner, editor, history, since, again: None })
    }

    fn assistant(&self) -> &Assistant {
        self.editor.helper().expect("it was set when the editor was made")
    }

    /// Reads one line at the prompt; events are shown above it meanwhile.
    fn read(&mut self) -> Result<Typed, Stop> {
        let prompt: Prompt = self.runner.run(|session| {
            session.interactive = true;
            session.take_request();
            session.reclaim_terminal();
            session.prompt()
        })?;
        self.since.reset(&prompt);
        self.assistant().color.set(self.runner.screen().look().color);
        let outbox = self.runner.handle().outbox();
        outbox.set_at_prompt(true);
        own::set_editing(true);
        let line = self.editor.readline(&prompt::text(&prompt));
        own::set_editing(false);
        outbox.set_at_prompt(false);
        let events = self.assistant().events.take();
        events.iter().for_each(|event| self.runner.screen().event(event));
        Ok(match line {
            Ok(line) => Typed::Line(line),
            Err(ReadlineError::Interrupted) => Typed::Dropped,
            Err(ReadlineError::Eof) => Typed::End,
            Err(_) => Typed::Gone,
        })
    }

    /// A line that a person typed: kept in the history, run; an empty one runs the last again.
    fn typed(&mut self, line: &str) -> Result<(), Stop> {
        let line = line.trim();
        if line.is_empty() {
            return self.again.clone().map_or(Ok(()), |again| self.command(&again));
        }
        self.keep(line)?;
        self.command(line)
    }

    fn keep(&mut self, line: &str) -> Result<(), Stop> {
        let (kept, notice) = self.history.add(line);
        if let Some(notice) = notice {
            self.runner.screen().complain(&Failure::plain(notice), None);
        }
        if kept {
            // In memory it cannot fail.
            let _ = self.editor.history_mut().add(line);
            let owned = line.to_owned();
            self.runner.run(move |session| session.history.push(owned))?;
        }
        Ok(())
    }

    /// Runs a command, after the question that it may have.
    fn command(&mut self, line: &str) -> Result<(), Stop> {
        let owned = line.to_owned();
        let (question, repeats) = self.runner.run(move |session| {
            let parsed = dispatch::parse(session, &owned).ok().flatten();
            (dispatch::question(session, &owned), parsed.is_some_and(|parsed| parsed.command.repeats))
        })?;
        self.again = repeats.then(|| line.to_owned());
        if question.is_some_and(|question| !self.agrees(&question)) {
            return Ok(());
        }
        let ended = self.runner.line(line, Giver::Person);
        if self.again.is_some()
            && let Some(again) = self.runner.run(|session| session.looking.again.take())?
        {
            self.again = Some(again);
        }
        match ended {
            Err(Stop::Failed(_)) => {
                self.runner.failed = true;
                Ok(())
            }
            Err(Stop::Interrupted) => Ok(()),
            other => other,
        }
    }

    /// Asks, once, whether missing debug info may be fetched: never while a process is held, so that nobody has to answer before a
    /// `detach`.
    fn ask_for_debug_info(&mut self) -> Result<(), Stop> {
        if let Some(question) = self.runner.run(|session| session.debug_info_question())? {
            let agreed = self.agrees(&question);
            self.runner.run(move |session| session.answer_debug_info(agreed))?;
        }
        Ok(())
    }

    /// Asks a question. Whatever is not a clear yes is a no.
    fn agrees(&mut self, question: &str) -> bool {
        self.assistant().asking.set(true);
        let prompt =
            format!("{} (y or n) ", crate::session::page::escape(question).trim_end_matches('?').to_owned() + "?");
        let answer = self.editor.readline(&prompt).unwrap_or_default();
        self.assistant().asking.set(false);
        matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }
}
