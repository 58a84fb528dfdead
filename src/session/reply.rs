//! What a command answers: plain data that can be shown to people and serialised for scripts. Never prints.

use std::io;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::page::{Column, Page, Span, is_hostile, is_plain};

/// How data reads for people.
pub trait Show {
    /// Adds the text to a page.
    fn show(&self, page: &mut Page);

    /// The same as one row of a table, for a reply that reads well beside others of its kind: `thread all` makes one table
    /// of them.
    fn row(&self) -> Option<Row> {
        None
    }
}

/// One row and the columns that it belongs under.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The columns.
    pub columns: Vec<Column>,
    /// One span a column.
    pub cells: Vec<Span>,
}

trait Body: Send {
    fn page(&self) -> Page;
    fn row(&self) -> Option<Row>;
    fn json(&self) -> serde_json::Value;
    fn write_json(&self, to: &mut dyn io::Write) -> io::Result<()>;
}

impl<T: Show + Serialize + Send> Body for T {
    fn page(&self) -> Page {
        let mut page = Page::default();
        self.show(&mut page);
        page
    }

    fn row(&self) -> Option<Row> {
        Show::row(self)
    }

    fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("replies are plain data with string keys")
    }

    fn write_json(&self, to: &mut dyn io::Write) -> io::Result<()> {
        write_json(self, to)
    }
}

/// Writes data as JSON without a newline. Control and format characters in strings are written as escapes even where JSON
/// would allow them as they are: the line may be looked at on a terminal. Fails only if writing does.
pub fn write_json(data: &(impl Serialize + ?Sized), to: &mut dyn io::Write) -> io::Result<()> {
    data.serialize(&mut Serializer::with_formatter(to, Escaping)).map_err(io::Error::from)
}

/// Compact JSON in which nothing can move a cursor.
struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if is_plain(fragment) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut bytes = [0; 4];
        for c in fragment.chars() {
            if !is_hostile(c) {
                writer.write_all(c.encode_utf8(&mut bytes).as_bytes())?;
                continue;
            }
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

/// The reply of a command that succeeded.
pub struct Reply(Box<dyn Body>);

impl Reply {
    /// Boxes the data.
    pub fn new(data: impl Show + Serialize + Send + 'static) -> Reply {
        Reply(Box::new(data))
    }

    /// The text for people.
    pub fn page(&self) -> Page {
        self.0.page()
    }

    /// The text as a row beside others, where it has one.
    pub fn row(&self) -> Option<Row> {
        self.0.row()
    }

    /// The facts for scripts.
    pub fn json(&self) -> serde_json::Value {
        self.0.json()
    }

    /// The same as text, piece by piece: a hundred thousand rows are never all in memory.
    pub fn write_json(&self, to: &mut dyn io::Write) -> io::Result<()> {
        self.0.write_json(to)
    }
}
