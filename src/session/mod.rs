//! What a command is and what it may touch. The session lives on the tracer thread; commands are handed a [`Context`]
//! there and give back a [`Reply`]. Refuses to print and to read a terminal.

mod assign;
mod attending;
pub mod breakpoint_words;
mod catch_words;
pub mod code;
pub mod command;
mod control;
pub mod dispatch;
pub mod duration;
pub mod event;
pub mod failure;
mod forks;
pub mod hooks;
pub mod locations;
pub mod looking;
pub mod numbers;
pub mod page;
pub mod panics;
pub mod points;
mod processes;
pub mod ranges;
pub mod reply;
mod seen;
pub mod settings;
mod signal_words;
pub mod size;
mod state;
mod steering;
pub mod tracer;

pub use crate::target::AttachFacts;
pub use assign::Assigned;
pub use catch_words::catch_words;
pub use command::{Command, Commands, Group, Needs, Outcome, Script, Words};
pub use dispatch::{Answer, execute};
pub use event::Event;
pub use failure::{Failure, FailureKind, Interrupted};
pub use locations::Locations;
pub use processes::ProcessFacts;
pub use reply::{Reply, Row, Show};
pub use seen::Seen;
pub use settings::Settings;
pub use state::{Completions, Context, LastEnd, Outcome as ProcessOutcome, Prompt, RunState, Session};
pub use steering::{Steps, guard};
