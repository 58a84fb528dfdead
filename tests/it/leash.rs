//! The leash: a process that is held too long since the last command runs again by itself, still attached.

use std::time::{Duration, Instant};

use crate::harness::fixture::Fixture;
use crate::harness::godbg::Godbg;
use crate::harness::kernel::{self, SOON, Snapshot, wait_until};
use crate::harness::pty::Pty;

/// Every thread runs (or sleeps) and is traced.
fn runs_traced(pid: i32) -> bool {
    kernel::threads(pid).iter().all(|thread| thread.state != 't' && thread.tracer != 0)
}

#[test]
fn a_process_on_a_leash_runs_again_by_itself() {
    let target = Fixture::start("sleeper", &["4"]);
    let before = Snapshot::of(target.pid());
    let mut godbg = Godbg::new().start();
    godbg.send(&format!("attach --leash 300ms {}", target.pid()));
    kernel::wait_all_stopped(target.pid());
    let begin = Instant::now();
    wait_until(SOON, "the leash to let it run", || runs_traced(target.pid()));
    assert!(begin.elapsed() > Duration::from_millis(200), "too early: {:?}", begin.elapsed());
    target.assert_beats();
    // It can be stopped again, and is let go again.
    godbg.send("interrupt");
    kernel::wait_all_stopped(target.pid());
    wait_until(SOON, "the leash to let it run once more", || runs_traced(target.pid()));
    godbg.send("status\ndetach");
    let outcome = godbg.finish().success();
    assert!(outcome.stdout.contains("leash"), "{outcome:?}");
    before.assert_restored();
    target.assert_beats();
}

#[test]
fn every_command_begins_the_leash_anew() {
    let target = Fixture::start("sleeper", &["2"]);
    let mut godbg = Godbg::new().start();
    godbg.send(&format!("attach {}\nset leash 1500ms", target.pid()));
    kernel::wait_all_stopped(target.pid());
    let begin = Instant::now();
    let mut number = 0;
    while begin.elapsed() < Duration::from_millis(3500) {
        number += 1;
        godbg.send(&format!("echo number {number}"));
        godbg.expect(&format!("\nnumber {number}\n"));
        std::thread::sleep(Duration::from_millis(150));
        assert!(kernel::all_stopped(target.pid()), "let run {:?} after the first command", begin.elapsed());
    }
    godbg.send("set leash off\necho off");
    godbg.expect("\noff");
    godbg.send("detach");
    godbg.finish().success();
}

#[test]
fn the_prompt_shows_the_leash() {
    let target = Fixture::start("sleeper", &["2"]);
    let mut godbg = Pty::at_prompt(Godbg::new());
    godbg.line(&format!("attach --leash 100s {}", target.pid()));
    godbg.wait_screen("a prompt with a leash", |screen| {
        let row = screen.cursor_row();
        row.starts_with(&format!("[{} stopped, leash ", target.pid())) && row.ends_with("] godbg>")
    });
    godbg.line("set leash 200ms");
    godbg.expect("leash ran out");
    wait_until(SOON, "it to run", || runs_traced(target.pid()));
    godbg.line("");
    godbg.expect_prompt(&format!("[{} running] godbg>", target.pid()));
}

#[test]
fn the_notice_of_the_leash_reaches_a_script() {
    let target = Fixture::start("sleeper", &["2"]);
    let script = format!("attach --leash 50ms {}\nsleep 500ms\ndetach\n", target.pid());
    let outcome = Godbg::new().run_script(script).success();
    assert!(outcome.stdout.contains("leash ran out"), "{outcome:?}");
}
