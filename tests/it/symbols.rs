//! What ELF and DWARF say of addresses, names and lines, against addr2line, readelf and nm, and against the source.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use godbg::addr::LinkAddr;
use godbg::symbols::{Module, NamePattern};

use crate::harness::binaries::{assert_as_addr2line, functions_by_readelf, module, run};
use crate::harness::skip;
use crate::harness::toolchain::sources;

/// The fixture, compiled with some flags.
fn compiled(folder: &Path, flags: &[&str]) -> PathBuf {
    let program = folder.join(format!("program{}", flags.concat().replace(['=', '/'], "-")));
    let mut gcc = Command::new("gcc");
    gcc.current_dir(folder).args(flags).arg(sources().join("calls_inlined.c")).arg("-o").arg(&program);
    run(&mut gcc);
    program
}

const VERSIONS: &[&str] = &["-gdwarf-2", "-gdwarf-3", "-gdwarf-4", "-gdwarf-5"];

#[test]
fn every_address_of_a_program_is_what_addr2line_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut compared = 0;
    for version in VERSIONS {
        for level in ["-O0", "-O2"] {
            for packed in [&[][..], &["-gz=zlib"]] {
                let flags = [&[version, level], packed].concat();
                let program = compiled(folder.path(), &flags);
                let own = ["square", "cube", "sum_of_cubes", "compare", "main"];
                let functions = functions_by_readelf(&program).into_iter();
                let functions = functions.filter(|(_, _, name)| own.contains(&name.as_str()));
                let functions: Vec<(u64, u64)> = functions.map(|(start, end, _)| (start, end)).collect();
                compared += assert_as_addr2line(&program, &functions);
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
        assert!(missed.is_some_and(|(_, why)| why.as_deref().is_some_and(|why| why.contains("checksum"))), "{facts:?}");
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

#[test]
fn a_function_has_one_name_in_stacks_and_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("aliases.c");
    let text = "static __attribute__((noinline)) int inner(int n) { return n * n + 1; }\n\
        int plain(int n) { return inner(n) + inner(n + 1); }\n\
        extern int alias(int) __attribute__((alias(\"plain\")));\n\
        int main(int argc, char **argv) { (void)argv; return alias(argc) + plain(2); }\n";
    std::fs::write(&source, text).unwrap();
    let program = folder.path().join("aliases");
    run(Command::new("gcc").args(["-g", "-O1"]).arg(&source).arg("-o").arg(&program));
    let mut paths = vec![program];
    paths.extend([PathBuf::from("/usr/lib/x86_64-linux-gnu/libc.so.6")].into_iter().filter(|path| path.exists()));
    for path in &paths {
        let module = module(path);
        for (start, end, _) in functions_by_readelf(path) {
            let Some(symbol) = module.symbol_at(LinkAddr(start)) else { panic!("nothing at {start:#x}") };
            let frames = module.frames_at(LinkAddr(start));
            let outermost = frames.last().expect("a function");
            if outermost.start == Some(symbol.start) {
                assert_eq!(outermost.function.as_deref(), Some(&*symbol.name), "{path:?} {start:#x}");
            }
            // Behind its last byte a function ends, unless another begins there.
            let behind = module.symbol_at(LinkAddr(end));
            assert!(behind.is_some_and(|behind| behind.start <= LinkAddr(end)), "{path:?} {end:#x}");
        }
    }
}
