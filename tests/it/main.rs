//! The integration tests: they run the built `godbg` on fixtures and ask the kernel, the target and its parent what happened.
#![allow(clippy::unwrap_used)]

mod attaching;
mod calls;
mod catching;
mod disassembly;
mod exec;
mod following;
mod gcore;
mod harness;
mod killed;
mod layers;
mod leash;
mod leaving;
mod memory;
mod oracle;
mod readme;
mod registers;
mod schema;
mod sessions;
mod signals;
mod starting;
mod terminal;
mod torture;
mod wrong_input;
