//! Symbols of other languages and in other wrappings: C++, Rust, MiniDebugInfo, compressed sections, type units, dwz. Against
//! addr2line and nm.

use std::path::{Path, PathBuf};
use std::process::Command;

use godbg::addr::LinkAddr;
use godbg::symbols::NamePattern;

use crate::harness::binaries::{assert_as_addr2line, functions_by_readelf, module, run};
use crate::harness::skip;
use crate::harness::toolchain::sources;

/// Whether a program is installed; if it is not, says so.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        skip(&format!("no `{program}`: what it makes is not tested"));
    }
    found
}

/// The C++ fixture, compiled with some flags.
fn cpp(folder: &Path, flags: &[&str]) -> PathBuf {
    let program = folder.join(format!("names{}", flags.concat()));
    run(Command::new("g++")
        .args(["-g", "-std=c++17"])
        .args(flags)
        .arg(sources().join("names.cpp"))
        .arg("-o")
        .arg(&program));
    program
}

/// Asserts that one file says of every address of functions what another says.
#[track_caller]
fn assert_same(one: &Path, other: &Path) {
    let (small, reference) = (module(one), module(other));
    for (start, end, name) in functions_by_readelf(other) {
        for address in (start..end).map(LinkAddr) {
            assert_eq!(small.frames_at(address), reference.frames_at(address), "{one:?}: {name} {address:?}");
        }
    }
}

/// What nm calls a function of the fixture: address, name. Copies that a compiler has made are left out.
fn own_by_nm(path: &Path, is_own: impl Fn(&str) -> bool) -> Vec<(u64, String)> {
    let text = run(Command::new("nm").arg("-C").arg(path));
    let function = |line: &str| {
        let (address, rest) = line.split_once(' ')?;
        let (kind, name) = rest.split_once(' ')?;
        let wanted =
            matches!(kind, "t" | "T" | "W") && is_own(name) && !name.contains(".cold") && !name.contains("[clone");
        Some((u64::from_str_radix(address, 16).ok().filter(|_| wanted)?, name.to_owned()))
    };
    text.lines().filter_map(function).collect()
}

fn ranges(path: &Path, of: &[(u64, String)]) -> Vec<(u64, u64)> {
    let functions = functions_by_readelf(path).into_iter();
    let mut ranges: Vec<(u64, u64)> = functions.map(|(start, end, _)| (start, end)).collect();
    ranges.retain(|(start, _)| of.iter().any(|(address, _)| address == start));
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}

fn is_own_cpp(name: &str) -> bool {
    ["zoo::", "overloaded(", "(anonymous namespace)::", "int zoo::", "double zoo::"]
        .iter()
        .any(|head| name.starts_with(head))
        || name == "main"
}

#[test]
fn names_of_cpp_are_those_of_nm_and_its_lines_those_of_addr2line() {
    if !has("g++") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut compared = 0;
    for version in ["-gdwarf-3", "-gdwarf-4", "-gdwarf-5"] {
        for flags in
            [&["-O0"][..], &["-O2"], &["-O2", "-fdebug-types-section"], &["-O2", "-flto"], &["-O1", "-gsplit-dwarf"]]
        {
            let program = cpp(folder.path(), &[&[version], flags].concat());
            let (indexed, module) = (module(&program), module(&program));
            indexed.prepare_names();
            let own = own_by_nm(&program, is_own_cpp);
            assert!(own.len() > 4, "{own:?}");
            for (address, name) in &own {
                let symbol = module.symbol_at(LinkAddr(*address)).unwrap_or_else(|| panic!("{flags:?}: no {name}"));
                assert_eq!(symbol.start, LinkAddr(*address), "{flags:?} {name}");
                // By its whole name, and by its last part without parameters.
                let short = name.rsplit_once('(').map_or(name.as_str(), |(head, _)| head);
                let short = short.rsplit("::").next().unwrap_or(short);
                for wanted in [name.as_str(), short] {
                    // With an index of all names, and without.
                    let pattern = NamePattern::name(wanted);
                    let (found, by_index) = (module.functions(&pattern), indexed.functions(&pattern));
                    assert_eq!(found, by_index, "{version} {flags:?} `{wanted}`");
                    assert!(
                        found.iter().any(|function| function.entry == LinkAddr(*address) && !function.inlined),
                        "{version} {flags:?} `{wanted}` of {name} at {address:#x}: {found:?}"
                    );
                }
            }
            // binutils' addr2line finds no inlined calls beside type units of DWARF 5, and nothing in other files; the code is
            // that of the plain program.
            match flags {
                ["-O2", "-fdebug-types-section"] => assert_same(&program, &cpp(folder.path(), &[version, "-O2"])),
                ["-O1", "-gsplit-dwarf"] => assert_same(&program, &cpp(folder.path(), &[version, "-O1"])),
                // It takes the first file of a DWARF 5 table for the unit's, which after optimisation of the whole is none.
                ["-O2", "-flto"] if version == "-gdwarf-5" => {}
                _ => compared += assert_as_addr2line(&program, &ranges(&program, &own)),
            }
        }
    }
    assert!(compared > 2000, "{compared}");
}

#[test]
fn names_of_rust_are_those_of_nm_and_its_lines_those_of_addr2line() {
    let folder = tempfile::tempdir().unwrap();
    for (number, flags) in [&["-O"][..], &["-Copt-level=0"], &["-O", "-Csymbol-mangling-version=v0"]].iter().enumerate()
    {
        let program = folder.path().join(format!("names{number}"));
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
        run(Command::new(rustc)
            .args(["--edition=2021", "-g"])
            .args(*flags)
            .arg(sources().join("names.rs"))
            .arg("-o")
            .arg(&program));
        let module = module(&program);
        let own = own_by_nm(&program, |name| name.contains("names::") && !name.contains("core::"));
        assert!(own.len() >= 5, "{own:?}");
        for (address, name) in &own {
            let symbol = module.symbol_at(LinkAddr(*address)).unwrap_or_else(|| panic!("{flags:?}: no {name}"));
            assert_eq!(symbol.start, LinkAddr(*address), "{flags:?} {name}");
        }
        for (wanted, heads) in [
            ("twice", &["names::twice"][..]),
            ("Cat::feed", &["names::zoo::Cat::feed", "<names::zoo::Cat>::feed"]),
            ("Cat::sound", &["<names::zoo::Cat as names::zoo::Sound>::sound"]),
            ("Sound::sound", &["<names::zoo::Cat as names::zoo::Sound>::sound"]),
            ("names::main", &["names::main"]),
        ] {
            let is_it = |name: &str| heads.iter().any(|head| name == *head || name.starts_with(&format!("{head}::<")));
            let mut expected: Vec<u64> = own.iter().filter(|(_, name)| is_it(name)).map(|(at, _)| *at).collect();
            expected.sort_unstable();
            let found = module.functions(&NamePattern::name(wanted));
            let found: Vec<u64> = found.iter().filter(|one| !one.inlined).map(|one| one.entry.0).collect();
            assert_eq!((found, expected.is_empty()), (expected, false), "{flags:?} {wanted} of {own:?}");
        }
        if number == 0 {
            // Both calls that were inlined into `caller`, with its own lines around them.
            let calls = module.functions(&NamePattern::name("mixed"));
            assert!(calls.len() >= 2 && calls.iter().all(|call| call.inlined), "{calls:?}");
            for call in calls {
                let frames = module.frames_at(call.entry);
                assert_eq!(
                    frames.last().and_then(|frame| frame.function.as_deref()),
                    Some("names::caller"),
                    "{frames:?}"
                );
            }
        }
        assert!(assert_as_addr2line(&program, &ranges(&program, &own)) > 100);
    }
}

#[test]
fn compressed_sections_say_the_same() {
    if !has("g++") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let plain = cpp(folder.path(), &["-O2"]);
    let reference = module(&plain);
    for kind in ["zlib", "zlib-gnu", "zstd"] {
        let packed = folder.path().join(kind);
        let mut objcopy = Command::new("objcopy");
        objcopy.arg(format!("--compress-debug-sections={kind}")).arg(&plain).arg(&packed);
        if !objcopy.output().unwrap().status.success() {
            // binutils before 2.40, or built without it.
            assert_eq!(kind, "zstd");
            continue;
        }
        assert!(std::fs::metadata(&packed).unwrap().len() < std::fs::metadata(&plain).unwrap().len(), "{kind}");
        assert_same(&packed, &plain);
        let packed = module(&packed);
        let wanted = NamePattern::regex("zoo").unwrap();
        assert_eq!(packed.functions(&wanted), reference.functions(&wanted), "{kind}");
    }
}

#[test]
fn mini_debug_info_names_what_was_stripped() {
    if !has("g++") || !has("xz") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let whole = cpp(folder.path(), &["-O1"]);
    let at = |name: &str| folder.path().join(name);
    // As gdb's manual makes it ("MiniDebugInfo").
    let mut names: Vec<String> = functions_by_readelf(&whole).into_iter().map(|(_, _, name)| name).collect();
    names.sort();
    std::fs::write(at("keep"), names.join("\n")).unwrap();
    run(Command::new("objcopy").arg("--only-keep-debug").arg(&whole).arg(at("debug")));
    let keep = format!("--keep-symbols={}", at("keep").display());
    run(Command::new("objcopy").args(["-S", "--remove-section", ".comment"]).arg(keep).args([at("debug"), at("mini")]));
    run(Command::new("xz").arg("-k").arg(at("mini")));
    run(Command::new("strip").args(["--strip-all", "-R", ".comment"]).arg(&whole).arg("-o").arg(at("bare")));
    let add = format!(".gnu_debugdata={}", at("mini.xz").display());
    run(Command::new("objcopy").arg("--add-section").arg(add).args([at("bare"), at("stripped")]));
    let (bare, stripped) = (module(&at("bare")), module(&at("stripped")));
    let own = own_by_nm(&whole, is_own_cpp);
    assert!(own.len() > 4, "{own:?}");
    let mut unnamed = 0;
    for (address, name) in &own {
        let symbol = stripped.symbol_at(LinkAddr(*address)).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(symbol.start, LinkAddr(*address), "{name}");
        let found = stripped.functions(&NamePattern::name(name));
        assert!(found.iter().any(|function| function.entry == LinkAddr(*address)), "{name}: {found:?}");
        unnamed +=
            usize::from(bare.symbol_at(LinkAddr(*address)).is_none_or(|symbol| symbol.start != LinkAddr(*address)));
    }
    assert!(unnamed > 4, "without it they have no names");
    assert!(stripped.facts().kinds.iter().any(|kind| kind.kind == ".gnu_debugdata"), "{:?}", stripped.facts());
}

#[test]
fn what_dwz_has_moved_to_a_shared_file_is_found() {
    if !has("g++") || !has("dwz") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (cpp(folder.path(), &["-O2"]), cpp(folder.path(), &["-O1"]));
    let whole = folder.path().join("whole");
    std::fs::copy(&one, &whole).unwrap();
    run(Command::new("dwz").current_dir(folder.path()).arg("-m").arg("shared.debug").args([&one, &two]));
    let (reference, small) = (module(&whole), module(&one));
    assert_same(&one, &whole);
    for wanted in ["twice", "Cat::legs", "count", "operator+=", "seen"] {
        let wanted = NamePattern::name(wanted);
        assert_eq!(small.functions(&wanted), reference.functions(&wanted));
    }
}
