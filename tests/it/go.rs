//! Go's own tables against Go's own tools and against DWARF: functions, lines and inlined calls by address and by name.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use godbg::addr::LinkAddr;
use godbg::symbols::{Bytes, Files, Module, NamePattern};

use godbg::target::goroutines::layout::Layout;
use godbg::target::goroutines::wait_reasons::wait_reason;

use crate::harness::fixture::Fixture;
use crate::harness::godbg::Godbg;
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

/// The same by the crate addr2line.
fn calls_by_gimli(path: &Path, addresses: &[u64]) -> Vec<Vec<String>> {
    let loader = addr2line::Loader::new(path).unwrap();
    let calls = |address: &u64| {
        let (mut frames, mut calls) = (loader.find_frames(*address).unwrap(), Vec::new());
        while let Some(frame) = frames.next().unwrap() {
            let name = frame.function.map_or("??".into(), |function| function.raw_name().unwrap().into_owned());
            let place = frame
                .location
                .map_or("??:0".into(), |place| format!("{}:{}", place.file.unwrap_or("??"), place.line.unwrap_or(0)));
            calls.push(format!("{name} {place}"));
        }
        if calls.is_empty() { vec!["?".into()] } else { calls }
    };
    addresses.iter().map(calls).collect()
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
        let mut by_dwarf = calls_by_dwarf(&with_dwarf, &addresses);
        if go.minor() >= 25 {
            // binutils cannot read the DWARF 5 that Go writes.
            by_dwarf = calls_by_gimli(&with_dwarf, &addresses);
        }
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

/// A goroutine as `runtime.Stack` has it: what it does, and the functions and lines of its stack, the innermost first.
#[derive(Debug, Default)]
struct Traced {
    id: u64,
    state: String,
    frames: Vec<(String, String)>,
    creator: Option<String>,
}

fn traced(text: &str) -> Vec<Traced> {
    let one = |text: &str| {
        let mut lines = text.lines();
        let head = lines.next()?.strip_prefix("goroutine ")?;
        let (id, state) = head.split_once(" [")?;
        let state = state.split([']', ',']).next()?.to_owned();
        let mut one = Traced { id: id.parse().ok()?, state, ..Traced::default() };
        while let (Some(call), Some(place)) = (lines.next(), lines.next()) {
            let place = place.trim().split(" +0x").next()?.to_owned();
            match call.strip_prefix("created by ") {
                Some(_) => one.creator = Some(place),
                None => one.frames.push((call[..call.rfind('(')?].to_owned(), place)),
            }
        }
        Some(one)
    };
    text.split("\n\n").filter_map(one).collect()
}

/// What Go's own traces leave out (`panic` is how they call `runtime.gopanic`): the runtime's functions but those that it exports, and wrappers that the compiler has made.
fn is_shown(function: &str) -> bool {
    let hidden =
        function.strip_prefix("runtime.").is_some_and(|name| !name.starts_with(|c: char| c.is_ascii_uppercase()));
    !hidden && !function.contains("gowrap")
}

#[test]
fn goroutines_are_those_that_the_runtime_itself_tells_of() {
    for go in Go::all() {
        for way in WAYS {
            let program = Fixture::of_program(go.program("goroutines", way)).start();
            let wanted = traced(&std::fs::read_to_string(program.dir().join("stacks")).unwrap());
            let script = format!("attach {}\ngoroutines -s\ngoroutines -with label user\n", program.pid());
            let said = Godbg::new().args(["--format", "json"]).run_script(script).success();
            let replies: Vec<serde_json::Value> =
                said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let what = format!("{} {way:?}", go.version);
            let rows = replies[1]["reply"]["goroutines"].as_array().unwrap();
            assert_eq!(replies[1]["reply"]["version"], go.version);
            assert!(wanted.len() >= 18, "{what}: {wanted:?}");
            for goroutine in &wanted {
                let row = rows.iter().find(|row| row["id"] == goroutine.id);
                let row = row.unwrap_or_else(|| panic!("{what}: no goroutine {} in {rows:#?}", goroutine.id));
                // The first goes on after the file is written.
                if goroutine.id == 1 {
                    continue;
                }
                let state = row["wait_reason"].as_str().or(row["status"].as_str()).unwrap();
                assert_eq!(state, goroutine.state, "{what} {}", goroutine.id);
                let mut frames: Vec<(String, String)> = row["frames"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|frame| {
                        let text = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
                        (without_types(&text("function")), format!("{}:{}", text("file"), frame["line"]))
                    })
                    .filter(|(function, _)| is_shown(function))
                    .collect();
                let expected: Vec<_> = goroutine
                    .frames
                    .iter()
                    .filter(|(function, _)| is_shown(function) && function != "panic")
                    .map(|(function, place)| (without_types(function), place.clone()))
                    .collect();
                // Before 1.22 a wrapper that `go f(x)` needs has no name of its own, but the line of the `go`.
                if go.minor() < 22
                    && frames.len() > expected.len()
                    && frames.last().map(|frame| &frame.1) == goroutine.creator.as_ref()
                {
                    frames.pop();
                }
                assert_eq!(frames, expected, "{what} {}", goroutine.id);
                assert_eq!(row["end"]["reason"], "outermost", "{what} {}", goroutine.id);
                let creator = row["creator"]
                    .as_object()
                    .map(|place| format!("{}:{}", place["file"].as_str().unwrap(), place["line"]));
                assert_eq!(creator, goroutine.creator, "{what} {}", goroutine.id);
                assert_eq!(row["system"], false, "{what}");
            }
            // All others are the runtime's own, of which its trace says nothing.
            let system = rows.iter().filter(|row| row["system"] == true).count();
            assert_eq!(system + wanted.len(), rows.len(), "{what}");
            let labelled = replies[2]["reply"]["goroutines"].as_array().unwrap();
            assert_eq!(labelled.len(), 1, "{what}");
            let labels = &labelled[0]["labels"];
            assert_eq!(labels[0]["key"], "job", "{what}");
            assert_eq!((&labels[1]["key"], &labels[1]["value"]), (&"user".into(), &"ann\u{1b}[2J".into()), "{what}");
            assert!(labelled[0]["waiting_s"].as_f64().is_some_and(|s| s < 600.0), "{what}: {labelled:?}");
            program.assert_beats();
        }
    }
}

#[test]
fn offsets_by_release_are_those_of_dwarf() {
    for go in Go::all() {
        let by_dwarf = Layout::by_dwarf(&module(&go.program("goroutines", &[])));
        assert_eq!(Layout::of_release(go.minor()), by_dwarf, "{}", go.version);
        assert!(by_dwarf.is_some(), "{}", go.version);
    }
}

#[test]
fn wait_reasons_by_release_are_those_of_its_source() {
    for go in Go::all() {
        let root = ask(Command::new(&go.command).args(["env", "GOROOT"]).env("GOTOOLCHAIN", "local"), "");
        let source = std::fs::read_to_string(Path::new(root.trim()).join("src/runtime/runtime2.go")).unwrap();
        // The constants in their order, each with its words behind it as a comment.
        let constants = source.split("waitReasonZero ").nth(1).unwrap().split("\n)").next().unwrap();
        let words: Vec<&str> = constants
            .lines()
            .filter_map(|line| line.split_once("// \"")?.1.rsplit_once('"'))
            .map(|(word, _)| word)
            .collect();
        assert!(words.len() > 20 && words[0].is_empty(), "{}: {words:?}", go.version);
        let ours = (0..=u8::MAX).map(|index| wait_reason(go.minor(), index).unwrap_or_default());
        let ours: Vec<&str> = ours.collect();
        let count = ours.iter().rposition(|word| !word.is_empty()).unwrap() + 1;
        assert_eq!(&ours[..words.len()], words, "{}", go.version);
        println!("{}: {count} known, {} in use", go.version, words.len());
    }
}

#[test]
fn functions_and_lines_by_name_are_those_of_go_tool_nm_however_a_program_was_built() {
    for go in Go::all() {
        let plain = go.program("goroutines", &[]);
        let text = ask(Command::new(&go.command).args(["tool", "nm"]).arg(&plain).env("GOTOOLCHAIN", "local"), "");
        let functions: Vec<(u64, &str)> = text
            .lines()
            .filter_map(|line| {
                let mut words = line.trim().splitn(3, ' ');
                let (address, kind, name) = (words.next()?, words.next()?, words.next()?);
                let is_plain = matches!(kind, "T" | "t") && !name.contains([' ', '[']) && !name.ends_with(".abi0");
                is_plain.then(|| Some((u64::from_str_radix(address, 16).ok()?, name)))?
            })
            .collect();
        assert!(functions.len() > 1000, "{}", functions.len());
        // The tables give a function in assembly and the wrapper by which Go calls it one name; nm gives it to the wrapper.
        let wrapped: HashSet<&str> =
            text.lines().filter_map(|line| line.split(' ').next_back()?.strip_suffix(".abi0")).collect();
        let (plain, stripped) = (module(&plain), module(&go.program("goroutines", &["-ldflags=-s -w"])));
        let mut compared = 0;
        for (address, name) in functions.iter().step_by(functions.len() / 200) {
            // Marks of the linker are no functions.
            if wrapped.contains(name)
                || plain.go().unwrap().symbol_at(LinkAddr(*address)).is_none_or(|symbol| &*symbol.name != *name)
            {
                continue;
            }
            compared += 1;
            let find = |module: &Module| {
                let found = module.functions(&NamePattern::name(name));
                found.into_iter().filter(|found| &*found.name == *name && !found.inlined).collect::<Vec<_>>()
            };
            assert_eq!(find(&plain).iter().map(|found| found.entry.0).collect::<Vec<_>>(), [*address], "{name}");
            let found = find(&stripped);
            assert_eq!(found.len(), 1, "{name}");
            assert!(found[0].entry <= found[0].body && found[0].body < found[0].end, "{found:?}");
        }
        assert!(compared > 100, "{compared}");
        for module in [&plain, &stripped] {
            let places = module.line_places("goroutines.go", 44);
            assert!(places.line == 44 && !places.places.is_empty(), "{places:?}");
            assert!(
                places
                    .places
                    .iter()
                    .all(|place| place.function.as_deref().is_some_and(|name| name.contains("main.generic"))),
                "{places:?}"
            );
            let short = module.functions(&NamePattern::name("server.serve"));
            let long = module.functions(&NamePattern::name("main.(*server).serve"));
            assert_eq!(short, long);
            // A compiler may have inlined it into the function that a `go` statement begins.
            let own: Vec<_> = long.iter().filter(|found| !found.inlined).collect();
            assert_eq!(own.len(), 1, "{long:?}");
            let spot = own[0].spot.clone().unwrap();
            assert!(spot.file.ends_with("goroutines.go") && (25..=30).contains(&spot.line), "{spot:?}");
            // Inlined into its caller, which is inlined into none.
            let inlined = module.functions(&NamePattern::name("main.inner"));
            assert!(inlined.iter().any(|found| found.inlined), "{inlined:?}");
            assert!(module.sources().iter().any(|file| file.ends_with("/goroutines.go")));
        }
    }
}
