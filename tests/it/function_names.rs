//! Which functions a person's word means, in C and C++: those that nm has under such names, whether the names were looked up one
//! by one or all of them are known.

use std::path::Path;
use std::process::Command;

use godbg::symbols::NamePattern;

use crate::harness::binaries::{module, run};
use crate::harness::skip;
use crate::harness::toolchain::sources;

/// The addresses at which nm has functions whose names `is_meant` accepts.
fn by_nm(path: &Path, is_meant: impl Fn(&str) -> bool) -> Vec<u64> {
    let text = run(Command::new("nm").arg("-C").arg(path));
    let address = |line: &str| {
        let (address, rest) = line.split_once(' ')?;
        let (kind, name) = rest.split_once(' ')?;
        let wanted = matches!(kind, "t" | "T" | "W") && is_meant(name);
        u64::from_str_radix(address, 16).ok().filter(|_| wanted)
    };
    let mut all: Vec<u64> = text.lines().filter_map(address).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Asserts that each word means what nm has under the names behind it.
#[track_caller]
fn assert_meant(path: &Path, words: &[(&str, &[&str])]) {
    for (word, names) in words {
        let expected = by_nm(path, |name| names.contains(&name));
        assert!(!expected.is_empty(), "nm has none of {names:?}");
        let one_by_one = module(path);
        let known = module(path);
        known.prepare_names();
        for (how, module) in [("one by one", one_by_one), ("all known", known)] {
            let found = module.functions(&NamePattern::name(word));
            let mut entries: Vec<u64> = found.iter().map(|found| found.entry.0).collect();
            entries.dedup();
            assert_eq!(entries, expected, "{word}, {how}: {found:#x?}");
        }
    }
}

#[test]
fn of_cpp() {
    if Command::new("g++").arg("--version").output().is_err() {
        skip("no g++: names of C++ are not tested");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("names");
    let mut compiler = Command::new("g++");
    run(compiler.args(["-g", "-O0", "-std=c++17", "-o"]).arg(&program).arg(sources().join("names.cpp")));
    let lambda = "main::{lambda(int)#1}::operator()(int) const";
    assert_meant(
        &program,
        &[
            ("main", &["main"]),
            ("zoo::Cat::Cat", &["zoo::Cat::Cat(int)"]),
            ("Cat::Cat(int)", &["zoo::Cat::Cat(int)"]),
            ("Cat::operator+=", &["zoo::Cat::operator+=(int)"]),
            ("Cat::operator()", &["zoo::Cat::operator()(int) const"]),
            ("overloaded", &["overloaded(int)", "overloaded(double)"]),
            ("overloaded(double)", &["overloaded(double)"]),
            ("twice", &["int zoo::twice<int>(int)", "double zoo::twice<double>(double)"]),
            ("twice<int>", &["int zoo::twice<int>(int)"]),
            ("zoo::twice<double>", &["double zoo::twice<double>(double)"]),
            ("helper", &["(anonymous namespace)::helper(int)"]),
            ("(anonymous namespace)::helper", &["(anonymous namespace)::helper(int)"]),
            ("Hidden::seen", &["(anonymous namespace)::Hidden::seen(int)"]),
            ("~Animal", &["zoo::Animal::~Animal()"]),
            (
                "Animal::Animal(std::string)",
                &[
                    "zoo::Animal::Animal(std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >)",
                ],
            ),
            ("main::{lambda(int)#1}::operator()", &[lambda]),
            (lambda, &[lambda]),
        ],
    );
}

#[test]
fn of_c_with_aliases() {
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("aliases.c"), folder.path().join("aliases"));
    let text = "int written(int n) { return n + 1; }\n\
                int __attribute__((alias(\"written\"))) linked(int n);\n\
                int __attribute__((weak, alias(\"written\"))) __weak_one(int n);\n\
                int main(int argc, char **argv) { (void)argv; return linked(argc); }\n";
    std::fs::write(&source, text).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    if Command::new(&compiler).arg("--version").output().is_err() {
        skip("no C compiler: names of aliases are not tested");
        return;
    }
    run(Command::new(compiler).args(["-g", "-O1", "-o"]).arg(&program).arg(&source));
    let all: &[&str] = &["written", "linked", "__weak_one"];
    assert_meant(&program, &[("written", all), ("linked", all), ("__weak_one", all)]);
}
