//! Scripts as lines: read as they come, each checked by itself, each with its place for messages. Runs nothing.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::session::dispatch::LONGEST_LINE;
use crate::session::failure::without_os_numbers;
use crate::session::{Failure, Script};

/// Of a refused line, this much is shown.
const SHOWN: usize = 200;

/// A line that has no end after so many bytes (`/dev/zero`) is not read on.
const ENDLESS: usize = 16 << 20;

/// Of a command, this much stands in the message about its failure.
const SHOWN_IN_PLACE: usize = 80;

/// A script to read from.
pub struct Source {
    /// What messages call it.
    pub name: String,
    /// Device and inode, where it is a file.
    pub identity: Option<(u64, u64)>,
    /// Whether a failing line is reported and passed over.
    pub tolerant: bool,
    /// Whether reading may wait for whoever writes it.
    pub waits: bool,
    reader: Box<dyn BufRead>,
    lines: usize,
}

/// A line of a script.
#[derive(PartialEq, Eq, Debug)]
pub enum Line {
    /// A command, a comment or nothing.
    Text(String),
    /// A line that cannot be a command.
    Bad {
        /// Its beginning, as far as it is text.
        shown: String,
        /// Why.
        why: &'static str,
    },
}

impl Source {
    /// One command, for `-e`.
    pub fn command(text: &str) -> Source {
        Source::new("-e", None, Box::new(Cursor::new(text.as_bytes().to_vec())))
    }

    /// What `source` has read.
    pub fn read(script: Script) -> Source {
        let tolerant = script.tolerant;
        let source = Source::new(&script.name, script.identity, Box::new(Cursor::new(script.bytes)));
        Source { tolerant, ..source }
    }

    /// A file; `attentive` wraps what may let its reader wait (a pipe).
    pub fn open(path: &Path, attentive: impl FnOnce(File) -> Box<dyn Read>) -> Result<Source, Failure> {
        let name = path.to_string_lossy().into_owned();
        let failure = |why: &str| Failure::hinted(format!("cannot read the script {name}: {why}"), "check its path");
        let file = File::open(path).map_err(|error| failure(&words(&error)))?;
        let facts = file.metadata().map_err(|error| failure(&words(&error)))?;
        if facts.is_dir() {
            return Err(failure("it is a directory"));
        }
        let identity = Some((facts.dev(), facts.ino()));
        let waits = !facts.is_file();
        let reader: Box<dyn Read> = if waits { attentive(file) } else { Box::new(file) };
        Ok(Source { waits, ..Source::new(&name, identity, Box::new(BufReader::new(reader))) })
    }

    /// Standard input, read as it comes.
    pub fn stdin(reader: impl Read + 'static) -> Source {
        let facts = std::fs::metadata("/dev/stdin").ok().filter(std::fs::Metadata::is_file);
        let identity = facts.map(|facts| (facts.dev(), facts.ino()));
        Source { waits: true, ..Source::new("stdin", identity, Box::new(BufReader::new(reader))) }
    }

    fn new(name: &str, identity: Option<(u64, u64)>, reader: Box<dyn BufRead>) -> Source {
        Source { name: name.to_owned(), identity, tolerant: false, waits: false, reader, lines: 0 }
    }

    /// The next line; `None` at the end.
    pub fn next_line(&mut self) -> Result<Option<Line>, Failure> {
        let Some((bytes, length)) = read_bounded(&mut self.reader)
            .map_err(|error| Failure::plain(format!("cannot read {}: {}", self.name, words(&error))))?
        else {
            return Ok(None);
        };
        self.lines += 1;
        let bytes = if self.lines == 1 { bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes) } else { &bytes };
        Ok(Some(check(bytes, length)))
    }

    /// Where the last line stands and what it says: `FILE:LINE: COMMAND`.
    pub fn place(&self, command: &str) -> String {
        format!("{}:{}: {}", self.name, self.lines, shorten(command.trim(), SHOWN_IN_PLACE))
    }
}

/// Reads up to and without the next newline: at most a little over the longest line, and how long it is in truth.
fn read_bounded(reader: &mut impl BufRead) -> io::Result<Option<(Vec<u8>, usize)>> {
    let (mut line, mut length) = (Vec::new(), 0);
    loop {
        let buffer = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if buffer.is_empty() {
            return Ok((length > 0).then_some((line, length)));
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = (LONGEST_LINE + 1).saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        length += part.len();
        if length > ENDLESS {
            return Err(io::Error::other("a line of it does not end"));
        }
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(Some((line, length)));
        }
    }
}

fn check(bytes: &[u8], length: usize) -> Line {
    let bad = |why| Line::Bad { shown: shorten(&String::from_utf8_lossy(bytes), SHOWN), why };
    if length > LONGEST_LINE {
        return bad("the line is longer than 64 KiB");
    }
    match std::str::from_utf8(bytes) {
        Err(_) => bad("the line is not UTF-8"),
        Ok(text) if text.contains('\0') => bad("the line holds a NUL byte"),
        Ok(text) => Line::Text(text.trim_end_matches('\r').to_owned()),
    }
}

/// At most so many characters, with `…` where something was cut off.
fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

/// An input or output error in words, without the number that Rust adds.
pub fn words(error: &io::Error) -> String {
    without_os_numbers(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<Line> {
        let mut source = Source::stdin(Cursor::new(bytes.to_vec()));
        std::iter::from_fn(|| source.next_line().expect("memory")).collect()
    }

    fn text(text: &str) -> Line {
        Line::Text(text.into())
    }

    #[test]
    fn lines_end_at_newlines_or_at_the_end() {
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"a\n\nb"), [text("a"), text(""), text("b")]);
        assert_eq!(lines(b"\xef\xbb\xbfa\r\nb\n"), [text("a"), text("b")]);
    }

    #[test]
    fn a_line_that_is_no_text_is_an_error_of_that_line() {
        let found = lines(b"a\nx\xffy\nn\0l\nb\n");
        assert_eq!(found[1], Line::Bad { shown: "x\u{fffd}y".into(), why: "the line is not UTF-8" });
        assert_eq!(found[2], Line::Bad { shown: "n\0l".into(), why: "the line holds a NUL byte" });
        assert_eq!(found[3], text("b"));
    }

    #[test]
    fn a_line_of_a_megabyte_is_refused_and_not_kept() {
        let mut bytes = vec![b'x'; 1 << 20];
        bytes.extend(b"\necho\n");
        let found = lines(&bytes);
        assert!(matches!(&found[0], Line::Bad { shown, .. } if shown.chars().count() == SHOWN + 1));
        assert_eq!(found[1], text("echo"));
    }

    #[test]
    fn a_place_names_file_line_and_command() {
        let mut source = Source::command("echo 1\n  bogus 2");
        source.next_line().expect("memory");
        source.next_line().expect("memory");
        assert_eq!(source.place("  bogus 2"), "-e:2: bogus 2");
        let long = source.place(&"x".repeat(1000));
        assert_eq!(long.chars().count(), "-e:2: ".len() + SHOWN_IN_PLACE + 1);
    }

    #[test]
    fn a_script_that_cannot_be_read_is_named() {
        let no_wrap = |file| Box::new(file) as Box<dyn Read>;
        for (path, why) in [("/no/such", "No such file or directory"), ("/", "it is a directory")] {
            let failure = Source::open(Path::new(path), no_wrap).err().expect("an error");
            assert_eq!(failure.message, format!("cannot read the script {path}: {why}"));
        }
    }
}
