//! The traced process: attach, stop, resume, detach, threads and signals. Refuses to know commands, words and screens.

mod attach;
mod catch;
mod decide;
mod error;
mod halt;
mod inject;
mod launch;
mod listing;
mod memory;
mod news;
mod process;
mod release;
mod rules;
mod running;
mod signals;
mod syscalls;
mod thread;

pub use attach::{Attached, attach, refusal};
pub use catch::{Catch, Catches, Catchpoint, Caught};
pub use error::{Error, Result};
pub use launch::{Launch, launch};
pub use listing::{Place, ThreadFacts};
pub use memory::Fault;
pub use news::{Birth, LateThread, News, StopReport, ThreadSignal, Why};
pub use process::{Origin, Process, Resumed};
pub use release::{Leaving, Released};
pub use rules::Rules;
pub use running::{Candidate, called, candidate, candidates, describe, others};
pub use signals::{Disposition, Handling, SignalTable};
pub use syscalls::{Syscall, syscall_groups, syscalls_called};
pub use thread::StoppedThread;

pub use crate::kernel::arch::Registers;
pub use crate::kernel::maps::{Mapping, Mappings};
pub use crate::kernel::metronome::Metronome;
pub use crate::kernel::proc::LARGEST_PID;
pub use crate::kernel::ptrace::Tracer;
pub use crate::kernel::signal::{Signal, SignalOrigin};
pub use crate::kernel::wait::{End, Usage};
