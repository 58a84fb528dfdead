//! The words of a location taken apart: a function, a line, an address, a place in a module. Pure: knows no process and no
//! symbols, and so cannot say whether anything is there.

/// What a location's words say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Spec {
    /// `*EXPR`: an address, exactly.
    Address(String),
    /// `FILE:LINE`.
    FileLine(String, u32),
    /// `LINE` of the current file.
    Line(u32),
    /// `+N` or `-N` from the current line.
    Relative(i64),
    /// `FILE:FUNC`.
    FileFunction(String, String),
    /// A function's name, or any expression: which of the two only symbols can tell.
    Function(String),
}

impl Spec {
    /// Takes a location apart. `None`: there are no words.
    pub fn parse(text: &str) -> Option<Spec> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        if let Some(inner) = text.strip_prefix('*') {
            return Some(Spec::Address(inner.to_owned()));
        }
        if let Some(number) = digits(text) {
            return Some(Spec::Line(number));
        }
        let signed =
            text.strip_prefix('+').map(|rest| (1, rest)).or_else(|| text.strip_prefix('-').map(|rest| (-1, rest)));
        if let Some(number) = signed.and_then(|(sign, rest)| Some(sign * i64::from(digits(rest.trim())?))) {
            return Some(Spec::Relative(number));
        }
        if let Some((file, rest)) = cut_file(text) {
            let (file, rest) = (unquoted(file), rest.trim());
            return Some(match digits(rest) {
                Some(line) => Spec::FileLine(file.to_owned(), line),
                None => Spec::FileFunction(file.to_owned(), unquoted(rest).to_owned()),
            });
        }
        Some(Spec::Function(unquoted(text).to_owned()))
    }

    /// Whether it names something that a file has which is still to be mapped.
    pub fn follows_files(&self) -> bool {
        matches!(self, Spec::FileLine(..) | Spec::FileFunction(..) | Spec::Function(_))
    }
}

/// Whether a text could be the name of a function in some language, and is no expression of several parts: `main`,
/// `ns::Type<int>::f`, `pkg.(*T).Method`, `operator+`, `<impl Trait for T>::f`.
pub fn is_name(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '~' | '<' | '('));
    let (mut angles, mut rounds) = (0i32, 0i32);
    for (at, c) in text.char_indices() {
        match c {
            '<' | '[' => angles += 1,
            '>' | ']' => angles -= 1,
            '(' => rounds += 1,
            ')' => rounds -= 1,
            c if c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '~' | '{' | '}' | '#' | '$' | '@' | '·') => {}
            // Types within templates and arguments have more signs, and so have operators.
            _ if angles > 0 || rounds > 0 || text[..at].contains("operator") => {}
            // Go's paths of packages: `github.com/user/project-x.Func`.
            '/' | '-' if text[at..].contains('.') && text[..at].contains(|c: char| c.is_alphabetic()) => {}
            _ => return false,
        }
    }
    begins && rounds == 0
}

/// Cuts `FILE:REST` at its colon: not one of `::`, nor one within quotes or brackets. Something must stand on both sides.
fn cut_file(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let (mut quote, mut depth) = (None, 0i32);
    let mut at = 0;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, byte @ (b'\'' | b'"')) => quote = Some(byte),
            (None, b'<' | b'(' | b'{') => depth += 1,
            (None, b'>' | b')' | b'}') => depth -= 1,
            (None, b':') if depth == 0 => {
                if bytes.get(at + 1) == Some(&b':') {
                    at += 2;
                    continue;
                }
                let (file, rest) = (text[..at].trim(), text[at + 1..].trim());
                return (!file.is_empty() && !rest.is_empty()).then_some((file, rest));
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn digits(text: &str) -> Option<u32> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // `010` is a line like any other; a number that is too large is no line that there is.
    if all { Some(text.parse().unwrap_or(u32::MAX)) } else { None }
}

/// Without the quotes around all of it.
pub fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let inner = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('\'').or_else(|| inner('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_users_of_gdb_and_delve_mean() {
        let function = |name: &str| Spec::Function(name.into());
        for (text, expected) in [
            ("main", function("main")),
            ("'main.(*T).Run'", function("main.(*T).Run")),
            ("ns::f", function("ns::f")),
            ("a::b<c::d>::e", function("a::b<c::d>::e")),
            ("libc.so.6+0x1234", function("libc.so.6+0x1234")),
            ("$pc+4", function("$pc+4")),
            ("*0x1234", Spec::Address("0x1234".into())),
            ("12", Spec::Line(12)),
            ("99999999999999999999", Spec::Line(u32::MAX)),
            ("+3", Spec::Relative(3)),
            ("-3", Spec::Relative(-3)),
            ("main.c:12", Spec::FileLine("main.c".into(), 12)),
            ("/a b/main.c : 12", Spec::FileLine("/a b/main.c".into(), 12)),
            ("'a:b.c':12", Spec::FileLine("a:b.c".into(), 12)),
            ("main.c:work", Spec::FileFunction("main.c".into(), "work".into())),
            ("x.cc:ns::f", Spec::FileFunction("x.cc".into(), "ns::f".into())),
        ] {
            assert_eq!(Spec::parse(text), Some(expected), "{text}");
        }
        assert_eq!(Spec::parse("  "), None);
    }

    #[test]
    fn names_are_told_from_expressions() {
        for name in [
            "main",
            "ns::Type<int, char*>::f",
            "pkg.(*T).Method",
            "(*T).Method",
            "main.func1",
            "main.Map[go.shape.int_0]",
            "main.Map[...]",
            "operator+",
            "A::operator<<",
            "<alloc::vec::Vec<T> as core::ops::Drop>::drop",
            "github.com/some-one/project.Func",
            "f(int, char const*)",
            "core::ops::function::FnOnce::call_once{{vtable.shim}}",
        ] {
            assert!(is_name(name), "{name}");
        }
        for expression in ["main+4", "$pc", "0x1234", "main - 4", "[stack]", "a*b", "redis-server+0x10", "1.5"] {
            assert!(!is_name(expression), "{expression}");
        }
    }
}
