//! The traced process: attach, stop, resume, detach, threads and signals. Refuses to know commands, words and screens.

mod error;
mod news;

pub use error::{Error, Result};
pub use news::{Birth, LateThread, News, StopReport, ThreadSignal, Why};

pub use crate::kernel::signal::{Signal, SignalOrigin};
pub use crate::kernel::wait::{End, Usage};
