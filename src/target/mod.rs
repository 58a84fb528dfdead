//! The traced process: attach, stop, resume, detach, threads and signals. Refuses to know commands, words and screens.

mod attach;
mod decide;
pub mod disasm;
mod error;
pub mod expr;
mod halt;
mod inject;
mod launch;
mod listing;
mod memory;
mod news;
mod outside;
mod process;
mod release;
mod running;
mod scene;
pub mod search;
mod syscalls;
mod thread;

pub use attach::{Attached, attach, refusal};
pub use error::{Error, Result};
pub use launch::{Launch, launch};
pub use listing::{Place, ThreadFacts};
pub use memory::Fault;
pub use news::{Birth, LateThread, News, StopReport, ThreadSignal, Why};
pub use process::{Origin, Process, Resumed};
pub use release::{Leaving, Released};
pub use running::{Candidate, called, candidate, candidates, describe, others};
pub use scene::{Scene, Symbols};
pub use syscalls::Syscall;
pub use thread::StoppedThread;

pub use crate::kernel::arch::{Bank, FLAGS, GENERAL, Number, RegisterId, Registers, X87_CONTROL};
pub use crate::kernel::descriptors::{Descriptor, Socket, access_word, flag_words};
pub use crate::kernel::maps::{Mapping, Mappings};
pub use crate::kernel::metronome::Metronome;
pub use crate::kernel::proc::LARGEST_PID;
pub use crate::kernel::ptrace::Tracer;
pub use crate::kernel::signal::{Signal, SignalOrigin};
pub use crate::kernel::start::{Auxiliary, AuxiliaryKind};
pub use crate::kernel::wait::{End, Usage};
