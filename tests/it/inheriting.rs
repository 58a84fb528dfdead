//! Breakpoints and the children of a process: text is shared, but a breakpoint is nobody's but the process's own.

use crate::harness::fixture::READY;
use crate::harness::kernel::{SOON, wait_until};
use crate::harness::quick;
use crate::harness::steered::{Steered, calls};

const FORK: u64 = 1;
const VFORK: u64 = 2;
const SPAWN: u64 = 3;
const EXEC: u64 = 4;
const HANDLE_TRAP: u64 = 11;

/// Lets it start children of all kinds, which call the same function and look for what is not theirs.
#[track_caller]
fn start_children(this: &Steered, kinds: &[u64]) {
    let rounds = if quick() { 3 } else { 10 };
    let before = this.target.get(calls::CHILDREN_FINE);
    for round in 0..rounds {
        for (index, kind) in kinds.iter().enumerate() {
            this.have(*kind);
            // Exit statuses say what a child has found: `examine` in calls.c.
            assert_eq!(this.target.get(calls::CHILD_STATUS), 0, "round {round}, kind {kind}: wait status of the child");
            let fine = before + round * kinds.len() as u64 + index as u64 + 1;
            assert_eq!(this.target.get(calls::CHILDREN_FINE), fine);
        }
    }
}

#[test]
fn no_child_inherits_a_breakpoint() {
    for threads in ["1", "4"] {
        let mut this = Steered::start("calls", &[threads, "free"]);
        let work = this.at(calls::WORK);
        this.ask(&format!("break {work}\nignore 1 1000000000\nwatch {}\ncontinue &", this.at(calls::WATCHED)));
        start_children(&this, &[FORK, VFORK, SPAWN]);
        let hits = this.hits(1);
        this.target.assert_grows(calls::CALLS, 20);
        assert!(this.hits(1) > hits, "the breakpoint is still in force");
        assert_eq!(this.target.get(calls::WRONG), 0);
        this.leave();
    }
}

#[test]
fn a_child_handles_traps_as_its_parent_would() {
    let mut this = Steered::start("calls", &["2", "free"]);
    this.ask("continue &");
    this.have(HANDLE_TRAP);
    this.ask("interrupt\ndetach");
    let mut this = Steered::of(this.target);
    let work = this.at(calls::WORK);
    this.ask(&format!("break {work}\nignore 1 1000000000\ncontinue &"));
    start_children(&this, &[FORK]);
    this.leave();
}

#[test]
fn an_exec_keeps_what_can_be_found_again() {
    let mut this = Steered::start("calls", &["2"]);
    let place = this.ask(&format!("break {}", this.at(calls::WORK)));
    let named = place.split_once("(").unwrap().1.split_once(" at ").unwrap().0.to_owned();
    this.ask(&format!("clear 1\nbreak {}\nbreak {named}\nignore 2 1000000\nignore 3 1000000", this.at(calls::WORK)));
    this.ask("continue &");
    this.target.set(calls::ASK, EXEC);
    wait_until(SOON, "the exec", || this.target.get(calls::EXECS) == 1 && this.target.get(READY) == 1);
    let before = this.target.get(calls::CALLS);
    this.grant((calls::QUOTA, calls::DONE), 7, 1);
    assert_eq!(this.target.get(calls::CALLS), before + 7);
    assert_eq!((this.hits(2), this.hits(3)), (0, 7), "by address, by name");
    let said = this.godbg.output();
    assert!(said.contains("breakpoint 2 is not in force any more: the process executes another program"), "{said}");
    assert!(!said.contains("breakpoint 3 is not in force"), "{said}");
    this.leave();
}
