//! Source files: where one is that a compiler named, and its lines. Read as the debugger sees files, then through the process's
//! own root; bounded, since a path that a program's debug information names can be anything. Shows nothing.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::addr::Pid;

/// No larger file is taken for source.
const LARGEST: u64 = 64 << 20;

/// So many files are kept.
const MOST_KEPT: usize = 16;

/// O_NONBLOCK of open(2) on x86-64 Linux (asm-generic/fcntl.h): the open of a FIFO does not wait.
const O_NONBLOCK: i32 = 0o4000;

/// The lines of one file.
#[derive(Debug)]
pub struct Source {
    /// Where it was found.
    pub path: PathBuf,
    text: String,
    /// Where each line begins; one more at the end.
    starts: Vec<u32>,
}

impl Source {
    fn new(path: PathBuf, bytes: &[u8]) -> Source {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mut starts = vec![0];
        starts.extend(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at as u32 + 1));
        if starts.last().is_some_and(|last| (*last as usize) < text.len()) {
            starts.push(text.len() as u32);
        }
        Source { path, text, starts }
    }

    /// How many lines it has.
    pub fn len(&self) -> u32 {
        (self.starts.len() - 1) as u32
    }

    /// Whether it has no line.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A line, counted from 1, without its end.
    pub fn line(&self, number: u32) -> Option<&str> {
        let index = number.checked_sub(1)? as usize;
        let (from, to) = (*self.starts.get(index)?, *self.starts.get(index + 1)?);
        Some(self.text.get(from as usize..to as usize)?.trim_end_matches(['\n', '\r']))
    }
}

/// Where a process's sources may be.
#[derive(Clone, Debug, Default)]
pub struct Places<'a> {
    /// The process, for files of its own root.
    pub process: Option<Pid>,
    /// Its program, below whose folder files are guessed.
    pub program: Option<PathBuf>,
    /// What `set substitute-path` says.
    pub substitutes: &'a [(String, String)],
}

/// The files that were read.
#[derive(Debug, Default)]
pub struct Sources {
    kept: Vec<(String, Arc<Source>)>,
}

impl Sources {
    /// The file that a compiler named. The error holds the paths at which it was looked for.
    pub fn read(&mut self, name: &str, places: &Places<'_>) -> Result<Arc<Source>, Vec<PathBuf>> {
        if let Some((_, known)) = self.kept.iter().find(|(known, _)| known == name) {
            return Ok(Arc::clone(known));
        }
        let mut tried = Vec::new();
        for candidate in candidates(name, places) {
            if let Some(bytes) = read(&candidate) {
                let source = Arc::new(Source::new(candidate, &bytes));
                if self.kept.len() == MOST_KEPT {
                    self.kept.remove(0);
                }
                self.kept.push((name.to_owned(), Arc::clone(&source)));
                return Ok(source);
            }
            tried.push(candidate);
        }
        if let Some(guessed) = guess(name, places)
            && let Some(bytes) = read(&guessed)
        {
            let source = Arc::new(Source::new(guessed, &bytes));
            self.kept.push((name.to_owned(), Arc::clone(&source)));
            return Ok(source);
        }
        Err(tried)
    }

    /// Forgets all: the rules or the process have changed.
    pub fn clear(&mut self) {
        self.kept.clear();
    }
}

/// Where a file is looked for, in this order: where the rules say, at its own path, and there in the process's root.
fn candidates(name: &str, places: &Places<'_>) -> Vec<PathBuf> {
    let renamed = places.substitutes.iter().find_map(|(from, to)| {
        let rest = name.strip_prefix(from.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then(|| PathBuf::from(format!("{}{rest}", to.trim_end_matches('/'))))
    });
    let mut all: Vec<PathBuf> = renamed.into_iter().chain([PathBuf::from(name)]).collect();
    if let (Some(pid), true) = (places.process, name.starts_with('/')) {
        let inside: PathBuf = parts(Path::new(name)).collect();
        all.push(Path::new(&format!("/proc/{pid}/root")).join(inside));
    }
    all
}

/// The names in a path: without its root, and without steps up.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = &std::ffi::OsStr> + Clone {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    })
}

/// No path has more parts that are tried.
const MOST_PARTS: usize = 64;

/// The file with the longest end of the same path below the current folder or the program's: if both have one, and they are
/// not the same file, none.
fn guess(name: &str, places: &Places<'_>) -> Option<PathBuf> {
    let folders = std::env::current_dir()
        .ok()
        .into_iter()
        .chain(places.program.as_deref().and_then(Path::parent).map(PathBuf::from));
    let parts: Vec<&std::ffi::OsStr> = parts(Path::new(name)).collect();
    let from = parts.len().saturating_sub(MOST_PARTS);
    let below = |folder: PathBuf| {
        (from..parts.len()).map(|at| folder.join(parts[at..].iter().collect::<PathBuf>())).find(|path| path.is_file())
    };
    let mut found: Vec<PathBuf> = folders.filter_map(below).filter_map(|path| path.canonicalize().ok()).collect();
    found.dedup();
    if let [one] = found.as_slice() { Some(one.clone()) } else { None }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let file: File = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path).ok()?;
    let facts = file.metadata().ok()?;
    if !facts.is_file() || facts.len() > LARGEST {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// `/build/a /src/a /build/b /src/b`, as `set substitute-path` takes one of them; `off` for none.
pub fn show_substitutes(rules: &[(String, String)]) -> String {
    if rules.is_empty() {
        return "off".into();
    }
    let quoted = |text: &String| shlex::try_quote(text).map_or_else(|_| text.clone(), |text| text.into_owned());
    let words: Vec<String> = rules.iter().map(|(from, to)| format!("{} {}", quoted(from), quoted(to))).collect();
    words.join(", ")
}

/// Takes `FROM TO`, in the place of an earlier rule for FROM, or `off` for none.
pub fn substitute(rules: &mut Vec<(String, String)>, text: &str) -> Option<()> {
    match shlex::split(text)?.as_slice() {
        [off] if off == "off" => rules.clear(),
        [from, to] if !from.trim_end_matches('/').is_empty() && !to.is_empty() => {
            rules.retain(|(known, _)| known != from);
            rules.push((from.clone(), to.clone()));
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_editors_count_them() {
        let source = |text: &str| Source::new(PathBuf::new(), text.as_bytes());
        let lines = |text: &str| {
            let source = source(text);
            (1..=source.len()).map(|number| source.line(number).expect("a line").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(lines("a\nb\r\n\nc"), ["a", "b", "", "c"]);
        assert_eq!(lines("a\n"), ["a"]);
        assert_eq!(lines(""), Vec::<String>::new());
        assert_eq!((source("a").line(0), source("a").line(2)), (None, None));
    }

    #[test]
    fn rules_are_for_whole_folders() {
        let rules = vec![("/build/x".to_owned(), "/src/".to_owned())];
        let first = |name: &str| {
            let places = Places { substitutes: &rules, ..Places::default() };
            candidates(name, &places)[0].to_string_lossy().into_owned()
        };
        assert_eq!(first("/build/x/a.c"), "/src/a.c");
        assert_eq!(first("/build/xy/a.c"), "/build/xy/a.c");
        let mut rules = rules;
        substitute(&mut rules, "/build/x /other").expect("a rule");
        assert_eq!(show_substitutes(&rules), "/build/x /other");
        substitute(&mut rules, "off").expect("none");
        assert!(rules.is_empty());
        assert!(substitute(&mut rules, "/a").is_none() && substitute(&mut rules, "/ /b").is_none());
    }

    #[test]
    fn what_is_no_plain_file_is_not_read() {
        assert!(read(Path::new("/dev/zero")).is_none());
        assert!(read(Path::new("/")).is_none());
        let places = Places::default();
        let tried = Sources::default().read("/no/such/../file.c", &places).expect_err("nothing");
        assert_eq!(tried, [PathBuf::from("/no/such/../file.c")]);
    }
}
