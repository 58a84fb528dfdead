//! A copy of the process's memory to read in peace: a child that a stopped thread is made to fork. It is traced, never runs
//! an instruction, dies with godbg, and shares the open files. Nobody hears of its end (its exit signal is 0), and no
//! wait of the program's finds it but one that asks for `__WALL` or `__WCLONE`: a plain waitpid(-1) with no other child goes on
//! answering ECHILD. What is left when it has been ended is a zombie that only its parent can take; the process is made to do
//! that too.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::super::process::Process;
use super::super::{Error, Result};
use crate::addr::{Pid, Tid};
use crate::kernel::metronome::Metronome;
use crate::kernel::ptrace::{self, Follow, OnTracerDeath};
use crate::kernel::regions::Region;
use crate::kernel::signal::Signal;
use crate::kernel::wait::{self, Report};
use crate::kernel::{Errno, arch, proc};

/// How long the child's first stop and its end are waited for. To end takes as long as to give all its page tables back.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a process remembers of its copy.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct CopyMark {
    /// Its pid.
    pub pid: Pid,
    /// Its pid as the process itself numbers it, which may be in a PID namespace of its own.
    inner: i32,
}

/// The child. It is ended when this is dropped; what remains of it then is [`Process::drop_copy`]'s.
pub(super) struct Copy {
    pid: Pid,
    metronome: Rc<Metronome>,
}

impl Copy {
    pub fn tid(&self) -> Tid {
        self.pid.leader()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        end(self.pid, &self.metronome);
    }
}

/// Ends a copy and waits until it has ended. It may have been ended already, and taken.
fn end(copy: Pid, metronome: &Metronome) {
    let begin = Instant::now();
    let _beating = metronome.start();
    // ESRCH: somebody else has ended it. It is our tracee: its pid is not another's before its end is taken.
    if !matches!(wait::look(copy.leader()), Err(Errno::ECHILD)) {
        let _ = ptrace::kill(copy, Signal::KILL);
    }
    while begin.elapsed() < PATIENCE {
        match wait::take_end(copy.leader()) {
            Ok(Some(Report::Ended(..))) => return,
            Ok(_) => drop(wait::look_until_beat(copy.leader())),
            Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

/// Why a process must not be forked, seen by its mappings.
pub(super) fn forbids_fork(regions: &[Region]) -> Option<&'static str> {
    // With UFFD_FEATURE_EVENT_FORK a fork waits for the handler, which may be a thread that is held (userfaultfd(2)).
    let watched = |region: &Region| [b"um", b"uw", b"ui"].into_iter().any(|flag| region.has(flag));
    regions.iter().any(watched).then_some("it uses userfaultfd, and a fork of it could wait for a thread that is held")
}

impl Process {
    /// Forks the copy. The process is held.
    pub(super) fn fork_copy(&mut self) -> Result<Copy> {
        self.drop_copy();
        let tid = self.thread_for_calls()?;
        let (number, args) = arch::quiet_fork();
        let made = self.inject(tid, number, args)?;
        let (result, Some(pid)) = (made.result, made.child) else {
            let errno = Errno::from_raw(-made.result as i32);
            let why = format!("it cannot be forked: {}", errno.desc());
            return Err(Error::NoCore { pid: self.pid, why });
        };
        self.copy = Some(CopyMark { pid, inner: result as i32 });
        let copy = Copy { pid, metronome: self.metronome.clone() };
        self.tie(pid)?;
        self.clear_stay_of(pid, &made.landing);
        Ok(copy)
    }

    /// Waits for the child's first stop, and has the kernel end it should godbg die.
    fn tie(&self, copy: Pid) -> Result<()> {
        let tid = copy.leader();
        let begin = Instant::now();
        let _beating = self.metronome.start();
        loop {
            // Taken, not looked at: nobody else is to find it.
            match wait::take_until_beat(tid) {
                Ok(Some(Report::Stopped(..))) => break,
                Ok(None) | Err(Errno::EINTR) if begin.elapsed() < PATIENCE => {}
                Ok(_) | Err(_) => return Err(self.no_copy("the forked copy did not come to a stop")),
            }
        }
        let tied = self.tracer.follow(tid, Follow::default(), OnTracerDeath::Kill);
        tied.map_err(|_| self.no_copy("the forked copy was ended by somebody"))?;
        // Pages that the process writes meanwhile are doubled: where memory is short, the copy is to go and not the process.
        // Refused to nobody; a system without the file has no such order.
        let _ = proc::end_first_when_out_of_memory(copy);
        Ok(())
    }

    fn no_copy(&self, why: &str) -> Error {
        Error::NoCore { pid: self.pid, why: why.into() }
    }

    /// Ends what there is of a copy and has the process take its zombie. The process is held.
    pub(in super::super) fn drop_copy(&mut self) {
        let Some(CopyMark { pid, inner }) = self.copy.take() else { return };
        end(pid, &self.metronome.clone());
        let (number, args) = arch::take_child(inner);
        // It fails where the process has ended or put on a filter meanwhile: the zombie then goes with it.
        let _ = self.thread_for_calls().and_then(|tid| self.inject(tid, number, args));
        self.note_copy(None);
    }

    /// Ends what a killed godbg has left of a copy, which nobody traces, and has the process, which is held, take its zombie.
    pub(in super::super) fn end_left(&mut self, pid: Pid, inner: i32) {
        let begin = Instant::now();
        let metronome = self.metronome.clone();
        let _beating = metronome.start();
        // ESRCH: it has ended.
        let _ = ptrace::kill(pid, Signal::KILL);
        while begin.elapsed() < PATIENCE && !matches!(proc::thread_state(pid, pid.leader()), None | Some('Z' | 'X')) {
            wait::until_beat();
        }
        self.copy = Some(CopyMark { pid, inner });
        self.drop_copy();
    }

    /// Whether a copy still has to be taken.
    pub(super) fn has_copy(&self) -> bool {
        self.copy.is_some()
    }
}
