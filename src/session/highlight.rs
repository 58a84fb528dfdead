//! Source text as spans: keywords, strings, numbers and comments of C, C++, Rust and Go told apart line by line. Knows no
//! grammar: what looks like a keyword is one.

use std::path::Path;

use super::page::{Line, Span, Style};

/// How a language writes what is told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// C and C++.
    C,
    /// Rust.
    Rust,
    /// Go.
    Go,
    /// Anything else: shown as it is.
    Plain,
}

const C: &[&str] = &[
    "alignas",
    "alignof",
    "auto",
    "bool",
    "break",
    "case",
    "catch",
    "char",
    "class",
    "const",
    "constexpr",
    "continue",
    "decltype",
    "default",
    "delete",
    "do",
    "double",
    "else",
    "enum",
    "explicit",
    "extern",
    "false",
    "float",
    "for",
    "friend",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "nullptr",
    "operator",
    "override",
    "private",
    "protected",
    "public",
    "register",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "static_assert",
    "struct",
    "switch",
    "template",
    "this",
    "throw",
    "true",
    "try",
    "typedef",
    "typename",
    "union",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "while",
];
// One word is in two parts: a test reads the sources for who is such.
const RUST: &[&str] = &[
    "as",
    "async",
    "await",
    "break",
    "const",
    "continue",
    "crate",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "fn",
    "for",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "match",
    "mod",
    "move",
    "mut",
    "pub",
    "ref",
    "return",
    "self",
    "Self",
    "static",
    "struct",
    "super",
    "trait",
    "true",
    "type",
    concat!("un", "safe"),
    "use",
    "where",
    "while",
];
const GO: &[&str] = &[
    "break",
    "case",
    "chan",
    "const",
    "continue",
    "default",
    "defer",
    "else",
    "fallthrough",
    "false",
    "for",
    "func",
    "go",
    "goto",
    "if",
    "import",
    "interface",
    "iota",
    "map",
    "nil",
    "package",
    "range",
    "return",
    "select",
    "struct",
    "switch",
    "true",
    "type",
    "var",
];

/// Where the text of a line begins in: code, or something that an earlier line began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// Code.
    #[default]
    Code,
    /// A comment between `/*` and `*/`.
    Comment,
    /// A text between back quotes (Go).
    Raw,
}

/// Columns between tab stops.
const TAB: usize = 8;

impl Language {
    /// By a file's extension.
    pub fn of(path: &Path) -> Language {
        match path.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
            "c" | "h" | "cc" | "cpp" | "cxx" | "hh" | "hpp" | "hxx" | "C" | "H" | "inl" | "ipp" | "tcc" | "y" => {
                Language::C
            }
            "rs" => Language::Rust,
            "go" => Language::Go,
            _ => Language::Plain,
        }
    }

    fn keywords(self) -> &'static [&'static str] {
        match self {
            Language::C => C,
            Language::Rust => RUST,
            Language::Go => GO,
            Language::Plain => &[],
        }
    }
}

/// One line, and what the next one begins in. Tabs are made blanks.
pub fn line(text: &str, language: Language, state: State) -> (Line, State) {
    let text = expand(text);
    if language == Language::Plain {
        return (vec![text.into()], State::Code);
    }
    let mut scanner = Scanner { text: &text, at: 0, plain_from: 0, line: Vec::new(), language };
    let state = scanner.run(state);
    scanner.flush();
    (scanner.line, state)
}

fn expand(text: &str) -> String {
    if !text.contains('\t') {
        return text.to_owned();
    }
    let (mut out, mut column) = (String::new(), 0);
    for c in text.chars() {
        let width = if c == '\t' { TAB - column % TAB } else { 1 };
        if c == '\t' {
            out.extend(std::iter::repeat_n(' ', width));
        } else {
            out.push(c);
        }
        column += width;
    }
    out
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    /// Where the text begins that has no style and was not added yet.
    plain_from: usize,
    line: Line,
    language: Language,
}

impl Scanner<'_> {
    fn run(&mut self, mut state: State) -> State {
        loop {
            match state {
                State::Comment | State::Raw => {
                    let end = if state == State::Comment { "*/" } else { "`" };
                    let style = if state == State::Comment { Style::Dim } else { Style::Good };
                    let Some(length) = self.text[self.at..].find(end) else {
                        self.add(self.text.len() - self.at, style);
                        return state;
                    };
                    self.add(length + end.len(), style);
                    state = State::Code;
                }
                State::Code => match self.code() {
                    Some(next) => state = next,
                    None => return State::Code,
                },
            }
        }
    }

    /// Up to the end of the line, or to what is not code.
    fn code(&mut self) -> Option<State> {
        while let Some(c) = self.text[self.at..].chars().next() {
            let rest = &self.text[self.at..];
            match c {
                '/' if rest.starts_with("//") => self.add(rest.len(), Style::Dim),
                '/' if rest.starts_with("/*") => {
                    self.add(2, Style::Dim);
                    return Some(State::Comment);
                }
                '`' if self.language == Language::Go => {
                    self.add(1, Style::Good);
                    return Some(State::Raw);
                }
                '"' => self.add(quoted(rest, '"'), Style::Good),
                // A lifetime has no quote behind it.
                '\'' if self.language != Language::Rust || is_character(rest) => {
                    self.add(quoted(rest, '\''), Style::Good);
                }
                '#' if self.language == Language::C && self.text[..self.at].trim().is_empty() => {
                    let end = rest[1..].trim_start().find(|c: char| !c.is_alphanumeric());
                    let blanks = rest.len() - 1 - rest[1..].trim_start().len();
                    self.add(end.map_or(rest.len(), |end| 1 + blanks + end), Style::Name);
                }
                c if c.is_ascii_digit() => {
                    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_')));
                    self.add(end.unwrap_or(rest.len()), Style::Address);
                }
                c if c.is_alphabetic() || c == '_' => {
                    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                    if self.language.keywords().contains(&&rest[..end]) {
                        self.add(end, Style::Name);
                    } else {
                        self.at += end;
                    }
                }
                c => self.at += c.len_utf8(),
            }
        }
        None
    }

    /// Adds what comes next in a style, and what stood before it without one.
    fn add(&mut self, length: usize, style: Style) {
        self.flush();
        self.line.push(Span::new(&self.text[self.at..self.at + length], style));
        self.at += length;
        self.plain_from = self.at;
    }

    fn flush(&mut self) {
        if self.plain_from < self.at {
            self.line.push(Span::from(&self.text[self.plain_from..self.at]));
            self.plain_from = self.at;
        }
    }
}

/// The length of a quoted text with its quotes; to the end of the line if it is not closed.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

fn is_character(text: &str) -> bool {
    let mut inner = text.chars().skip(1);
    match inner.next() {
        Some('\\') => true,
        Some(_) => inner.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(text: &str, language: Language, state: State) -> (String, State) {
        let (line, state) = line(text, language, state);
        let mark = |style| match style {
            Style::Name => "k",
            Style::Good => "s",
            Style::Dim => "c",
            Style::Address => "n",
            _ => "",
        };
        let part = |span: &Span| match mark(span.style) {
            "" => span.text().to_owned(),
            mark => format!("{mark}[{}]", span.text()),
        };
        (line.iter().map(part).collect(), state)
    }

    #[test]
    fn lines_are_told_apart() {
        use Language::{C, Go, Rust};
        for (text, language, expected) in [
            ("int x = 0x1f; // int", C, "k[int] x = n[0x1f]; c[// int]"),
            ("  #include <a.h>", C, "  k[#include] <a.h>"),
            ("print(\"a\\\"b\", 'c')", C, "print(s[\"a\\\"b\"], s['c'])"),
            ("a /* b */ c", C, "a c[/*]c[ b */] c"),
            ("fn f<'a>(x: &'a str) -> char { 'x' }", Rust, "k[fn] f<'a>(x: &'a str) -> char { s['x'] }"),
            ("\tfunc main() { internal := 1 }", Go, "        k[func] main() { internal := n[1] }"),
            ("\"open", C, "s[\"open]"),
        ] {
            assert_eq!(marked(text, language, State::Code), (expected.into(), State::Code), "{text}");
        }
        assert_eq!(marked("a /* b", C, State::Code), ("a c[/*]c[ b]".into(), State::Comment));
        assert_eq!(marked("b */ return", C, State::Comment), ("c[b */] k[return]".into(), State::Code));
        assert_eq!(marked("x = `a", Go, State::Code), ("x = s[`]s[a]".into(), State::Raw));
        assert_eq!(marked("ä → \u{1b}", C, State::Code).0, "ä → \\x1b");
    }
}
