//! A godbg that is killed while breakpoints, watchpoints and steps are in force: the target lives, and nothing is left in it.

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::harness::fixture::BEAT;
use crate::harness::godbg::Godbg;
use crate::harness::kernel::{self, SOON, wait_until};
use crate::harness::quick;
use crate::harness::steered::{Steered, calls};

/// How long the words of a journal are, and where it says which process it is of.
const JOURNAL_BYTES: usize = 65536;
const STARTED: u64 = 2;
const AREAS: u64 = 3;
const FIRST_AREA: u64 = 4;
const SITES: u64 = 32;
const FIRST_SITE: u64 = 33;

/// Kills godbg again and again while it is at work; the target must live and be as it was.
#[track_caller]
fn killed_at_random(threads: &str, commands: &dyn Fn(&Steered) -> String) {
    let mut this = Steered::start("calls", &[threads, "free"]);
    let mut random = 0x1234_5678_9abc_def1_u64;
    for round in 0..if quick() { 5 } else { 20 } {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let commands = commands(&this);
        this.godbg.send(&commands);
        this.target.assert_beats();
        std::thread::sleep(Duration::from_micros((random >> 33) % 30_000));
        this.godbg.signal(Signal::SIGKILL);
        this.godbg.wait_exit();
        let alive = kernel::status_of(this.target.pid(), "State").filter(|state| !state.starts_with('Z'));
        assert!(alive.is_some(), "round {round}: the target died");
        this.traces.assert_none();
        this.target.assert_grows(calls::CALLS, 20);
        this.attach_again();
    }
    assert_eq!(this.target.get(calls::WRONG), 0);
    this.leave();
}

#[test]
fn a_kill_at_a_breakpoint_at_full_speed() {
    killed_at_random("4", &|this| format!("break {} if 0\ncontinue &", this.at(calls::WORK)));
}

#[test]
fn a_kill_at_a_breakpoint_of_an_instruction_that_cannot_be_copied_or_is_counted() {
    killed_at_random("2", &|this| {
        let work = this.target.get(calls::WORK);
        format!("break *{work:#x}\nignore 1 1000000\ntrace *{:#x}\ncontinue &", work + 1)
    });
}

#[test]
fn a_kill_at_a_breakpoint_of_a_debug_register() {
    killed_at_random("4", &|this| format!("hbreak {} if 0\ncontinue &", this.at(calls::WORK)));
}

#[test]
fn a_kill_at_a_watchpoint() {
    killed_at_random("4", &|this| format!("awatch {} 8 if 0\ncontinue &", &this.at(calls::WATCHED)[1..]));
}

#[test]
fn a_kill_in_the_middle_of_steps() {
    let mut this = Steered::start("calls", &["4", "free"]);
    let work = this.at(calls::WORK);
    for round in 0..if quick() { 3 } else { 10 } {
        this.ask(&format!("tbreak {work}\ncontinue"));
        this.godbg.send("stepi 100000000");
        std::thread::sleep(Duration::from_millis(5 + 3 * round));
        this.godbg.signal(Signal::SIGKILL);
        this.godbg.wait_exit();
        this.traces.assert_none();
        this.target.assert_grows(calls::CALLS, 20);
        this.attach_again();
    }
    this.leave();
}

/// Kills the guardian first, so that nobody repairs.
fn orphan(threads: &str) -> Steered {
    let mut this = Steered::start("calls", &[threads, "free"]);
    let work = this.at(calls::WORK);
    this.ask(&format!("break {work} if 0\ncontinue &"));
    this.target.assert_grows(calls::CALLS, 50);
    let guardians = this.traces.guardians();
    assert_eq!(guardians.len(), 1, "one guardian for one process");
    kernel::signal(guardians[0], Signal::SIGKILL);
    wait_until(SOON, "the guardian's end", || this.traces.guardians().is_empty());
    this.godbg.signal(Signal::SIGKILL);
    this.godbg.wait_exit();
    kernel::wait_let_go(this.target.pid());
    this
}

/// A guardian that comes late finds another godbg at work, with a journal of its own: it leaves both alone.
#[test]
fn a_late_guardian_does_not_disturb_the_next_session() {
    let mut this = Steered::start("calls", &["4", "free"]);
    let set = format!("break {} if 0\ncontinue &", this.at(calls::WORK));
    this.ask(&set);
    this.target.assert_grows(calls::CALLS, 50);
    let late = this.traces.guardians()[0];
    // Not by SIGSTOP: the kernel lets a stopped process group go on that loses its parent (setpgid(2)).
    let held = Pid::from_raw(late);
    ptrace::seize(held, ptrace::Options::empty()).unwrap();
    ptrace::interrupt(held).unwrap();
    assert!(matches!(waitpid(held, Some(WaitPidFlag::__WALL)), Ok(WaitStatus::PtraceEvent(..))));
    this.godbg.signal(Signal::SIGKILL);
    this.godbg.wait_exit();
    // This one repairs, and sets a breakpoint at the same place.
    this.attach_again();
    this.ask(&set);
    let journals = this.traces.journals();
    ptrace::detach(held, None).unwrap();
    wait_until(SOON, "the late guardian's end", || !this.traces.guardians().contains(&late));
    assert_eq!((this.traces.journals(), this.traces.guardians().len()), (journals, 1));
    // The text has the int3 still: the next condition stops.
    this.ask("condition 1 1");
    this.ask("wait");
    assert_eq!(this.hits(1), 1);
    this.ask("condition 1 0\ncontinue &");
    this.target.assert_grows(calls::CALLS, 50);
    // And its own guardian repairs.
    this.godbg.signal(Signal::SIGKILL);
    this.godbg.wait_exit();
    this.traces.assert_none();
    this.target.assert_grows(calls::CALLS, 50);
    assert_eq!(this.target.get(calls::WRONG), 0);
}

/// `repair` of a process at which another godbg is at work takes nothing from it.
#[test]
fn a_repair_beside_a_session_touches_nothing() {
    let mut this = Steered::start("calls", &["1", "free"]);
    let work = this.at(calls::WORK);
    this.ask(&format!("break {work} if 0\ncontinue &"));
    this.target.assert_grows(calls::CALLS, 50);
    repair(&this).status(1).complains("is already traced by process");
    this.ask("condition 1 1");
    this.ask("wait");
    assert_eq!(this.hits(1), 1);
    this.leave();
}

/// Runs `godbg repair`.
fn repair(this: &Steered) -> crate::harness::godbg::Outcome {
    let pid = this.target.pid().to_string();
    Godbg::new().env("XDG_STATE_HOME", this.traces.state()).args(["repair", &pid]).run()
}

#[test]
fn a_target_survives_without_a_guardian_until_it_is_repaired() {
    let this = orphan("4");
    // The main thread does not call: it beats on, while the others wait at the breakpoint.
    this.target.assert_beats();
    repair(&this).success().says("repaired");
    this.traces.assert_none();
    this.target.assert_grows(calls::CALLS, 50);
    repair(&this).success().says("nothing was left");
    assert_eq!(this.target.get(calls::WRONG), 0);
}

#[test]
fn attaching_again_repairs() {
    let mut this = orphan("4");
    this.attach_again();
    this.ask("continue &");
    this.target.assert_grows(calls::CALLS, 50);
    let work = this.at(calls::WORK);
    this.ask(&format!("break {work}"));
    this.ask("wait");
    this.leave();
}

#[test]
fn a_signal_to_the_whole_group_does_not_reach_the_guardian() {
    // As Ctrl-C and the end of a terminal do it.
    let mut this = Steered::start("calls", &["1", "free"]);
    this.ask(&format!("break {} if 0\ncontinue &", this.at(calls::WORK)));
    this.target.assert_grows(calls::CALLS, 50);
    let group = |pid: i32| nix::unistd::getpgid(Some(nix::unistd::Pid::from_raw(pid))).unwrap();
    let guardian = this.traces.guardians()[0];
    assert_ne!(group(guardian), group(this.godbg.pid()));
    this.leave();
}

#[test]
fn a_journal_of_another_process_is_not_applied() {
    let this = orphan("1");
    let journal = this.traces.journals().remove(0);
    let file = fs::File::options().read(true).write(true).open(&journal).unwrap();
    let word = |index: u64| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, 8 * index).unwrap();
        u64::from_ne_bytes(bytes)
    };
    let put = |index: u64, value: u64| file.write_all_at(&value.to_ne_bytes(), 8 * index).unwrap();
    // A pid that was given again has another start time.
    let started = word(STARTED);
    put(STARTED, started + 1);
    repair(&this).success().says("nothing was left");
    put(STARTED, started);
    // Counts and addresses that nobody wrote: what is true of them is done, and nothing else is touched.
    let (areas, sites) = (word(AREAS), word(SITES));
    assert_eq!((areas, sites), (1, 1));
    put(SITES, u64::MAX);
    put(FIRST_SITE + 2, u64::MAX);
    put(FIRST_SITE + 4, this.target.get(calls::WATCHED));
    put(FIRST_SITE + 5, 0x77);
    put(AREAS, u64::MAX);
    let stack_or_text = this.target.get(calls::WORK) & !0xfff;
    put(FIRST_AREA + 1, stack_or_text);
    put(FIRST_AREA + 2, u64::MAX - 5);
    repair(&this).success();
    this.traces.assert_none();
    this.target.assert_grows(calls::CALLS, 50);
    this.target.assert_grows(BEAT, 5);
}

#[test]
fn what_is_no_journal_harms_nothing() {
    let this = orphan("1");
    let journal = this.traces.journals().remove(0);
    let kept = fs::read(&journal).unwrap();
    assert_eq!(kept.len(), JOURNAL_BYTES);
    let garbage: Vec<u8> = (0..JOURNAL_BYTES).map(|at| ((at * 7919) >> 3) as u8).collect();
    for wrong in [Vec::new(), vec![0; 7], kept[..4096].to_vec(), vec![0; JOURNAL_BYTES], garbage] {
        fs::write(&journal, &wrong).unwrap();
        repair(&this).success().says("nothing was left");
    }
    fs::remove_file(&journal).unwrap();
    fs::create_dir(&journal).unwrap();
    repair(&this).success().says("nothing was left");
    fs::remove_dir(&journal).unwrap();
    if crate::harness::is_root() {
        fs::write(&journal, &kept).unwrap();
        std::os::unix::fs::chown(&journal, Some(65534), Some(65534)).unwrap();
        repair(&this).success().says("nothing was left");
        fs::remove_file(&journal).unwrap();
    }
    this.target.assert_beats();
    // The true one helps.
    fs::write(&journal, &kept).unwrap();
    repair(&this).success().says("repaired");
    this.traces.assert_none();
    this.target.assert_grows(calls::CALLS, 50);
}
