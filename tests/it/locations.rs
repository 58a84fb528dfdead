//! Breakpoints by function and line: in every place of an inlined function, in libraries that come and go, as often as the
//! program itself counts; and that places read as the compiler's own tools name them.

use std::process::Command;

use crate::harness::fixture::Fixture;
use crate::harness::kernel::{SOON, wait_until};
use crate::harness::steered::Steered;
use crate::harness::toolchain;

/// Slots of `places.c` and `plugin.c`.
const CALLS: usize = 3;
const INLINED: usize = 4;
const QUOTA: usize = 5;
const LOADS_WANTED: usize = 6;
const LOADS: usize = 7;
const FIRST: usize = 8;
const PLUGGED: usize = 9;

/// More hits than there are.
const ENDLESS: u64 = 1_000_000_000_000;

/// The number of the line of a fixture that a text stands in.
fn line_of(fixture: &str, text: &str) -> usize {
    let source = std::fs::read_to_string(toolchain::sources().join(fixture)).unwrap();
    let found = source.lines().position(|line| line.contains(text));
    found.unwrap_or_else(|| panic!("{fixture} has no {text:?}")) + 1
}

fn calls(this: &mut Steered, count: u64) {
    this.ask("continue &");
    this.target.set(QUOTA, count);
    wait_until(SOON, "the calls", || this.target.get(CALLS) == count);
}

#[test]
fn functions_and_lines_are_met_as_often_as_the_program_runs_them() {
    let mut this = Steered::start("places", &[]);
    let line = line_of("places.c", "return twice(n) + 1");
    let said = this.ask("break first");
    assert!(said.contains("places.c:"), "{said}");
    let said = this.ask("break twice");
    assert!(said.contains("2 places"), "{said}");
    this.ask(&format!("break places.c:{line}"));
    this.ask("break places.c:second\ntry break work_that_is_not_there\nrbreak ^(first|second)$");
    for number in 1..=6 {
        this.ask(&format!("ignore {number} {ENDLESS}"));
    }
    calls(&mut this, 50);
    let hits: Vec<u64> = (1..=6).map(|number| this.hits(number)).collect();
    let (first, inlined) = (this.target.get(FIRST), this.target.get(INLINED));
    assert_eq!((first, inlined), (50, 100));
    assert_eq!(
        hits,
        [first, inlined, first, 50, first, 50],
        "first, twice, the line of first, second, and both by rbreak"
    );
    this.leave();
}

#[test]
fn a_breakpoint_waits_for_its_library_and_outlives_it() {
    let plugin = toolchain::library("plugin").expect("a C compiler");
    let mut this = Steered::of(Fixture::start("places", &[plugin.to_str().unwrap()]));
    let said = this.ask("try break plugged");
    assert!(said.contains("no function is called plugged"), "{said}");
    this.ask(&format!("break -p plugged\nignore 1 {ENDLESS}\nbreak -p construct\nignore 2 {ENDLESS}\ncontinue &"));
    this.target.set(LOADS_WANTED, 20);
    wait_until(SOON, "the loads", || this.target.get(LOADS) == 20);
    assert_eq!(this.hits(1), 20, "calls of what was loaded");
    assert_eq!(this.hits(2), 20, "constructors, which run before dlopen returns");
    assert_eq!(this.target.get(PLUGGED), 20);
    this.leave();
}

#[test]
fn it_stops_where_a_waiting_breakpoint_is_met_and_shows_the_line() {
    let plugin = toolchain::library("plugin").expect("a C compiler");
    let mut this = Steered::of(Fixture::start("places", &[plugin.to_str().unwrap()]));
    let line = line_of("plugin.c", "counters[PLUGGED]++");
    this.ask(&format!("break -p plugin.c:{line}"));
    this.target.set(LOADS_WANTED, 1);
    let said = this.ask("continue");
    assert!(said.contains(&format!("plugged at plugin.c:{line}")) && said.contains("counters[PLUGGED]++"), "{said}");
    assert_eq!(this.target.get(PLUGGED), 0, "it stands before the line");
    this.leave();
}

#[test]
fn functions_begin_where_nm_says() {
    let program = toolchain::program("places").expect("a C compiler");
    let output = Command::new("nm").arg(&program).output().expect("nm of binutils");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut this = Steered::start("places", &[]);
    let base = u64::from_str_radix(this.ask("print/x places").rsplit("0x").next().unwrap().trim(), 16).unwrap();
    let mut compared = 0;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [address, kind, name] = words.as_slice() else { continue };
        if !matches!(*name, "main" | "first" | "second" | "shown" | "counters") {
            continue;
        }
        let expected = base + u64::from_str_radix(address, 16).unwrap();
        let said = this.ask(&format!("print/x &{name}"));
        assert!(said.trim().ends_with(&format!("{expected:#x}")), "{kind} {name} is at {expected:#x}: {said}");
        compared += 1;
    }
    assert_eq!(compared, 5, "{text}");
    this.leave();
}

#[test]
fn methods_and_generics_of_go_are_found_by_short_names() {
    let Some(target) = Fixture::start_go("goplaces", &[]) else { return };
    let mut this = Steered::of(target);
    for location in ["main.(*T).Method", "T.Method", "main.work", "main.Map", "goplaces.go:work"] {
        let said = this.ask(&format!("break {location}"));
        assert!(said.contains("goplaces.go:"), "{location}: {said}");
    }
    for number in 1..=5 {
        this.ask(&format!("ignore {number} {ENDLESS}"));
    }
    calls(&mut this, 30);
    let hits: Vec<u64> = (1..=5).map(|number| this.hits(number)).collect();
    assert_eq!(hits, [30, 30, 30, 60, 30], "the method twice, work, both instances of Map, work");
    this.leave();
}

#[test]
fn functions_of_rust_are_found_by_their_paths() {
    let mut this = Steered::start("rustplaces", &[]);
    for location in ["rustplaces::inner::work", "inner::work", "work", "area"] {
        let said = this.ask(&format!("break {location}"));
        assert!(said.contains("breakpoint") && !said.contains("error"), "{location}: {said}");
    }
    for number in 1..=4 {
        this.ask(&format!("ignore {number} {ENDLESS}"));
    }
    calls(&mut this, 30);
    let hits: Vec<u64> = (1..=4).map(|number| this.hits(number)).collect();
    assert_eq!(hits, [30, 30, 30, 30]);
    this.leave();
}
