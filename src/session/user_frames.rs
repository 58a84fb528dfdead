//! The frame of a thread that people look for first: the innermost that is neither the C library's nor a language runtime's.
//! Decides what counts as such; walks no stack itself.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use super::Locations;
use super::locations::file_name;
use crate::addr::{RuntimeAddr, Tid};
use crate::target::Process;
use crate::target::stacks::{Limits, NamedFrame, Namer};

/// The frame.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct UserFrame {
    /// Where it is, or comes back to.
    pub pc: RuntimeAddr,
    /// The function.
    pub function: String,
    /// The source file, as the compiler names it.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
}

/// No frame further out is looked at.
const MOST_FRAMES: usize = 24;

/// With thousands of threads a listing does not look at all their stacks.
const LONGEST: Duration = Duration::from_secs(1);

/// Finds the frames of the threads of a process, one after the other.
pub struct UserFrames<'a> {
    process: &'a Process,
    locations: &'a Locations,
    namer: Namer<'a>,
    /// Counted from the first thread's end: that one's stack has files read that all share.
    deadline: Option<Instant>,
}

impl<'a> UserFrames<'a> {
    /// Of a process that is held: of one that runs there are none.
    pub fn new(process: &'a Process, locations: &'a Locations) -> UserFrames<'a> {
        let namer = Namer::new(locations.modules(), locations.mappings());
        UserFrames { process, locations, namer, deadline: None }
    }

    /// The first frame of a thread that is neither the library's nor the runtime's, with its function's name.
    pub fn of(&mut self, tid: Tid) -> Option<UserFrame> {
        self.process.held()?;
        self.process.stopped_thread(tid)?;
        if self.deadline.is_some_and(|deadline| Instant::now() > deadline) {
            return None;
        }
        let limits = Limits { frames: MOST_FRAMES, registers: false };
        let stack = self.process.stack_of(tid, self.locations.modules(), self.locations.mappings(), limits);
        let named =
            stack.frames.iter().find_map(|frame| self.namer.name(frame).iter().find(|one| is_users(one)).cloned());
        self.deadline.get_or_insert_with(|| Instant::now() + LONGEST);
        let named = named?;
        Some(UserFrame {
            pc: named.pc,
            function: named.function?.to_string(),
            line: named.spot.as_ref().map(|spot| spot.line).filter(|line| *line > 0),
            file: named.spot.map(|spot| spot.file.to_string()),
        })
    }
}

fn is_users(frame: &NamedFrame) -> bool {
    let Some(function) = frame.function.as_deref().filter(|_| !frame.is_signal) else { return false };
    !is_library(frame.module.as_deref().unwrap_or("")) && !is_runtime(function)
}

/// Whether a file is the C library, one of its parts, the dynamic linker or the kernel's own.
fn is_library(path: &str) -> bool {
    const NAMES: [&str; 8] = ["libc.so", "libc-", "libpthread", "ld-", "librt.so", "librt-", "libc.musl", "[vdso]"];
    let name = file_name(path);
    NAMES.iter().any(|beginning| name.starts_with(beginning))
}

/// Whether a function is part of Go's runtime or Rust's standard library.
fn is_runtime(function: &str) -> bool {
    const BEGINNINGS: [&str; 12] = [
        "runtime.",
        "runtime/",
        "syscall.",
        "internal/",
        "std::",
        "core::",
        "alloc::",
        "<std::",
        "<core::",
        "<alloc::",
        "__rust_",
        "_rt0_",
    ];
    // A program's own main is not the runtime's, which is called runtime.main; C's entry point is nobody's.
    matches!(function, "_start" | "__libc_start_main" | "start_thread")
        || BEGINNINGS.iter().any(|beginning| function.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_runtimes_are_known() {
        for (path, expected) in [
            ("/usr/lib/libc.so.6", true),
            ("/lib64/ld-linux-x86-64.so.2", true),
            ("[vdso]", true),
            ("/usr/bin/redis-server", false),
            ("/usr/lib/libcurl.so.4", false),
        ] {
            assert_eq!(is_library(path), expected, "{path}");
        }
        for (function, expected) in [
            ("runtime.futex", true),
            ("internal/poll.(*FD).Read", true),
            ("std::thread::sleep", true),
            ("<core::option::Option<T>>::map", true),
            ("main.main", false),
            ("main", false),
            ("net/http.(*conn).serve", false),
        ] {
            assert_eq!(is_runtime(function), expected, "{function}");
        }
    }
}
