//! What one attach-and-detach costs, tool by tool, and the time to the first prompt.

use crate::attach_report::Phases;
use crate::programs::{Programs, number, succeed};
use crate::target::Language;
use crate::tool::{self, Line, Tool};
use anyhow::{Context as _, Result};
use std::fs;
use std::time::Duration;

const PROMPT_LIMIT: &str = "10";

impl Tool {
    pub fn measured_on(self, language: Language) -> bool {
        match self {
            Tool::Bare | Tool::Godbg => true,
            Tool::Nothing | Tool::Gdb | Tool::Lldb => language == Language::C,
            Tool::Delve => language == Language::Go,
        }
    }

    /// Peers take seconds at large sizes; the rest takes so little at small ones that only many runs rise above the noise.
    pub fn runs(self, size: u32, asked_for: usize) -> usize {
        match (self.is_peer(), size) {
            (true, 1000..) => asked_for.min(3),
            (true, _) => asked_for.min(5),
            (false, ..=100) => asked_for * 5,
            (false, _) => asked_for,
        }
    }

    /// How to start those whose start-up is compared, and their prompts; an empty one waits for the end.
    pub fn to_prompt(self) -> Option<(&'static [&'static str], &'static str)> {
        match self {
            Tool::Nothing => Some((&["/bin/true"], "")),
            Tool::Godbg => Some((&[env!("CARGO_BIN_EXE_godbg"), "-q"], "godbg> ")),
            Tool::Gdb => Some((&["gdb", "-nx", "-q"], "(gdb) ")),
            Tool::Lldb => Some((&["lldb", "--no-lldbinit"], "(lldb) ")),
            Tool::Bare | Tool::Delve => None, // Delve has no prompt without a process
        }
    }
}

/// What a run cost.
pub struct Cost {
    pub wall: Duration,
    pub memory_kib: u64,
    pub phases: Option<Phases>,
}

/// One attach and detach of `pid`.
pub fn attach_once(programs: &Programs, tool: Tool, pid: u32) -> Result<Cost> {
    let line = match tool {
        Tool::Nothing => Line::new(&["/bin/true"]),
        Tool::Bare => Line::new(&[&programs.file("bare_loop").display().to_string(), &pid.to_string()]),
        _ => tool::session(programs, tool, pid, &[])?,
    };
    let run = programs.run(&line, tool.proof())?;
    let phases = (tool == Tool::Bare).then(|| bare_phases(&run.said)).transpose()?;
    Ok(Cost { wall: run.wall, memory_kib: run.memory_kib, phases })
}

pub fn time_to_prompt(programs: &Programs, tool: Tool) -> Result<Duration> {
    let (command, prompt) = tool.to_prompt().with_context(|| format!("{tool} has no prompt"))?;
    let line = succeed(programs.measure().args(["prompt", PROMPT_LIMIT, prompt]).args(command))?;
    Ok(Duration::from_nanos(number(&line, "wall_ns=")? as u64))
}

fn bare_phases(said: &str) -> Result<Phases> {
    let phase = |label| number(said, label).map(|milliseconds| Duration::from_secs_f64(milliseconds / 1e3));
    Ok(Phases { all: phase("all=")?, held: phase("held=")? })
}

/// What can be in the way of many threads.
pub fn limits() -> String {
    let read = |path: &str| fs::read_to_string(path).map_or_else(|_| "none".to_owned(), |text| text.trim().to_owned());
    let of_process = read("/proc/self/limits");
    let processes = of_process.lines().find_map(|line| line.strip_prefix("Max processes")?.split_whitespace().next());
    format!(
        "limits: kernel.pid_max {}, kernel.threads-max {}, cgroup pids.max {}, processes of this user {}",
        read("/proc/sys/kernel/pid_max"),
        read("/proc/sys/kernel/threads-max"),
        read("/sys/fs/cgroup/pids.max"),
        processes.unwrap_or("unknown"),
    )
}
