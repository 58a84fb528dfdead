//! The line editor: what rustyline asks for (completion, hints, the prompt's colours), answered from the table of
//! commands and the session.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal};
use std::sync::Arc;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::config::{Behavior, Builder, CompletionType};
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::history::{MemHistory, SearchDirection};
use rustyline::validate::Validator;
use rustyline::{Cmd, Context, Editor, Helper, KeyEvent};

use super::complete::{self, Want};
use super::history::MOST_RECALLED;
use super::prompt::Since;
use super::render;
use super::symbol_words::{Kinds, SymbolWords};
use crate::session::command::usage;
use crate::session::page::Style;
use crate::session::tracer::TracerHandle;
use crate::session::{Commands, Completions, Event};

/// The editor as the prompt uses it.
pub type LineEditor = Editor<Assistant, MemHistory>;

/// Makes an editor. Where standard output is not for people (a pipe, JSON), lines are edited on the terminal itself.
pub fn editor(assistant: Assistant, json: bool) -> rustyline::Result<LineEditor> {
    let stdout_is_for_people = io::stdout().is_terminal() && !json;
    let behavior = if stdout_is_for_people { Behavior::Stdio } else { Behavior::PreferTerm };
    let config = Builder::new()
        .max_history_size(MOST_RECALLED)?
        .history_ignore_dups(true)?
        .completion_type(CompletionType::List)
        .behavior(behavior)
        // The pipe that notices go through wakes the editor; the terminal's own signals stay off.
        .enable_signals(false)
        .build();
    let history = MemHistory::with_config(&config);
    let mut editor = Editor::with_history(config, history)?;
    editor.set_helper(Some(assistant));
    // A suspended debugger would hold its process for as long as nobody thinks of it.
    editor.bind_sequence(KeyEvent::ctrl('Z'), Cmd::Noop);
    Ok(editor)
}

/// What the editor asks.
pub struct Assistant {
    commands: Commands,
    handle: Arc<TracerHandle>,
    since: Arc<Since>,
    files: FilenameCompleter,
    symbols: SymbolWords,
    /// With colours.
    pub color: Cell<bool>,
    /// The line is an answer to a question, not a command.
    pub asking: Cell<bool>,
    /// Events that came with the facts for completion: they are shown when the line is done.
    pub events: RefCell<Vec<Event>>,
}

impl Assistant {
    /// An assistant.
    pub fn new(commands: Commands, handle: Arc<TracerHandle>, since: Arc<Since>) -> Assistant {
        let (color, asking, events) = (Cell::new(false), Cell::new(false), RefCell::default());
        Assistant {
            commands,
            handle,
            since,
            files: FilenameCompleter::new(),
            symbols: SymbolWords::default(),
            color,
            asking,
            events,
        }
    }

    /// Names of functions, variables and files. Nothing is put behind them: a line, an operator or a blank may follow.
    fn symbols(&self, spot: &complete::Spot, facts: &Completions) -> Vec<Pair> {
        let kinds = match spot.wants.iter().find(|want| matches!(want, Want::Place | Want::Symbol)) {
            Some(Want::Place) => Kinds::Places,
            Some(_) => Kinds::Symbols,
            None => return Vec::new(),
        };
        let found = self.symbols.ask(&facts.modules, &spot.word, kinds);
        found.into_iter().map(|name| Pair { display: name.clone(), replacement: name }).collect()
    }

    fn facts(&self, wants: &[Want]) -> Completions {
        if !wants.iter().any(|want| !matches!(want, Want::Word(_) | Want::File | Want::Program)) {
            return Completions::default();
        }
        // A bug there has let the process go, and is told with the next command.
        self.handle
            .run(|session| session.completions(), |event| self.events.borrow_mut().push(event))
            .unwrap_or_default()
    }
}

impl Helper for Assistant {}

impl Validator for Assistant {}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        if self.asking.get() {
            return Ok((pos, Vec::new()));
        }
        let spot = complete::spot(self.commands, &line[..pos]);
        let facts = self.facts(&spot.wants);
        let found = complete::candidates(&spot, &facts);
        let with_space = |c: complete::Candidate| Pair { display: c.shown, replacement: c.text + " " };
        let mut pairs: Vec<Pair> = found.into_iter().map(with_space).collect();
        pairs.extend(self.symbols(&spot, &facts));
        if !spot.wants.iter().any(|want| matches!(want, Want::File | Want::Program)) {
            return Ok((spot.start, pairs));
        }
        let (start, mut files) = self.files.complete_path(line, pos)?;
        if let [one] = files.as_mut_slice()
            && !one.replacement.ends_with('/')
        {
            one.replacement.push(' ');
        }
        if start == spot.start {
            pairs.append(&mut files);
            return Ok((start, pairs));
        }
        Ok((start, files))
    }
}

/// A hint behind the cursor.
pub struct Suggestion {
    text: String,
    takeable: bool,
}

impl Hint for Suggestion {
    fn display(&self) -> &str {
        &self.text
    }

    fn completion(&self) -> Option<&str> {
        self.takeable.then_some(&self.text)
    }
}

impl Hinter for Assistant {
    type Hint = Suggestion;

    fn hint(&self, line: &str, pos: usize, context: &Context<'_>) -> Option<Suggestion> {
        if line.trim().is_empty() || pos < line.len() || self.asking.get() {
            return None;
        }
        let last = context.history().len().checked_sub(1);
        let found = last.and_then(|last| context.history().starts_with(line, last, SearchDirection::Reverse).ok()?);
        let rest = found.and_then(|found| found.entry.get(line.len()..).map(str::to_owned));
        if let Some(text) = rest.filter(|rest| !rest.is_empty()) {
            return Some(Suggestion { text, takeable: true });
        }
        let text = usage_hint(self.commands, line)?;
        Some(Suggestion { text, takeable: false })
    }
}

/// The words that a command takes, behind its complete name.
fn usage_hint(commands: Commands, line: &str) -> Option<String> {
    let name = line.trim();
    let command = commands.0.iter().find(|command| command.name == name || command.aliases.contains(&name))?;
    let usage = usage(command);
    let words = usage.strip_prefix(command.name)?.trim();
    let gap = if line.ends_with(' ') { "" } else { " " };
    (!words.is_empty()).then(|| format!("{gap}{words}"))
}

impl Highlighter for Assistant {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, default: bool) -> Cow<'b, str> {
        if !default || self.asking.get() {
            return Cow::Borrowed(prompt);
        }
        let now = self.since.apply(prompt).map_or(Cow::Borrowed(prompt), Cow::Owned);
        if self.color.get() { Cow::Owned(render::paint(&now, Style::Strong, true)) } else { now }
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if self.color.get() { Cow::Owned(render::paint(hint, Style::Dim, true)) } else { Cow::Borrowed(hint) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::TABLE;

    #[test]
    fn the_words_of_a_command_are_hinted_behind_its_whole_name() {
        assert!(usage_hint(TABLE, "attach").is_some_and(|hint| hint.starts_with(" [OPTIONS]") || hint.contains("PID")));
        assert!(usage_hint(TABLE, "attach ").is_some_and(|hint| !hint.starts_with(' ')));
        assert_eq!(usage_hint(TABLE, "atta"), None);
        assert_eq!(usage_hint(TABLE, "attach 7"), None);
        assert_eq!(usage_hint(TABLE, "quit"), None);
    }
}
