//! Children that are followed: whatever becomes of the session, no process of the tree is left traced or stopped, and each
//! parent's own wait sees its children's ends.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use crate::harness::fixture::Fixture;
use crate::harness::godbg::{Godbg, Live};
use crate::harness::kernel::{self, SOON, wait_until};
use crate::harness::toolchain::program;

/// The slots of `births.c`.
const DONE: usize = 3;
const GO: usize = 4;
const WAITED: usize = 5;
const WRONG: usize = 6;

/// A session in which these commands have been run, the fixture's birth steps under way.
fn following(mode: &str, steps: &str, commands: &str) -> (Fixture, Live) {
    let target = Fixture::start("births", &[steps]);
    let mut godbg = Godbg::new().start();
    godbg.send(&format!("set follow-fork {mode}\nattach {}\n{commands}\necho so far", target.pid()));
    godbg.expect("\nso far");
    (target, godbg)
}

/// Nobody traces the process or any child of it, and all steps are made with children as they should be.
#[track_caller]
fn assert_free(target: &Fixture, steps: u64, children: u64, what: &str) {
    for pid in kernel::children(target.pid()) {
        kernel::wait_let_go(pid);
    }
    kernel::wait_let_go(target.pid());
    if target.get(DONE) == 0 {
        // It was let go before it had seen that it was traced, and waits for that.
        Godbg::new().run_script(format!("attach {}\ncontinue &\nsleep 60ms", target.pid())).success();
    }
    wait_until(SOON, &format!("all steps after {what}: {}", target.get(DONE)), || target.get(DONE) == steps);
    assert_eq!((target.get(WAITED), target.get(WRONG)), (children, 0), "{what}");
    assert_eq!(kernel::children(target.pid()), [0; 0], "{what}");
    target.assert_beats();
}

#[test]
fn every_way_out_lets_the_whole_tree_go() {
    let steps = "fork,vfork,spawn,grand,threads";
    let all_detached = "try detach\n".repeat(12);
    for stops in [1, 2, 3, 5, 8] {
        for leave in ["quit", "end", "error", "detach", "SIGTERM", "SIGHUP", "SIGKILL"] {
            let commands = "process\nset schedule-multiple on\n".to_owned() + &"try continue\n".repeat(stops);
            let (target, mut godbg) = following("both", steps, &commands);
            match leave {
                "SIGTERM" => godbg.signal(Signal::SIGTERM),
                "SIGHUP" => godbg.signal(Signal::SIGHUP),
                "SIGKILL" => godbg.signal(Signal::SIGKILL),
                "quit" => godbg.send("quit"),
                "error" => godbg.send("nonsense"),
                "detach" => godbg.send(&all_detached),
                _ => {}
            }
            drop(godbg.finish());
            assert_free(&target, 5, 15, &format!("{stops} stops, {leave}"));
        }
    }
}

#[test]
fn a_followed_child_has_the_breakpoints_of_its_parent() {
    // Only children count themselves in slot 7.
    let script = |target: &Fixture| {
        let add = kernel::symbol(target.pid(), "add");
        format!("attach {}\nbreak *{add:#x} if $rdi == 7\n", target.pid())
    };
    for (mode, go_on) in [("both", "process 2 continue"), ("child", "echo here")] {
        let target = Fixture::start("births", &["fork"]);
        let mut godbg = Godbg::new().start();
        godbg.send(&format!("set follow-fork {mode}\n{}continue\n{go_on}", script(&target)));
        godbg.expect(", breakpoint 1 at ");
        let child = kernel::children(target.pid())[0];
        kernel::wait_all_stopped(child);
        // Cleared in one, it is gone from both.
        godbg.send("breakpoints\nclear 1\nbreakpoints\ntry process 1\nbreakpoints\necho looked");
        godbg.expect("\nlooked");
        let none = godbg.output().matches("no breakpoints are set").count();
        assert_eq!(none, 2, "{}", godbg.output());
        kernel::assert_text_unchanged(child);
        godbg.finish();
        assert_free(&target, 1, 1, mode);
        kernel::assert_text_unchanged(target.pid());
    }
    // In memory that is still its parent's nothing is put in.
    for steps in ["vfork", "spawn"] {
        let target = Fixture::start("births", &[steps]);
        let mut godbg = Godbg::new().start();
        let script = script(&target);
        godbg.send(&format!("set follow-fork both\n{script}set schedule-multiple on\ncontinue\nprocess 2"));
        godbg.send("continue &\necho runs");
        godbg.expect("\nruns");
        wait_until(SOON, "the child to be waited for", || target.get(WAITED) == 1);
        godbg.finish();
        assert_free(&target, 1, 1, steps);
        kernel::assert_text_unchanged(target.pid());
    }
}

/// One table for all of them: what is set and changed while one is current holds in the others, and what is to be run at a
/// breakpoint is run in the one that met it.
#[test]
fn a_new_breakpoint_and_its_changes_are_for_all_processes() {
    // A script is told of what happened aside with its next command.
    for go_on in ["process 2 continue", "process 2 continue &\nprocess 1\nprocess 2 wait 60\necho it has stopped"] {
        let (target, mut godbg) = following("both", "fork", "continue");
        let add = kernel::symbol(target.pid(), "add");
        let child = kernel::children(target.pid())[0];
        kernel::wait_all_stopped(child);
        godbg.send(&format!(
            "process 1\nbreak *{add:#x} if $rdi == 99\nignore 1 0\ncondition 1 $rdi == 7\non 1 print $rdi + 7000"
        ));
        godbg.send(&format!("process 2\nbreakpoints\nprocess 1\n{go_on}"));
        // Slot 7 is what the child counts itself in; the parent, which is held, has something else there.
        godbg.expect("7007");
        kernel::wait_all_stopped(target.pid());
        kernel::wait_all_stopped(child);
        kernel::assert_text_unchanged(child);
        godbg.finish();
        assert_free(&target, 1, 1, go_on);
        kernel::assert_text_unchanged(target.pid());
    }
}

#[test]
fn children_stay_held_until_they_are_let_run() {
    let (target, mut godbg) = following("both", "fork", "continue");
    let children = kernel::children(target.pid());
    assert_eq!(children.len(), 1);
    kernel::wait_all_stopped(children[0]);
    kernel::wait_all_stopped(target.pid());
    godbg.send("continue &\necho parent");
    godbg.expect("\nparent");
    kernel::wait_all_stopped(children[0]);
    godbg.send("process 2 continue\nprocesses\nprocess 1 interrupt\necho both");
    godbg.expect("\nboth");
    godbg.send("continue &\nquit");
    drop(godbg.finish().success().says("exited with status 1"));
    assert_free(&target, 1, 1, "one after the other");
}

#[test]
fn a_held_child_that_is_killed_is_seen_by_its_parent_at_once() {
    let (target, mut godbg) = following("both", "fork", "continue\ncontinue &");
    let child = kernel::children(target.pid())[0];
    kernel::signal(child, Signal::SIGKILL);
    wait_until(SOON, "the parent to see the end", || target.get(WAITED) == 1);
    assert_eq!(target.get(WRONG), 1, "it did not exit");
    godbg.send("processes\nquit");
    godbg.finish().success().says("was ended by SIGKILL");
    kernel::wait_let_go(target.pid());
    target.assert_beats();
}

#[test]
fn the_child_takes_the_parents_place() {
    for (steps, children) in [("fork", 1), ("vfork", 1), ("spawn", 1), ("grand", 2), ("threads,fork", 11)] {
        let count = steps.split(',').count() as u64;
        let (target, godbg) = following("child", steps, "continue\nprocesses\necho gone");
        let outcome = godbg.finish().success();
        let outcome = outcome.says("which is followed").says("exited with status").says("\nno process is attached");
        assert_eq!(
            outcome.stdout.matches("which is followed").count(),
            if steps == "grand" { 2 } else { 1 },
            "{outcome:?}"
        );
        assert_free(&target, count, children, steps);
    }
}

#[test]
fn leaving_in_the_middle_of_following_a_child() {
    for leave in ["quit", "SIGTERM", "SIGKILL"] {
        let (target, mut godbg) = following("child", "vfork,fork", "catch fork\ncatch vfork\ncontinue");
        match leave {
            "SIGTERM" => godbg.signal(Signal::SIGTERM),
            "SIGKILL" => godbg.signal(Signal::SIGKILL),
            _ => godbg.send("quit"),
        }
        drop(godbg.finish());
        assert_free(&target, 2, 2, leave);
    }
}

#[test]
fn hundreds_of_forks_a_second_with_all_held() {
    for stops in [7, 60, 100] {
        // Each fork is a stop, and all that were made run on with each `continue`.
        let commands = "set schedule-multiple on\n".to_owned() + &"continue\n".repeat(stops);
        let (target, mut godbg) = following("both", "burst,threads", &commands);
        godbg.send("processes\nquit");
        drop(godbg.finish().success().says("it forked process"));
        assert_free(&target, 2, 110, &format!("{stops} stops"));
    }
}

#[test]
fn a_leash_lets_all_of_them_run() {
    let (target, mut godbg) = following("both", "fork,wait", "continue\nset leash 100ms");
    wait_until(SOON, "the child's end", || target.get(WAITED) == 1);
    target.set(GO, 1);
    target.assert_beats();
    godbg.send("processes\ndetach");
    godbg.finish().success().says("its leash ran out");
    assert_free(&target, 2, 1, "the leash");
}

#[test]
fn what_a_started_program_has_made_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("counters");
    std::fs::write(&path, [0; 4096]).unwrap();
    for leave in ["quit", "SIGKILL"] {
        let mut godbg = Godbg::new().start();
        let line = format!(
            "set follow-fork both\nexec {} {} fork\ncontinue\nprocesses\necho here",
            program("births").unwrap().display(),
            path.display()
        );
        godbg.send(&line);
        godbg.expect("\nhere");
        let parent = kernel::children(godbg.pid())[0];
        let child = kernel::children(parent)[0];
        if leave == "SIGKILL" {
            godbg.signal(Signal::SIGKILL);
            assert_eq!(godbg.wait_exit().signal(), Some(9));
        } else {
            godbg.send("quit");
            drop(godbg.finish().success());
        }
        let gone = |pid| kernel::threads(pid).iter().all(|thread| thread.state == 'Z');
        wait_until(SOON, "both to end", || gone(parent) && gone(child));
    }
}
