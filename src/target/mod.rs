//! The traced process: attach, stop, resume, detach, threads and signals. Refuses to know commands, words and screens.

mod attach;
mod breakpoints;
mod decide;
mod error;
pub mod expr;
mod halt;
mod inject;
mod launch;
mod listing;
mod memory;
mod news;
mod process;
mod registers;
mod release;
mod rules;
mod running;
mod scene;
mod signals;
mod step;
mod syscalls;
mod thread;

pub use attach::{AttachFacts, attach, refusal};
pub use breakpoints::{Access, Breakpoint, Goal, Kind, NewBreakpoint, Repaired, guard, journal_folder, repair};
pub use error::{Error, Result};
pub use launch::{Launch, launch};
pub use listing::{Place, ThreadFacts};
pub use memory::Fault;
pub use news::{Birth, LateThread, News, StopReport, ThreadSignal, TracedValue, Why};
pub use process::{Origin, Process, Resumed};
pub use registers::RegisterFault;
pub use release::{Leaving, Released};
pub use rules::Rules;
pub use running::{Candidate, called, candidate, candidates, describe, others};
pub use scene::{Scene, Symbols};
pub use signals::{Disposition, Handling, SignalTable};
pub use syscalls::Syscall;
pub use thread::StoppedThread;

pub use crate::kernel::arch::{Bank, Extended, FLAGS, GENERAL, Number, RegisterId, Registers, X87_CONTROL};
pub use crate::kernel::maps::{Mapping, Mappings};
pub use crate::kernel::metronome::Metronome;
pub use crate::kernel::proc::LARGEST_PID;
pub use crate::kernel::ptrace::Tracer;
pub use crate::kernel::signal::{Signal, SignalOrigin};
pub use crate::kernel::wait::{End, Usage};
