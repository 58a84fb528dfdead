//! Breakpoints and catchpoints on real programs: what the program itself has seen in the end.

use std::process::Command;

use crate::harness::godbg::Godbg;
use crate::harness::kernel::{SOON, wait_until};

/// A thread that is held in a call stands behind its instruction, with an error number that only the kernel may see. With a
/// breakpoint there the call is made again all the same, and the program never sees that number.
#[test]
fn a_breakpoint_behind_a_call_that_was_broken_off_spoils_nothing() {
    for setting in ["", "set scheduler-locking on\n"] {
        let mut sleeper = Command::new("sleep").arg("1").spawn().unwrap();
        let pid = sleeper.id();
        wait_until(SOON, "a sleep", || {
            let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
            call.starts_with("230 ") && std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() == "sleep\n"
        });
        let script = format!("attach {pid}\n{setting}break *$pc\ncontinue\nregs rax\ndetach\n");
        let output = Godbg::new().run_script(script).success();
        let status = sleeper.wait().unwrap();
        assert!(status.success(), "{setting}{status}\n{}", output.stdout);
        assert!(output.stdout.contains("breakpoint 1 at"), "{}", output.stdout);
    }
}
