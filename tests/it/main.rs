//! The integration tests: they run the built `godbg` on fixtures and ask the kernel, the target and its parent what happened.
#![allow(clippy::unwrap_used)]

mod attaching;
mod breakpoints;
mod calls;
mod catching;
mod debuginfod;
mod disassembly;
mod every_instruction;
mod exec;
mod following;

mod function_names;
mod gcore;
mod go;
mod go_stacks;
mod guardian;
mod harness;
mod inheriting;
mod killed;
mod layers;
mod leash;
mod leaving;
mod letting_go;
mod locations;
mod machine_code;
mod memory;
mod oracle;
mod points;
mod readme;
mod registers;
mod schema;
mod sessions;
mod signals;
mod stacks;
mod starting;
mod stepping;
mod stepping_over;
mod symbols;
mod symbols_cache;
mod symbols_indexes;
mod symbols_kinds;
mod symbols_oracle;
mod terminal;
mod torture;
mod watching;
mod wrong_input;
