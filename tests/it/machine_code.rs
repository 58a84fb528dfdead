//! Steps against an oracle: random machine code in single steps of godbg and of a bare loop, every register compared after every
//! step; and against the same code that nobody steps, which shows whether the trap flag was ever seen.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use nix::libc::user_regs_struct;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::harness::fixture::Fixture;
use crate::harness::godbg::Godbg;
use crate::harness::kernel::{self, SOON, wait_until};
use crate::harness::machine::{CODE, DATA_LENGTH, DONE, GO, Machine, Random};
use crate::harness::quick;

/// A program of machine code, as `machine.c` runs it.
struct Running {
    fixture: Fixture,
    data: File,
    machine: Machine,
}

impl Running {
    fn start(seed: u64) -> Self {
        let machine = Machine::random(seed);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        fs::write(&path, &machine.code).unwrap();
        let fixture = Fixture::start("machine", &[path.to_str().unwrap()]);
        let path = fixture.dir().join("counters.data");
        let data = File::options().read(true).write(true).open(path).unwrap();
        Self { fixture, data, machine }
    }

    fn forget(&self) {
        self.data.write_all_at(&vec![0; DATA_LENGTH], 0).unwrap();
    }

    fn memory(&self) -> Vec<u8> {
        let mut bytes = vec![0; DATA_LENGTH];
        self.data.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    fn wait_done(&self) {
        let done = || self.memory()[DONE as usize] == 1;
        wait_until(SOON, "the program to be done", done);
    }

    /// What the program leaves in memory when nobody steps it.
    fn run_freely(&self) -> Vec<u8> {
        self.forget();
        self.data.write_all_at(&[1], GO).unwrap();
        self.wait_done();
        self.memory()
    }

    /// The registers before the first step and after each, up to the end, and the memory then.
    fn step_bare(&self) -> (Vec<user_regs_struct>, Vec<u8>) {
        self.forget();
        let pid = Pid::from_raw(self.fixture.pid());
        ptrace::seize(pid, ptrace::Options::empty()).unwrap();
        ptrace::interrupt(pid).unwrap();
        waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap();
        let mut registers = ptrace::getregs(pid).unwrap();
        registers.rip = self.machine.start;
        ptrace::setregs(pid, registers).unwrap();
        let mut trace = vec![registers];
        while registers.rip != self.machine.end {
            assert!(trace.len() < 20_000, "the program does not end");
            ptrace::step(pid, None).unwrap();
            let status = waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap();
            assert_eq!(status, WaitStatus::Stopped(pid, Signal::SIGTRAP), "at {:x}", registers.rip);
            let before = registers;
            registers = ptrace::getregs(pid).unwrap();
            self.hide_trap_flag(pid, &before, &mut registers);
            if self.machine.code[(before.rip - CODE) as usize] == 0x9d {
                // The kernel takes the trap flag for the program's after a popf that was stepped: it is to forget the step.
                ptrace::interrupt(pid).unwrap();
                ptrace::cont(pid, None).unwrap();
                waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap();
            }
            trace.push(registers);
        }
        let memory = self.memory();
        ptrace::detach(pid, None).unwrap();
        self.wait_done();
        (trace, memory)
    }

    /// What the instruction at `before` has stored of the flags. `mov ss` holds the trap back until the next one is done.
    fn hide_trap_flag(&self, pid: Pid, before: &user_regs_struct, after: &mut user_regs_struct) {
        const TRAP_FLAG: u64 = 1 << 8;
        let mut code = &self.machine.code[(before.rip - CODE) as usize..];
        code = code.strip_prefix(&[0x8e, 0xd0]).unwrap_or(code);
        if code.starts_with(&[0x0f, 0x05]) {
            after.r11 &= !TRAP_FLAG;
            ptrace::setregs(pid, *after).unwrap();
        } else if code.starts_with(&[0x9c]) || code.starts_with(&[0x66, 0x9c]) {
            let at = std::ptr::without_provenance_mut(after.rsp as usize);
            let word = ptrace::read(pid, at).unwrap();
            ptrace::write(pid, at, word & !TRAP_FLAG as i64).unwrap();
        }
    }
}

/// The registers that are compared, by name.
fn named(registers: &user_regs_struct) -> Vec<(&'static str, u64)> {
    let r = registers;
    let general = [("rax", r.rax), ("rbx", r.rbx), ("rcx", r.rcx), ("rdx", r.rdx), ("rsi", r.rsi), ("rdi", r.rdi)];
    let others = [("rbp", r.rbp), ("rsp", r.rsp), ("r8", r.r8), ("r9", r.r9), ("r10", r.r10), ("r11", r.r11)];
    let last = [("r12", r.r12), ("r13", r.r13), ("r14", r.r14), ("r15", r.r15), ("rip", r.rip), ("eflags", r.eflags)];
    let segments = [("cs", r.cs), ("ss", r.ss), ("fs_base", r.fs_base), ("gs_base", r.gs_base)];
    [&general[..], &others, &last, &segments].concat()
}

/// What `regs` has answered, in the order of the steps.
fn register_replies(answers: &[serde_json::Value]) -> Vec<&serde_json::Value> {
    answers.iter().filter(|answer| answer["command"] == "regs").map(|answer| &answer["reply"]["registers"]).collect()
}

fn assert_same(seed: u64, step: usize, expected: &user_regs_struct, said: &serde_json::Value) {
    let value = |name| said.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap()["value"].as_u64();
    for (name, expected) in named(expected) {
        let said = value(name).unwrap();
        assert_eq!(said, expected, "seed {seed}, step {step}: {name} is {said:#x} and must be {expected:#x}");
    }
}

fn assert_same_memory(seed: u64, what: &str, expected: &[u8], there: &[u8]) {
    let wrong = (0..expected.len()).find(|&at| expected[at] != there[at]);
    let shown = wrong.map(|at| (format!("{at:#x}"), expected[at], there[at]));
    assert_eq!(shown, None, "seed {seed}, {what}: (offset, expected, there)");
}

/// Memory as the last step leaves it, which the program's word of its end is not part of.
fn before_done(memory: &[u8]) -> Vec<u8> {
    let mut memory = memory.to_vec();
    memory[DONE as usize] = 0;
    memory
}

/// A session that begins at the program's first instruction.
fn script(target: &Running, before: &str, steps: &str) -> String {
    let (pid, start) = (target.fixture.pid(), target.machine.start);
    format!("attach {pid}\nset $rip = {start:#x}\n{before}{steps}detach\n")
}

fn run(script: String) -> Vec<serde_json::Value> {
    let outcome = Godbg::new().args(["--format", "json"]).bound(Duration::from_secs(120)).run_script(script);
    outcome.success().json()
}

fn programs() -> u64 {
    if quick() { 20 } else { 100 }
}

#[test]
fn every_step_is_the_processors_own() {
    for seed in 1..=programs() {
        let target = Running::start(seed);
        let free = target.run_freely();
        let (trace, memory) = target.step_bare();
        assert_same_memory(seed, "bare steps", &before_done(&free), &memory);
        let steps = trace.len() - 1;
        target.forget();
        let answers = run(script(&target, "", &"stepi\nregs\n".repeat(steps)));
        target.wait_done();
        let replies = register_replies(&answers);
        assert_eq!(replies.len(), steps);
        for (step, said) in replies.into_iter().enumerate() {
            assert_same(seed, step + 1, &trace[step + 1], said);
        }
        assert_same_memory(seed, "steps", &free, &target.memory());
        target.forget();
        let answers = run(script(&target, "", &format!("stepi {steps}\nregs\n")));
        target.wait_done();
        assert_same(seed, steps, trace.last().unwrap(), register_replies(&answers)[0]);
        assert_same_memory(seed, "steps at once", &free, &target.memory());
        kernel::wait_let_go(target.fixture.pid());
    }
}

/// Breakpoints at some of the instructions that are stepped: in the text or not, nothing differs.
#[test]
fn steps_through_breakpoints_are_the_same() {
    for seed in 1..=programs() / 4 {
        let target = Running::start(seed);
        let free = target.run_freely();
        let (trace, _) = target.step_bare();
        let steps = trace.len() - 1;
        let mut random = Random::new(seed + 1000);
        let places: Vec<u64> = (0..12).map(|_| trace[random.below(steps as u64) as usize].rip).collect();
        let breaks: String = places.iter().map(|at| format!("break *{at:#x}\n")).collect();
        for locking in ["on", "step", "off"] {
            target.forget();
            let before = format!("{breaks}set scheduler-locking {locking}\n");
            let answers = run(script(&target, &before, &"stepi\nregs\n".repeat(steps)));
            target.wait_done();
            let replies = register_replies(&answers);
            for (step, said) in replies.into_iter().enumerate() {
                assert_same(seed, step + 1, &trace[step + 1], said);
            }
            assert_same_memory(seed, &format!("steps, locking {locking}"), &free, &target.memory());
            let met = |answer: &&serde_json::Value| answer["reply"]["why"] == "breakpoint";
            let said = answers.iter().filter(met).count();
            let expected = trace[1..].iter().filter(|registers| places.contains(&registers.rip)).count();
            assert_eq!(said, expected, "seed {seed}, locking {locking}: steps that came to a breakpoint");
        }
    }
}
