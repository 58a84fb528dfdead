//! Catchpoints: what is caught, and that the target goes on as if nothing had been, from whichever stop it is let go.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use crate::attaching::hold;
use crate::harness::fixture::Fixture;
use crate::harness::godbg::Godbg;
use crate::harness::kernel::{self, SOON, wait_until};
use crate::torture::counted_signals;

/// The slots of `births.c`; `signaller.c` has the first two.
const DONE: usize = 3;
const GO: usize = 4;
const WAITED: usize = 5;
const WRONG: usize = 6;

#[test]
fn every_stop_can_be_let_go_from() {
    let steps = "fork,vfork,spawn,thread,threads";
    let catches =
        "catch fork\ncatch vfork\ncatch clone\ncatch exit\ncatch exec\ncatch syscall clone clone3 wait4 vfork execve";
    for stops in [0, 1, 2, 3, 4, 5, 7, 10, 14, 20, 30] {
        for leave in ["detach", "quit", "SIGKILL"] {
            let target = Fixture::start("births", &[steps]);
            let mut godbg = Godbg::new().start();
            godbg.send(&format!("{catches}\nattach {}\n{}echo held", target.pid(), "continue\n".repeat(stops)));
            godbg.expect("\nheld");
            if leave == "SIGKILL" {
                godbg.signal(Signal::SIGKILL);
                godbg.wait_exit();
            } else {
                godbg.send(leave);
                godbg.finish().success();
            }
            kernel::wait_let_go(target.pid());
            if target.get(DONE) == 0 {
                // It was let go before it had seen that it was traced, and waits for that.
                Godbg::new().run_script(format!("attach {}\ncontinue &\nsleep 50ms", target.pid())).success();
            }
            wait_until(SOON, &format!("all steps, {stops} {leave}"), || target.get(DONE) == 5);
            assert_eq!((target.get(WAITED), target.get(WRONG)), (13, 0), "{stops} {leave}");
            target.assert_beats();
        }
    }
}

#[test]
fn system_calls_that_are_not_caught_go_by() {
    let target = Fixture::start("signaller", &["calls,sleep,openat,calls,wait,openat"]);
    let script = format!("catch syscall flock\nattach {}\ncontinue &\nsleep 300ms\nstatus", target.pid());
    Godbg::new().run_script(script).success().says("running").says_not("enters");
    kernel::wait_let_go(target.pid());
    wait_until(SOON, "four steps", || target.get(DONE) == 4);
}

#[test]
fn a_catch_of_a_running_process_is_in_force_at_once() {
    let target = Fixture::start("signaller", &["wait,openat,usr1"]);
    let mut godbg = hold(target.pid());
    godbg.send("continue &\nsleep 60ms\ncatch syscall openat\necho set");
    godbg.expect("\nset");
    target.set(GO, 1);
    godbg.send("wait 10s");
    godbg.expect("entry to a system call");
    godbg.send("continue\ncontinue\ndetach");
    godbg.finish().success().says("it left openat = -2 (No such file or directory)").says("SIGUSR1");
    target.assert_beats();
}

#[test]
fn threads_asleep_in_a_call_do_not_notice() {
    let target = Fixture::start("sleeper", &["6"]);
    for _ in 0..5 {
        let script = format!(
            "attach {}\ncatch syscall\ntcatch exit\n{}continue &\ncatch signal\nsleep 10ms",
            target.pid(),
            "continue\n".repeat(12)
        );
        Godbg::new().run_script(script).success().says("it enters").says("it left");
        kernel::wait_let_go(target.pid());
        target.assert_beats();
    }
    let came_back: Vec<u64> = (1..6).map(|thread| target.get(8 + thread)).collect();
    assert_eq!(came_back, [0; 5], "calls that were broken off");
}

#[test]
fn counted_signals_survive_catchpoints() {
    for before in
        ["catch syscall flock\ncatch exit\ncatch fork", "catch syscall getpid g:memory", "catch signal 35-1\n"]
    {
        let before = before.replace("35-1", "SIGRTMIN+2 SIGALRM");
        let stops = if before.contains("signal") { "continue\n".repeat(100) } else { String::new() };
        counted_signals(|target| {
            let script = format!(
                "handle all nostop noprint\n{before}\nattach {}\n{stops}continue &\nsleep 200ms\n",
                target.pid()
            );
            Godbg::new().run_script(script).success();
            kernel::wait_let_go(target.pid());
        });
    }
}

#[test]
fn a_process_whose_ends_are_caught_can_be_killed() {
    for (commands, held) in [("continue &\necho on", false), ("continue &\ninterrupt\necho on", true)] {
        let mut target = Fixture::start("sleeper", &["4"]);
        let mut godbg = Godbg::new().start();
        godbg.send(&format!("catch exit\nattach {}\n{commands}", target.pid()));
        godbg.expect("\non");
        assert_eq!(held, kernel::all_stopped(target.pid()));
        if held {
            target.signal(Signal::SIGKILL);
        } else {
            godbg.send("kill");
        }
        assert_eq!(target.wait_end().signal(), Some(9));
        godbg.send("echo over");
        godbg.expect("\nover");
        assert!(godbg.output().contains("SIGKILL"), "{}", godbg.output());
        drop(godbg);
    }
}

#[test]
fn the_end_of_all_threads_is_caught_once_and_the_parent_sees_the_status() {
    let mut target = Fixture::start("dies", &["group", "0", "4"]);
    let mut godbg = Godbg::new().start();
    godbg.send(&format!("catch exit\nattach {}\necho on", target.pid()));
    godbg.expect("\non");
    target.set(3, 1);
    godbg.send("continue\ncontinue\necho over");
    godbg.expect("\nover");
    assert_eq!(target.wait_end().code(), Some(4));
    let outcome = godbg.finish().success().says("exited with status 4");
    assert_eq!(outcome.stdout.matches("it is about to end").count(), 1, "{}", outcome.stdout);
}
