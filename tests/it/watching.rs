//! Watchpoints: what a program writes and reads is told, by whatever thread it is done, and nothing else.

use nix::sys::signal::Signal;

use crate::harness::kernel::{self, SOON, wait_until};
use crate::harness::steered::{Steered, calls};

const WRITE: u64 = 8;
const READ: u64 = 9;
const WRITE_IN_NEW_THREAD: u64 = 10;

/// Lets it write or read so many bytes from an offset on, and waits for the stop.
#[track_caller]
fn touched(this: &mut Steered, what: u64, offset: u64, length: u64) -> String {
    // A stop before it has put the last question away would have it put this one away instead.
    wait_until(SOON, "the fixture to have done the last", || this.target.get(calls::ASK) == 0);
    this.target.set(calls::OFFSET, offset);
    this.target.set(calls::LENGTH, length);
    // What it was asked it does once it runs.
    this.ask("interrupt");
    this.target.set(calls::ASK, what);
    this.ask("continue")
}

fn at(this: &Steered, offset: u64) -> String {
    format!("{:#x}", this.target.get(calls::WATCHED) + offset)
}

#[test]
fn each_size_is_watched_and_nothing_beside_it() {
    for (offset, length) in [(0, 1), (3, 1), (2, 2), (4, 4), (8, 8), (1, 2), (3, 4), (5, 6), (16, 16), (8, 24)] {
        let mut this = Steered::start("calls", &["1"]);
        let addr = at(&this, offset);
        let said = this.ask(&format!("watch {addr} {length}\ncontinue &"));
        assert!(said.contains("watchpoint 1"), "{said} {}", this.godbg.errors());
        // The bytes before and behind it.
        if offset > 0 {
            this.target.set(calls::OFFSET, offset - 1);
            this.target.set(calls::LENGTH, 1);
            this.have(WRITE);
        }
        this.target.set(calls::OFFSET, offset + length);
        this.target.set(calls::LENGTH, 1);
        this.have(WRITE);
        assert_eq!(this.hits(1), 0, "{length} bytes at {offset}");
        for byte in offset..(offset + length).min(offset + 8) {
            let said = touched(&mut this, WRITE, byte, 1);
            assert!(said.contains("watchpoint 1"), "byte {byte} of {length} at {offset}: {said}");
            this.ask("continue &");
            this.have(WRITE + 90);
        }
        assert_eq!(this.hits(1), length.min(8));
        this.leave();
    }
}

#[test]
fn old_and_new_values_are_told() {
    let mut this = Steered::start("calls", &["1"]);
    let addr = at(&this, 4);
    this.ask(&format!("watch *(u8*){addr}\ncontinue &"));
    for value in 0..3 {
        let said = touched(&mut this, WRITE, 4, 1);
        assert!(said.contains(&format!("{value}")) && said.contains(&format!("{}", value + 1)), "{said}");
        this.ask("continue &");
    }
    this.leave();
}

#[test]
fn reads_and_writes_are_told_apart() {
    let mut this = Steered::start("calls", &["1"]);
    let (first, second) = (at(&this, 0), at(&this, 8));
    this.ask(&format!("rwatch {first} 1\nignore 1 1000\nawatch {second} 1\nignore 2 1000\ncontinue &"));
    this.target.set(calls::LENGTH, 1);
    for (offset, what) in [(0, READ), (0, READ), (0, WRITE), (8, READ), (8, WRITE)] {
        this.target.set(calls::OFFSET, offset);
        this.have(what);
    }
    // `watched[0]++` may be one instruction, or a read and a write.
    let (reads, both) = (this.hits(1), this.hits(2));
    assert!((2..=3).contains(&reads), "{reads} reads");
    assert!((2..=3).contains(&both), "{both} reads and writes");
    this.leave();
}

#[test]
fn threads_that_are_born_later_are_watched_too() {
    let mut this = Steered::start("calls", &["2", "free"]);
    let addr = at(&this, 16);
    this.ask(&format!("watch {addr} 4\ncontinue &"));
    for _ in 0..5 {
        let said = touched(&mut this, WRITE_IN_NEW_THREAD, 16, 1);
        assert!(said.contains("watchpoint 1"), "{said}");
        assert!(!said.contains("thread 1 ("), "{said}");
        this.ask("continue &");
    }
    assert_eq!(this.hits(1), 5);
    this.leave();
}

#[test]
fn a_fifth_one_is_refused() {
    let mut this = Steered::start("calls", &["1"]);
    for index in 0..4 {
        let addr = at(&this, 8 * index);
        this.ask(&format!("watch {addr} 8"));
    }
    let fifth = at(&this, 40);
    let said = this.ask(&format!("try watch {fifth} 8\ntry break *$pc -H\ntry watch {fifth} 40\nbreakpoints"));
    assert_eq!(said.matches("the processor has 4").count(), 3, "{said}");
    assert!(said.contains("\n4 ") && !said.contains("\n5 "), "{said}");
    // One that is out of force gives its register to another.
    let said = this.ask(&format!("disable 2\nwatch {fifth} 8\ntry enable 2"));
    assert!(said.contains("watchpoint") && said.contains("the processor has 4"), "{said}");
    this.ask("continue &");
    let said = touched(&mut this, WRITE, 40, 1);
    assert!(said.contains("watchpoint"), "{said}");
    this.leave();
}

#[test]
fn conditions_count_for_watchpoints() {
    let mut this = Steered::start("calls", &["1"]);
    let addr = at(&this, 0);
    this.ask(&format!("watch {addr} 1 if *(u8*){addr} == 3\ncontinue &"));
    this.target.set(calls::OFFSET, 0);
    this.target.set(calls::LENGTH, 1);
    this.have(WRITE);
    this.have(WRITE);
    assert_eq!(this.hits(1), 0);
    let said = touched(&mut this, WRITE, 0, 1);
    assert!(said.contains("watchpoint 1"), "{said}");
    this.leave();
}

#[test]
fn debug_registers_are_clear_after_every_way_out() {
    for way in ["detach", "quit", "SIGTERM", "SIGKILL"] {
        let mut this = Steered::start("calls", &["4", "free"]);
        let (addr, work) = (at(&this, 0), this.at(calls::WORK));
        this.ask(&format!("watch {addr} 8\nhbreak {work} if 0\ncontinue &"));
        this.target.assert_grows(calls::CALLS, 50);
        match way {
            "SIGTERM" => this.godbg.signal(Signal::SIGTERM),
            "SIGKILL" => this.godbg.signal(Signal::SIGKILL),
            way => this.godbg.send(way),
        }
        if way != "detach" {
            this.godbg.wait_exit();
        }
        this.traces.assert_none();
        this.target.assert_grows(calls::CALLS, 50);
        kernel::wait_let_go(this.target.pid());
    }
}
