//! `godbg` on a terminal of its own: keys in, a screen out.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

use super::godbg::Godbg;
use super::kernel::{self, SOON, wait_until};
use super::screen::Screen;

pub const CTRL_C: &str = "\u{3}";
pub const CTRL_D: &str = "\u{4}";
pub const CTRL_Z: &str = "\u{1a}";

/// A session on a terminal. Dropping it closes the terminal, as closing its window does.
pub struct Pty {
    terminal: Option<File>,
    reader: Option<JoinHandle<()>>,
    hung_up: Arc<AtomicBool>,
    bytes: Arc<Mutex<Vec<u8>>>,
    answered_below: Option<usize>,
    child: Child,
    /// Keeps the home that godbg works in.
    _setup: Godbg,
}

impl Pty {
    /// Starts `godbg` as the leader of a new session whose controlling terminal this is (`setsid -c` of util-linux).
    pub fn start(setup: Godbg) -> Self {
        let (terminal, end) = open_terminal();
        let mut command = setup.command(&["setsid", "-c"]);
        command.stdin(end.try_clone().unwrap()).stdout(end.try_clone().unwrap()).stderr(Stdio::from(end));
        let child = command.spawn().unwrap();
        drop(command);
        let (bytes, hung_up) = (Arc::default(), Arc::default());
        let reader = {
            let (terminal, bytes, hung_up) = (terminal.try_clone().unwrap(), Arc::clone(&bytes), Arc::clone(&hung_up));
            std::thread::spawn(move || read_until(terminal, &bytes, &hung_up))
        };
        Self {
            terminal: Some(terminal),
            reader: Some(reader),
            hung_up,
            bytes,
            answered_below: None,
            child,
            _setup: setup,
        }
    }

    /// Starts it and waits for the prompt.
    pub fn at_prompt(setup: Godbg) -> Self {
        let this = Self::start(setup);
        this.expect_prompt("godbg> ");
        this
    }

    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Presses keys.
    pub fn send(&mut self, keys: &str) {
        if keys.contains(['\r', '\u{3}']) {
            self.answered_below = Some(self.screen().cursor_position().0);
        }
        self.terminal.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Types a command and Return.
    pub fn line(&mut self, line: &str) {
        self.send(&format!("{line}\r"));
    }

    /// Everything that came out, as it came.
    pub fn raw(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    pub fn screen(&self) -> Screen {
        Screen::of(&self.raw())
    }

    /// The whole screen as one text.
    pub fn text(&self) -> String {
        self.screen().rows().join("\n")
    }

    /// Waits until something holds of the screen.
    #[track_caller]
    pub fn wait_screen(&self, what: &str, mut holds: impl FnMut(&Screen) -> bool) {
        let begin = Instant::now();
        while !holds(&self.screen()) {
            assert!(begin.elapsed() < SOON, "waited in vain for {what} on\n{}", self.text());
            kernel::nap();
        }
    }

    /// Waits for a text anywhere on the screen.
    #[track_caller]
    pub fn expect(&self, text: &str) {
        self.wait_screen(&format!("{text:?}"), |screen| screen.rows().join("\n").contains(text));
    }

    /// Waits until the cursor's row is this and nothing more (blanks at the end left out).
    /// It must stand below the row that the last Return or Ctrl-C was pressed in.
    #[track_caller]
    pub fn expect_prompt(&self, row: &str) {
        self.wait_screen(&format!("the row {row:?}"), |screen| {
            screen.cursor_row() == row.trim_end() && Some(screen.cursor_position().0) > self.answered_below
        });
    }

    /// Waits until the cursor's row ends in this.
    #[track_caller]
    pub fn expect_row_end(&self, end: &str) {
        self.wait_screen(&format!("a row that ends in {end:?}"), |screen| {
            screen.cursor_row().ends_with(end.trim_end())
        });
    }

    /// Closes the terminal under it, as a lost connection does: the kernel sends SIGHUP.
    pub fn hang_up(&mut self) {
        // The kernel hangs up when the last descriptor of this side is closed: the reader's too.
        self.hung_up.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        drop(self.terminal.take());
    }

    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until(SOON, "godbg to end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

/// Both ends of a new terminal of 50 rows and 160 columns, neither of them inherited by what other tests start.
fn open_terminal() -> (File, File) {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname_r(&master).unwrap();
    let end = File::options().read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(&name).unwrap();
    let size = Command::new("stty").args(["-F", &name, "rows", "50", "cols", "160"]).status().unwrap();
    assert!(size.success());
    (File::from(OwnedFd::from(master)), end)
}

/// Collects what the terminal shows until it is hung up from either side.
fn read_until(mut terminal: File, bytes: &Mutex<Vec<u8>>, hung_up: &AtomicBool) {
    let mut buffer = [0; 4096];
    while !hung_up.load(Ordering::Relaxed) {
        let mut wait = [PollFd::new(terminal.as_fd(), PollFlags::POLLIN)];
        if poll(&mut wait, PollTimeout::from(20_u8)).unwrap_or(0) == 0 {
            continue;
        }
        match terminal.read(&mut buffer) {
            Ok(length @ 1..) => bytes.lock().unwrap().extend_from_slice(&buffer[..length]),
            _ => break,
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
