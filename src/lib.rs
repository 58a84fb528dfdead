//! godbg: the debugger shell that you dare to attach to a live Linux process. The layers, bottom up, and what each may
//! use are described in ARCHITECTURE.md.

pub mod addr;
#[allow(unsafe_code)]
pub mod kernel;
