//! What ELF and DWARF say of addresses, names and lines, against addr2line, readelf and nm, and against the source.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use godbg::addr::LinkAddr;
use godbg::kernel::file_map::FileMap;
use godbg::symbols::{Bytes, Files, Module, NamePattern, SourceFrame};

use crate::harness::skip;
use crate::harness::toolchain::sources;

/// The files of this machine.
struct Machine;

impl Files for Machine {
    fn open(&self, path: &Path) -> std::io::Result<Bytes> {
        Ok(Arc::new(FileMap::open(path)?.0))
    }
}

fn module(path: &Path) -> Module {
    let bytes = Machine.open(path).unwrap();
    Module::read(path.to_str().unwrap(), bytes, Arc::new(Machine)).unwrap()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The fixture, compiled with some flags.
fn compiled(folder: &Path, flags: &[&str]) -> PathBuf {
    let program = folder.join(format!("program{}", flags.concat().replace(['=', '/'], "-")));
    let mut gcc = Command::new("gcc");
    gcc.current_dir(folder).args(flags).arg(sources().join("calls_inlined.c")).arg("-o").arg(&program);
    run(&mut gcc);
    program
}

const VERSIONS: &[&str] = &["-gdwarf-2", "-gdwarf-3", "-gdwarf-4", "-gdwarf-5"];

/// Each frame as function and `file:line`, the innermost first.
type Answer = Vec<(String, String)>;

/// `addr2line -a -f -i -C` for many addresses.
fn by_addr2line(path: &Path, addresses: &[u64]) -> HashMap<u64, Answer> {
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

fn answer(frames: &[SourceFrame]) -> Answer {
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
fn functions_by_readelf(path: &Path) -> Vec<(u64, u64, String)> {
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

#[test]
fn every_address_of_a_program_is_what_addr2line_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut compared = 0;
    for version in VERSIONS {
        for level in ["-O0", "-O2"] {
            for packed in [&[][..], &["-gz=zlib"]] {
                let flags = [&[version, level], packed].concat();
                let program = compiled(folder.path(), &flags);
                let module = module(&program);
                // Only within functions: padding between them is given to the one before by addr2line, to none by godbg.
                let own = ["square", "cube", "sum_of_cubes", "compare", "main"];
                let functions = functions_by_readelf(&program);
                let functions = functions.iter().filter(|(_, _, name)| own.contains(&name.as_str()));
                let addresses: Vec<u64> = functions.flat_map(|(start, end, _)| *start..*end).collect();
                let expected = by_addr2line(&program, &addresses);
                for address in &addresses {
                    let found = answer(&module.frames_at(LinkAddr(*address)));
                    assert_eq!(Some(&found), expected.get(address), "{flags:?} {address:#x}");
                }
                compared += addresses.len();
            }
        }
    }
    assert!(compared > 3000, "{compared}");
}

#[test]
fn separate_and_split_debug_info_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let whole = compiled(folder.path(), &[version, "-O2"]);
        let split = compiled(folder.path(), &[version, "-O2", "-gsplit-dwarf"]);
        let stripped = folder.path().join("stripped");
        let debug = folder.path().join("stripped.debug");
        run(Command::new("objcopy").arg("--only-keep-debug").arg(&whole).arg(&debug));
        run(Command::new("strip").arg(&whole).arg("-o").arg(&stripped));
        run(Command::new("objcopy").arg(format!("--add-gnu-debuglink={}", debug.display())).arg(&stripped));
        let reference = module(&whole);
        let all: Vec<u64> = functions_by_readelf(&whole).iter().flat_map(|(start, end, _)| *start..*end).collect();
        for other in [&split, &stripped] {
            let other = module(other);
            for address in &all {
                let (one, two) = (reference.frames_at(LinkAddr(*address)), other.frames_at(LinkAddr(*address)));
                assert_eq!(one, two, "{version} {} {address:#x}", other.name());
            }
        }
        let facts = module(&stripped).facts();
        assert!(facts.kinds.iter().any(|kind| kind.file.ends_with("stripped.debug")), "{facts:?}");
        // What was built otherwise has another checksum.
        let mut bytes = std::fs::read(&debug).unwrap();
        bytes.push(0);
        std::fs::write(&debug, bytes).unwrap();
        let facts = module(&stripped).facts();
        let missed = facts.missed.iter().find(|(path, _)| path.ends_with("/stripped.debug"));
        assert!(missed.is_some_and(|(_, why)| why.contains("checksum")), "{facts:?}");
        assert!(module(&stripped).functions(&NamePattern::name("sum_of_cubes")).is_empty());
    }
}

#[test]
fn names_and_lines_are_where_the_source_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(sources().join("calls_inlined.c")).unwrap();
    let line_of = |words: &str| text.lines().position(|line| line.contains(words)).unwrap() as u32 + 1;
    for version in VERSIONS {
        let plain = module(&compiled(folder.path(), &[version, "-O0"]));
        let found = plain.functions(&NamePattern::name("sum_of_cubes"));
        let [sum] = &found[..] else { panic!("{found:?}") };
        assert!(sum.entry < sum.body && sum.body < sum.end && !sum.inlined);
        // After the prologue stands the first statement.
        assert_eq!(sum.spot.as_ref().map(|spot| spot.line), Some(line_of("int sum = 0")), "{version}");
        let regex = NamePattern::regex("^sum_|^comp").unwrap();
        let mut names: Vec<_> = plain.functions(&regex).iter().map(|function| function.name.to_string()).collect();
        names.sort();
        assert_eq!(names, ["compare", "sum_of_cubes"]);

        let wanted = line_of("sum += cube");
        let places = plain.line_places("calls_inlined.c", wanted);
        assert_eq!(places.line, wanted);
        assert!(places.places.iter().any(|place| place.function.as_deref() == Some("sum_of_cubes")), "{places:?}");
        // A line without code is the next one that has some; one behind all code is none.
        let declaration = line_of("__attribute__((noinline)) int sum_of_cubes") - 1;
        assert_eq!(plain.line_places("calls_inlined.c", declaration).line, declaration + 1);
        assert!(plain.line_places("calls_inlined.c", 10_000).places.is_empty());
        assert!(plain.line_places("inlined.c", wanted).places.is_empty(), "only whole parts of a path count");
        assert!(plain.sources().iter().any(|file| file.ends_with("/calls_inlined.c")));

        let optimised = module(&compiled(folder.path(), &[version, "-O2"]));
        let squares = optimised.functions(&NamePattern::name("square"));
        assert!(!squares.is_empty() && squares.iter().all(|call| call.inlined), "{version} {squares:?}");
        for call in &squares {
            let frames = optimised.frames_at(call.entry);
            assert!(
                frames.iter().any(|frame| frame.inlined && frame.function.as_deref() == Some("square")),
                "{frames:?}"
            );
        }
    }
}

#[test]
fn symbols_of_programs_nobody_here_wrote_are_those_of_readelf() {
    let found = ["/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/bin/gdb", "/usr/bin/python3", "/usr/bin/redis-server"];
    let mut compared = 0;
    for path in found.map(Path::new).into_iter().filter(|path| path.exists()) {
        let module = module(path);
        for (start, _, name) in functions_by_readelf(path) {
            let symbol = module.symbol_at(LinkAddr(start)).unwrap_or_else(|| panic!("{path:?}: nothing at {name}"));
            assert_eq!(symbol.start, LinkAddr(start), "{path:?} {name}");
            compared += 1;
        }
    }
    if compared == 0 {
        skip("none of Debian's programs is here: symbols are not compared");
    }
}

#[test]
fn stubs_of_calls_have_names() {
    let folder = tempfile::tempdir().unwrap();
    let program = compiled(folder.path(), &["-O2"]);
    let module = module(&program);
    let text =
        run(Command::new("objdump").args(["-d", "-j", ".plt", "-j", ".plt.sec", "-j", ".plt.got"]).arg(&program));
    let mut stubs = 0;
    for line in text.lines().filter(|line| line.ends_with("@plt>:")) {
        let (address, name) = line.split_once(' ').unwrap();
        let symbol = module.symbol_at(LinkAddr(u64::from_str_radix(address, 16).unwrap())).expect(line);
        assert_eq!(format!("<{}>:", symbol.name), name);
        stubs += 1;
    }
    assert!(stubs > 0, "{text}");
}

#[test]
fn damaged_files_are_survived() {
    let folder = tempfile::tempdir().unwrap();
    let good = std::fs::read(compiled(folder.path(), &["-O2", "-gdwarf-5"])).unwrap();
    let ask = |bytes: Vec<u8>| {
        let Ok(module) = Module::read("damaged", Arc::new(bytes), Arc::new(godbg::symbols::NoFiles)) else { return };
        for address in (0x1000..0x1300).step_by(64) {
            module.frames_at(LinkAddr(address));
        }
        module.functions(&NamePattern::name("square"));
        module.line_places("calls_inlined.c", 14);
        module.prepare_names();
        module.facts();
    };
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..300 {
        let mut bytes = good.clone();
        for _ in 0..8 {
            let at = random(bytes.len());
            bytes[at] = random(256) as u8;
        }
        ask(bytes);
        ask(good[..random(good.len())].to_vec());
    }
}
