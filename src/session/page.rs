//! Text for people as data: lines of styled spans, and tables. Everything that goes in is escaped, so that no control
//! character of a target ever reaches a terminal; width and colour are decided by whoever renders it.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::sync::Arc;

/// What a span means; the renderer chooses the colour.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Style {
    /// Ordinary text.
    #[default]
    Plain,
    /// Table headers and what must be seen first.
    Strong,
    /// Units, separators, what can be passed over.
    Dim,
    /// The selected that, or a success.
    Good,
    /// Something to look at.
    Warn,
    /// An error, a fatal signal.
    Bad,
    /// An address or a number of the machine.
    Address,
    /// A name from the target or of a command.
    Name,
}

/// A piece of text without control characters.
#[derive(Clone, Debug)]
pub struct Span {
    text: String,
    /// Whether it is printable ASCII alone: its width is then its length.
    is_plain: bool,
    /// How to show it.
    pub style: Style,
}

impl Default for Span {
    fn default() -> Span {
        Span { text: String::new(), is_plain: true, style: Style::Plain }
    }
}

impl PartialEq for Span {
    fn eq(&self, other: &Span) -> bool {
        (self.text(), self.style) == (other.text(), other.style)
    }
}

impl Eq for Span {}

impl Span {
    /// Escapes `text` and gives it a style.
    pub fn new(text: impl AsRef<str>, style: Style) -> Span {
        let text = text.as_ref();
        match is_plain(text) {
            true => Span { text: text.to_owned(), is_plain: true, style },
            false => Span { text: escape(text), is_plain: false, style },
        }
    }

    /// Makes it a number, in the memory that it has.
    pub fn set_number(&mut self, number: u64) {
        self.clear();
        write!(self.text, "{number}").expect("a String takes all");
    }

    /// Makes it empty, and keeps its memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.is_plain = true;
    }

    /// Whether it is printable ASCII alone, each character of which is a column wide.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// The escaped text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl<T: AsRef<str>> From<T> for Span {
    fn from(text: T) -> Span {
        Span::new(text, Style::Plain)
    }
}

/// One line.
pub type Line = Vec<Span>;

/// Where the text of a column stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Align {
    /// To the left.
    Left,
    /// To the right, for numbers.
    Right,
}

/// A column of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    /// Its header.
    pub header: Cow<'static, str>,
    /// Where its text stands.
    pub align: Align,
    /// Whether it gives way where the terminal is too narrow: 0 never, 1 last, higher ones before lower ones. The last
    /// column gives way when nothing else is left to.
    pub shrink: u8,
    /// Whether what does not fit goes on in the next row instead of being cut off. For the last column.
    pub wraps: bool,
}

impl Column {
    /// A column of text that is shown whole.
    pub const fn left(header: &'static str) -> Column {
        Column { header: Cow::Borrowed(header), align: Align::Left, shrink: 0, wraps: false }
    }

    /// A column of numbers.
    pub const fn right(header: &'static str) -> Column {
        Column { header: Cow::Borrowed(header), align: Align::Right, shrink: 0, wraps: false }
    }

    /// A column of text under a header that is made up now.
    pub fn named(header: impl Into<String>) -> Column {
        Column { header: Cow::Owned(escape(&header.into())), ..Column::left("") }
    }

    /// A column of text that may be cut, and how soon.
    pub const fn shrinking(header: &'static str, shrink: u8) -> Column {
        Column { header: Cow::Borrowed(header), align: Align::Left, shrink, wraps: false }
    }

    /// A last column of sentences.
    pub const fn wrapping(header: &'static str) -> Column {
        Column { header: Cow::Borrowed(header), align: Align::Left, shrink: 1, wraps: true }
    }
}

/// Rows under headers.
#[derive(Clone, Debug)]
pub struct Table {
    /// The columns, left to right.
    pub columns: Vec<Column>,
    /// The rows; each has as many spans as there are columns.
    pub rows: Vec<Vec<Span>>,
}

/// Rows that are made whenever they are looked at: a hundred thousand of them are never in memory together.
pub trait MadeRows: fmt::Debug + Send + Sync {
    /// Shows each row, top to bottom; the same ones each time.
    fn visit(&self, show: &mut dyn FnMut(&[&Span]));
}

/// A part of a page.
#[derive(Clone, Debug)]
pub enum Item {
    /// A line of text.
    Line(Line),
    /// A table.
    Table(Table),
    /// The columns and rows of a long table.
    Made(Vec<Column>, Arc<dyn MadeRows>),
    /// A page that stands in several places.
    Shared(Arc<Page>),
}

/// A reply or event, ready to be rendered.
#[derive(Clone, Debug, Default)]
pub struct Page {
    items: Vec<Item>,
}

impl Page {
    /// The parts, top to bottom.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Adds a plain line. A newline in it is a control character like any other.
    pub fn line(&mut self, text: impl AsRef<str>) {
        self.items.push(Item::Line(vec![text.into()]));
    }

    /// Adds a line of spans.
    pub fn spans(&mut self, line: Line) {
        self.items.push(Item::Line(line));
    }

    /// Adds a text of several lines, each escaped by itself.
    pub fn text(&mut self, text: &str) {
        text.lines().for_each(|line| self.line(line));
    }

    /// Adds a table.
    pub fn table(&mut self, table: Table) {
        self.items.push(Item::Table(table));
    }

    /// Adds a long table.
    pub fn made_table(&mut self, columns: Vec<Column>, rows: Arc<dyn MadeRows>) {
        self.items.push(Item::Made(columns, rows));
    }

    /// Adds a page that may stand in other places too: thousands of equal parts take the memory of one.
    pub fn share(&mut self, other: Arc<Page>) {
        self.items.push(Item::Shared(other));
    }

    /// Adds all of another page.
    pub fn append(&mut self, mut other: Page) {
        self.items.append(&mut other.items);
    }
}

/// Whether a character could move the cursor, change the terminal's state or the order of the text around it: control
/// characters, line and paragraph separators, and Unicode's format characters (bidirectional overrides among them).
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// Whether a text is printable ASCII alone, as nearly all are: each of its bytes is harmless and one column wide.
pub fn is_plain(text: &str) -> bool {
    // Without a way out in the middle, so that many bytes are looked at at once.
    text.bytes().fold(true, |plain, byte| plain & (0x20..0x7f).contains(&byte))
}

/// Writes hostile characters as `\n`, `\t`, `\r`, `\xNN` or `\u{N}`, and leaves all others alone.
pub fn escape(text: &str) -> String {
    if is_plain(text) || !text.chars().any(is_hostile) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_hostile(c) && (c as u32) < 0x100 => write!(out, "\\x{:02x}", c as u32).expect("a String takes all"),
            c if is_hostile(c) => write!(out, "\\u{{{:x}}}", c as u32).expect("a String takes all"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_printable_ascii_is_plain() {
        assert!(is_plain("") && is_plain(" main.(*T).f at a/b.go:12~"));
        for text in ["a\tb", "\x7f", "ä", "a\u{202e}", "\x1f"] {
            assert!(!is_plain(text), "{text:?}");
            assert_eq!(Span::new(text, Style::Dim).text(), escape(text));
        }
    }

    #[test]
    fn no_control_character_comes_through() {
        let hostile = "a\x1b[2Jb\nc\u{9b}d\u{202e}e\u{7f}\tä→";
        assert_eq!(escape(hostile), "a\\x1b[2Jb\\nc\\x9bd\\u{202e}e\\x7f\\tä→");
        assert!(!Span::from(hostile).text().chars().any(char::is_control));
    }
}
