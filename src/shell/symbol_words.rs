//! Names of functions, variables and source files for completion. They are looked for by a thread of their own: the prompt
//! waits a moment for it and no longer, and finds the index made at the next Tab. Refuses to know the line editor.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::session::locations::file_name;
use crate::session::locations::names::{self, NameKind};
use crate::session::page::is_hostile;
use crate::target::Modules;

/// How long the prompt waits for names.
const LONGEST: Duration = Duration::from_millis(120);

/// No longer list is of use.
const MOST: usize = 2000;

/// What is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kinds {
    /// Functions, and files in front of a line.
    Places,
    /// Functions and variables.
    Symbols,
}

/// Looks names up, one question at a time.
#[derive(Default)]
pub struct SymbolWords {
    /// A question whose answer did not come in time.
    late: RefCell<Option<Receiver<Vec<String>>>>,
}

impl SymbolWords {
    /// The names that begin with a word, or whose last parts do; none where that takes too long.
    pub fn ask(&self, modules: &Modules, word: &str, kinds: Kinds) -> Vec<String> {
        let deadline = Instant::now() + LONGEST;
        if word.is_empty() || !self.is_free(deadline) {
            return Vec::new();
        }
        let (sender, receiver) = channel();
        let (modules, word) = (modules.clone(), word.to_owned());
        let search = move || {
            // Nobody waits any more: the index is made, which is what counts.
            let _ = sender.send(find(&modules, &word, kinds));
        };
        if std::thread::Builder::new().name("completion".into()).spawn(search).is_err() {
            return Vec::new();
        }
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(found) => found,
            Err(RecvTimeoutError::Timeout) => {
                *self.late.borrow_mut() = Some(receiver);
                Vec::new()
            }
            Err(RecvTimeoutError::Disconnected) => Vec::new(),
        }
    }

    /// Whether no earlier search goes on.
    fn is_free(&self, deadline: Instant) -> bool {
        let Some(late) = self.late.take() else { return true };
        let over = late.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        if over == Err(RecvTimeoutError::Timeout) {
            *self.late.borrow_mut() = Some(late);
            return false;
        }
        true
    }
}

fn find(modules: &Modules, word: &str, kinds: Kinds) -> Vec<String> {
    let mut found = Vec::new();
    // Few of 200,000 names hold the word; to take the others apart would cost more than all else.
    let finder = memchr::memmem::Finder::new(word);
    let mut take = |kind: NameKind| {
        names::each_name(modules, kind, &mut |_, _, entry| {
            if finder.find(entry.name.as_bytes()).is_none() {
                return ControlFlow::Continue(());
            }
            found.extend(fitting(entry.name, word).filter(|name| is_clean(name)).map(str::to_owned));
            if found.len() < MOST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
    };
    take(NameKind::Function);
    match kinds {
        Kinds::Symbols => take(NameKind::Variable),
        Kinds::Places => {
            let files = names::sources(modules);
            let by_path = word.contains('/');
            let named = files.iter().map(|path| if by_path { &**path } else { file_name(path) });
            let fits = named.filter(|name| name.starts_with(word) && is_clean(name)).map(|name| format!("{name}:"));
            found.extend(fits.take(MOST));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The name if it begins with a word, or what of it does behind a `.`, `/` or `::`. Parameters are left out.
fn fitting<'n>(name: &'n str, word: &str) -> Option<&'n str> {
    let name = without_parameters(name);
    if name.starts_with(word) {
        return Some(name);
    }
    let mut parts = name.char_indices().filter(|(_, c)| matches!(c, '.' | ':' | '/')).map(|(at, _)| &name[at + 1..]);
    parts.find(|rest| rest.starts_with(word) && !rest.is_empty())
}

/// `ns::f(int)` is `ns::f`; `pkg.(*T).Method` stays.
fn without_parameters(name: &str) -> &str {
    let opening = name.char_indices().find(|(at, c)| *c == '(' && *at > 0 && !name[..*at].ends_with(['.', ':', ' ']));
    opening.map_or(name, |(at, _)| &name[..at])
}

fn is_clean(name: &str) -> bool {
    !name.chars().any(|c| is_hostile(c) || c.is_whitespace() || matches!(c, '"' | '\'' | '\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_parts_count_as_beginnings() {
        for (name, word, expected) in [
            ("work", "wo", Some("work")),
            ("main.work", "wo", Some("work")),
            ("main.work", "main.w", Some("main.work")),
            ("ns::T::f(int, char)", "T::", Some("T::f")),
            ("pkg.(*T).Method", "pkg.(", Some("pkg.(*T).Method")),
            ("pkg.(*T).Method", "Met", Some("Method")),
            ("github.com/a/b.Func", "b.", Some("b.Func")),
            ("rework", "wo", None),
        ] {
            assert_eq!(fitting(name, word), expected, "{name} {word}");
        }
    }
}
