//! Attach and detach again and again on programs that count what happens to them. `GODBG_QUICK=1` does fewer rounds.

use std::time::Duration;

use crate::harness::fixture::{BEAT, Fixture, STOP};
use crate::harness::godbg::{Godbg, PROGRAM};
use crate::harness::kernel::{self, SOON, wait_until};
use crate::harness::quick;

fn rounds(full: usize) -> usize {
    if quick() { full / 10 } else { full }
}

/// 300 times in one session: nothing stuck, and neither memory nor descriptors grow.
fn many_in_one_session(target: &Fixture) {
    let pid = target.pid();
    let round = format!("attach {pid}\ndetach\n");
    let mut godbg = Godbg::new().arg("-q").bound(Duration::from_secs(300)).start();
    godbg.send(&format!("{}echo warm", round.repeat(rounds(300) / 6)));
    wait_until(Duration::from_secs(120), "the first rounds", || godbg.output().ends_with("warm\n"));
    let (early_kib, early_fds) = kernel::footprint(godbg.pid());
    godbg.send(&format!("{}echo done", round.repeat(rounds(300) - rounds(300) / 6)));
    wait_until(Duration::from_secs(240), "the other rounds", || {
        assert!(
            kernel::status_of(godbg.pid(), "State").is_some_and(|state| !state.starts_with('Z')),
            "{}",
            godbg.errors()
        );
        godbg.output().ends_with("done\n")
    });
    let (late_kib, late_fds) = kernel::footprint(godbg.pid());
    assert_eq!(early_fds, late_fds, "open descriptors");
    assert!(late_kib <= early_kib + 512, "memory grew from {early_kib} to {late_kib} KiB");
    let outcome = godbg.finish().success();
    assert_eq!(outcome.stdout.matches("stopped in").count(), rounds(300));
    kernel::wait_let_go(pid);
    kernel::assert_text_unchanged(pid);
}

/// 100 processes of godbg, one after another.
fn many_processes(target: &Fixture) {
    for _ in 0..rounds(100) {
        let words = ["-q", "--batch", "attach", &target.pid().to_string(), "-e", "detach"];
        Godbg::new().args(words).run().success();
    }
    kernel::wait_let_go(target.pid());
    kernel::assert_debug_registers_clear(target.pid());
}

fn churn(torture: fn(&Fixture)) {
    let (born, finished, first_chain, chains) = (3, 4, 16, 6);
    let mut target = Fixture::start("churn", &["6"]);
    torture(&target);
    let links: Vec<u64> = (first_chain..first_chain + chains).map(|slot| target.get(slot)).collect();
    for (slot, before) in (first_chain..).zip(links) {
        wait_until(SOON, "every chain of threads to go on", || target.get(slot) > before + 10);
    }
    target.set(STOP, 1);
    assert!(target.wait_end().success());
    assert_eq!(target.get(born), target.get(finished), "threads born and finished");
}

#[test]
fn many_sessions_in_one_godbg_on_threads_that_come_and_go() {
    churn(many_in_one_session);
}

#[test]
fn many_godbgs_on_threads_that_come_and_go() {
    churn(many_processes);
}

/// Slots of `counters.c`.
mod slot {
    pub const ALARMS: usize = 3;
    pub const PROFS: usize = 4;
    pub const TIMER_START_US: usize = 7;
    pub const TIMER_END_US: usize = 8;
    pub const TIMER_END_COUNT: usize = 9;
    pub const QUEUED: usize = 10;
    pub const DIRECTED: usize = 14;
    pub const USR1_SENT: usize = 18;
    pub const USR1_SEEN: usize = 19;
    pub const SENDERS_DONE: usize = 20;
}

/// Whatever is done to the fixture meanwhile, each of its signals must arrive once and in order.
pub fn counted_signals(torture: impl Fn(&Fixture)) {
    let target = Fixture::start("counters", &[]);
    torture(&target);
    for slot in [BEAT, slot::ALARMS, slot::PROFS, slot::QUEUED, slot::DIRECTED, slot::USR1_SEEN] {
        target.assert_grows(slot, 3);
    }
    target.set(STOP, 1);
    wait_until(SOON, "the senders to end", || target.get(slot::SENDERS_DONE) == 2);
    for (name, sent) in [("queued", slot::QUEUED), ("directed", slot::DIRECTED)] {
        let [sent, seen, lost, doubled] = [0, 1, 2, 3].map(|more| sent + more);
        wait_until(SOON, &format!("all {name} signals: {} of {}", target.get(seen), target.get(sent)), || {
            target.get(seen) >= target.get(sent)
        });
        assert_eq!((target.get(lost), target.get(doubled)), (0, 0), "{name}: (lost or out of order, doubled)");
        assert_eq!(target.get(seen), target.get(sent), "{name}");
    }
    wait_until(SOON, "the last SIGUSR1", || target.get(slot::USR1_SEEN) >= target.get(slot::USR1_SENT));
    assert_eq!(target.get(slot::USR1_SEEN), target.get(slot::USR1_SENT), "SIGUSR1");
    wait_until(SOON, "the timer to be added up", || target.get(slot::TIMER_END_COUNT) > 0);
    let expected = (target.get(slot::TIMER_END_US) - target.get(slot::TIMER_START_US)) / 2000;
    let counted = target.get(slot::TIMER_END_COUNT);
    // One more or less is the moment of reading the clock; each stop may hold one expiry back at most until the end.
    assert!(counted.abs_diff(expected) <= 3, "timer: {counted} expiries with overruns, {expected} intervals");
}

#[test]
fn many_sessions_in_one_godbg_on_counted_signals() {
    counted_signals(many_in_one_session);
}

#[test]
fn system_calls_made_for_godbg_among_counted_signals() {
    counted_signals(crate::calls::calls_under_signals);
}

#[test]
fn many_godbgs_on_counted_signals() {
    counted_signals(many_processes);
}

fn go_under_load(torture: fn(&Fixture)) {
    let (sent, received, wrong, ticks, collections) = (3, 4, 5, 6, 7);
    let Some(target) = Fixture::start_go("goload", &[]) else { return };
    torture(&target);
    for slot in [BEAT, sent, received, ticks, collections] {
        target.assert_grows(slot, 3);
    }
    target.set(STOP, 1);
    wait_until(SOON, "every message to be received", || target.get(sent) == target.get(received));
    assert_eq!(target.get(wrong), 0, "wrong sums");
}

#[test]
fn many_sessions_in_one_godbg_on_go() {
    go_under_load(many_in_one_session);
}

#[test]
fn many_godbgs_on_go() {
    go_under_load(many_processes);
}

#[test]
fn stopped_and_let_run_again_and_again() {
    let target = Fixture::start("counters", &[]);
    let script = format!("attach {}\n{}detach\n", target.pid(), "continue &\ninterrupt\n".repeat(rounds(300)));
    Godbg::new().arg("-q").bound(Duration::from_secs(120)).run_script(script).success();
    counted_after(&target);
}

fn counted_after(target: &Fixture) {
    kernel::wait_let_go(target.pid());
    target.set(STOP, 1);
    wait_until(SOON, "the senders to end", || target.get(slot::SENDERS_DONE) == 2);
    wait_until(SOON, "all signals", || {
        target.get(slot::QUEUED + 1) >= target.get(slot::QUEUED)
            && target.get(slot::DIRECTED + 1) >= target.get(slot::DIRECTED)
    });
    let wrong = [2, 3].map(|more| (target.get(slot::QUEUED + more), target.get(slot::DIRECTED + more)));
    assert_eq!(wrong, [(0, 0); 2], "(queued, directed): lost, then doubled");
}

#[test]
fn a_sigkill_in_the_middle_of_attaching_leaves_no_thread_stopped() {
    let threads = if quick() { "1000" } else { "5000" };
    let target = Fixture::start("sleeper", &[threads, "futex,pause,read"]);
    let mut random = 0x9e37_79b9_u64;
    for round in 0..if quick() { 8 } else { 30 } {
        let mut godbg = std::process::Command::new(PROGRAM);
        godbg.args(["-q", "--batch", "attach", &target.pid().to_string(), "-e", "sleep 60"]);
        let mut godbg = godbg.stdout(std::process::Stdio::null()).spawn().unwrap();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // From before the first request to after the last: 5000 threads take some 100 ms.
        std::thread::sleep(Duration::from_micros((random >> 33) % 120_000));
        godbg.kill().unwrap();
        godbg.wait().unwrap();
        kernel::wait_let_go(target.pid());
        assert!(kernel::threads(target.pid()).iter().all(|thread| thread.state != 'T'), "round {round}");
        target.assert_beats();
    }
}

#[test]
fn a_sigterm_in_the_middle_of_attaching_leaves_all_clean() {
    let target = Fixture::start("sleeper", &["1000", "futex,pause,read"]);
    let before = kernel::Snapshot::of(target.pid());
    for delay_ms in [0, 2, 4, 8, 16, 32] {
        let godbg = Godbg::new().args(["-q", "--batch", "attach", &target.pid().to_string(), "-e", "sleep 60"]).start();
        std::thread::sleep(Duration::from_millis(delay_ms));
        godbg.signal(nix::sys::signal::Signal::SIGTERM);
        // Before its first instruction of its own, the default action ends it, which is as good.
        let outcome = godbg.finish();
        assert!(matches!(outcome.status.code(), Some(143) | None), "{outcome:?}");
        before.assert_code_restored();
        target.assert_beats();
    }
}
