//! Lists of names and addresses that others have made: `.gdb_index` by gdb, gold and lld, `.debug_names` by LLVM and gdb. A
//! program that has one must give the answers that it gives without.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use godbg::addr::LinkAddr;
use godbg::symbols::{Module, NameKind, NamePattern, NoFiles};

use crate::harness::binaries::{functions_by_readelf, module, run};
use crate::harness::skip;
use crate::harness::toolchain::sources;

/// Whether a program is installed; if it is not, says so.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        skip(&format!("no `{program}`: the indexes that it makes are not tested"));
    }
    found
}

fn sections(path: &Path) -> String {
    run(Command::new("readelf").args(["-S", "-W"]).arg(path))
}

/// The same program without some sections.
fn without(path: &Path, names: &[&str]) -> PathBuf {
    let bare = path.with_extension("bare");
    let mut objcopy = Command::new("objcopy");
    for name in names {
        objcopy.args(["--remove-section", name]);
    }
    run(objcopy.arg(path).arg(&bare));
    let left = sections(&bare);
    assert!(names.iter().all(|name| !left.contains(&format!(" {name} "))), "{left}");
    bare
}

/// The names of all functions, as listings have them, and the last parts of these.
fn names(of: &Module) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    of.names(NameKind::Function, &mut |entry| {
        let plain = entry.name.split(['(', '<']).next().unwrap_or_default();
        names.insert(entry.name.to_owned());
        names.insert(plain.rsplit("::").next().unwrap_or_default().to_owned());
        ControlFlow::Continue(())
    });
    names.retain(|name| !name.is_empty());
    names
}

/// Asserts that a program with an index says by name, by address and by line what it says without; how many answers were
/// compared. No more than `most` names are asked for.
#[track_caller]
fn assert_same_without(path: &Path, index: &str, most: usize) -> usize {
    assert!(sections(path).contains(&format!(" {index} ")), "{path:?} has no {index}");
    let bare = without(path, &[".gdb_index", ".debug_names"]);
    let (indexed, reference) = (module(path), module(&bare));
    let addresses: Vec<u64> =
        functions_by_readelf(path).iter().flat_map(|(start, end, _)| (*start..end + 3).step_by(7)).collect();
    for address in addresses.iter().map(|address| LinkAddr(*address)) {
        assert_eq!(indexed.frames_at(address), reference.frames_at(address), "{path:?} {address:?}");
    }
    // All that is asked by name is asked of a module that has not read all units.
    let all = names(&module(&bare));
    let step = (all.len() / most).max(1);
    let mut compared = addresses.len();
    for name in all.iter().step_by(step) {
        let pattern = NamePattern::name(name);
        let (found, expected) = (indexed.functions(&pattern), reference.functions(&pattern));
        assert_eq!(found, expected, "{path:?} `{name}`");
        for function in &found {
            let range = function.entry..function.end;
            assert_eq!(indexed.line_rows(range.clone()), reference.line_rows(range), "{path:?} `{name}`");
        }
        compared += 1;
    }
    compared
}

/// The C++ fixture, made by some compiler and linker.
fn cpp(folder: &Path, name: &str, flags: &[&str]) -> PathBuf {
    let program = folder.join(name);
    run(Command::new("g++")
        .args(["-g", "-O2", "-std=c++17"])
        .args(flags)
        .arg(sources().join("names.cpp"))
        .arg("-o")
        .arg(&program));
    program
}

/// What LLVM has made of `listed.cpp`, assembled.
fn listed(folder: &Path) -> PathBuf {
    let program = folder.join("listed");
    let units = ["listed.1.s", "listed.2.s"].map(|unit| sources().join(unit));
    run(Command::new("gcc").args(units).arg("-o").arg(&program));
    program
}

#[test]
fn programs_with_an_index_say_what_they_say_without() {
    let folder = tempfile::tempdir().unwrap();
    let mut compared = assert_same_without(&listed(folder.path()), ".debug_names", 1000);
    if has("g++") && has("gdb-add-index") {
        for (flags, index) in [(&[][..], ".gdb_index"), (&["-dwarf-5"], ".debug_names")] {
            let program = cpp(folder.path(), &format!("gdb{index}"), &["-gdwarf-5"]);
            run(Command::new("gdb-add-index").args(flags).arg(&program));
            compared += assert_same_without(&program, index, 1000);
        }
    }
    if has("g++") && has("ld.gold") {
        for version in ["-gdwarf-4", "-gdwarf-5"] {
            let flags = [version, "-ggnu-pubnames", "-fuse-ld=gold", "-Wl,--gdb-index"];
            compared += assert_same_without(&cpp(folder.path(), &format!("gold{version}"), &flags), ".gdb_index", 1000);
        }
    }
    // The linker that comes with rustc is lld; rustc's libraries have no lists of addresses of their own.
    let program = folder.path().join("lld");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    run(Command::new(rustc)
        .args(["--edition=2021", "-g", "-O", "-Clink-arg=-Wl,--gdb-index"])
        .arg(sources().join("names.rs"))
        .arg("-o")
        .arg(&program));
    compared += assert_same_without(&program, ".gdb_index", 100);
    assert!(compared > 5000, "{compared}");
}

#[test]
fn calls_that_were_inlined_are_found_by_name_in_all_units() {
    let folder = tempfile::tempdir().unwrap();
    let program = listed(folder.path());
    let module = module(&program);
    for (name, calls, functions) in
        [("work", 3, 0), ("homework", 2, 0), ("hidden", 0, 2), ("twice", 0, 2), ("Cage::~Cage", 0, 2), ("plain", 0, 1)]
    {
        let found = module.functions(&NamePattern::name(name));
        let inlined = found.iter().filter(|function| function.inlined).count();
        assert_eq!((inlined, found.len() - inlined), (calls, functions), "{name}: {found:?}");
    }
}

#[test]
fn a_name_that_another_ends_with_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("tails.c");
    let text = "int sink(int n);\n\
        static inline int homework(int n) { return sink(n) + 1; }\n\
        static inline __attribute__((always_inline)) int work(int n) { return sink(n) * 2 + n; }\n\
        int main(int argc, char **argv) { (void)argv; return homework(argc) + work(argc + 3); }\n\
        __attribute__((noinline)) int sink(int n) { return n ^ 5; }\n";
    std::fs::write(&source, text).unwrap();
    let program = folder.path().join("tails");
    run(Command::new("gcc").args(["-g", "-O2"]).arg(&source).arg("-o").arg(&program));
    // The linker has stored the one as the end of the other.
    let strings = run(Command::new("readelf").args(["-p", ".debug_str"]).arg(&program));
    assert!(strings.lines().any(|line| line.ends_with("  homework")), "{strings}");
    assert!(!strings.lines().any(|line| line.ends_with("  work")), "{strings}");
    let found = module(&program).functions(&NamePattern::name("work"));
    assert!(!found.is_empty() && found.iter().all(|call| call.inlined && &*call.name == "work"), "{found:?}");
}

/// Where a section's bytes lie in a file.
fn extent(path: &Path, name: &str) -> std::ops::Range<usize> {
    let text = sections(path);
    let line = text.lines().find(|line| line.contains(&format!(" {name} "))).unwrap();
    let words: Vec<&str> = line.split(']').nth(1).unwrap().split_whitespace().collect();
    let number = |digits: &str| usize::from_str_radix(digits, 16).unwrap();
    number(words[3])..number(words[3]) + number(words[4])
}

#[test]
fn an_index_that_lies_about_addresses_is_not_believed() {
    if !has("g++") || !has("gdb-add-index") {
        return;
    }
    // Several units: the fixture in two languages.
    let folder = tempfile::tempdir().unwrap();
    let object = |name: &str| folder.path().join(name);
    run(Command::new("g++").args(["-g", "-O1", "-c"]).arg(sources().join("names.cpp")).arg("-o").arg(object("one.o")));
    let second = "-Dmain=other_main";
    run(Command::new("gcc")
        .args(["-g", "-O2", "-c", second])
        .arg(sources().join("calls_inlined.c"))
        .arg("-o")
        .arg(object("two.o")));
    let program = object("program");
    run(Command::new("g++").args([object("one.o"), object("two.o")]).arg("-o").arg(&program));
    let reference = module(&program);
    let indexed = object("indexed");
    std::fs::copy(&program, &indexed).unwrap();
    run(Command::new("gdb-add-index").arg(&indexed));
    let good = std::fs::read(&indexed).unwrap();
    let section = extent(&indexed, ".gdb_index");
    let addresses: Vec<u64> =
        functions_by_readelf(&program).iter().flat_map(|(start, end, _)| (*start..*end).step_by(5)).collect();
    let expected: Vec<_> = addresses.iter().map(|address| reference.frames_at(LinkAddr(*address))).collect();
    let mut state = 7u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for round in 0..60 {
        let mut bytes = good.clone();
        let table = &mut bytes[section.clone()];
        // Mostly the list of units and the addresses, which stand in front.
        let reach = if round % 2 == 0 { table.len().min(600) } else { table.len() };
        for _ in 0..40 {
            table[random(reach)] = random(if round % 3 == 0 { 256 } else { 3 }) as u8;
        }
        let module = Module::read("lies", Arc::new(bytes), Arc::new(NoFiles)).unwrap();
        for (address, expected) in addresses.iter().zip(&expected) {
            assert_eq!(module.frames_at(LinkAddr(*address)), *expected, "{round}: {address:#x}");
        }
    }
}

#[test]
fn damaged_lists_of_names_are_survived() {
    let folder = tempfile::tempdir().unwrap();
    let program = listed(folder.path());
    let good = std::fs::read(&program).unwrap();
    let section = extent(&program, ".debug_names");
    let mut state = 3u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..400 {
        let mut bytes = good.clone();
        for _ in 0..4 {
            bytes[section.start + random(section.len())] = random(256) as u8;
        }
        let module = Module::read("damaged", Arc::new(bytes), Arc::new(NoFiles)).unwrap();
        for name in ["work", "twice", "Cage", "main"] {
            // What is found is right, though all need not be found.
            for function in module.functions(&NamePattern::name(name)) {
                assert!(NamePattern::name(name).fits(&function.name), "{name}: {function:?}");
            }
        }
    }
}
