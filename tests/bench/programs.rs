//! The programs of the benches: built once, run, and what a run costs.
//!
//! Knows nothing of what they do.

use crate::tool::Line;
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// No command may take longer: the quadratic ones need some 13 s at 10,000 threads.
const COMMAND_LIMIT: &str = "90";

const C_PROGRAMS: [&str; 8] =
    ["heartbeat", "caller", "measure", "bare_loop", "bare_step", "bare_copy", "bare_stacks", "bare_goroutines"];
/// What they are called, their sources, and what the linker is told.
const GO_PROGRAMS: [(&str, &str, &str); 4] = [
    ("heartbeat", "heartbeat", ""),
    ("caller", "caller", ""),
    ("goroutines", "goroutines", ""),
    ("goroutines-stripped", "goroutines", "-s -w"),
];

pub fn installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// The compiled programs.
pub struct Programs {
    folder: PathBuf,
}

/// What a run cost.
pub struct Run {
    pub wall: Duration,
    pub memory_kib: u64,
    pub said: String,
}

impl Programs {
    pub fn build() -> Result<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
        fs::create_dir_all(&folder)?;
        ensure!(installed("cc"), "cc is not installed: the bare loops and the targets are C programs");
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench");
        for name in C_PROGRAMS {
            let source = sources.join(name).with_extension("c");
            succeed(Command::new("cc").args(["-O2", "-pthread", "-o"]).arg(folder.join(name)).arg(source))?;
        }
        if installed("go") {
            for (name, source, linked) in GO_PROGRAMS {
                let source = sources.join(source).with_extension("go");
                let out = folder.join(format!("{name}-go"));
                // Without optimisation, so that Delve finds the arguments of a function.
                let linked = format!("-ldflags={linked}");
                let build = ["build", "-gcflags=-N -l", &linked, "-o"];
                succeed(Command::new("go").args(build).args([out, source]).env("GO111MODULE", "off"))?;
            }
        }
        Ok(Self { folder })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Runs a command to its end; fails unless it succeeds and says `proof`.
    pub fn run(&self, line: &Line, proof: &str) -> Result<Run> {
        let output = self.file("output");
        let mut measure = self.measure();
        if let Some(input) = &line.input {
            measure.env("MEASURE_INPUT", input);
        }
        let cost = succeed(measure.args(["run", COMMAND_LIMIT]).arg(&output).args(&line.words))?;
        let said = String::from_utf8_lossy(&fs::read(&output)?).into_owned();
        let status = number(&cost, "exit=")?;
        if status != 0.0 || !said.contains(proof) {
            bail!("exit status {status}, {}", last_words(&said));
        }
        let wall = Duration::from_nanos(number(&cost, "wall_ns=")? as u64);
        Ok(Run { wall, memory_kib: number(&cost, "maxrss_kib=")? as u64, said })
    }

    /// The launcher, with an environment in which nobody's history is read or written.
    pub fn measure(&self) -> Command {
        let mut command = Command::new(self.file("measure"));
        command.env("XDG_STATE_HOME", &self.folder).env("TERM", "xterm-256color");
        command
    }
}

/// The end of an output, for an error.
pub fn last_words(said: &str) -> String {
    let last: Vec<&str> = said.lines().rev().take(5).collect();
    format!("output ends in (last line first) {last:?}")
}

/// The number behind `label` in `label1=number label2=number …`.
pub fn number(line: &str, label: &str) -> Result<f64> {
    let word = line.split_whitespace().find_map(|word| word.strip_prefix(label));
    word.with_context(|| format!("no {label} in {line:?}"))?.parse().with_context(|| format!("{label} in {line:?}"))
}

/// Runs a helper to its end and returns what it printed.
pub fn succeed(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
