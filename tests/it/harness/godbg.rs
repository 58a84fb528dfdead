//! Runs the built `godbg` behind pipes, with a bound on time and a home of its own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::kernel::{self, SOON, wait_until};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_godbg");

/// One run of `godbg`, to be described and then started.
pub struct Godbg {
    words: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    stdout: Option<Stdio>,
    bound: Duration,
    home: tempfile::TempDir,
}

impl Default for Godbg {
    fn default() -> Self {
        Self::new()
    }
}

impl Godbg {
    pub fn new() -> Self {
        Self::wrapped(&[])
    }

    /// `godbg` run through another program, such as `setpriv`.
    pub fn wrapped(wrapper: &[&str]) -> Self {
        Self::by_words(wrapper.iter().copied().chain([PROGRAM]).map(OsString::from).collect())
    }

    fn by_words(words: Vec<OsString>) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { words, envs: Vec::new(), stdout: None, bound: Duration::from_secs(30), home }
    }

    /// `godbg` as the user nobody, from a copy that everybody may read (needs root).
    pub fn as_nobody() -> Self {
        let mut this = Self::by_words(Vec::new());
        let copy = this.home.path().join("godbg");
        super::copy_program(Path::new(PROGRAM), &copy);
        fs::set_permissions(this.home.path(), fs::Permissions::from_mode(0o777)).unwrap();
        this.words = NOBODY.iter().map(OsString::from).chain([copy.into()]).collect();
        this
    }

    /// `godbg` as root without CAP_SYS_PTRACE, as in a container (needs root).
    pub fn without_cap_sys_ptrace() -> Self {
        Self::wrapped(&["setpriv", "--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace"])
    }

    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.words.extend(args.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    pub fn arg(self, word: impl AsRef<OsStr>) -> Self {
        self.args([word])
    }

    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((key.into(), value.as_ref().to_owned()));
        self
    }

    /// Sends standard output somewhere else than to the test.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = Some(stdout.into());
        self
    }

    pub fn bound(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }

    /// The words and the environment as a command, for the pty driver too.
    pub fn command(&self, before: &[&str]) -> Command {
        let words: Vec<OsString> = before.iter().map(OsString::from).chain(self.words.iter().cloned()).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        let of_debuginfod = [
            "DEBUGINFOD_URLS",
            "DEBUGINFOD_CACHE_PATH",
            "DEBUGINFOD_TIMEOUT",
            "DEBUGINFOD_MAXTIME",
            "DEBUGINFOD_MAXSIZE",
        ];
        for variable in ["NO_COLOR", "COLUMNS", "LINES", "GODBG_LOG", "RUST_BACKTRACE", "XDG_CACHE_HOME"]
            .into_iter()
            .chain(of_debuginfod)
        {
            command.env_remove(variable);
        }
        command.env("HOME", self.home.path()).env("XDG_STATE_HOME", self.home.path().join("state"));
        command.env("XDG_CONFIG_HOME", self.home.path().join("config")).env("LC_ALL", "C.UTF-8").env("TERM", "xterm");
        command.envs(self.envs.iter().map(|(key, value)| (key, value)));
        command
    }

    /// Starts it with standard input open for `Live::send`.
    pub fn start(mut self) -> Live {
        let mut command = self.command(&[]);
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        command.stdout(self.stdout.take().unwrap_or_else(Stdio::piped));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        drop(command);
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map(Capture::of);
        let stderr = child.stderr.take().map(Capture::of);
        Live { child, stdin, stdout, stderr, begin: Instant::now(), setup: self }
    }

    /// Runs it to its end with nothing on standard input.
    pub fn run(self) -> Outcome {
        self.start().finish()
    }

    /// Runs it to its end with this on standard input.
    #[track_caller]
    pub fn run_script(self, script: impl Into<Vec<u8>>) -> Outcome {
        self.start().feed(script)
    }
}

/// The words that make the next program run as nobody.
pub const NOBODY: &[&str] = &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// Collects what comes out of a pipe while it comes.
struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Capture {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                sink.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// All of it; a program that outlives godbg and holds the pipe is not waited for.
    fn finish(self) -> String {
        let begin = Instant::now();
        while !self.reader.is_finished() && begin.elapsed() < Duration::from_secs(2) {
            kernel::nap();
        }
        self.text()
    }
}

/// A `godbg` that runs; dropping it kills it.
pub struct Live {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<Capture>,
    stderr: Option<Capture>,
    begin: Instant,
    setup: Godbg,
}

impl Live {
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Sends lines of commands, in one write. A godbg that has ended meanwhile is found out by what is asked next.
    pub fn send(&mut self, lines: &str) {
        drop(self.stdin.as_mut().unwrap().write_all(format!("{lines}\n").as_bytes()));
    }

    /// Sends a line again and again until godbg ends.
    #[track_caller]
    pub fn send_until_exit(&mut self, line: &str) -> ExitStatus {
        let (mut stdin, mut status) = (self.stdin.take().unwrap(), None);
        wait_until(SOON, "godbg to end", || {
            drop(writeln!(stdin, "{line}"));
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Standard output up to now.
    pub fn output(&self) -> String {
        self.stdout.as_ref().map_or_else(String::new, Capture::text)
    }

    pub fn errors(&self) -> String {
        self.stderr.as_ref().map_or_else(String::new, Capture::text)
    }

    /// Waits for a text on standard output.
    #[track_caller]
    pub fn expect(&self, text: &str) {
        let begin = Instant::now();
        while !self.output().contains(text) {
            assert!(begin.elapsed() < SOON, "no {text:?} in:\n{}\n--- stderr\n{}", self.output(), self.errors());
            kernel::nap();
        }
    }

    pub fn signal(&self, signal: Signal) {
        kernel::signal(self.pid(), signal);
    }

    /// Waits for its end, standard input left open.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until(self.setup.bound, "godbg to end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Gives it a whole script and waits for its end.
    #[track_caller]
    pub fn feed(mut self, script: impl Into<Vec<u8>>) -> Outcome {
        let (mut stdin, script) = (self.stdin.take().unwrap(), script.into());
        // A reader that leaves early is fine: its status is what counts.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&script)));
        let outcome = self.finish();
        writer.join().unwrap();
        outcome
    }

    /// Closes its standard input and waits for its end, within the bound.
    #[track_caller]
    pub fn finish(mut self) -> Outcome {
        drop(self.stdin.take());
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.begin.elapsed() > self.setup.bound {
                drop(self.child.kill());
                panic!(
                    "godbg {:?} ran longer than {:?}\n--- stdout\n{}\n--- stderr\n{}",
                    self.setup.words,
                    self.setup.bound,
                    self.output(),
                    self.errors()
                );
            }
            kernel::nap();
        };
        let stdout = self.stdout.take().map_or_else(String::new, Capture::finish);
        let stderr = self.stderr.take().map_or_else(String::new, Capture::finish);
        Outcome { stdout, stderr, status }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// What a finished run left.
#[derive(Debug)]
pub struct Outcome {
    pub stdout: String,
    pub stderr: String,
    pub status: ExitStatus,
}

impl Outcome {
    fn all(&self) -> String {
        format!("{}\n--- stdout\n{}\n--- stderr\n{}", self.status, self.stdout, self.stderr)
    }

    /// It ended with this status, by itself.
    #[track_caller]
    pub fn status(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "signal {:?}; {}", self.status.signal(), self.all());
        self
    }

    /// Every command succeeded and nothing was complained of.
    #[track_caller]
    pub fn success(self) -> Self {
        let this = self.status(0);
        assert!(!this.stderr.contains("error:"), "{}", this.all());
        this
    }

    /// Standard output holds this.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "no {text:?}: {}", self.all());
        self
    }

    #[track_caller]
    pub fn says_not(self, text: &str) -> Self {
        assert!(!self.stdout.contains(text), "{text:?}: {}", self.all());
        self
    }

    /// Standard error holds this; upper and lower case are one.
    #[track_caller]
    pub fn complains(self, text: &str) -> Self {
        assert!(self.stderr.to_lowercase().contains(&text.to_lowercase()), "no {text:?}: {}", self.all());
        self
    }

    /// Standard error holds one of these, where the wording is free.
    #[track_caller]
    pub fn complains_of_one(self, texts: &[&str]) -> Self {
        let stderr = self.stderr.to_lowercase();
        assert!(texts.iter().any(|text| stderr.contains(&text.to_lowercase())), "none of {texts:?}: {}", self.all());
        self
    }

    /// There is exactly one line of error.
    #[track_caller]
    pub fn one_error(self) -> Self {
        let errors = self.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "{}", self.all());
        self
    }

    /// The JSON objects on standard output; every line must be one.
    #[track_caller]
    pub fn json(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}: {}", self.all()))
        };
        self.stdout.lines().map(parse).collect()
    }
}
