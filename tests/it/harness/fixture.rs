//! Running fixtures: started, waited for until they say that they are ready, read through their counters, ended on drop.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::kernel::{self, wait_until};
use super::toolchain;

/// Slots that every fixture has (`tests/fixtures/fixture.h`).
pub const READY: usize = 0;
pub const BEAT: usize = 1;
pub const STOP: usize = 2;
const SLOTS: usize = 512;

/// The numbers that a fixture keeps where the test can read them while it runs.
pub struct Counters(File);

impl Counters {
    /// Counters that a fixture has made for its child.
    pub fn open(path: &Path) -> Self {
        Self(File::options().read(true).write(true).open(path).unwrap())
    }

    fn create(path: &Path) -> Self {
        let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
        file.set_len(8 * SLOTS as u64).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
        Self(file)
    }

    pub fn get(&self, slot: usize) -> u64 {
        let mut word = [0; 8];
        self.0.read_exact_at(&mut word, 8 * slot as u64).unwrap();
        u64::from_ne_bytes(word)
    }

    pub fn set(&self, slot: usize, value: u64) {
        self.0.write_all_at(&value.to_ne_bytes(), 8 * slot as u64).unwrap();
    }
}

/// How to start a fixture; `Fixture::start` is the short form.
pub struct Builder {
    program: PathBuf,
    wrapper: Vec<OsString>,
    args: Vec<OsString>,
    envs: Vec<(&'static str, &'static str)>,
}

impl Builder {
    /// Starts it through another program (`setpriv …`), which must exec it and not fork.
    pub fn wrapper(mut self, words: &[&str]) -> Self {
        self.wrapper = words.iter().map(OsString::from).collect();
        self
    }

    /// Runs a copy of the program under another path.
    pub fn copied_to(mut self, path: &Path) -> Self {
        super::copy_program(&self.program, path);
        self.program = path.to_owned();
        self
    }

    pub fn args<S: Into<OsString>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, key: &'static str, value: &'static str) -> Self {
        self.envs.push((key, value));
        self
    }

    pub fn start(self) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let counters = Counters::create(&dir.path().join("counters"));
        let words: Vec<OsString> = self.wrapper.into_iter().chain([self.program.clone().into()]).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(dir.path().join("counters")).args(self.args);
        command.current_dir(dir.path()).envs(self.envs).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        let mut fixture = Fixture { child, counters, dir };
        let begin = Instant::now();
        while fixture.get(READY) == 0 {
            if let Some(status) = fixture.child.try_wait().unwrap() {
                panic!("{command:?} ended before it was ready: {status}");
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{command:?} did not become ready");
            kernel::nap();
        }
        fixture
    }
}

/// A running fixture; dropping it kills and reaps it.
pub struct Fixture {
    child: Child,
    counters: Counters,
    dir: tempfile::TempDir,
}

impl Fixture {
    /// A C or Rust fixture, whose compilers are there wherever this test was built.
    pub fn of(name: &str) -> Builder {
        Self::of_any(name).expect("the C compiler that links Rust")
    }

    pub fn start(name: &str, args: &[&str]) -> Self {
        Self::of(name).args(args).start()
    }

    /// A C fixture compiled with more options.
    pub fn with_options(name: &str, options: &[&str]) -> Builder {
        let program = toolchain::program_with(name, options).expect("the C compiler that links Rust");
        Builder { program, wrapper: Vec::new(), args: Vec::new(), envs: Vec::new() }
    }

    /// A Go fixture, or `None`, said loudly, where there is no Go.
    pub fn start_go(name: &str, args: &[&str]) -> Option<Self> {
        Self::of_any(name).map(|builder| builder.args(args).start())
    }

    /// A fixture of any language; `None` where its compiler is missing.
    pub fn of_any(name: &str) -> Option<Builder> {
        toolchain::program(name).map(Self::of_program)
    }

    /// A fixture that has been built already.
    pub fn of_program(program: PathBuf) -> Builder {
        Builder { program, wrapper: Vec::new(), args: Vec::new(), envs: Vec::new() }
    }

    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// The fixture's own folder (its working directory).
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn get(&self, slot: usize) -> u64 {
        self.counters.get(slot)
    }

    pub fn set(&self, slot: usize, value: u64) {
        self.counters.set(slot, value);
    }

    /// Waits until a counter has grown by `more`: the fixture runs.
    pub fn assert_grows(&self, slot: usize, more: u64) {
        let goal = self.get(slot) + more;
        let begin = Instant::now();
        while self.get(slot) < goal {
            let stands = || {
                let of = |tid: &i32| {
                    let call = fs::read_to_string(format!("/proc/{tid}/syscall")).unwrap_or_default();
                    format!("thread {tid}: {:?} {}", kernel::status_of(*tid, "State"), call.trim())
                };
                kernel::tids(self.pid()).iter().map(of).collect::<Vec<_>>().join(", ")
            };
            let bound = Duration::from_secs(20);
            assert!(begin.elapsed() < bound, "waited 20 s in vain for counter {slot} to reach {goal}: {}", stands());
            kernel::nap();
        }
    }

    /// The heartbeat goes on.
    pub fn assert_beats(&self) {
        self.assert_grows(BEAT, 3);
    }

    /// The heartbeat (2 ms) stands still.
    pub fn assert_frozen(&self) {
        let before = self.get(BEAT);
        std::thread::sleep(Duration::from_millis(40));
        assert_eq!(before, self.get(BEAT), "the heartbeat went on");
    }

    /// Waits for the end and returns the wait status, raw.
    pub fn wait_end(&mut self) -> std::process::ExitStatus {
        let mut status = None;
        wait_until(Duration::from_secs(20), "the fixture to end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        kernel::signal(self.pid(), signal);
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        drop(self.child.kill());
        // A tracer that does not take the end in would keep this from returning for ever.
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begin.elapsed() < Duration::from_secs(5) {
            kernel::nap();
        }
    }
}
