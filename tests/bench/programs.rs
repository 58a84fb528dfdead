//! The programs of the bench: the targets, the tools that are run on them, and what a run costs.

use crate::report::Phases;
use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// No command may take longer: the quadratic ones need some 13 s at 10,000 threads.
const COMMAND_LIMIT: &str = "90";
const PROMPT_LIMIT: &str = "10";

/// What a target is written in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Language {
    C,
    Go,
}

impl Language {
    pub fn name(self) -> &'static str {
        match self {
            Language::C => "C program",
            Language::Go => "Go program",
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tool {
    /// `/bin/true`: what it costs to start a process, and how much a heartbeat wavers by itself
    Nothing,
    Bare,
    Godbg,
    Gdb,
    Lldb,
    Delve,
}

impl std::fmt::Display for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name()) // clap shows the defaults by it
    }
}

impl Tool {
    pub fn name(self) -> &'static str {
        match self {
            Tool::Nothing => "nothing",
            Tool::Bare => "bare",
            Tool::Godbg => "godbg",
            Tool::Gdb => "gdb",
            Tool::Lldb => "lldb",
            Tool::Delve => "delve",
        }
    }

    pub fn is_peer(self) -> bool {
        matches!(self, Tool::Gdb | Tool::Lldb | Tool::Delve)
    }

    pub fn measured_on(self, language: Language) -> bool {
        match self {
            Tool::Bare | Tool::Godbg => true,
            Tool::Nothing | Tool::Gdb | Tool::Lldb => language == Language::C,
            Tool::Delve => language == Language::Go,
        }
    }

    /// Programs that must be on the PATH.
    pub fn needs(self) -> &'static [&'static str] {
        match self {
            Tool::Nothing | Tool::Bare | Tool::Godbg => &[],
            Tool::Gdb => &["gdb"],
            Tool::Lldb => &["lldb"],
            Tool::Delve => &["dlv", "go"],
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

    /// Every output of a run that did its work says this.
    fn proof(self) -> &'static str {
        match self {
            Tool::Nothing => "",
            Tool::Bare => "held=",
            Tool::Godbg | Tool::Gdb | Tool::Lldb => "detached",
            Tool::Delve => "Would you like to kill the process?",
        }
    }
}

pub fn installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
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

/// The compiled programs.
pub struct Programs {
    folder: PathBuf,
}

/// What a run cost.
pub struct Cost {
    pub wall: Duration,
    pub memory_kib: u64,
    pub phases: Option<Phases>,
}

impl Programs {
    pub fn build() -> Result<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
        fs::create_dir_all(&folder)?;
        ensure!(installed("cc"), "cc is not installed: the bare loop and the target are C programs");
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench");
        for name in ["heartbeat", "bare_loop", "measure"] {
            let source = sources.join(name).with_extension("c");
            succeed(Command::new("cc").args(["-O2", "-pthread", "-o"]).arg(folder.join(name)).arg(source))?;
        }
        if installed("go") {
            let source = sources.join("heartbeat.go");
            let out = folder.join("heartbeat-go");
            succeed(Command::new("go").args(["build", "-o"]).args([out, source]).env("GO111MODULE", "off"))?;
        }
        fs::write(folder.join("delve-input"), "exit\nn\n")?; // n: do not kill the process
        Ok(Self { folder })
    }

    fn command(&self, tool: Tool, pid: u32) -> Vec<String> {
        let pid = pid.to_string();
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        match tool {
            Tool::Nothing => words(&["/bin/true"]),
            Tool::Bare => vec![self.folder.join("bare_loop").display().to_string(), pid],
            Tool::Godbg => words(&[env!("CARGO_BIN_EXE_godbg"), "attach", &pid, "-q", "--batch", "-e", "detach"]),
            Tool::Gdb => words(&["gdb", "-nx", "-batch", "-p", &pid, "-ex", "detach"]),
            Tool::Lldb => lean_lldb(&pid),
            Tool::Delve => words(&["dlv", "--allow-non-terminal-interactive=true", "attach", &pid]),
        }
    }

    /// One attach and detach of `pid`.
    pub fn run(&self, tool: Tool, pid: u32) -> Result<Cost> {
        let output = self.folder.join("output");
        let mut measure = self.measure();
        if tool == Tool::Delve {
            measure.env("MEASURE_INPUT", self.folder.join("delve-input"));
        }
        let line = succeed(measure.args(["run", COMMAND_LIMIT]).arg(&output).args(self.command(tool, pid)))?;
        let said = String::from_utf8_lossy(&fs::read(&output)?).into_owned();
        let status = number(&line, "exit=")?;
        if status != 0.0 || !said.contains(tool.proof()) {
            let last: Vec<&str> = said.lines().rev().take(5).collect();
            bail!("exit status {status}, output ends in (last line first) {last:?}");
        }
        Ok(Cost {
            wall: nanoseconds(&line)?,
            memory_kib: number(&line, "maxrss_kib=")? as u64,
            phases: (tool == Tool::Bare).then(|| bare_phases(&said)).transpose()?,
        })
    }

    pub fn time_to_prompt(&self, tool: Tool) -> Result<Duration> {
        let (command, prompt) = tool.to_prompt().with_context(|| format!("{tool} has no prompt"))?;
        nanoseconds(&succeed(self.measure().args(["prompt", PROMPT_LIMIT, prompt]).args(command))?)
    }

    /// The launcher, with an environment in which nobody's history is read or written.
    fn measure(&self) -> Command {
        let mut command = Command::new(self.folder.join("measure"));
        command.env("XDG_STATE_HOME", &self.folder).env("TERM", "xterm-256color");
        command
    }
}

/// lldb without all that can be left out: no symbols before they are asked for, no scripts, no source, no disassembly.
fn lean_lldb(pid: &str) -> Vec<String> {
    let settings = [
        "target.preload-symbols false",
        "symbols.enable-external-lookup false",
        "plugin.jit-loader.gdb.enable off",
        "target.load-script-from-symbol-file false",
        "stop-disassembly-display never",
        "stop-line-count-before 0",
        "stop-line-count-after 0",
    ];
    let mut words: Vec<String> = ["lldb", "--no-lldbinit", "--script-language", "none", "-b"].map(str::to_owned).into();
    let settings = settings.map(|setting| format!("settings set {setting}"));
    for command in settings.into_iter().chain([format!("process attach -p {pid}"), "detach".to_owned()]) {
        words.extend(["-o".to_owned(), command]);
    }
    words
}

fn bare_phases(said: &str) -> Result<Phases> {
    let phase = |label| number(said, label).map(|milliseconds| Duration::from_secs_f64(milliseconds / 1e3));
    Ok(Phases { all: phase("all=")?, held: phase("held=")? })
}

fn nanoseconds(line: &str) -> Result<Duration> {
    Ok(Duration::from_nanos(number(line, "wall_ns=")? as u64))
}

/// The number behind `label` in `label1=number label2=number …`.
fn number(line: &str, label: &str) -> Result<f64> {
    let word = line.split_whitespace().find_map(|word| word.strip_prefix(label));
    word.with_context(|| format!("no {label} in {line:?}"))?.parse().with_context(|| format!("{label} in {line:?}"))
}

/// Runs a helper to its end and returns what it printed.
fn succeed(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A running target with a heartbeat; see heartbeat.c for the fields of its file.
pub struct Target {
    child: Child,
    beats: File,
    pub language: Language,
    pub usual: Duration,
    pub threads: u64,
}

impl Target {
    pub fn start(programs: &Programs, language: Language, threads: u32) -> Result<Self> {
        let program = match language {
            Language::C => "heartbeat",
            Language::Go => "heartbeat-go",
        };
        // In memory where that can be had: writing pages back to a disk would show as gaps.
        let shared = Path::new("/dev/shm");
        let folder = if shared.is_dir() { shared } else { programs.folder.as_path() };
        let file = tempfile::NamedTempFile::new_in(folder)?;
        let mut child = Command::new(programs.folder.join(program))
            .arg(threads.to_string())
            .arg(file.path())
            .env("GOTRACEBACK", "none") // too many threads: one line is enough
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("start {program}"))?;
        let deadline = Instant::now() + Duration::from_secs(60);
        let beats = file.reopen()?;
        while field(&beats, 16)? == 0 {
            if let Some(status) = child.try_wait()? {
                bail!("{program} {threads}: {status}");
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                bail!("{program} {threads}: not ready after 60 s");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let (usual, threads) = (Duration::from_nanos(field(&beats, 8)?), field(&beats, 16)?);
        Ok(Self { child, beats, language, usual, threads })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn reset(&self) -> Result<()> {
        Ok(self.beats.write_all_at(&0u64.to_ne_bytes(), 0)?)
    }

    pub fn longest_gap(&self) -> Result<Duration> {
        Ok(Duration::from_nanos(field(&self.beats, 0)?))
    }

    pub fn wait_for_beats(&self, count: u64) -> Result<()> {
        let until = field(&self.beats, 24)? + count;
        let deadline = Instant::now() + Duration::from_secs(5);
        while field(&self.beats, 24)? < until {
            ensure!(Instant::now() < deadline, "no heartbeat for 5 s; {}", self.status());
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Nobody traces it any more, and it is not stopped.
    pub fn check_released(&self) -> Result<()> {
        let status = self.status();
        let released =
            status.contains("TracerPid:\t0") && !status.contains("State:\tt") && !status.contains("State:\tT");
        ensure!(released, "the target was not let go: {status}");
        Ok(())
    }

    fn status(&self) -> String {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let facts = text.lines().filter(|line| line.starts_with("State:") || line.starts_with("TracerPid:"));
        facts.collect::<Vec<_>>().join(", ")
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn field(file: &File, offset: u64) -> Result<u64> {
    let mut bytes = [0; 8];
    match file.read_exact_at(&mut bytes, offset) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(0), // the target has not sized it yet
        Err(error) => Err(error.into()),
        Ok(()) => Ok(u64::from_ne_bytes(bytes)),
    }
}
