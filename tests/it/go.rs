//! Go's own tables against Go's own tools and against DWARF: functions, lines and inlined calls by address and by name.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use godbg::addr::LinkAddr;
use godbg::symbols::{Bytes, Files, Module};

use crate::harness::skip;
use crate::harness::toolchain::Go;

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

/// Addresses all over a program's code.
fn addresses(module: &Module, count: u64) -> Vec<u64> {
    let text = module.section(".text").unwrap();
    let step = (text.len() as u64 / count).max(1);
    // A step that is no multiple of what code is aligned to.
    (0..text.len() as u64).step_by((step | 1) as usize).map(|offset| text.address.0 + offset).collect()
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

/// The ways in which a program is built.
const WAYS: &[&[&str]] = &[&[], &["-ldflags=-s -w"], &["-buildmode=pie"], &["-buildmode=pie", "-ldflags=-s -w"]];

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
        let module = module(&path);
        let addresses = addresses(&module, 6000);
        // Go's tool takes the beginning of .text for that of Go's code (debug/gosym), but a C linker puts _start before it.
        let text = addresses[0];
        let tables = module.go().unwrap();
        let first = (text..).find(|address| tables.symbol_at(LinkAddr(*address)).is_some()).unwrap();
        let asked: Vec<u64> = addresses.iter().map(|address| address.wrapping_sub(first - text)).collect();
        let (mut compared, mut wrong) = (0, Vec::new());
        for (address, (function, line)) in
            addresses.iter().zip(lines_by_go(&path, &asked)).filter(|(address, _)| **address >= first)
        {
            let frames = module.frames_at(LinkAddr(*address));
            // What Go does not know is C's.
            if function == "?" || line.starts_with('?') {
                continue;
            }
            compared += 1;
            let spot = frames.first().and_then(|frame| frame.spot.clone());
            let ours = spot.map_or_else(String::new, |spot| format!("{}:{}", spot.file, spot.line));
            let name = frames.last().and_then(|frame| frame.function.clone()).unwrap_or_default();
            // Between functions there is padding, which has no line.
            let line = if line.starts_with(":-") { "" } else { line.as_str() };
            if (&*name, &*ours) != (function.as_str(), line) {
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

/// binutils' addr2line, which reads DWARF: the calls at each address, the innermost first, as `name file:line`.
fn calls_by_dwarf(path: &Path, addresses: &[u64]) -> Vec<Vec<String>> {
    let input: String = addresses.iter().map(|address| format!("{address:#x}\n")).collect();
    let text = ask(Command::new("addr2line").args(["-a", "-i", "-f", "-e"]).arg(path), &input);
    let mut calls: Vec<Vec<String>> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        match (line.strip_prefix("0x"), calls.last_mut()) {
            (Some(_), _) => calls.push(Vec::new()),
            (None, Some(calls)) => {
                let place = lines.next().unwrap_or_default();
                calls.push(format!("{line} {}", place.split(" (discriminator").next().unwrap()));
            }
            (None, None) => {}
        }
    }
    calls
}

/// pclntab leaves out the types of an instance.
fn without_types(name: &str) -> String {
    let name = &name.replace(".abi0 ", " ").replace(" ./", " ");
    match (name.find('['), name.rfind(']')) {
        (Some(begin), Some(end)) if begin < end => format!("{}[...]{}", &name[..begin], &name[end + 1..]),
        _ => name.to_owned(),
    }
}

#[test]
fn inlined_calls_are_those_of_dwarf_however_a_program_was_built() {
    for go in Go::all() {
        let with_dwarf = go.program("goload", &[]);
        let plain = module(&with_dwarf);
        let addresses = addresses(&plain, 6000);
        let by_dwarf = calls_by_dwarf(&with_dwarf, &addresses);
        assert_eq!(by_dwarf.len(), addresses.len());
        let named = addr2line::Loader::new(&with_dwarf).unwrap();
        let (mut compared, mut inlined, mut wrong) = (0, 0, Vec::new());
        for (address, wanted) in addresses.iter().zip(&by_dwarf) {
            if wanted[0].contains("?") {
                continue;
            }
            let ours: Vec<String> = plain
                .frames_at(LinkAddr(*address))
                .iter()
                .map(|frame| {
                    let spot =
                        frame.spot.clone().map_or_else(String::new, |spot| format!("{}:{}", spot.file, spot.line));
                    format!("{} {spot}", without_types(&frame.function.clone().unwrap_or_default()))
                })
                .collect();
            compared += 1;
            inlined += usize::from(ours.len() > 1);
            let mut wanted: Vec<String> = wanted.iter().map(|call| without_types(call)).collect();
            if wanted.len() > 1 {
                // binutils names the innermost call by the function around it.
                let frame = named.find_frames(*address).unwrap().next().unwrap().unwrap();
                let name = without_types(&frame.function.unwrap().raw_name().unwrap());
                wanted[0] = format!("{name} {}", wanted[0].rsplit_once(' ').unwrap().1);
            }
            if ours != wanted {
                wrong.push(format!("{address:#x}: {ours:?}, by DWARF {wanted:?}"));
            }
        }
        println!("{}: {compared} compared, {inlined} of them in inlined calls, {} differ", go.version, wrong.len());
        assert!(compared > 3000 && inlined > 300, "{}: {compared}, {inlined}", go.version);
        assert!(
            wrong.len() * 100 <= compared,
            "{}: {} of {compared} differ: {:#?}",
            go.version,
            wrong.len(),
            &wrong[..20]
        );
        // The other ways have no DWARF; but the same code has the same functions, lines and calls.
        for way in WAYS {
            let other = module(&go.program("goload", way));
            assert_eq!(other.go().unwrap().build().version, go.version, "{way:?}");
        }
    }
}

#[test]
fn print_layouts() {
    for path in std::env::var("GO_LAYOUTS").unwrap_or_default().split_whitespace() {
        let begin = std::time::Instant::now();
        let module = module(Path::new(path));
        let found =
            godbg::symbols::go::types::structs(&module, &["runtime.g", "runtime.m", "runtime.gobuf", "runtime.stack"]);
        println!("{path} {:?}", begin.elapsed());
        for (name, fields) in [
            (
                "runtime.g",
                &[
                    "stack",
                    "m",
                    "sched",
                    "syscallsp",
                    "syscallpc",
                    "syscallbp",
                    "atomicstatus",
                    "goid",
                    "waitsince",
                    "waitreason",
                    "parentGoid",
                    "gopc",
                    "startpc",
                    "labels",
                    "runningCleanups",
                    "lockedm",
                ][..],
            ),
            ("runtime.m", &["g0", "gsignal", "curg", "procid", "alllink", "tls"]),
            ("runtime.gobuf", &["sp", "pc", "bp", "g"]),
        ] {
            let Some(layout) = found.get(name) else {
                println!("no {name}");
                continue;
            };
            println!(
                "{name} {} {:?}",
                layout.size,
                fields.iter().map(|f| (f, layout.fields.get(*f).copied())).collect::<Vec<_>>()
            );
        }
    }
}
