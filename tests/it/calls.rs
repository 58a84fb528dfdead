//! System calls that a thread of the target makes for godbg: nothing of it is left, whatever the thread was doing.

use std::fs;
use std::rc::Rc;
use std::time::Duration;

use godbg::addr::{Pid, Tid};
use godbg::target::{Metronome, Rules, Tracer, Why};
use nix::sys::signal::Signal;

use crate::harness::fixture::{BEAT, Fixture, STOP};
use crate::harness::godbg::Godbg;
use crate::harness::kernel::{self, SOON, Snapshot, wait_until};
use crate::harness::quick;

/// Slot of `sleeper.c`: how often its first thread beside the main one came back from its call.
const CAME_BACK: usize = 9;

const GETPID: u64 = 39;

#[test]
fn registers_masks_and_calls_are_as_before() {
    let kinds = ["futex", "nanosleep", "read", "epoll", "pause", "spin"];
    let target = Fixture::start("sleeper", &["7", &kinds.join(",")]);
    let before = Snapshot::of(target.pid());
    let tracer = Tracer::on_this_thread();
    let metronome = Rc::new(Metronome::on_this_thread().unwrap());
    let mut process = godbg::target::attach(Pid(target.pid()), tracer, metronome, Rc::new(Rules::default())).unwrap().0;
    let state = |tid: Tid| {
        let registers = *tracer.registers(tid).unwrap().words();
        (registers, tracer.extended_registers(tid).unwrap(), tracer.signal_mask(tid).unwrap())
    };
    for tid in kernel::tids(target.pid()).into_iter().map(Tid) {
        for _ in 0..20 {
            let old = state(tid);
            assert_eq!(process.call_system(tid, GETPID, [0; 6]), Ok(i64::from(target.pid())), "{tid}");
            assert!(old == state(tid), "registers, XSAVE or mask of {tid} have changed");
        }
    }
    let came_back: Vec<u64> = (0..5).map(|index| target.get(CAME_BACK + index)).collect();
    // This program is not godbg: started again as a guardian it would run its tests.
    let is_guardian = |pid: &i32| {
        fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default().split(|byte| *byte == 0).nth(1) == Some(b"guard")
    };
    assert!(!kernel::children(std::process::id() as i32).iter().any(is_guardian));
    process.resume(false).unwrap();
    target.assert_beats();
    process.interrupt(Why::Interrupt).unwrap();
    process.detach().unwrap();
    target.assert_beats();
    // Before the harness stops the threads itself, which epoll_wait answers.
    let now: Vec<u64> = (0..5).map(|index| target.get(CAME_BACK + index)).collect();
    before.assert_restored();
    assert_eq!(came_back, now, "returns from {kinds:?}");
    assert_eq!(came_back, [0; 5], "returns from {kinds:?}");
}

#[test]
fn a_stopped_job_makes_calls_and_stays_stopped() {
    let target = Fixture::start("sigcont", &["3"]);
    target.signal(Signal::SIGSTOP);
    wait_until(SOON, "the stop", || kernel::threads(target.pid()).iter().all(|thread| thread.state == 'T'));
    let before = Snapshot::of(target.pid());
    let pid = target.pid();
    let script = format!("attach {pid}\n{}detach\n", "thread all syscall getpid\n".repeat(20));
    let outcome = Godbg::new().run_script(script).success();
    assert_eq!(outcome.stdout.matches(&format!("getpid() = {pid}")).count(), 60, "{}", outcome.stdout);
    before.assert_restored();
    assert_eq!(target.get(3), 0, "runs of the handler of SIGCONT");
    target.signal(Signal::SIGCONT);
    target.assert_beats();
    wait_until(SOON, "the one SIGCONT", || target.get(3) == 1);
    assert_eq!(target.get(4), 0, "other signals");
}

#[test]
fn a_handler_of_sigtrap_and_a_full_mask_outlive_calls() {
    let target = Fixture::start("blocked", &[]);
    let before = Snapshot::of(target.pid());
    let caught = kernel::status_of(target.pid(), "SigCgt");
    let script = format!("attach {}\n{}detach\n", target.pid(), "syscall getpid\n".repeat(20));
    Godbg::new().run_script(script).success();
    before.assert_restored();
    assert_eq!(kernel::status_of(target.pid(), "SigCgt"), caught, "handlers");
    target.set(3, 1);
    for (slot, count) in [(4, 1), (5, 1), (6, 3)] {
        wait_until(SOON, "the signals that were blocked", || target.get(slot) == count);
    }
}

#[test]
fn an_ignored_sigtrap_stays_ignored_and_one_that_waits_goes_on_waiting() {
    let target = Fixture::of("sleeper").wrapper(&["env", "--ignore-signal=TRAP"]).args(["2", "futex"]).start();
    let before = Snapshot::of(target.pid());
    let ignored = kernel::status_of(target.pid(), "SigIgn");
    let core = target.dir().join("core");
    let calls = "syscall getpid\n".repeat(20);
    let script = format!("attach {}\n{calls}continue &\ngcore {}\ndetach\n", target.pid(), core.display());
    let outcome = Godbg::new().run_script(script).success();
    assert_eq!(outcome.stdout.matches("getpid() = ").count(), 20, "{}", outcome.stdout);
    assert!(!outcome.stdout.contains("held all the while"), "{}", outcome.stdout);
    before.assert_restored();
    assert_eq!(kernel::status_of(target.pid(), "SigIgn"), ignored);
    target.assert_beats();
    assert_eq!(target.get(CAME_BACK), 0, "returns from futex");

    let target = Fixture::start("blocked", &[]);
    kernel::signal(target.pid(), Signal::SIGTRAP);
    let waiting = kernel::status_of(target.pid(), "ShdPnd");
    let script = format!("attach {}\n{calls}detach\n", target.pid());
    let outcome = Godbg::new().run_script(script).success();
    assert_eq!(outcome.stdout.matches("getpid() = ").count(), 20, "{}", outcome.stdout);
    kernel::wait_let_go(target.pid());
    assert_eq!(kernel::status_of(target.pid(), "ShdPnd"), waiting);
}

#[test]
fn what_waits_is_broken_off_and_what_does_not_return_is_refused() {
    let target = Fixture::start("sleeper", &["2", "futex"]);
    let before = Snapshot::of(target.pid());
    let script = "try syscall pause\ntry syscall exit\ntry syscall execve 0 0 0\ntry syscall fork\nsyscall close 9999\n\
                  try syscall rt_sigreturn\ntry syscall 1 2 3 4 5 6 7 8\nthread 2 syscall gettid\ndetach\n";
    let outcome = Godbg::new().run_script(format!("attach {}\n{script}", target.pid())).success();
    let outcome = outcome.says("broken off").says("EBADF").says("cannot be made for the program");
    outcome.says("at most 6 arguments").says("gettid() = ");
    target.assert_beats();
    assert_eq!(target.get(CAME_BACK), 0, "returns from futex");
    before.assert_restored();
}

/// 1000 calls in threads that are given signals all the time: none is lost, doubled or overtaken.
pub fn calls_under_signals(target: &Fixture) {
    let rounds = if quick() { 20 } else { 200 };
    let round = "interrupt\nthread all syscall getpid\ncontinue &\nsleep 2ms\n";
    let script = format!("attach {}\ncontinue &\n{}interrupt\ndetach\n", target.pid(), round.repeat(rounds));
    let outcome = Godbg::new().arg("-q").bound(Duration::from_secs(120)).run_script(script).success();
    let made = outcome.stdout.matches(&format!("getpid() = {}", target.pid())).count();
    assert!(made >= 4 * rounds, "{made} calls");
    kernel::wait_let_go(target.pid());
    target.assert_grows(BEAT, 3);
    assert_eq!(target.get(STOP), 0);
}
