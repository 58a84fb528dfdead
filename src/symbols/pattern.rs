//! Which names a person's word means: whole names, their last parts (`f`, `ns::f`, `T.M`), or a regular expression. Knows how
//! Rust, C++ and Go write names; knows no file.

use std::borrow::Cow;

use super::SymbolError;

/// What names are looked for.
#[derive(Clone, Debug)]
pub enum NamePattern {
    /// A name, or its last parts.
    Name(Name),
    /// Whatever matches somewhere in the name.
    Regex(regex::Regex),
}

/// A name as it was typed, and its parts.
#[derive(Clone, Debug)]
pub struct Name {
    text: String,
    parts: Vec<String>,
}

impl NamePattern {
    /// A name or its last parts, without parameters and generic arguments, or with them as listings show them.
    pub fn name(text: &str) -> NamePattern {
        let text = text.trim();
        let parts = readings(text).into_iter().next().unwrap_or_default();
        NamePattern::Name(Name { text: text.to_owned(), parts })
    }

    /// A regular expression.
    pub fn regex(text: &str) -> Result<NamePattern, SymbolError> {
        let built = regex::RegexBuilder::new(text).size_limit(1 << 20).build();
        built.map(NamePattern::Regex).map_err(|error| SymbolError::Pattern(text.to_owned(), error.to_string()))
    }

    /// Whether a name, as listings show it, is meant.
    pub fn fits(&self, name: &str) -> bool {
        let wanted = match self {
            NamePattern::Regex(regex) => return regex.is_match(name),
            NamePattern::Name(wanted) => wanted,
        };
        if name == wanted.text {
            return true;
        }
        // Whoever names what stands in an anonymous namespace need not say so.
        let skips = name.contains(ANONYMOUS) && !wanted.text.contains(ANONYMOUS);
        let Some(last) = wanted.parts.last() else { return false };
        // A stub that leads to a function is not the function.
        if name.ends_with("@plt") && !wanted.text.ends_with("@plt") {
            return false;
        }
        if last.is_empty() || !name.contains(last.as_str()) {
            return false;
        }
        let detailed = has_brackets(&wanted.text) && !wanted.text.contains("(*");
        let mut readings = readings(name);
        if skips {
            readings.iter_mut().for_each(|parts| parts.retain(|part| part != ANONYMOUS));
        }
        readings.iter().any(|parts| parts.ends_with(&wanted.parts))
            && (!detailed
                || ends_with(name, &wanted.text)
                || skips && ends_with(&without_anonymous(name), &wanted.text))
    }

    /// Whether it is a name as only Go writes them: `pkg.f`, `pkg.(*T).M`.
    pub fn is_gos(&self) -> bool {
        matches!(self, NamePattern::Name(wanted) if wanted.text.contains('.') && !wanted.text.contains("::"))
    }

    /// The last part of every name that fits; `None` if names have to be looked at.
    pub fn last_part(&self) -> Option<&str> {
        let NamePattern::Name(wanted) = self else { return None };
        wanted.parts.last().map(String::as_str)
    }

    /// Bytes that the linker's name of everything that fits holds; `None` if there are no such.
    pub fn literal(&self) -> Option<&str> {
        let NamePattern::Name(wanted) = self else { return None };
        // C++ has abbreviations for these (Itanium C++ ABI, 5.1.10), so that they may be missing.
        const SHORTENED: &[&str] =
            &["std", "allocator", "basic_string", "basic_istream", "basic_ostream", "basic_iostream", "string"];
        let plain = |part: &&String| {
            let text = part.strip_prefix('~').unwrap_or(part);
            let ident = text.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
            ident && !text.is_empty() && !SHORTENED.contains(&text) && !text.starts_with("operator")
        };
        wanted.parts.iter().rev().find(plain).map(|part| part.trim_start_matches('~'))
    }
}

/// Whether a name says more than its parts: parameters, or arguments of a template. Those of `operator()` and `operator<` are none.
fn has_brackets(text: &str) -> bool {
    let is_bracket = ['<', '(', '['];
    match text.find("operator").filter(|at| !text[..*at].ends_with(is_ident) && !text[at + 8..].starts_with(is_ident)) {
        Some(at) => text[..at].contains(is_bracket) || text[at + operator_length(&text[at..])..].contains(is_bracket),
        None => text.contains(is_bracket),
    }
}

/// How demanglers write a namespace without a name.
const ANONYMOUS: &str = "(anonymous namespace)";

fn without_anonymous(name: &str) -> String {
    name.replace("(anonymous namespace)::", "")
}

/// Compares without blanks, and without what the C++ library's own names hide; before the end of `name` that is meant stands a
/// separator or a return type.
fn ends_with(name: &str, wanted: &str) -> bool {
    let (name, wanted) = (Squeezed::of(name), Squeezed::of(wanted).text);
    let text = name.text.as_str();
    let head = text.strip_suffix(&wanted).or_else(|| text.strip_suffix("const")?.strip_suffix(&wanted));
    let without_parameters =
        || text.split_once(&wanted).filter(|(_, rest)| rest.starts_with('(')).map(|(head, _)| head);
    let is_bound = |head: &str| {
        head.is_empty() || head.ends_with([':', '.', '/']) || name.after_blank.binary_search(&head.len()).is_ok()
    };
    head.or_else(without_parameters).is_some_and(is_bound)
}

/// A name without its blanks, and with `std::string` in place of what that stands for.
struct Squeezed {
    text: String,
    /// Where in it a blank was left out, outside of all brackets, rising.
    after_blank: Vec<usize>,
}

impl Squeezed {
    fn of(name: &str) -> Squeezed {
        const STRING: &str = "std::basic_string<char, std::char_traits<char>, std::allocator<char> >";
        let name = name.replace("std::__cxx11::", "std::").replace(STRING, "std::string");
        let (mut text, mut after_blank, mut depth) = (String::with_capacity(name.len()), Vec::new(), 0i32);
        for char in name.chars() {
            match char {
                '<' | '(' | '[' | '{' => depth += 1,
                '>' | ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
            if !char.is_whitespace() {
                text.push(char);
            } else if depth == 0 {
                after_blank.push(text.len());
            }
        }
        Squeezed { text, after_blank }
    }
}

/// The last part of a name: `f` of `ns::f(int)`.
pub fn last_part(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Cow::Borrowed(name);
    }
    Cow::Owned(readings(name).into_iter().next().and_then(|mut parts| parts.pop()).unwrap_or_default())
}

/// A name's parts without parameters and generic arguments; `<T as Trait>::f` reads as `T::f` and as `Trait::f`.
pub fn readings(name: &str) -> Vec<Vec<String>> {
    if is_split_off(name) {
        return Vec::new();
    }
    let name = without_clone_suffix(name);
    if is_go(name) {
        return vec![go_parts(name)];
    }
    read_parts(name, 0)
}

/// What gcc has split off a function is no function of its own: `f.cold`, and of C++ `f(int) [clone .cold]`.
fn is_split_off(name: &str) -> bool {
    name.ends_with("[clone .cold]") || name.ends_with(".cold")
}

/// gcc's copies of functions: `f.constprop.0`, `f.isra.0.part.1`.
fn without_clone_suffix(name: &str) -> &str {
    let mut name = name.split(" [clone .").next().unwrap_or(name);
    for suffix in [".constprop.", ".isra.", ".part.", ".lto_priv.", ".llvm."] {
        name = name.split(suffix).next().unwrap_or(name);
    }
    name
}

fn is_go(name: &str) -> bool {
    !name.contains("::")
        && !name.starts_with('<')
        && name.find('.').is_some_and(|dot| !name[..dot].contains(['(', ' ']) || name.starts_with("(*"))
        || name.starts_with("(*")
}

/// `net/http.(*Server).Serve` is `http`, `Server`, `Serve`; brackets hold a generic's arguments.
fn go_parts(name: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth) = (Vec::new(), String::new(), 0usize);
    for char in name.chars() {
        match char {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            // What stands before the last slash of a package's path is not needed to name it.
            '/' => {
                part.clear();
                parts.clear();
            }
            '.' => parts.push(std::mem::take(&mut part)),
            '(' | ')' | '*' => {}
            _ => part.push(char),
        }
    }
    parts.push(part);
    parts.retain(|part| !part.is_empty());
    parts
}

/// Parts between `::` outside of brackets.
fn read_parts(name: &str, depth: usize) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = vec![Vec::new()];
    let mut part = String::new();
    let mut rest = name;
    let push = |found: &mut Vec<Vec<String>>, part: &mut String| {
        let part = std::mem::take(part);
        if !part.is_empty() {
            found.iter_mut().for_each(|parts| parts.push(part.clone()));
        }
    };
    while let Some(char) = rest.chars().next() {
        if part.is_empty() && rest.starts_with("operator") && !rest[8..].starts_with(is_ident) {
            let (operator, after) = rest.split_at(operator_length(rest));
            part = operator.to_owned();
            // A blank keeps the template's bracket off the operator's: `operator< <int>`.
            rest = after.strip_prefix(' ').filter(|after| after.starts_with('<')).unwrap_or(after);
            continue;
        }
        let after = &rest[char.len_utf8()..];
        match char {
            ':' if after.starts_with(':') => {
                push(&mut found, &mut part);
                rest = &after[1..];
            }
            '<' => {
                let (inner, behind) = balanced(rest, '<', '>');
                // At the beginning, and after nothing but a reference's marks, stands a type in brackets.
                if part.is_empty() && found.iter().all(Vec::is_empty) && depth < 4 && behind.starts_with("::") {
                    found = types_of(inner, depth);
                } else if part.is_empty() && found.iter().all(Vec::is_empty) && behind.is_empty() {
                    part.push_str(inner);
                }
                rest = behind;
            }
            '(' if rest.starts_with("(anonymous namespace)") => {
                part.push_str("(anonymous namespace)");
                rest = &rest["(anonymous namespace)".len()..];
            }
            // Parameters end the name, unless a local thing of the function follows: `f(int)::local`.
            '(' => {
                let (_, behind) = balanced(rest, '(', ')');
                let behind = behind.strip_prefix(" const").unwrap_or(behind);
                if !behind.starts_with("::") {
                    break;
                }
                rest = behind;
            }
            '[' => rest = balanced(rest, '[', ']').1,
            '{' => {
                let (inner, behind) = balanced(rest, '{', '}');
                part.push('{');
                part.push_str(inner);
                part.push('}');
                rest = behind;
            }
            // What stood before a blank is a return type.
            ' ' => {
                part.clear();
                found = vec![Vec::new()];
                rest = after;
            }
            '&' | '*' if part.is_empty() => rest = after,
            _ => {
                part.push(char);
                rest = after;
            }
        }
    }
    push(&mut found, &mut part);
    found
}

/// `T as Trait` as the parts of both.
fn types_of(inner: &str, depth: usize) -> Vec<Vec<String>> {
    let mut level = 0usize;
    let split = inner.char_indices().find_map(|(at, char)| {
        match char {
            '<' | '(' | '[' => level += 1,
            '>' if !inner[..at].ends_with('-') => level = level.saturating_sub(1),
            ')' | ']' => level = level.saturating_sub(1),
            _ => {}
        }
        (level == 0 && inner[at..].starts_with(" as ")).then_some(at)
    });
    let sides = match split {
        Some(at) => vec![&inner[..at], &inner[at + 4..]],
        None => vec![inner],
    };
    let mut all: Vec<Vec<String>> = sides.into_iter().flat_map(|side| read_parts(side, depth + 1)).collect();
    all.truncate(8);
    all
}

fn is_ident(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// How long `operator<<`, `operator()`, `operator bool` is: what follows may be arguments of a template.
fn operator_length(text: &str) -> usize {
    const SIGNS: [&str; 43] = [
        "<=>", "<<=", ">>=", "->*", "()", "[]", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "++", "--", "->", "+=",
        "-=", "*=", "/=", "%=", "^=", "&=", "|=", "\"\"", "+", "-", "*", "/", "%", "^", "&", "|", "~", "!", "=", "<",
        ">", ",", "new", "delete", "co_await",
    ];
    let rest = &text["operator".len()..];
    if rest.starts_with(' ') {
        return text.find('(').unwrap_or(text.len());
    }
    SIGNS.iter().find(|sign| rest.starts_with(**sign)).map_or(text.len(), |sign| text.len() - rest.len() + sign.len())
}

/// What stands in the brackets that `text` begins with, and what follows them. `->` closes nothing.
fn balanced(text: &str, open: char, close: char) -> (&str, &str) {
    let mut depth = 0usize;
    let mut before = ' ';
    for (at, char) in text.char_indices() {
        if char == open {
            depth += 1;
        } else if char == close && before != '-' {
            depth -= 1;
            if depth == 0 {
                return (&text[1..at], &text[at + char.len_utf8()..]);
            }
        }
        before = char;
    }
    (&text[1..], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_what_ends_with_its_parts() {
        for (pattern, name, expected) in [
            ("f", "f", true),
            ("f", "g::f", true),
            ("f", "ns::f(int)", true),
            ("ns::f", "a::ns::f(int) const", true),
            ("ns::f", "ans::f", false),
            ("f", "f.constprop.0", true),
            ("f", "f.cold", false),
            ("f", "f::{closure#0}", false),
            ("f", "f::{{closure}}", false),
            ("Vec::push", "alloc::vec::Vec<T,A>::push", true),
            ("Vec::push", "<alloc::vec::Vec<u8>>::push", true),
            ("Vec::index", "<alloc::vec::Vec<u8> as core::ops::Index<usize>>::index", true),
            ("Index::index", "<alloc::vec::Vec<u8> as core::ops::Index<usize>>::index", true),
            ("fmt", "<&T as core::fmt::Debug>::fmt", true),
            ("Debug::fmt", "<&T as core::fmt::Debug>::fmt", true),
            ("f", "void ns::f<int>(int)", true),
            ("f<int>", "void ns::f<int>(int)", true),
            ("f<char>", "void ns::f<int>(int)", false),
            ("ns::f(int)", "ns::f(int)", true),
            ("f(int)", "ns::f(int)", true),
            ("f(char)", "ns::f(int)", false),
            ("C::~C", "ns::C::~C()", true),
            ("C::C", "ns::C::C(int)", true),
            ("operator<<", "std::ostream& ns::operator<<(std::ostream&, int)", true),
            ("operator()", "ns::C::operator()(int) const", true),
            ("operator+", "S std::operator+<char, T>(char const*, S const&)", true),
            ("operator<", "bool std::operator< <char>(S const&, S const&)", true),
            ("operator<", "std::ostream& std::operator<< <char>(std::ostream&, int)", false),
            ("operator<<", "std::ostream& std::operator<< <char>(std::ostream&, int)", true),
            ("C::operator int", "ns::C::operator int() const", true),
            ("f<int>", "int f<int>(int, int)", true),
            ("f<int>", "unsigned int f<int>(int, int)", true),
            ("f<int>", "int gf<int>(int, int)", false),
            ("A<int, 4>::conv<double>", "double ns::A<int, 4>::conv<double>(double)", true),
            ("ns::g", "ns::(anonymous namespace)::g(int)", true),
            ("ns::g(int)", "ns::(anonymous namespace)::g(int)", true),
            ("ns::g(char)", "ns::(anonymous namespace)::g(int)", false),
            ("ns::(anonymous namespace)::g", "ns::(anonymous namespace)::g(int)", true),
            ("ns::(anonymous namespace)::g", "ns::g(int)", false),
            (
                "f(std::string const&, int)",
                "ns::f(std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > const&, int)",
                true,
            ),
            ("f", "ns::f(int)@plt", false),
            ("f@plt", "f@plt", true),
            ("f", "f(int) [clone .cold]", false),
            ("f", "f(int) [clone .constprop.0]", true),
            ("operator()", "g(int)::{lambda(int)#1}::operator()(int) const", true),
            ("C::operator()", "ns::C::operator()(int) const", true),
            ("g", "(anonymous namespace)::g()", true),
            ("main.main", "main.main", true),
            ("main", "main.main", true),
            ("Server.Serve", "net/http.(*Server).Serve", true),
            ("(*Server).Serve", "net/http.(*Server).Serve", true),
            ("http.(*Server).Serve", "net/http.(*Server).Serve", true),
            ("net/http.(*Server).Serve", "net/http.(*Server).Serve", true),
            ("http.Serve", "net/http.(*Server).Serve", false),
            ("Map", "main.Map[go.shape.int]", true),
            ("main.Map", "main.Map[go.shape.int]", true),
            ("func1", "main.main.func1", true),
        ] {
            assert_eq!(NamePattern::name(pattern).fits(name), expected, "{pattern} {name}: {:?}", readings(name));
        }
        assert!(NamePattern::regex("^ma.n$").expect("a pattern").fits("main"));
        assert!(NamePattern::regex("(").is_err());
    }

    #[test]
    fn odd_names_are_survived() {
        for name in [
            "",
            "<",
            "<<",
            ">",
            "::",
            "(",
            ")",
            "a<b",
            "<a as",
            "operator",
            "é<ü>::ñ",
            "[",
            "{",
            "}",
            "-",
            "*",
            ".",
            "/",
            "operator<",
            "operator\"\"",
            "operatoré(",
        ] {
            readings(name);
            assert!(!NamePattern::name("x").fits(name));
            NamePattern::name(name).fits("x");
        }
        readings(&"<".repeat(10_000));
        readings(&"<a::".repeat(10_000));
    }

    #[test]
    fn the_literal_is_in_every_linker_name() {
        for (pattern, literal) in [
            ("f", Some("f")),
            ("ns::f", Some("f")),
            ("C::~C", Some("C")),
            ("operator<<", None),
            ("std::string", None),
            ("(*T).M", Some("M")),
            ("é", None),
        ] {
            assert_eq!(NamePattern::name(pattern).literal(), literal, "{pattern}");
        }
    }
}
