//! Which layer may use which (the table in ARCHITECTURE.md), held by reading the sources.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// A layer and what it may name behind `crate::`. `kernel::own` is the part about godbg's own process.
const LAYERS: &[(&str, &[&str])] = &[
    ("addr", &[]),
    ("parallel", &[]),
    ("kernel", &["addr"]),
    ("symbols", &["addr", "parallel"]),
    ("target", &["addr", "parallel", "kernel", "symbols"]),
    ("fetch", &["kernel::own", "kernel::file_map", "symbols"]),
    ("session", &["addr", "parallel", "kernel::own", "target", "symbols", "fetch"]),
    ("commands", &["addr", "session", "target", "symbols"]),
    ("shell", &["addr", "kernel::own", "session", "commands", "target"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under src/ and commands/, by its path from the package's folder.
fn sources() -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![root().join("src"), root().join("commands")]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    assert!(!files.is_empty());
    files.sort();
    files
}

/// The module path of a file: `src/target/stops.rs` is `target::stops`, `commands/wait.rs` is `commands::wait`.
fn module(path: &Path) -> Vec<String> {
    let path = path.strip_prefix("src").unwrap_or(path).with_extension("");
    let mut parts: Vec<String> = path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// The code of a file, line by line with numbers: comments are left out, and what stands in quotation marks.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(root().join(path)).unwrap();
    only_code(&text).lines().enumerate().map(|(index, line)| (index + 1, line.to_owned())).collect()
}

/// Rust's text without its comments and without what is in its literals. Lines stay where they are.
fn only_code(text: &str) -> String {
    // A comment; a raw string, by the number of its #; a string; a character (a lifetime has no second mark).
    let skipped = Regex::new(
        r##"(?xs) //[^\n]* | /\*.*?\*/ | \bb?c?r"[^"]*" | \bb?c?r\#".*?"\# | \bb?c?r\#\#".*?"\#\#
            | "(?:[^"\\]|\\.)*" | '(?:[^'\\\n]|\\[^\n][^'\n]*)' "##,
    )
    .unwrap();
    let lines_of = |found: &regex::Captures<'_>| "\n".repeat(found[0].matches('\n').count());
    skipped.replace_all(text, lines_of).into_owned()
}

/// What one file does that its layer may not.
fn offences(path: &Path, lines: &[(usize, String)]) -> Vec<String> {
    let named = Regex::new(r"\bcrate::(\{|\w+(?:::\w+)?)").unwrap();
    let supers = Regex::new(r"\b(?:super::)+").unwrap();
    let module = module(path);
    let Some((layer, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == module[0]) else {
        let known = ["lib", "main"].contains(&module[0].as_str());
        return if known { Vec::new() } else { vec![format!("{}: in no layer", path.display())] };
    };
    let mut offences = Vec::new();
    let mut say = |line: usize, what: String| offences.push(format!("{}:{line}: {what}", path.display()));
    let mut depth = module.len();
    for (number, line) in lines {
        // An inline module (`mod tests {`) is one step further down.
        depth += usize::from(line.trim_start().starts_with("mod ") && line.trim_end().ends_with('{'));
        for name in named.captures_iter(line).map(|found| found[1].to_owned()) {
            let first = name.split("::").next().unwrap();
            let fits = first == *layer || allowed.contains(&first) || allowed.contains(&name.as_str());
            if name == "{" {
                say(*number, "a grouped use of crate:: hides the layers".into());
            } else if !fits {
                say(*number, format!("{layer} may not use {name}"));
            }
        }
        for found in supers.find_iter(line) {
            if found.as_str().matches("super::").count() >= depth {
                say(*number, format!("{} leaves the layer {layer}", found.as_str()));
            }
        }
    }
    offences
}

#[test]
fn no_layer_uses_what_stands_above_it() {
    let found: Vec<String> = sources().iter().flat_map(|path| offences(path, &code(path))).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_reader_of_layers_sees_offences() {
    let look = |path: &str, line: &str| offences(Path::new(path), &[(1, line.to_owned())]).len();
    for (path, line, expected) in [
        ("commands/x.rs", "use crate::kernel::ptrace;", 1),
        ("commands/x.rs", "use crate::{session, kernel};", 1),
        ("commands/x.rs", "use super::super::kernel;", 1),
        ("commands/x.rs", "use super::COMMAND;", 0),
        ("commands/x.rs", "use crate::session::Command;", 0),
        ("src/session/x.rs", "crate::kernel::own::pid()", 0),
        ("src/session/x.rs", "crate::kernel::ptrace::seize()", 1),
        ("src/target/x.rs", "use crate::session::Reply;", 1),
        ("src/target/a/b.rs", "use super::super::error;", 0),
        ("src/target/a/b.rs", "use super::super::super::session;", 1),
        ("src/symbols/x.rs", "use crate::kernel::proc;", 1),
        ("src/new.rs", "", 1),
        ("src/lib.rs", "pub use crate::kernel::x;", 0),
    ] {
        assert_eq!(look(path, line), expected, "{path}: {line}");
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for path in sources() {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        assert!(text.starts_with("//! "), "{} does not begin with //!", path.display());
    }
}

#[test]
fn every_command_file_is_in_the_table() {
    let Ok(table) = fs::read_to_string(root().join("commands/mod.rs")) else { return };
    for path in sources().iter().filter(|path| path.starts_with("commands") && !path.ends_with("mod.rs")) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        // A command with helpers of its own may be a folder.
        let name = if path.iter().count() > 2 { path.iter().nth(1).unwrap().to_str().unwrap() } else { name };
        assert!(table.contains(&format!("mod {name};")), "commands/mod.rs does not name {}", path.display());
    }
}

#[test]
fn only_the_kernel_layer_is_unsafe() {
    let word = Regex::new(r"\bunsafe\b").unwrap();
    for path in sources().iter().filter(|path| !path.starts_with("src/kernel")) {
        for (number, line) in code(path) {
            assert!(!word.is_match(&line), "{}:{number}: {line}", path.display());
        }
    }
}

#[test]
fn only_code_is_read() {
    for (text, expected) in [
        (r#"let a = "unsafe"; b // unsafe"#, "let a = ; b "),
        (r#"f("a \" unsafe", 'x', '"', b)"#, "f(, , , b)"),
        (r#"f('\'', '\u{22}', "b")"#, "f(, , )"),
        ("fn f<'a>(a: &'a str) -> &'a str { unsafe { g(a) } }", "fn f<'a>(a: &'a str) -> &'a str { unsafe { g(a) } }"),
        ("a /* unsafe\n */ b", "a \n b"),
        ("r#\"a \" unsafe\"# b", " b"),
        ("\"a // b\" unsafe", " unsafe"),
        ("\"a\nb\" c", "\n c"),
    ] {
        assert_eq!(only_code(text), expected, "{text}");
    }
}
