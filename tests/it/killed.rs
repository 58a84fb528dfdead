//! SIGKILL of godbg at any moment after it began to attach, while it changes the process or has it make calls: the process
//! lives on, unharmed, and nothing of godbg's is left in it. `GODBG_QUICK=1` does fewer rounds.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::fixture::{BEAT, Fixture};
use crate::harness::godbg::Godbg;
use crate::harness::kernel::{self, SOON, Snapshot};
use crate::harness::quick;

/// Slot of `sleeper.c`: how often its first thread beside the main one came back from its call.
const CAME_BACK: usize = 9;

/// Within so long after godbg has seized a thread it is killed.
const WITHIN: Duration = Duration::from_millis(20);

/// What calls that godbg has a process make could change, and nobody else does.
struct Facts {
    blocked: Vec<Option<String>>,
    caught: Option<String>,
    code: usize,
}

impl Facts {
    fn of(pid: i32) -> Facts {
        let blocked = kernel::tids(pid).into_iter().map(|tid| kernel::status_of(tid, "SigBlk")).collect();
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        let code = maps.lines().filter(|line| line.contains("xp ") && line.split_whitespace().count() == 5).count();
        Facts { blocked, caught: kernel::status_of(pid, "SigCgt"), code }
    }
}

/// Whether a fact comes to hold soon.
fn soon(mut holds: impl FnMut() -> bool) -> bool {
    let begin = std::time::Instant::now();
    while begin.elapsed() < SOON {
        if holds() {
            return true;
        }
        kernel::nap();
    }
    false
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).map_or(0, Iterator::count) == 0
}

/// Who is to undo what a killed godbg has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Undoer {
    Guardian,
    Repair,
    Attach,
}

fn start_sleeper() -> Option<Fixture> {
    Some(Fixture::start("sleeper", &["3", "futex,nanosleep"]))
}

fn start_go() -> Option<Fixture> {
    Fixture::start_go("goload", &["2"])
}

/// Slot of `goload.go`.
const WRONG_SUMS: usize = 5;

/// One target, one godbg, one SIGKILL: what is wrong afterwards.
fn kill_once(
    start: fn() -> Option<Fixture>,
    script: &impl Fn(i32, &Path) -> String,
    by: Undoer,
    delay: Duration,
) -> Result<(), String> {
    let Some(mut target) = start() else { return Ok(()) };
    let pid = target.pid();
    let (snapshot, before) = (Snapshot::of(pid), Facts::of(pid));
    let is_go = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().starts_with("goload");
    let state = tempfile::tempdir().unwrap();
    let mut godbg = Godbg::new().arg("-q").env("XDG_STATE_HOME", state.path()).start();
    godbg.send(&script(pid, target.dir()));
    let is_traced = || kernel::status_of(pid, "TracerPid").is_none_or(|tracer| tracer != "0");
    assert!(soon(is_traced), "nobody attached: {}", godbg.errors());
    std::thread::sleep(delay);
    let guardians = if by == Undoer::Guardian { Vec::new() } else { kernel::children(godbg.pid()) };
    guardians.into_iter().for_each(|guardian| kernel::signal(guardian, Signal::SIGKILL));
    godbg.signal(Signal::SIGKILL);
    godbg.wait_exit();
    let told = format!("{} {}", godbg.output(), godbg.errors());
    let other = |words: &[&str]| drop(Godbg::new().args(words).env("XDG_STATE_HOME", state.path()).run());
    match by {
        Undoer::Guardian => {}
        Undoer::Repair => other(&["repair", &pid.to_string()]),
        Undoer::Attach => other(&["--batch", "attach", &pid.to_string(), "-e", "detach"]),
    }
    let is_there = || kernel::status_of(pid, "State").is_some_and(|state| !state.starts_with('Z'));
    let last = told.lines().rev().take(2).collect::<Vec<_>>().join(" | ");
    let fails = |what: &str| {
        let log = fs::read_to_string(state.path().join("godbg/guardian.log")).unwrap_or_default();
        Err(format!("{what} ({delay:?}, {last:?}, {log:?})"))
    };
    // Without a guardian nobody clears away a journal that says nothing.
    let is_clean = || by != Undoer::Guardian || is_empty(&state.path().join("godbg/changed"));
    if !soon(|| !is_traced() && is_clean()) {
        return fails(if is_traced() { "it is still traced" } else { "the journal is still there" });
    }
    let beats = target.get(BEAT);
    if !soon(|| !is_there() || target.get(BEAT) > beats + 3) {
        return fails("it stands still");
    }
    if !is_there() {
        return fails(&format!("it died of {}", target.wait_end()));
    }
    let now = Facts::of(pid);
    match () {
        () if now.caught != before.caught => return fails("other signals are handled"),
        () if now.code != before.code => return fails("memory is still lent"),
        () if !kernel::children(pid).is_empty() => return fails("a child is left"),
        () if is_go && target.get(WRONG_SUMS) != 0 => return fails("it counts wrongly"),
        // Go makes threads, and blocks signals for moments.
        () if is_go => {}
        () if target.get(CAME_BACK) != 0 => return fails("a wait was broken off"),
        () if now.blocked != before.blocked => return fails("other signals are blocked"),
        () => {}
    }
    if is_go {
        snapshot.assert_code_restored();
    } else {
        snapshot.assert_restored();
    }
    Ok(())
}

fn kill_often(
    rounds: u32,
    start: fn() -> Option<Fixture>,
    by: impl Fn(u32) -> Undoer,
    script: impl Fn(i32, &Path) -> String,
) {
    let rounds = if quick() { rounds.min(30) } else { rounds };
    let wrong: Vec<String> = (1..=rounds)
        .filter_map(|round| {
            let delay = WITHIN.mul_f64(f64::from(round) * 0.618_034 % 1.0);
            kill_once(start, &script, by(round), delay).err()
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {rounds} are not as they were:\n{}", wrong.len(), wrong.join("\n"));
}

/// An address by which the main thread comes all the time: behind the call in which it sleeps.
fn passed_often(pid: i32) -> String {
    let mut words = Vec::new();
    assert!(soon(|| {
        let line = fs::read_to_string(format!("/proc/{pid}/task/{pid}/syscall")).unwrap();
        words = line.split_whitespace().map(str::to_owned).collect();
        words.len() == 9
    }));
    words.remove(8)
}

fn breakpoints(pid: i32, _: &Path) -> String {
    let at = passed_often(pid);
    format!("attach {pid}\nbreak *{at} if 0\ncontinue &\nsleep 2ms\ndetach\n").repeat(50)
}

fn cores(pid: i32, folder: &Path) -> String {
    let core = format!("gcore {}\n", folder.join("core").display());
    format!("attach {pid}\ncontinue &\n{}", core.repeat(50))
}

fn calls(pid: i32, _: &Path) -> String {
    format!("attach {pid}\n{}", "syscall getpid\n".repeat(2000))
}

#[test]
fn while_breakpoints_are_set() {
    kill_often(100, start_sleeper, |_| Undoer::Guardian, breakpoints);
}

#[test]
fn while_cores_are_taken() {
    kill_often(100, start_sleeper, |_| Undoer::Guardian, cores);
}

/// To fork much memory takes so long that the guardian comes while it is being done.
#[test]
fn while_a_large_process_is_copied() {
    kill_often(40, || Some(Fixture::start("corefile", &["200"])), |_| Undoer::Guardian, cores);
}

#[test]
fn while_calls_are_made() {
    kill_often(100, start_sleeper, |_| Undoer::Guardian, calls);
}

#[test]
fn while_go_is_debugged() {
    kill_often(10, start_go, |_| Undoer::Guardian, breakpoints);
    kill_often(10, start_go, |_| Undoer::Guardian, cores);
    kill_often(10, start_go, |_| Undoer::Guardian, calls);
}

#[test]
fn together_with_its_guardian() {
    let by = |round: u32| if round.is_multiple_of(2) { Undoer::Repair } else { Undoer::Attach };
    kill_often(20, start_sleeper, by, breakpoints);
    kill_often(20, start_sleeper, by, cores);
    kill_often(20, start_sleeper, by, calls);
}
