//! A fixture with a godbg on it that is asked one command after another, and what must hold once nothing is set any more.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use regex::Regex;

use super::fixture::Fixture;
use super::godbg::{Godbg, Live};
use super::kernel::{self, SOON, nap, wait_until};

/// Slots of `calls.c`.
pub mod calls {
    pub const CALLS: usize = 3;
    pub const QUOTA: usize = 4;
    pub const WORK: usize = 5;
    pub const WATCHED: usize = 6;
    pub const ASK: usize = 7;
    pub const ANSWER: usize = 8;
    pub const CHILDREN_FINE: usize = 9;
    pub const CHILD_STATUS: usize = 10;
    pub const TRAPS: usize = 11;
    pub const WRONG: usize = 12;
    pub const LENGTH: usize = 14;
    pub const OFFSET: usize = 15;
    pub const EXECS: usize = 16;
    pub const DONE: usize = 17;
    pub const HOLD: usize = 18;
}

/// What godbg must leave of a process, and where its journal lies.
pub struct Traces {
    pid: i32,
    caught: String,
    state: tempfile::TempDir,
}

/// A fixture that godbg holds.
pub struct Steered {
    pub target: Fixture,
    pub godbg: Live,
    pub traces: Traces,
    asked: usize,
}

impl Traces {
    pub fn before(pid: i32) -> Self {
        Self { pid, caught: kernel::status_of(pid, "SigCgt").unwrap(), state: tempfile::tempdir().unwrap() }
    }

    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// The journals that there are.
    pub fn journals(&self) -> Vec<PathBuf> {
        let folder = fs::read_dir(self.state.path().join("godbg/changed"));
        folder.map_or(Vec::new(), |entries| entries.flatten().map(|entry| entry.path()).collect())
    }

    /// Guardians of this session's processes.
    pub fn guardians(&self) -> Vec<i32> {
        let pids =
            fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let state = self.state.path().to_str().unwrap();
        let is_guardian = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.contains("\0guard\0") && line.contains(state)
        };
        pids.filter(is_guardian).collect()
    }

    /// Whether executable memory of nobody's is mapped.
    pub fn has_lent_memory(&self) -> bool {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.pid)).unwrap();
        maps.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .any(|words| words[1].contains('x') && words[4] == "0" && words.len() == 5)
    }

    /// The process runs and nothing in it is godbg's.
    #[track_caller]
    pub fn assert_none(&self) {
        let begin = Instant::now();
        loop {
            let left = [
                (self.has_lent_memory(), "lent memory"),
                (kernel::status_of(self.pid, "SigCgt").unwrap() != self.caught, "another handler"),
                (!self.journals().is_empty(), "a journal"),
                (!self.guardians().is_empty(), "a guardian"),
            ];
            let Some((_, what)) = left.into_iter().find(|(left, _)| *left) else { break };
            assert!(begin.elapsed() < 2 * SOON, "{what} was left by godbg in {}", self.pid);
            nap();
        }
        kernel::wait_let_go(self.pid);
        kernel::assert_text_unchanged(self.pid);
        kernel::assert_debug_registers_clear(self.pid);
        kernel::wait_let_go(self.pid);
    }
}

impl Steered {
    pub fn start(name: &str, args: &[&str]) -> Self {
        Self::of(Fixture::start(name, args))
    }

    pub fn of(target: Fixture) -> Self {
        let traces = Traces::before(target.pid());
        let mut this = Self { godbg: attach(target.pid(), traces.state()), target, traces, asked: 0 };
        this.ask("");
        this
    }

    /// Ends this godbg and takes another, for the same fixture.
    pub fn attach_again(&mut self) {
        self.godbg = attach(self.target.pid(), self.traces.state());
        self.ask("");
    }

    /// Runs a command: all that was said until it was done.
    #[track_caller]
    pub fn ask(&mut self, command: &str) -> String {
        let from = self.godbg.output().len();
        self.ask_since(from, command)
    }

    /// Runs a command: all that was said since an earlier length of the output.
    #[track_caller]
    pub fn ask_since(&mut self, from: usize, command: &str) -> String {
        self.asked += 1;
        let mark = format!("\nmark-{}-\n", self.asked);
        self.godbg.send(&format!("{command}\necho {}", mark.trim()));
        let begin = Instant::now();
        loop {
            let said = self.godbg.output().split_off(from);
            if said.contains(&mark) {
                // The commands themselves are no answer; an event may stand behind a prompt.
                let input = |line: &str| {
                    let behind = line.split_once("godbg> ").map_or(line, |(_, behind)| behind);
                    behind.starts_with("echo ") || command.lines().any(|one| one == behind) || behind == mark.trim()
                };
                let answers = said.lines().filter(|line| !input(line));
                return answers.map(|line| format!("{line}\n")).collect();
            }
            let bound = Duration::from_secs(60);
            assert!(begin.elapsed() < bound, "no end of {command:?}: {said}\n{}", self.godbg.errors());
            nap();
        }
    }

    /// How often a breakpoint was met, as godbg has it.
    #[track_caller]
    pub fn hits(&mut self, number: u32) -> u64 {
        let said = self.ask("breakpoints");
        let row = Regex::new(&format!(r"(?m)^ *{number} +\w+ +\w+ +(\d+) ")).unwrap();
        let found = row.captures(&said).unwrap_or_else(|| panic!("no breakpoint {number} in {said}"));
        found[1].parse().unwrap()
    }

    /// `*ADDRESS` of what a slot of the fixture holds.
    pub fn at(&self, slot: usize) -> String {
        format!("*{:#x}", self.target.get(slot))
    }

    /// Lets each thread of the fixture make calls until it has made so many, and waits until `threads` have.
    #[track_caller]
    pub fn grant(&self, (quota_slot, done_slot): (usize, usize), quota: u64, threads: u64) {
        self.target.set(done_slot, 0);
        self.target.set(quota_slot, quota);
        wait_until(Duration::from_secs(120), "the calls to be made", || self.target.get(done_slot) == threads);
    }

    /// Lets the fixture do something, and waits until it has.
    #[track_caller]
    pub fn have(&self, what: u64) {
        self.target.set(calls::ASK, what);
        wait_until(SOON, "the fixture to do it", || self.target.get(calls::ASK) == 0);
    }

    /// Ends godbg by the end of its input, and looks for what it has left.
    #[track_caller]
    pub fn leave(self) {
        let Self { target, godbg, traces, .. } = self;
        godbg.finish().success();
        traces.assert_none();
        target.assert_beats();
    }
}

fn attach(pid: i32, state: &Path) -> Live {
    let mut godbg = Godbg::new().env("XDG_STATE_HOME", state).bound(Duration::from_secs(300)).start();
    godbg.send(&format!("attach {pid}"));
    godbg
}
