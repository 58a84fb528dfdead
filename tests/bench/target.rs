//! The processes that are measured: C and Go programs which count in a file that is mapped and shared.
//!
//! Knows nothing of the tools.

use crate::programs::Programs;
use anyhow::{Context as _, Result, bail, ensure};
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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

/// A running target; see heartbeat.c and caller.c for the fields of its file. It ends when this is dropped.
pub struct Target {
    /// To ask how it ended.
    pub child: Child,
    beats: File,
    /// What its heartbeat takes when nobody disturbs it; 0 without one.
    pub usual: Duration,
}

/// Where a target's file is, and every big file of the bench: in memory where that can be had, as writing pages back to a
/// disk would show as gaps.
pub fn quick_folder(programs: &Programs) -> &Path {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { shared } else { programs.folder() }
}

impl Target {
    /// `program` (heartbeat or caller) with so many threads; `more` is what it takes behind its file.
    pub fn start(
        programs: &Programs,
        program: &str,
        language: Language,
        threads: u32,
        more: &[String],
    ) -> Result<Self> {
        let program = program.to_owned() + if language == Language::Go { "-go" } else { "" };
        let file = tempfile::NamedTempFile::new_in(quick_folder(programs))?;
        let mut child = Command::new(programs.file(&program))
            .arg(threads.to_string())
            .arg(file.path())
            .args(more)
            .env("GOTRACEBACK", "none") // too many threads: one line is enough
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("start {program}"))?;
        let deadline = Instant::now() + Duration::from_secs(60);
        let beats = file.reopen()?;
        while number_at(&beats, 16)? == 0 {
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
        let usual = Duration::from_nanos(number_at(&beats, 8)?);
        Ok(Self { child, beats, usual })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The number at this offset of its file.
    pub fn field(&self, offset: u64) -> Result<u64> {
        number_at(&self.beats, offset)
    }

    pub fn reset(&self) -> Result<()> {
        Ok(self.beats.write_all_at(&0u64.to_ne_bytes(), 0)?)
    }

    pub fn longest_gap(&self) -> Result<Duration> {
        Ok(Duration::from_nanos(self.field(0)?))
    }

    pub fn wait_for_beats(&self, count: u64) -> Result<()> {
        let until = self.field(24)? + count;
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.field(24)? < until {
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

fn number_at(file: &File, offset: u64) -> Result<u64> {
    let mut bytes = [0; 8];
    match file.read_exact_at(&mut bytes, offset) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(0), // the target has not sized it yet
        Err(error) => Err(error.into()),
        Ok(()) => Ok(u64::from_ne_bytes(bytes)),
    }
}
