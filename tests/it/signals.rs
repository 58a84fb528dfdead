//! Signals under `handle`, `signal` and stops: what the program gets, how often, in which order and with which siginfo.

use nix::sys::signal::Signal;

use crate::attaching::hold;
use crate::harness::fixture::Fixture;
use crate::harness::godbg::{Godbg, Live, Outcome};
use crate::harness::kernel::{self, SOON, wait_until};
use crate::torture::counted_signals;

/// The slots of `signaller.c`.
const DONE: usize = 3;
const GO: usize = 4;
const WRONG: usize = 6;
const TRAP_CODE: usize = 7;

const QUEUE: i32 = 36;

fn handled(target: &Fixture, signal: i32) -> u64 {
    target.get(100 + signal as usize)
}

/// Goes through `steps` with these commands behind `attach`, to the end of godbg; then all steps must have been made.
fn signaller(steps: &str, more: &[&str], before: &str, commands: &str) -> (Fixture, Outcome) {
    let target = Fixture::start("signaller", &[&[steps], more].concat());
    let script = format!("{before}\nattach {}\n{commands}\n", target.pid());
    let outcome = Godbg::new().run_script(script).success();
    kernel::wait_let_go(target.pid());
    let steps = steps.split(',').count() as u64;
    wait_until(SOON, "all steps", || target.get(DONE) == steps);
    target.assert_beats();
    (target, outcome)
}

#[test]
fn queued_signals_arrive_once_in_order_and_unchanged_through_stops() {
    for (before, commands) in [
        ("", "continue\n".repeat(10)),
        ("handle SIGRTMIN+2 nostop", "continue &\nsleep 200ms".into()),
        ("handle SIGRTMIN+2 nostop noprint", "continue &\nsleep 200ms".into()),
        // Left to the end of the session in the middle of them.
        ("", "continue\n".repeat(4)),
    ] {
        let (target, _) = signaller("queue", &[], before, &commands);
        wait_until(SOON, "ten signals", || handled(&target, QUEUE) >= 10);
        assert_eq!((handled(&target, QUEUE), target.get(WRONG)), (10, 0), "{before} {commands}");
    }
}

#[test]
fn nopass_keeps_signals_from_the_program() {
    let (target, outcome) = signaller(
        "usr1,usr2,alarm,queue",
        &[],
        "handle USR1 USR2 nopass\nhandle ALRM 36 nostop print ignore",
        "c\nc\nc &\nsleep 200ms",
    );
    outcome.says("given SIGUSR1").says("got SIGALRM").says("with value 9; the program does not get it");
    for signal in [10, 12, 14, QUEUE] {
        assert_eq!(handled(&target, signal), 0, "{signal}");
    }
}

#[test]
fn the_order_of_a_person_counts() {
    let (target, _) = signaller("usr1", &[], "", "continue\nsignal 0 &\nsleep 50ms");
    assert_eq!(handled(&target, 10), 0);
    let (target, _) = signaller("usr1", &[], "", "continue\nsignal SIGHUP &\nsleep 50ms");
    assert_eq!((handled(&target, 10), handled(&target, 1)), (0, 1));
    // No signal is given in the stop of an interrupt: it is sent, and reaches the thread at detach.
    let (target, _) = signaller(
        "sleep",
        &[],
        "",
        "continue &\nsleep 50ms\ninterrupt\nqueue-signal SIGHUP\nqueue-signal SIGUSR2\ndetach",
    );
    wait_until(SOON, "both", || (handled(&target, 1), handled(&target, 12)) == (1, 1));
    let (target, outcome) = signaller("sleep", &[], "", "signal SIGRTMIN+5 &\nsleep 50ms");
    wait_until(SOON, "it", || handled(&target, 39) == 1);
    outcome.says_not("given SIGRTMIN+5").says_not("got SIGRTMIN+5");
}

#[test]
fn job_control_is_ended_by_signal_sigcont() {
    let target = Fixture::start("signaller", &["wait"]);
    target.signal(Signal::SIGSTOP);
    wait_until(SOON, "the stop", || kernel::threads(target.pid()).iter().all(|thread| thread.state == 'T'));
    let script = format!("attach {}\nsignal SIGCONT &\nsleep 50ms\nstatus\n", target.pid());
    Godbg::new().run_script(script).success().says_not("keeps it stopped");
    kernel::wait_let_go(target.pid());
    target.set(GO, 1);
    target.assert_beats();
    assert_eq!(handled(&target, 18), 1, "SIGCONT's handler");
}

#[test]
fn a_sent_sigtrap_is_the_programs_and_an_int3_is_passed_by() {
    let (target, outcome) = signaller("trap", &[], "", "continue\ncontinue &\nsleep 50ms");
    outcome.says("SIGTRAP from itself");
    assert_eq!((handled(&target, 5), target.get(TRAP_CODE) as i32), (1, -6));

    let (target, outcome) = signaller("int3", &[], "", "continue\ncontinue &\nsleep 50ms");
    outcome.says("an int3 of its own");
    assert_eq!(handled(&target, 5), 0);

    for (before, commands) in [("handle SIGTRAP pass", "continue\ncontinue &\nsleep 50ms"), ("", "continue\ndetach")] {
        let (target, _) = signaller("int3", &[], before, commands);
        wait_until(SOON, "the handler", || handled(&target, 5) == 1);
        assert_eq!(target.get(TRAP_CODE), 0x80, "SI_KERNEL");
    }

    // Without a handler it would have died of it.
    for commands in ["continue\ncontinue &\nsleep 50ms", "continue\ndetach", "continue\nquit"] {
        signaller("int3", &["nohandlers"], "", commands);
    }
}

/// Stops at a step's signal.
fn at_first_stop(steps: &str) -> (Fixture, Live) {
    let target = Fixture::start("signaller", &[steps]);
    let mut godbg = hold(target.pid());
    godbg.send("continue");
    godbg.expect("it was given");
    (target, godbg)
}

#[test]
fn a_sigkill_of_godbg_in_a_signal_stop_loses_none() {
    for steps in ["usr1", "queue", "trap"] {
        let (target, mut godbg) = at_first_stop(steps);
        godbg.signal(Signal::SIGKILL);
        godbg.wait_exit();
        kernel::wait_let_go(target.pid());
        target.assert_beats();
        let all: u64 = [10, 5, QUEUE].iter().map(|signal| handled(&target, *signal)).sum();
        assert_eq!((all, target.get(WRONG)), (if steps == "queue" { 10 } else { 1 }, 0), "{steps}");
    }
}

#[test]
fn signals_that_come_while_one_is_reported_are_all_given() {
    let (target, mut godbg) = at_first_stop("usr1");
    for signal in [Signal::SIGUSR2, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGTRAP, Signal::SIGALRM] {
        kernel::signal(target.pid(), signal);
    }
    for _ in 0..4 {
        godbg.send("continue");
    }
    godbg.send("continue &\nsleep 50ms\ndetach");
    godbg.finish().success().says("SIGUSR2").says("SIGHUP").says("given SIGTRAP from process");
    let all = || [12, 1, 10, 5, 14].map(|signal| handled(&target, signal));
    wait_until(SOON, "all signals", || all() == [1, 1, 2, 1, 1]);
}

#[test]
fn stops_and_prints_of_a_flood_lose_nothing() {
    for before in [
        "handle 35-37 stop",
        "handle 35-37 nostop print\nhandle USR1 ALRM PROF nostop print",
        "handle 34-37 nostop noprint",
    ] {
        counted_signals(|target| {
            let stops = "continue\n".repeat(if before.ends_with(" stop") { 200 } else { 0 });
            let script = format!("{before}\nattach {}\n{stops}continue &\nsleep 100ms\n", target.pid());
            Godbg::new().run_script(script).success();
            kernel::wait_let_go(target.pid());
        });
    }
}
