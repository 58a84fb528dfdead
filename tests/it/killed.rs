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

/// One target, one godbg, one SIGKILL: what is wrong afterwards.
fn kill_once(script: impl Fn(i32, &Path) -> String, delay: Duration) -> Result<(), String> {
    let mut target = Fixture::start("sleeper", &["3", "futex,nanosleep"]);
    let pid = target.pid();
    let (snapshot, before) = (Snapshot::of(pid), Facts::of(pid));
    let state = tempfile::tempdir().unwrap();
    let mut godbg = Godbg::new().arg("-q").env("XDG_STATE_HOME", state.path()).start();
    godbg.send(&script(pid, target.dir()));
    let is_traced = || kernel::status_of(pid, "TracerPid").is_none_or(|tracer| tracer != "0");
    assert!(soon(is_traced), "nobody attached: {}", godbg.errors());
    std::thread::sleep(delay);
    godbg.signal(Signal::SIGKILL);
    godbg.wait_exit();
    let is_there = || kernel::status_of(pid, "State").is_some_and(|state| !state.starts_with('Z'));
    let told = format!("{} {}", godbg.output(), godbg.errors());
    let last = told.lines().rev().take(2).collect::<Vec<_>>().join(" | ");
    let fails = |what: &str| {
        let log = fs::read_to_string(state.path().join("godbg/guardian.log")).unwrap_or_default();
        Err(format!("{what} ({delay:?}, {last:?}, {log:?})"))
    };
    if !soon(|| !is_traced() && is_empty(&state.path().join("godbg/changed"))) {
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
        () if target.get(CAME_BACK) != 0 => return fails("a wait was broken off"),
        () if now.blocked != before.blocked => return fails("other signals are blocked"),
        () if now.caught != before.caught => return fails("other signals are handled"),
        () if now.code != before.code => return fails("memory is still lent"),
        () if !kernel::children(pid).is_empty() => return fails("a child is left"),
        () => {}
    }
    snapshot.assert_restored();
    Ok(())
}

fn kill_often(script: impl Fn(i32, &Path) -> String) {
    let rounds = if quick() { 30 } else { 100 };
    let moments = (1..=rounds).map(|round| WITHIN.mul_f64(f64::from(round) * 0.618_034 % 1.0));
    let wrong: Vec<String> = moments.filter_map(|delay| kill_once(&script, delay).err()).collect();
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

#[test]
fn while_breakpoints_are_set() {
    let round = |pid, at: &str| format!("attach {pid}\nbreak *{at} if 0\ncontinue &\nsleep 2ms\ndetach\n");
    kill_often(|pid, _| round(pid, &passed_often(pid)).repeat(50));
}

#[test]
fn while_cores_are_taken() {
    let core = |folder: &Path| format!("gcore {}\n", folder.join("core").display());
    kill_often(|pid, folder| format!("attach {pid}\ncontinue &\n{}", core(folder).repeat(50)));
}

#[test]
fn while_calls_are_made() {
    kill_often(|pid, _| format!("attach {pid}\n{}", "syscall getpid\n".repeat(2000)));
}
