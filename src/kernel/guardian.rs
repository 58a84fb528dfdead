//! The small process that outlives godbg for a moment, should godbg be killed: starting it, and how it learns of the end. It
//! is godbg's own program, apart from godbg's process group from its first moment, so that no terminal's signal reaches it. Knows
//! nothing of what it mends.

use std::fs::File;
use std::io::{self, PipeWriter, Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::{Pid, setpgid, setsid};

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
    // SAFETY: between fork and exec it makes two system calls, and allocates nothing.
    unsafe { command.pre_exec(stand_apart) };
    command.spawn()?;
    Ok(Leash { pipe: writer })
}

/// Keeps a terminal's signals and busy processors from the guardian: threads may be standing at breakpoints that only it takes out.
/// A session of its own has a share of the processors of its own (sched(7), autogroups), which is soon given if it comes first
/// anyway; without that such a new share was seen to be given after half a minute only (Linux 6.18), and a process group of its
/// own must do.
fn stand_apart() -> io::Result<()> {
    if own::come_first() { setsid().map(drop) } else { setpgid(Pid::from_raw(0), Pid::from_raw(0)) }
        .map_err(io::Error::from)
}

/// In the guardian: sleeps until godbg has ended or lets it go. True: godbg has ended, and there is something to be done.
pub fn await_end() -> io::Result<bool> {
    // Whatever is meant for godbg is not meant for it.
    own::block_signals()?;
    let mut said = Vec::new();
    io::stdin().lock().take(1).read_to_end(&mut said)?;
    Ok(said.is_empty())
}
