//! The integration tests: they run the built `godbg` on fixtures and ask the kernel, the target and its parent what happened.
#![allow(clippy::unwrap_used)]

mod attaching;
mod harness;
mod layers;
mod leaving;
mod schema;
mod sessions;
mod starting;
mod wrong_input;
