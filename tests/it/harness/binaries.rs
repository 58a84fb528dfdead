//! What binutils say of a file, for comparison with what godbg says of it.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use godbg::addr::LinkAddr;
use godbg::kernel::file_map::FileMap;
use godbg::symbols::{Bytes, Files, Module, SourceFrame};

/// The files of this machine.
pub struct Machine;

impl Files for Machine {
    fn open(&self, path: &Path) -> std::io::Result<Bytes> {
        Ok(Arc::new(FileMap::open(path)?.0))
    }
}

/// A file as godbg reads it.
pub fn module(path: &Path) -> Module {
    let bytes = Machine.open(path).unwrap();
    Module::read(path.to_str().unwrap(), bytes, Arc::new(Machine)).unwrap()
}

/// Runs a command that must succeed; what it said.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Each frame as function and `file:line`, the innermost first.
pub type Answer = Vec<(String, String)>;

/// `addr2line -a -f -i -C` for many addresses.
pub fn by_addr2line(path: &Path, addresses: &[u64]) -> HashMap<u64, Answer> {
    let mut command = Command::new("addr2line");
    command.args(["-a", "-f", "-i", "-C", "-e"]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input: String = addresses.iter().map(|address| format!("{address:#x}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let (text, mut answers, mut at) = (String::from_utf8_lossy(&output.stdout).into_owned(), HashMap::new(), 0);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        match line.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
            Some(address) => at = address,
            None => {
                let place = lines.next().unwrap_or_default();
                let place = place.split(" (discriminator").next().unwrap_or_default();
                let frames: &mut Answer = answers.entry(at).or_default();
                frames.push((line.to_owned(), place.rsplit('/').next().unwrap_or_default().to_owned()));
            }
        }
    }
    answers
}

/// The same by godbg.
pub fn answer(frames: &[SourceFrame]) -> Answer {
    let frame = |frame: &SourceFrame| {
        let name = frame.function.as_deref().unwrap_or("??").to_owned();
        let place = frame.spot.as_ref().map_or("??:0".into(), |spot| {
            format!("{}:{}", spot.file.rsplit('/').next().unwrap_or_default(), spot.line)
        });
        (name, place.replace(":0", ":?"))
    };
    frames.iter().map(frame).collect()
}

/// The functions of `.symtab` or `.dynsym` by readelf: begin, end, name.
pub fn functions_by_readelf(path: &Path) -> Vec<(u64, u64, String)> {
    let text = run(Command::new("readelf").args(["-s", "-W"]).arg(path));
    let function = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, value, size, "FUNC", _, _, section, name, ..] = words[..] else { return None };
        section.parse::<u16>().ok()?;
        let start = u64::from_str_radix(value, 16).ok()?;
        let size = match size.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok()?,
            None => size.parse().ok()?,
        };
        Some((start, start + size, name.split('@').next().unwrap_or_default().to_owned()))
    };
    text.lines().filter_map(function).filter(|(start, end, _)| start < end).collect()
}

/// Asserts that each address of some functions (begin, end) is what addr2line says; how many were compared. Padding between
/// functions is left out: addr2line gives it to the one before, godbg to none.
#[track_caller]
pub fn assert_as_addr2line(path: &Path, functions: &[(u64, u64)]) -> usize {
    let module = module(path);
    let addresses: Vec<u64> = functions.iter().flat_map(|(start, end)| *start..*end).collect();
    let expected = by_addr2line(path, &addresses);
    for address in &addresses {
        let found = answer(&module.frames_at(LinkAddr(*address)));
        let expected = expected.get(address).cloned().unwrap_or_default();
        assert_eq!(comparable(found), comparable(expected), "{path:?} {address:#x}");
    }
    addresses.len()
}

/// The demanglers differ in the parameters of the standard library's template constructors.
fn comparable(mut frames: Answer) -> Answer {
    for (name, _) in frames.iter_mut().filter(|(name, _)| name.starts_with("std::") || name.contains(" std::")) {
        name.truncate(name.find('(').unwrap_or(name.len()));
    }
    frames
}
