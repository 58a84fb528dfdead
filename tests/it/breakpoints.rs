//! Breakpoints: where they stop, that none of a program's calls is missed or done twice, and that the program computes what it
//! computes without them.

use std::fs;

use crate::harness::fixture::{BEAT, Fixture};
use crate::harness::kernel::{SOON, wait_until};
use crate::harness::quick;
use crate::harness::steered::{Steered, calls};

/// What says how many calls are to be made, and how many threads have made them, in `calls.c` and `instructions.c`.
pub const CALLS: (usize, usize) = (calls::QUOTA, calls::DONE);
const INSTRUCTIONS: (usize, usize) = (3, 7);

/// More hits than there are.
const ENDLESS: u64 = 1_000_000_000_000;

#[test]
fn a_hit_stops_before_the_instruction_and_every_call_is_told() {
    let mut this = Steered::start("calls", &["1"]);
    let work = this.at(calls::WORK);
    this.ask(&format!("break {work}"));
    this.target.set(calls::QUOTA, 5);
    for done in 0..5 {
        let said = this.ask("continue");
        assert!(said.contains("breakpoint 1 at"), "{said}");
        assert_eq!(this.target.get(calls::CALLS), done);
        assert!(this.ask("print $rdi").ends_with(&format!("= {done}\n")), "the argument of call {done}");
    }
    this.ask("continue &");
    wait_until(SOON, "the last call", || this.target.get(calls::CALLS) == 5);
    assert_eq!(this.hits(1), 5);
    assert_eq!(this.target.get(calls::WRONG), 0);
    this.leave();
}

/// The thread stands behind the int3 when it is looked at; the program counter is where the breakpoint is all the same.
#[test]
fn conditions_and_tracepoints_see_the_breakpoints_own_program_counter() {
    let mut this = Steered::start("calls", &["1"]);
    let work = this.at(calls::WORK);
    let at = work.trim_start_matches('*');
    this.ask(&format!("break {work} if $pc == {at}\nignore 1 {ENDLESS}\nbreak {work} if $rip != {at}"));
    this.ask(&format!("trace {work} $pc - {at}\ncontinue &"));
    let from = this.godbg.output().len();
    this.grant(CALLS, 10, 1);
    let said = this.ask_since(from, "interrupt");
    assert_eq!((this.hits(1), this.hits(2), this.hits(3)), (10, 0, 10));
    assert_eq!(said.matches(" = 0 (0x0)").count(), 10, "{said}");
    this.leave();
}

#[test]
fn two_threads_in_one_breakpoint_are_told_one_after_the_other() {
    let (threads, each) = (4, 25);
    let mut this = Steered::start("calls", &["4"]);
    let work = this.at(calls::WORK);
    this.ask(&format!("break {work}"));
    this.target.set(calls::QUOTA, each);
    for hit in 0..threads * each {
        let said = this.ask("continue");
        assert!(said.contains("breakpoint 1 at"), "hit {hit}: {said}");
        assert!(this.target.get(calls::CALLS) <= hit, "a call was made that was not told");
    }
    this.ask("continue &");
    wait_until(SOON, "all calls", || this.target.get(calls::DONE) == threads);
    assert_eq!((this.hits(1), this.target.get(calls::CALLS)), (threads * each, threads * each));
    this.leave();
}

#[test]
fn hits_that_do_not_stop_are_as_many_as_the_calls() {
    for threads in [1, 8] {
        let mut this = Steered::start("calls", &[&threads.to_string()]);
        let work = this.at(calls::WORK);
        this.ask(&format!("break {work}\nignore 1 {ENDLESS}\nbreak {work} if $rdi % 2 == 1\nignore 2 {ENDLESS}"));
        this.ask(&format!("break {work} if 0\ntrace {work} $rdi\nbreak {work} -H\nignore 5 {ENDLESS}\ncontinue &"));
        let each = if quick() { 100 } else { 500 };
        this.grant(CALLS, each, threads);
        let all = this.target.get(calls::CALLS);
        assert_eq!(all, threads * each);
        let hits = [1, 2, 3, 4, 5].map(|number| this.hits(number));
        assert_eq!(hits, [all, all / 2, 0, all, all], "{threads} threads: every, odd, never, traced, by a register");
        let told = this.godbg.output().matches("trace 4: thread ").count() as u64;
        assert_eq!(told, all, "what the tracepoint told");
        assert_eq!(this.target.get(calls::WRONG), 0);
        this.leave();
    }
}

#[test]
fn every_kind_of_instruction_does_what_it_does_without_a_breakpoint() {
    let (kinds, table, wrong) = (4, 32, 5);
    for threads in [1, 8] {
        let mut this = Steered::start("instructions", &[&threads.to_string()]);
        this.ask("handle SIGSEGV nostop noprint pass\nhandle SIGILL nostop noprint pass");
        this.ask("handle SIGTRAP nostop noprint pass");
        let count = usize::try_from(this.target.get(kinds)).unwrap();
        for kind in 0..count {
            let at = this.at(table + 2 * kind);
            this.ask(&format!("break {at}\nignore {} {ENDLESS}", kind + 1));
        }
        this.ask("continue &");
        let rounds = if quick() { 8 } else { 40 };
        let traps = this.target.get(8);
        this.grant(INSTRUCTIONS, rounds, threads);
        let was_wrong = (this.target.get(wrong), this.target.get(6));
        assert_eq!(was_wrong.0, 0, "results that differ; the last of kind {}", was_wrong.1);
        for kind in 0..count {
            let executed = this.target.get(table + 2 * kind + 1);
            assert!(executed >= threads * rounds);
            let number = u32::try_from(kind).unwrap() + 1;
            assert_eq!(this.hits(number), executed, "{threads} threads: hits of instruction {kind}");
        }
        assert_eq!(this.target.get(8) - traps, threads * rounds, "the program's own int3s");
        this.leave();
    }
}

#[test]
fn breakpoints_come_and_go_while_the_program_runs() {
    let mut this = Steered::start("calls", &["4", "free"]);
    let work = this.at(calls::WORK);
    this.ask(&format!("break {work}\nignore 1 {ENDLESS}\ncontinue &"));
    let (mut random, mut next) = (0x2545_f491_4f6c_dd1d_u64, 2);
    for _ in 0..if quick() { 40 } else { 200 } {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match (random >> 40) % 5 {
            0 => drop(this.ask("disable 1")),
            1 => drop(this.ask("enable 1")),
            2 => {
                this.ask(&format!("break {work} if 0\nclear {next}"));
                next += 1;
            }
            3 => {
                let other = format!("*{:#x}", this.target.get(calls::WORK) + 1);
                this.ask(&format!("break {other}\nignore {next} {ENDLESS}\nclear {next}"));
                next += 1;
            }
            _ => drop(this.ask("interrupt\ncontinue &")),
        }
    }
    // What was met while it was in force adds up: from a stop to a stop, disabled in between.
    this.ask("interrupt\nenable 1");
    let (hits, made) = (this.hits(1), this.target.get(calls::CALLS));
    this.ask("continue &");
    this.target.assert_grows(calls::CALLS, 500);
    this.ask("interrupt");
    let (hits, made) = (this.hits(1) - hits, this.target.get(calls::CALLS) - made);
    // A thread may stand within the call that it was counted for.
    assert!(hits.abs_diff(made) <= 4, "{hits} hits, {made} calls");
    assert_eq!(this.target.get(calls::WRONG), 0);
    this.leave();
}

#[test]
fn only_one_thread_and_only_once() {
    let mut this = Steered::start("calls", &["3"]);
    let work = this.at(calls::WORK);
    let said = this.ask(&format!("break {work} thread 3\nignore 1 {ENDLESS}\ntbreak {work}\ncontinue &"));
    assert!(said.contains("breakpoint 2 at"), "{said}");
    this.target.set(calls::QUOTA, 20);
    this.ask("wait");
    this.ask("continue &");
    wait_until(SOON, "all calls", || this.target.get(calls::DONE) == 3);
    assert_eq!(this.hits(1), 20);
    assert!(!this.ask("breakpoints").contains("\n2 "), "a temporary breakpoint is gone");
    this.leave();
}

#[test]
fn a_condition_without_a_value_stops_and_says_so() {
    let mut this = Steered::start("calls", &["1"]);
    let work = this.at(calls::WORK);
    this.ask(&format!("break {work} if *(u64*)$rdi == 3"));
    this.target.set(calls::QUOTA, 1);
    let said = this.ask("continue");
    assert!(said.contains("breakpoint 1: its condition has no value"), "{said}");
    assert!(said.contains("breakpoint 1 at"), "{said}");
    this.leave();
}

#[test]
fn what_is_shown_is_what_the_program_has() {
    let mut this = Steered::start("calls", &["2"]);
    let work = this.target.get(calls::WORK);
    let before = this.ask(&format!("x/16bx {work:#x}"));
    this.ask(&format!("break *{work:#x}\nbreak *{:#x}\ncontinue &", work + 1));
    this.target.assert_grows(BEAT, 2);
    let file = this.target.dir().join("dumped");
    // The same while it runs, with int3 in the text, and while it is held.
    for _ in 0..2 {
        let bytes = this.ask(&format!("x/16bx {work:#x}"));
        assert!(bytes.starts_with(&before), "{bytes}");
        this.ask(&format!("dump {} {work:#x} {:#x}", file.display(), work + 16));
        assert!(!fs::read(&file).unwrap().starts_with(&[0xcc]));
        assert!(!this.ask(&format!("disassemble -n 3 {work:#x}")).contains("int3"));
        this.ask("interrupt");
    }
    this.leave();
}

#[test]
fn what_is_written_over_a_breakpoint_stays_the_programs() {
    for running in [false, true] {
        let mut this = Steered::start("calls", &["1"]);
        let work = this.target.get(calls::WORK);
        this.ask(&format!("break *{work:#x}\nignore 1 {ENDLESS}\ncontinue &\n"));
        this.target.assert_grows(BEAT, 2);
        if !running {
            this.ask("interrupt");
        }
        // push %rbx, written as a no-operation and back again.
        let first = this.ask(&format!("print *(u8*){work:#x}"));
        this.ask(&format!("set *(u8*){work:#x} = 0x90"));
        assert!(this.ask(&format!("x/1bx {work:#x}")).contains("0x90"));
        this.ask("interrupt\nclear 1");
        let memory = fs::File::open(format!("/proc/{}/mem", this.target.pid())).unwrap();
        let mut byte = [0];
        std::os::unix::fs::FileExt::read_exact_at(&memory, &mut byte, work).unwrap();
        assert_eq!(byte, [0x90]);
        let first = first.split_once("= ").unwrap().1.trim();
        this.ask(&format!("set *(u8*){work:#x} = {first}"));
        this.leave();
    }
}

#[test]
fn the_programs_own_traps_reach_it() {
    let mut this = Steered::of(Fixture::start("calls", &["2", "free"]));
    this.ask("continue &");
    this.have(11);
    // The handler is the program's from now on.
    this.ask("interrupt\ndetach");
    let mut this = Steered::of(this.target);
    let work = this.at(calls::WORK);
    this.ask(&format!("handle SIGTRAP nostop noprint pass\nbreak {work}\nignore 1 {ENDLESS}\ncontinue &"));
    for count in 1..=10 {
        this.have(5 + count % 2);
        assert_eq!(this.target.get(calls::TRAPS), count);
    }
    this.ask("interrupt\nhandle SIGTRAP stop print pass\nclear 1\ncontinue &");
    let from = this.godbg.output().len();
    this.target.set(calls::ASK, 6);
    let said = this.ask_since(from, "wait");
    assert!(said.contains("SIGTRAP"), "{said}");
    this.ask("continue &");
    wait_until(SOON, "the program's handler", || this.target.get(calls::TRAPS) == 11);
    this.ask("detach");
    this.have(12);
    assert_eq!(this.target.get(calls::WRONG), 0, "the handler is in its place");
    this.have(5);
    assert_eq!(this.target.get(calls::TRAPS), 12);
    this.leave();
}

#[test]
fn a_target_that_must_not_map_memory_is_steered_slowly() {
    let mut this = Steered::start("calls", &["4", "seccomp"]);
    let work = this.at(calls::WORK);
    this.ask(&format!("break {work}\nignore 1 {ENDLESS}\ncontinue &"));
    this.grant(CALLS, 20, 4);
    assert_eq!(this.hits(1), 80);
    assert!(this.godbg.output().contains("would not outlive"), "{}", this.godbg.output());
    assert_eq!(this.target.get(calls::WRONG), 0);
    this.leave();
}
