//! Go's own tables against Go's own tools and against DWARF: functions, lines and inlined calls by address and by name.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use godbg::addr::LinkAddr;
use godbg::symbols::{Bytes, Files, Module};

use crate::harness::skip;

/// Opens nothing: Go's tables are in the program itself.
struct NoFiles;

impl Files for NoFiles {
    fn open(&self, _: &Path) -> std::io::Result<Bytes> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn module(path: &Path) -> Module {
    Module::read("test", Arc::new(std::fs::read(path).unwrap()), Arc::new(NoFiles)).unwrap()
}

/// Sends lines to a program and returns what it answers.
fn ask(command: &mut Command, input: &str) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Functions by `go tool nm`: address, size and name of those with code.
fn functions(path: &Path) -> BTreeMap<u64, (u64, String)> {
    let text = ask(Command::new("go").args(["tool", "nm", "-size"]).arg(path), "");
    let function = |line: &str| {
        let mut words = line.split_whitespace();
        let (address, size, kind) = (words.next()?, words.next()?, words.next()?);
        let name = words.collect::<Vec<_>>().join(" ");
        let address = u64::from_str_radix(address, 16).ok()?;
        (kind.eq_ignore_ascii_case("t")).then(|| Some((address, (size.parse().ok()?, name))))?
    };
    text.lines().filter_map(function).collect()
}

/// `go tool addr2line`: the function that has the code, and the innermost line.
fn lines_by_go(path: &Path, addresses: &[u64]) -> Vec<(String, String)> {
    let input: String = addresses.iter().map(|address| format!("{address:#x}\n")).collect();
    let text = ask(Command::new("go").args(["tool", "addr2line"]).arg(path), &input);
    let lines: Vec<&str> = text.lines().collect();
    lines.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
}

/// Programs in Go that nobody here wrote, and this test's own.
fn programs() -> Vec<PathBuf> {
    let root = ask(Command::new("go").args(["env", "GOROOT"]), "");
    let root = Path::new(root.trim());
    let tools = ["bin/gofmt", "bin/go"].map(|tool| root.join(tool));
    let others = ["/usr/bin/prometheus", "/usr/bin/dlv"].map(PathBuf::from);
    tools.into_iter().chain(others).filter(|path| path.exists()).collect()
}

fn has_go() -> bool {
    let has = Command::new("go").arg("version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !has {
        skip("no Go: its tables are not compared with its own tools");
    }
    has
}

#[test]
fn functions_and_lines_are_those_of_go_tool_addr2line() {
    if !has_go() {
        return;
    }
    for path in programs() {
        let (module, functions) = (module(&path), functions(&path));
        // A few addresses in each function: its entry, its middle and its last byte.
        let inside = |(start, (size, _)): (&u64, &(u64, String))| {
            let size = (*size).max(1);
            [*start, start + size / 3, start + size / 2, start + size - 1]
        };
        let step = (functions.len() / 3000).max(1);
        let addresses: Vec<u64> = functions.iter().step_by(step).flat_map(inside).collect();
        let (mut compared, mut wrong) = (0, Vec::new());
        for (address, (function, line)) in addresses.iter().zip(lines_by_go(&path, &addresses)) {
            let frames = module.frames_at(LinkAddr(*address));
            // What Go does not know is C's.
            if function == "?" || line.starts_with('?') {
                continue;
            }
            compared += 1;
            let spot = frames.first().and_then(|frame| frame.spot.clone());
            let ours = spot.map_or_else(String::new, |spot| format!("{}:{}", spot.file, spot.line));
            let name = frames.last().and_then(|frame| frame.function.clone()).unwrap_or_default();
            if (&*name, &*ours) != (function.as_str(), line.as_str()) {
                wrong.push(format!("{address:#x}: {name} {ours}, by Go {function} {line}"));
            }
        }
        assert!(compared > 1000, "{}: {compared} of {}", path.display(), addresses.len());
        assert!(
            wrong.is_empty(),
            "{}: {} of {compared} differ: {:#?}",
            path.display(),
            wrong.len(),
            &wrong[..wrong.len().min(20)]
        );
    }
}
