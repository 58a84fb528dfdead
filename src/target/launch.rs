//! Starting a program under control: finding its file, its words and environment as given, and holding it at its first
//! instruction. It is ended when godbg dies.

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

use super::process::{Origin, Phase, Process};
use super::thread::State;
use super::{Error, Result, Rules, Why};
use crate::kernel::access::Denial;
use crate::kernel::metronome::Metronome;
use crate::kernel::own::Terminal;
use crate::kernel::ptrace::{self, Tracer};
use crate::kernel::spawn::{self, Program, Starting, c_string};
use crate::kernel::wait::{self, Report, Stop};
use crate::kernel::{Errno, proc};

/// How long a program may take from fork to its first instruction: its file may be on a slow disk.
const LONGEST: Duration = Duration::from_secs(30);

/// What to start and how.
#[derive(Default)]
pub struct Launch {
    /// The program: a path, or a name to be found in PATH.
    pub program: String,
    /// Its arguments, without its own name.
    pub args: Vec<String>,
    /// Where to start it.
    pub cwd: Option<String>,
    /// Variables to add to godbg's environment, or to change in it.
    pub env: Vec<(String, String)>,
    /// Files for its standard input, output and error; godbg's own where none.
    pub stdio: [Option<OwnedFd>; 3],
    /// Whether its addresses are to be the same each time.
    pub no_aslr: bool,
    /// The terminal to hand over while it runs.
    pub terminal: Option<Arc<Terminal>>,
}

/// Starts a program and holds it at its first instruction.
pub fn launch(launch: Launch, tracer: Tracer, metronome: Rc<Metronome>, rules: Rc<Rules>) -> Result<Process> {
    let begin = Instant::now();
    let name = launch.program.clone();
    let path = find(&launch.program).map_err(|reason| Error::NotStarted { program: name.clone(), reason })?;
    let terminal = launch.terminal.clone();
    let program = prepare(launch, &path).map_err(|reason| Error::NotStarted { program: name.clone(), reason })?;
    let failed = |(step, errno)| match step {
        // The kernel lets everybody trace their own children.
        spawn::Step::Trace if ptrace::is_filtered() => {
            Error::NotTraced { program: name.clone(), denial: Denial::Seccomp }
        }
        _ => Error::Start { program: name.clone(), step, errno },
    };
    let starting = spawn::start(tracer, &program).map_err(failed)?;
    let pid = starting.pid;
    await_exec(starting, tracer, &metronome).map_err(|failure| match failure {
        Some(failure) => failed(failure),
        None => Error::NotStarted { program: name.clone(), reason: "it ended before its first instruction".into() },
    })?;
    let comm = proc::thread_name(pid, pid.leader()).unwrap_or(name);
    let mut process = Process::new(pid, Origin::Started, comm, tracer, metronome, rules);
    process.terminal = terminal;
    process.add(pid.leader(), State::Stopped(Stop::Exec));
    process.threads.entry(pid.leader()).and_modify(|thread| thread.why = Why::Start);
    process.phase = Phase::Held { since: begin, report: process.report(Why::Start) };
    Ok(process)
}

/// Waits for the exec event. The error is what the child says went wrong, if it could say it.
fn await_exec(
    starting: Starting,
    tracer: Tracer,
    metronome: &Metronome,
) -> std::result::Result<(), Option<(spawn::Step, Errno)>> {
    let tid = starting.pid.leader();
    let begin = Instant::now();
    let _beating = metronome.start();
    while begin.elapsed() < LONGEST {
        match wait::look_until_beat(tid) {
            Ok(Some(Report::Stopped(Stop::Exec, _))) => return Ok(()),
            Ok(Some(Report::Stopped(Stop::Signal(signal), _))) => drop(tracer.cont(tid, Some(signal))),
            Ok(Some(Report::Stopped(..))) => drop(tracer.cont(tid, None)),
            Ok(Some(Report::Ended(..))) => {
                let _ = wait::take_end(tid);
                return Err(starting.failure());
            }
            Ok(None) | Err(Errno::EINTR) => {}
            Err(_) => break,
        }
    }
    // The kernel ends it with its tracer (PTRACE_O_EXITKILL); there is no reason to wait for that.
    let _ = ptrace::kill(starting.pid, crate::kernel::signal::Signal::KILL);
    Err(None)
}

/// Finds the file of a program as a shell does.
fn find(program: &str) -> std::result::Result<PathBuf, String> {
    if program.contains('/') {
        let path = Path::new(program);
        // It is resolved here, so that `--cwd` does not change what is meant.
        let path = std::path::absolute(path).map_err(|error| error.to_string())?;
        return check(&path).map(|()| path);
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    let mut refused = None;
    for path in env::split_paths(&folders).map(|folder| folder.join(program)) {
        match check(&path) {
            Ok(()) => return Ok(path),
            Err(reason) if path.exists() => refused = Some(reason),
            Err(_) => {}
        }
    }
    Err(refused.unwrap_or_else(|| "there is no such program in PATH".into()))
}

fn check(path: &Path) -> std::result::Result<(), String> {
    let facts = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => Errno::from_raw(error.raw_os_error().unwrap_or(0)).desc().to_owned(),
    })?;
    if facts.is_dir() {
        return Err("it is a folder".into());
    }
    if facts.permissions().mode() & 0o111 == 0 {
        return Err("it may not be executed (chmod +x)".into());
    }
    Ok(())
}

fn prepare(launch: Launch, path: &Path) -> std::result::Result<Program, String> {
    let c = |text: &str| c_string(text).map_err(|error| error.to_string());
    let mut variables: Vec<(String, String)> = Vec::new();
    let ours = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    for (name, value) in ours.chain(launch.env) {
        variables.retain(|(known, _)| *known != name);
        variables.push((name, value));
    }
    let words = std::iter::once(launch.program.as_str()).chain(launch.args.iter().map(String::as_str));
    Ok(Program {
        path: c(path.to_str().ok_or("its path is not UTF-8")?)?,
        args: words.map(c).collect::<std::result::Result<_, _>>()?,
        env: variables
            .iter()
            .map(|(name, value)| c(&format!("{name}={value}")))
            .collect::<std::result::Result<_, _>>()?,
        cwd: launch.cwd.as_deref().map(c).transpose()?,
        stdio: launch.stdio,
        no_aslr: launch.no_aslr,
    })
}
