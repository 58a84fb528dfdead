//! Names of functions, variables and source files for completion. They are looked for by a thread of their own: the prompt
//! waits a moment for it and no longer, and finds the index made at the next Tab. Refuses to know the line editor.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use memchr::memmem::Finder;

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
    late: RefCell<Option<Late>>,
}

/// What a search goes on for.
struct Late {
    word: String,
    kinds: Kinds,
    answer: Receiver<Vec<String>>,
}

impl SymbolWords {
    /// The names that begin with a word, or whose last parts do; none where that takes too long. They are there at the next
    /// question for the same word then.
    pub fn ask(&self, modules: &Modules, word: &str, kinds: Kinds) -> Vec<String> {
        let deadline = Instant::now() + LONGEST;
        if word.is_empty() {
            return Vec::new();
        }
        match self.earlier(deadline) {
            Earlier::None => {}
            Earlier::Searching => return Vec::new(),
            Earlier::Found(found, of, kind) if of == word && kind == kinds => return found,
            Earlier::Found(..) => {}
        }
        let (sender, receiver) = channel();
        let (modules, word, asked) = (modules.clone(), word.to_owned(), word.to_owned());
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
                *self.late.borrow_mut() = Some(Late { word: asked, kinds, answer: receiver });
                Vec::new()
            }
            Err(RecvTimeoutError::Disconnected) => Vec::new(),
        }
    }

    /// What has become of an earlier question.
    fn earlier(&self, deadline: Instant) -> Earlier {
        let Some(late) = self.late.take() else { return Earlier::None };
        match late.answer.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(found) => Earlier::Found(found, late.word, late.kinds),
            Err(RecvTimeoutError::Disconnected) => Earlier::None,
            Err(RecvTimeoutError::Timeout) => {
                *self.late.borrow_mut() = Some(late);
                Earlier::Searching
            }
        }
    }
}

/// An earlier question: its answer, and the word and kinds that it was for.
enum Earlier {
    None,
    Searching,
    Found(Vec<String>, String, Kinds),
}

fn find(modules: &Modules, word: &str, kinds: Kinds) -> Vec<String> {
    let mut found = Vec::new();
    // Few of 200,000 names hold the word; to take the others apart would cost more than all else.
    let finder = Finder::new(word);
    let mut take = |kind: NameKind| {
        names::each_name(modules, kind, &mut |_, _, entry| {
            found.extend(fitting(entry.name, &finder).filter(|name| is_clean(name)).map(str::to_owned));
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

/// The name if it begins with a word, or what of it does behind a `.`, `/` or `::`. Parameters are left out. Nearly all names do
/// not have the word at all, and are passed over by the search for its bytes.
fn fitting<'n>(name: &'n str, word: &Finder<'_>) -> Option<&'n str> {
    let mut from = 0;
    while let Some(at) = word.find(name.as_bytes().get(from..)?).map(|at| from + at) {
        if at == 0 || matches!(name.as_bytes()[at - 1], b'.' | b':' | b'/') {
            let plain = without_parameters(name);
            return plain.get(at..).filter(|rest| rest.len() >= word.needle().len());
        }
        from = at + 1;
    }
    None
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
            ("rework::work", "wo", Some("work")),
            ("f(ns::work)", "wo", None),
        ] {
            assert_eq!(fitting(name, &Finder::new(word)), expected, "{name} {word}");
        }
    }
}
