//! The Linux kernel as typed calls: ptrace requests, wait statuses, signals, registers, /proc, and godbg's own process.
//! The only code with `unsafe`, `nix` and `procfs`. Refuses to know what a session, a command or a policy is.

pub mod access;
pub mod arch;
mod bus_error;
pub mod cache_folder;
pub mod clock;
pub mod descriptors;
pub mod file_map;
pub mod guardian;
pub mod journal;
pub mod maps;
pub mod memory;
pub mod metronome;
mod origin;
pub mod own;
pub mod pagemap;
pub mod proc;
pub mod ptrace;
pub mod regions;
pub mod room;
pub mod signal;
pub mod spawn;
pub mod start;
pub mod wait;

pub use nix::errno::Errno;
