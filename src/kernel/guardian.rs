//! The small process that outlives godbg for a moment, should godbg be killed: starting it, and how it learns of the end. It
//! is godbg's own program, in a session of its own from its first moment, so that no terminal's signal reaches it. Knows nothing of what it mends.

use std::fs::File;
use std::io::{self, PipeWriter, Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::setsid;

use super::own;

/// The word on godbg's command line that makes it a guardian.
pub const WORD: &str = "guard";

/// Keeps a guardian waiting; it goes to work when this is dropped, or closed by the kernel with its process.
#[derive(Debug)]
pub struct Leash {
    pipe: PipeWriter,
}

impl Leash {
    /// Sends the guardian away: there is nothing to be undone. It may have been ended already.
    pub fn release(mut self) {
        let _ = self.pipe.write(b".");
    }
}

/// Starts a guardian for what a journal describes. It gets the open file as its standard output: at the path may be another
/// one when it comes to work.
pub fn start(path: &Path, journal: File) -> io::Result<Leash> {
    if !own::is_program() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "this program is not godbg"));
    }
    let (reader, writer) = pipe()?;
    // The file that runs now, whatever has become of its name.
    let mut command = Command::new("/proc/self/exe");
    command.arg(WORD).arg(path).current_dir("/");
    // Its end is taken by the wait for any child of this thread.
    command.stdin(OwnedFd::from(reader)).stdout(journal).stderr(Stdio::null());
    let leave_session = || setsid().map(drop).map_err(io::Error::from);
    // SAFETY: between fork and exec it makes one system call, and allocates nothing.
    unsafe { command.pre_exec(leave_session) };
    command.spawn()?;
    Ok(Leash { pipe: writer })
}

/// In the guardian: sleeps until godbg has ended or lets it go. True: godbg has ended, and there is something to be done.
pub fn await_end() -> io::Result<bool> {
    // Whatever is meant for godbg is not meant for it.
    own::block_signals()?;
    // Threads may be standing at breakpoints that only it takes out.
    own::come_first();
    let mut said = Vec::new();
    io::stdin().lock().take(1).read_to_end(&mut said)?;
    Ok(said.is_empty())
}
