//! "What must hold after any session", for every way out: the target runs as before and its parent was told nothing.

use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::attaching::hold;
use crate::harness::fixture::{Fixture, READY};
use crate::harness::godbg::{Godbg, Live};
use crate::harness::kernel::{self, SOON, wait_until};
use crate::harness::pty::{CTRL_D, Pty};
use crate::harness::watched::Watched;

/// Goes through one way out with the target held, then with the target let run by `continue &`.
#[track_caller]
fn both(leave: impl Fn(Live, &Watched)) {
    for running in [false, true] {
        let target = Watched::start();
        let mut godbg = hold(target.pid());
        if running {
            godbg.send("continue &");
            target.assert_beats();
        } else {
            kernel::wait_all_stopped(target.pid());
        }
        leave(godbg, &target);
        target.assert_untouched();
    }
}

#[test]
fn detach() {
    both(|mut godbg, target| {
        godbg.send("detach\necho gone");
        godbg.expect("\ngone");
        target.assert_untouched();
        godbg.finish().success();
    });
}

#[test]
fn quit() {
    both(|mut godbg, _| {
        godbg.send("quit");
        assert_eq!(godbg.wait_exit().code(), Some(0), "{}", godbg.errors());
    });
}

#[test]
fn end_of_input() {
    both(|godbg, _| drop(godbg.finish().success()));
}

#[test]
fn an_error_in_a_script() {
    both(|mut godbg, _| {
        godbg.send("attach nobody-has-this-name\necho not reached");
        assert_eq!(godbg.wait_exit().code(), Some(1), "{}", godbg.errors());
        godbg.finish().says_not("\nnot reached").complains("stdin:");
    });
}

#[test]
fn signals_to_godbg_between_commands() {
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        both(|mut godbg, _| {
            godbg.signal(signal);
            assert_eq!(godbg.wait_exit().code(), Some(status), "{signal}: {}", godbg.errors());
        });
    }
}

#[test]
fn signals_to_godbg_in_the_middle_of_a_command() {
    for command in ["sleep 60", "wait 60", "shell sleep 60", "continue"] {
        for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
            let target = Watched::start();
            let mut godbg = hold(target.pid());
            let command = if command.starts_with("wait") { "continue &\nwait 60" } else { command };
            godbg.send(&format!("echo begin\n{command}"));
            godbg.expect(command.lines().last().unwrap());
            godbg.signal(signal);
            assert_eq!(godbg.wait_exit().code(), Some(status), "{signal} in {command}: {}", godbg.errors());
            target.assert_untouched();
        }
    }
}

#[test]
fn a_sigkill_of_godbg() {
    both(|mut godbg, _| {
        godbg.signal(Signal::SIGKILL);
        godbg.wait_exit();
    });
}

#[test]
fn a_sigkill_of_godbg_leaves_job_control_stops() {
    let target = Watched::start();
    kernel::signal(target.pid(), Signal::SIGSTOP);
    wait_until(SOON, "the stop", || target.reports() == (1, 0, 0));
    let before = kernel::Snapshot::of(target.pid());
    let mut godbg = hold(target.pid());
    godbg.signal(Signal::SIGKILL);
    godbg.wait_exit();
    before.assert_restored();
    assert_eq!(target.reports(), (1, 0, 0));
    kernel::signal(target.pid(), Signal::SIGCONT);
    target.assert_beats();
}

#[test]
fn a_script_file_that_ends_or_fails() {
    for (last, status) in [("echo end", 0), ("detach 1 2 3", 1), ("nonsense", 1), ("echo 'open", 1)] {
        let target = Watched::start();
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        std::fs::write(&script, format!("attach {}\nthreads\n{last}\n", target.pid())).unwrap();
        let outcome = Godbg::new().args(["--batch", "-x"]).arg(&script).run().status(status);
        assert_eq!(status == 1, outcome.stderr.contains(&format!("{}:3: ", script.display())), "{outcome:?}");
        target.assert_untouched();
    }
}

#[test]
fn a_closed_standard_output_ends_it_silently() {
    let target = Watched::start();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut godbg = Godbg::new().stdout(Stdio::from(writer)).start();
    godbg.send(&format!("attach {}", target.pid()));
    kernel::wait_all_stopped(target.pid());
    drop(reader);
    // Again and again: what another test is just starting may hold the reader's end for a moment more.
    godbg.send_until_exit("threads");
    let outcome = godbg.finish().status(1);
    assert_eq!(outcome.stderr, "");
    target.assert_untouched();
}

#[test]
fn a_full_standard_output_is_an_error() {
    let target = Watched::start();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let outcome = Godbg::new().stdout(full).run_script(format!("attach {}\nthreads\n", target.pid()));
    outcome.status(1).complains("error");
    target.assert_untouched();
}

#[test]
fn ctrl_d_at_the_prompt() {
    let target = Watched::start();
    let mut godbg = Pty::at_prompt(Godbg::new());
    godbg.line(&format!("attach {}", target.pid()));
    godbg.expect_prompt(&format!("[{} stopped] godbg>", target.pid()));
    godbg.send(CTRL_D);
    assert_eq!(godbg.wait_exit().code(), Some(0), "{}", godbg.text());
    target.assert_untouched();
}

#[test]
fn quit_at_the_prompt_detaches_without_asking() {
    let target = Watched::start();
    let mut godbg = Pty::at_prompt(Godbg::new());
    godbg.line(&format!("attach {}", target.pid()));
    godbg.expect_prompt(&format!("[{} stopped] godbg>", target.pid()));
    godbg.line("quit");
    assert_eq!(godbg.wait_exit().code(), Some(0), "{}", godbg.text());
    target.assert_untouched();
}

#[test]
fn a_closed_terminal() {
    for command in ["", "continue\r", "sleep 60\r", "continue &\r"] {
        let target = Watched::start();
        let mut godbg = Pty::at_prompt(Godbg::new());
        godbg.line(&format!("attach {}", target.pid()));
        godbg.expect_prompt(&format!("[{} stopped] godbg>", target.pid()));
        godbg.send(command);
        if command.starts_with("continue") {
            target.assert_beats();
        }
        godbg.hang_up();
        godbg.wait_exit();
        target.assert_untouched();
    }
}

#[test]
fn a_go_program_goes_on_after_every_way_out() {
    let Some(target) = Fixture::start_go("goload", &[]) else { return };
    for way in ["detach", "quit", "", "nonsense"] {
        Godbg::new().run_script(format!("attach {}\nthreads\n{way}\n", target.pid()));
        kernel::wait_let_go(target.pid());
        target.assert_beats();
    }
    let mut godbg = hold(target.pid());
    godbg.signal(Signal::SIGKILL);
    godbg.wait_exit();
    kernel::wait_let_go(target.pid());
    kernel::assert_text_unchanged(target.pid());
    target.assert_beats();
    assert_eq!((target.get(5), target.get(READY)), (0, 1), "wrong sums");
}

#[test]
fn a_bug_in_godbg() {
    both(|mut godbg, target| {
        godbg.send("maintenance internal-error");
        let outcome = godbg.finish();
        assert_eq!(outcome.status.code(), Some(101), "{outcome:?}");
        assert!(outcome.stderr.contains("bug in godbg"), "{outcome:?}");
        target.assert_untouched();
    });
}
