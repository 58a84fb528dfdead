//! What the tests stand on: fixtures, the kernel as the oracle, and `godbg` behind pipes or on a terminal.

pub mod binaries;
pub mod debug_server;
pub mod fixture;
pub mod godbg;
pub mod kernel;
pub mod machine;
pub mod places;
pub mod pty;
pub mod screen;
pub mod steered;
pub mod toolchain;
pub mod watched;

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

/// True when the reduced counts are asked for (`GODBG_QUICK=1`).
pub fn quick() -> bool {
    std::env::var_os("GODBG_QUICK").is_some_and(|value| value != "0")
}

/// Says once and past the test runner's capture that a test cannot run here. With `CI` set that is a failure.
pub fn skip(what: &str) {
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    assert!(std::env::var_os("CI").is_none(), "cannot be skipped where CI is set: {what}");
    let mut said = SAID.lock().unwrap();
    if !said.iter().any(|old| old == what) {
        said.push(what.to_owned());
        drop(writeln!(std::io::stderr(), "\n*** SKIPPED: {what} ***"));
    }
}

/// Copies a program. Another process does it: a descriptor open for writing here could be inherited by what another
/// test is just starting, and the copy would be "busy" (ETXTBSY).
pub fn copy_program(from: &Path, to: &Path) {
    let status = Command::new("install").arg("-m755").args([from, to]).status().unwrap();
    assert!(status.success(), "copy {from:?} to {to:?}");
}

/// True for root, which the tests of permissions need to become somebody else.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
