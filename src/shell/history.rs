//! The lines typed so far, kept across sessions. What goes wrong with the file is told once and never stops anything.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::script::words;

/// This many lines are kept in the file.
const MOST_LINES: usize = 10_000;

/// This many can be recalled: each costs time before the first prompt.
pub const MOST_RECALLED: usize = 2_000;

/// The file is shortened when it has grown by so many more.
const SLACK: usize = 2_000;

/// A file longer than this is none of ours.
const LONGEST: u64 = 64 << 20;

/// The file of the history.
pub struct History {
    path: Option<PathBuf>,
    last: Option<String>,
    told: bool,
}

impl History {
    /// The history of this user, and its lines, the oldest first.
    pub fn open() -> (History, Vec<String>) {
        History::at(path())
    }

    fn at(path: Option<PathBuf>) -> (History, Vec<String>) {
        let text = path.as_deref().and_then(|path| read(path).ok()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| is_clean(line)).collect();
        let last = |most: usize| &lines[lines.len().saturating_sub(most)..];
        let recalled: Vec<String> = last(MOST_RECALLED).iter().map(|line| (*line).to_owned()).collect();
        if lines.len() > MOST_LINES + SLACK
            && let Some(path) = &path
        {
            // A full disk keeps the long file, which does no harm.
            let _ = shorten(path, last(MOST_LINES));
        }
        (History { path, last: recalled.last().cloned(), told: false }, recalled)
    }

    /// Adds a line, at once to the file too, so that nothing is lost when godbg is killed. False: it is the same as the
    /// one before, or not to be kept. The notice is given once.
    pub fn add(&mut self, line: &str) -> (bool, Option<String>) {
        if self.last.as_deref() == Some(line) || !is_clean(line) {
            return (false, None);
        }
        self.last = Some(line.to_owned());
        let Some(path) = self.path.as_deref().filter(|_| !self.told) else { return (true, None) };
        let Err(error) = append(path, line) else { return (true, None) };
        self.told = true;
        (true, Some(format!("the history is not kept: {}: {}", path.display(), words(&error))))
    }
}

/// A line with control characters would do more than stand there when it is recalled.
fn is_clean(line: &str) -> bool {
    !line.is_empty() && !line.chars().any(char::is_control)
}

/// `$XDG_STATE_HOME/godbg/history`, else `~/.local/state/godbg/history`. A relative XDG path is to be ignored (XDG Base
/// Directory Specification).
fn path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(folder.join("godbg/history"))
}

fn read(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn open_private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = open_private(path, OpenOptions::new().append(true).create(true))?;
    // One write(2): lines of two shells do not mix.
    file.write_all(format!("{line}\n").as_bytes())
}

fn shorten(path: &Path, lines: &[&str]) -> io::Result<()> {
    let beside = path.with_extension(format!("new.{}", std::process::id()));
    let mut file = open_private(&beside, OpenOptions::new().write(true).create(true).truncate(true))?;
    let written = file.write_all((lines.join("\n") + "\n").as_bytes()).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_privately_and_without_repeats() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b/history");
        let (mut history, lines) = History::at(Some(path.clone()));
        assert!(lines.is_empty());
        assert_eq!(history.add("one"), (true, None));
        assert_eq!(history.add("one"), (false, None));
        assert_eq!(history.add("t\x1bwo"), (false, None));
        assert_eq!(history.add("two"), (true, None));
        assert_eq!(fs::read_to_string(&path).expect("the file"), "one\ntwo\n");
        assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().expect("a folder")).expect("it").permissions().mode() & 0o777, 0o700);
        assert_eq!(History::at(Some(path)).1, ["one", "two"]);
    }

    #[test]
    fn a_long_file_is_shortened() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("history");
        let text: String = (0..MOST_LINES + SLACK + 1).map(|n| format!("line {n}\n")).collect();
        fs::write(&path, text).expect("the file");
        let (_, lines) = History::at(Some(path.clone()));
        assert_eq!(lines.len(), MOST_RECALLED);
        assert_eq!(fs::read_to_string(&path).expect("the file").lines().count(), MOST_LINES);
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_told_once() {
        let (mut history, _) = History::at(Some("/dev/full".into()));
        let (kept, notice) = history.add("one");
        assert!(kept && notice.is_some_and(|notice| notice.contains("/dev/full")));
        assert_eq!(history.add("two"), (true, None));
        assert_eq!(History::at(None).0.add("one"), (true, None));
    }
}
