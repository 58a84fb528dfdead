//! Every way out of godbg with breakpoints and watchpoints in force: nothing of them is left, and the target goes on.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::fixture::Fixture;
use crate::harness::godbg::Godbg;
use crate::harness::kernel::{self, SOON, wait_until};
use crate::harness::quick;
use crate::harness::steered::{Steered, Traces, calls};

/// What `calls` does when it is asked for that: raise(SIGTRAP), and setting a handler for it.
const RAISE: u64 = 5;
const SET_HANDLER: u64 = 11;

/// Goes through one way out, running at full speed and held.
#[track_caller]
fn both(leave: impl Fn(&mut Steered)) {
    for running in [true, false] {
        let mut this = Steered::start("calls", &["4", "free"]);
        let (work, watched) = (this.at(calls::WORK), this.at(calls::WATCHED));
        this.ask(&format!(
            "break {work}\nignore 1 1000000000\nhbreak {work} if 0\nwatch {}\ncontinue &",
            &watched[1..]
        ));
        this.target.assert_grows(calls::CALLS, 100);
        if !running {
            this.ask("interrupt");
        }
        leave(&mut this);
        this.traces.assert_none();
        assert!(!guardian_log(&this).exists(), "the guardian had to do it");
        this.target.assert_grows(calls::CALLS, 100);
        this.target.assert_beats();
        assert_eq!(this.target.get(calls::WRONG), 0);
    }
}

/// Where a guardian says what it has undone.
fn guardian_log(this: &Steered) -> PathBuf {
    this.traces.state().join("godbg/guardian.log")
}

/// What godbg lends is called before the program's own handler for SIGTRAP, which may return when it is no more.
#[test]
fn from_within_a_handler_of_the_programs_own() {
    let mut this = Steered::start("calls", &["2", "free"]);
    let work = this.at(calls::WORK);
    let ask = |this: &Steered, what, answers| {
        this.target.set(calls::ASK, what);
        wait_until(SOON, "the fixture's answer", || this.target.get(calls::ANSWER) == answers);
    };
    this.ask("handle SIGTRAP nostop noprint pass\ncontinue &");
    ask(&this, SET_HANDLER, 1);
    this.ask(&format!("break {work} if 0"));
    this.target.assert_grows(calls::CALLS, 100);
    this.target.set(calls::HOLD, 1);
    this.target.set(calls::ASK, RAISE);
    wait_until(SOON, "the handler to run", || this.target.get(calls::TRAPS) == 1);
    let said = this.ask("detach");
    assert!(said.contains("detached"), "{said}");
    assert!(!this.traces.has_lent_memory(), "lent memory was left");
    this.target.set(calls::HOLD, 0);
    wait_until(SOON, "the handler to return", || this.target.get(calls::ANSWER) == 2);
    ask(&this, RAISE, 3);
    assert_eq!(this.target.get(calls::TRAPS), 2, "its own handler is in force");
    this.target.assert_grows(calls::CALLS, 100);
    this.target.assert_beats();
}

/// Every thread stands in a call of its own then, at its entry or its return: one has to leave it to give back what was lent.
#[test]
fn from_system_calls_that_are_caught() {
    for stops in 1..8 {
        let mut this = Steered::start("calls", &["1"]);
        let work = this.at(calls::WORK);
        this.ask(&format!("break {work}\ncatch syscall\n{}", "continue\n".repeat(stops)));
        let said = this.ask("detach");
        assert!(said.contains("detached"), "{said}");
        this.traces.assert_none();
        assert!(!guardian_log(&this).exists(), "after {stops} stops the guardian had to do it");
        this.grant((calls::QUOTA, calls::DONE), 3, 1);
        this.target.assert_beats();
        assert_eq!(this.target.get(calls::WRONG), 0);
    }
}

#[test]
fn detach_and_quit() {
    both(|this| drop(this.ask("detach")));
    both(|this| {
        this.godbg.send("quit");
        assert_eq!(this.godbg.wait_exit().code(), Some(0));
    });
}

#[test]
fn signals() {
    for (signal, status) in [(Signal::SIGTERM, 143), (Signal::SIGHUP, 129), (Signal::SIGINT, 130)] {
        both(|this| {
            this.godbg.signal(signal);
            assert_eq!(this.godbg.wait_exit().code(), Some(status));
        });
    }
}

#[test]
fn a_failing_script_and_a_bug() {
    both(|this| {
        this.godbg.send("break nonsense-that-is-nowhere");
        assert_eq!(this.godbg.wait_exit().code(), Some(1));
    });
    both(|this| {
        this.godbg.send("maintenance internal-error");
        assert_eq!(this.godbg.wait_exit().code(), Some(101));
    });
}

#[test]
fn a_closed_standard_output() {
    let target = Fixture::start("calls", &["4", "free"]);
    let traces = Traces::before(target.pid());
    let (reader, writer) = std::io::pipe().unwrap();
    let mut godbg = Godbg::new().env("XDG_STATE_HOME", traces.state()).stdout(Stdio::from(writer)).start();
    let work = target.get(calls::WORK);
    godbg.send(&format!("attach {}\nbreak *{work:#x}\nignore 1 1000000000\ncontinue &", target.pid()));
    target.assert_grows(calls::CALLS, 100);
    drop(reader);
    godbg.send_until_exit("breakpoints");
    traces.assert_none();
    target.assert_grows(calls::CALLS, 100);
}

/// A number that the next call changes.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn detaches_at_random_moments() {
    let mut this = Steered::start("calls", &["10", "free"]);
    let (work, mut random) = (this.at(calls::WORK), Random(77));
    // DETACHES=1000 for a long run.
    let count = std::env::var("DETACHES").ok().and_then(|count| count.parse().ok());
    for round in 0..count.unwrap_or(if quick() { 10 } else { 50 }) {
        match round % 5 {
            // Hits of ten threads that nobody was told of.
            0 => drop(this.ask(&format!("break {work}\ncontinue"))),
            1 => {
                this.ask(&format!("break {work}\ncontinue &"));
                std::thread::sleep(Duration::from_micros(random.below(3000)));
            }
            // In the middle of steps, with others held, and with others running.
            2 | 3 => {
                this.ask(&format!("break {work} if 0\ntbreak {work}\ncontinue"));
                this.ask(&format!("set scheduler-locking {}", if round % 5 == 2 { "on" } else { "off" }));
                this.godbg.send("stepi 100000000");
                std::thread::sleep(Duration::from_micros(random.below(30_000)));
            }
            _ => {
                this.ask(&format!("trace {work}\ncontinue &"));
                std::thread::sleep(Duration::from_micros(random.below(10_000)));
            }
        }
        this.godbg.signal([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP][random.below(3) as usize]);
        this.godbg.wait_exit();
        this.traces.assert_none();
        this.target.assert_grows(calls::CALLS, 20);
        this.attach_again();
    }
    assert_eq!(this.target.get(calls::WRONG), 0);
    this.leave();
}

#[test]
fn detaches_while_threads_are_born_and_die() {
    let target = Fixture::start("churn", &["6"]);
    let traces = Traces::before(target.pid());
    // A function of the C library that each new thread calls.
    let maps = fs::read_to_string(format!("/proc/{}/maps", target.pid())).unwrap();
    assert!(maps.contains("libc"));
    let link = kernel::symbol(target.pid(), "link_of_chain");
    for round in 0..if quick() { 5 } else { 20 } {
        let mut godbg = Godbg::new().env("XDG_STATE_HOME", traces.state()).start();
        let way = if round % 2 == 0 { "break" } else { "hbreak" };
        godbg.send(&format!("attach {}\n{way} *{link:#x} if 0\ncontinue &\necho set", target.pid()));
        godbg.expect("\nset\n");
        target.assert_grows(3, 30);
        godbg.signal(Signal::SIGTERM);
        godbg.wait_exit();
        traces.assert_none();
        target.assert_grows(3, 30);
    }
    target.set(crate::harness::fixture::STOP, 1);
    wait_until(SOON, "all threads to end", || target.get(3) == target.get(4));
}

#[test]
fn counted_signals_survive_breakpoints() {
    crate::torture::counted_signals(|target| {
        let traces = Traces::before(target.pid());
        let at = kernel::symbol(target.pid(), "add");
        for round in 0..if quick() { 4 } else { 20 } {
            let mut godbg = Godbg::new().env("XDG_STATE_HOME", traces.state()).start();
            let way = if round % 2 == 0 { "break" } else { "hbreak" };
            godbg.send(&format!("attach {}\nhandle all nostop noprint pass\n{way} *{at:#x} if 0", target.pid()));
            godbg.send("continue &\necho set");
            godbg.expect("\nset\n");
            target.assert_beats();
            godbg.finish();
            traces.assert_none();
        }
    });
}
