//! Breakpoints and catchpoints on real programs: what the program itself has seen in the end.

use std::process::Command;

use crate::harness::godbg::Godbg;
use crate::harness::kernel::{SOON, wait_until};
use crate::harness::steered::{Steered, calls};

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

/// One stop for all of them: each is counted, each one's commands are run, and what is temporary has gone.
#[test]
fn several_breakpoints_at_one_place() {
    let mut this = Steered::start("calls", &["1"]);
    let work = this.at(calls::WORK);
    this.ask(&format!("break {work}\non 1 print 11\ntbreak {work}\non 2 print 22\nbreak {work}\non 3 silent\n"));
    this.target.set(calls::QUOTA, 2);
    let said = this.ask("continue");
    assert!(said.contains("breakpoint 1 at"), "one of them wants it told: {said}");
    assert!(said.contains("$1 = 11\n") && said.contains("$2 = 22\n"), "{said}");
    assert_eq!((this.target.get(calls::CALLS), this.hits(1), this.hits(3)), (0, 1, 1));
    let said = this.ask("breakpoints\ncontinue");
    assert!(!said.contains("tbreak") && !said.contains("= 22\n"), "the temporary one was met and is gone: {said}");
    assert_eq!((this.target.get(calls::CALLS), this.hits(1), this.hits(3)), (1, 2, 2));
    this.ask("continue &");
    wait_until(SOON, "the last call", || this.target.get(calls::CALLS) == 2);
    this.leave();
}
