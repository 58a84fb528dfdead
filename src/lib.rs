//! godbg: the debugger shell that you dare to attach to a live Linux process. The layers, bottom up, and what each may
//! use are described in ARCHITECTURE.md.

pub mod addr;
#[path = "../commands/mod.rs"]
pub mod commands;
pub mod fetch;
#[allow(unsafe_code)]
pub mod kernel;
pub mod parallel;
pub mod session;
pub mod shell;
pub mod symbols;
pub mod target;
