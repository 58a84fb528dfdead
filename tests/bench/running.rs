//! A tool that runs beside the bench until it is ended, and the end of everything that tools leave behind.

use crate::programs::{Programs, last_words};
use crate::tool::Line;
use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a helper of a tool may outlive it.
const GRACE: Duration = Duration::from_secs(2);

/// A tool in a process group of its own. Dropping it ends the group.
pub struct Running {
    child: Child,
    killed_alone: bool,
    output: PathBuf,
}

impl Running {
    pub fn start(programs: &Programs, line: &Line) -> Result<Self> {
        let output = programs.file("output");
        let file = File::create(&output)?;
        let input = match &line.input {
            Some(path) => Stdio::from(File::open(path)?),
            None => Stdio::null(),
        };
        let mut command = Command::new(&line.words[0]);
        command.args(&line.words[1..]).env("XDG_STATE_HOME", programs.folder()).process_group(0);
        command.stdin(input).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("start {}", line.words[0]))?;
        Ok(Self { child, killed_alone: false, output })
    }

    /// Fails with its last words if it has ended.
    pub fn expect_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let said = String::from_utf8_lossy(&fs::read(&self.output)?).into_owned();
            bail!("it ended too soon ({status}); {}", last_words(&said));
        }
        Ok(())
    }

    /// SIGKILL for its first process alone, and until it is gone. What it started (a guardian) is left to its work.
    pub fn kill_alone(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.killed_alone = true;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.killed_alone {
            return;
        }
        let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL); // gone already: as it should be
        let _ = self.child.wait();
    }
}

/// From now on the orphans of tools (a guardian, a debug server) are children of this process.
pub fn adopt_orphans() -> Result<()> {
    nix::sys::prctl::set_child_subreaper(true).context("PR_SET_CHILD_SUBREAPER")
}

/// A SIGINT, SIGTERM or SIGHUP ends everything that was started and removes the folder. To be called before any other thread
/// is made.
pub fn clean_up_on_signals(folder: PathBuf) -> Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block().context("block signals")?; // std starts programs with an empty mask
    std::thread::spawn(move || {
        let Ok(signal) = signals.wait() else { return };
        end_all();
        let _ = fs::remove_dir_all(folder);
        std::process::exit(128 + signal as i32);
    });
    Ok(())
}

/// The children of a child that is ended become children of this process.
fn end_all() {
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline {
        let living: Vec<Pid> = children().into_iter().filter(|&pid| still_alive(pid)).collect();
        if living.is_empty() {
            return;
        }
        for pid in living {
            let _ = kill(pid, Signal::SIGKILL);
        }
        sleep(Duration::from_millis(5));
    }
}

/// Waits for all orphans and ends those that stay; answers with the names of these. Only when no child of the bench's own
/// is left: nobody else may wait for those.
pub fn end_orphans() -> Vec<String> {
    let deadline = Instant::now() + GRACE;
    loop {
        let living: Vec<Pid> = children().into_iter().filter(|&pid| still_alive(pid)).collect();
        if living.is_empty() {
            return Vec::new();
        }
        if Instant::now() > deadline {
            return living.into_iter().map(end).collect();
        }
        sleep(Duration::from_millis(5));
    }
}

fn still_alive(pid: Pid) -> bool {
    matches!(waitpid(pid, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)), Ok(WaitStatus::StillAlive))
}

fn end(pid: Pid) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
    let _ = kill(pid, Signal::SIGKILL);
    let _ = waitpid(pid, Some(WaitPidFlag::__WALL));
    name
}

/// By the parent in every /proc/PID/stat, field 4 (proc_pid_stat(5)): the kernel need not have /proc/PID/…/children.
fn children() -> Vec<Pid> {
    let me = std::process::id().to_string();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mine = pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)) == Some(&me)
    });
    mine.map(Pid::from_raw).collect()
}
