//! `exec`: what a program that godbg starts gets, and what becomes of it.

use std::collections::BTreeMap;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::harness::copy_program;
use crate::harness::fixture::{BEAT, Counters};
use crate::harness::godbg::{Godbg, Live};
use crate::harness::kernel::{self, SOON, wait_until};
use crate::harness::pty::{CTRL_C, CTRL_Z, Pty};
use crate::harness::toolchain::{program, sources};

fn path_of(name: &str) -> String {
    program(name).unwrap().display().to_string()
}

/// What `terminal.c` says of itself, by key; several values of a key one after another.
fn report(path: &Path) -> BTreeMap<String, Vec<String>> {
    let mut report: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.ends_with("end of report\n"), "{text}");
    for (key, value) in text.lines().filter_map(|line| line.split_once(": ")) {
        report.entry(key.to_owned()).or_default().push(value.to_owned());
    }
    report
}

/// Runs `terminal` under `exec` with options before it and words behind it, to its end.
fn start_and_report(options: &str, words: &str) -> BTreeMap<String, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report");
    let line =
        format!("exec {options} --env FIXTURE_OUT={} {} {words}\ncontinue\n", path.display(), path_of("terminal"));
    Godbg::new().run_script(line).success().says("exited with status 0");
    report(&path)
}

/// A fixture that counts, started by `exec`: its pid and its counters.
fn counting(godbg: &mut Live, dir: &Path, name: &str) -> (i32, Counters) {
    let path = dir.join("counters");
    std::fs::write(&path, [0; 4096]).unwrap();
    godbg.send(&format!("exec {} {}", path_of(name), path.display()));
    wait_until(SOON, "the program to be started", || !kernel::children(godbg.pid()).is_empty());
    let pid = kernel::children(godbg.pid())[0];
    kernel::wait_all_stopped(pid);
    (pid, Counters::open(&path))
}

#[test]
fn arguments_are_passed_as_given() {
    let report = start_and_report("", "a 'b c' '' '*' '$HOME' '\"' --cwd -x -- '\u{1b}[31m' é");
    let expected = ["a", "b c", "", "*", "$HOME", "\"", "--cwd", "-x", "--", "\\x1b[31m", "\\xc3\\xa9"];
    for (number, word) in expected.iter().enumerate() {
        assert_eq!(report[&format!("argv[{}]", number + 1)], [*word], "{report:#?}");
    }
    assert!(!report.contains_key("argv[12]"));
}

#[test]
fn options_of_the_program_belong_to_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report");
    let words = ["--batch", "-e", "continue", "exec", &path_of("terminal"), "-q", "--batch", "-e", "x", "--help"];
    let outcome = Godbg::new().args(words).env("FIXTURE_OUT", &path).run();
    outcome.success();
    let report = report(&path);
    for (number, word) in ["-q", "--batch", "-e", "x", "--help"].iter().enumerate() {
        assert_eq!(report[&format!("argv[{}]", number + 1)], [*word], "{report:#?}");
    }
}

#[test]
fn folder_and_environment() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().canonicalize().unwrap();
    let report =
        start_and_report(&format!("--cwd {} --env ONE=1 --env 'TWO=a b=c' --env LC_ALL=de", folder.display()), "");
    assert_eq!(report["cwd"], [folder.display().to_string()]);
    for line in ["ONE=1", "TWO=a b=c", "LC_ALL=de"] {
        assert_eq!(report["env"].iter().filter(|entry| *entry == line).count(), 1, "{report:#?}");
    }
    assert!(!report["env"].iter().any(|entry| entry == "LC_ALL=C.UTF-8"), "{report:#?}");
    // A relative program is looked up from where godbg stands, a bare name in PATH.
    Godbg::new().run_script("exec true\ncontinue\n").success().says("exited with status 0");
}

#[test]
fn signals_and_descriptors_are_a_fresh_programs() {
    let report = start_and_report("", "");
    assert_eq!(report.get("blocked"), None, "{report:#?}");
    assert_eq!(report.get("not default"), None, "{report:#?}");
    let fds: Vec<&String> = report.keys().filter(|key| key.starts_with("fd ")).collect();
    assert_eq!(fds, ["fd 0", "fd 1", "fd 2"], "{report:#?}");
    assert_eq!(report["fd 0"], ["/dev/null"], "godbg's own script is not the program's input");
    assert_eq!(report["pid"], report["pgid"], "a process group of its own");
}

#[test]
fn standard_input_and_output_from_files() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(at("in"), "first\nsecond\n").unwrap();
    let line = format!(
        "exec --stdin {} --stdout {} --stderr {} {}\ncontinue\n",
        at("in"),
        at("out"),
        at("err"),
        path_of("terminal")
    );
    Godbg::new().run_script(line).success().says_not("read: first");
    let out = std::fs::read_to_string(at("out")).unwrap();
    assert!(out.ends_with("read: first\nread: second\n"), "{out}");
    assert_eq!(std::fs::read_to_string(at("err")).unwrap(), "");
}

#[test]
fn without_address_randomisation() {
    let bit = |options: &str| {
        let report = start_and_report(options, "");
        i64::from_str_radix(report["personality"][0].trim_start_matches("0x"), 16).unwrap() & 0x004_0000
    };
    assert_eq!((bit(""), bit("--no-aslr")), (0, 0x004_0000));
}

#[test]
fn it_stops_before_its_first_instruction_and_says_how_it_ended() {
    let outcome = Godbg::new().run_script("exec /bin/sh -c 'echo ran; exit 3'\nthreads\necho before\ncontinue\n");
    let outcome = outcome.success();
    assert!(outcome.stdout.find("\nbefore") < outcome.stdout.find("\nran"), "{outcome:?}");
    outcome.says("exited with status 3");
    Godbg::new().run_script("exec /bin/sh -c 'kill -9 $$'\ncontinue\n").success().says("SIGKILL");
}

#[test]
fn a_script_with_an_interpreter_line_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("script");
    copy_program(&sources().join("loop.sh"), &path);
    let mut godbg = Godbg::new().start();
    godbg.send(&format!("exec {} 0.01\ncontinue &", path.display()));
    godbg.expect("pid: ");
    godbg.send("interrupt\nkill\necho over");
    godbg.expect("\nover");
    godbg.finish().success();
}

#[test]
fn it_ends_with_the_session() {
    for way in ["", "quit", "nonsense", "detach 1 2", "kill"] {
        for running in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let mut godbg = Godbg::new().start();
            let (pid, counters) = counting(&mut godbg, dir.path(), "sleeper");
            if running {
                godbg.send("continue &");
                wait_until(SOON, "it to run", || counters.get(BEAT) > 0);
            }
            godbg.send(way);
            godbg.finish();
            wait_until(SOON, &format!("the program to end by {way:?}"), || kernel::threads(pid).is_empty());
        }
    }
}

#[test]
fn it_ends_when_godbg_dies() {
    for (signal, running) in [
        (Signal::SIGKILL, false),
        (Signal::SIGKILL, true),
        (Signal::SIGTERM, true),
        (Signal::SIGINT, false),
        (Signal::SIGHUP, true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut godbg = Godbg::new().start();
        let (pid, counters) = counting(&mut godbg, dir.path(), "sleeper");
        if running {
            godbg.send("continue &");
            wait_until(SOON, "it to run", || counters.get(BEAT) > 0);
        }
        godbg.signal(signal);
        godbg.wait_exit();
        wait_until(SOON, &format!("the program to end by {signal}"), || kernel::threads(pid).is_empty());
    }
}

#[test]
fn it_lives_on_when_detached() {
    let dir = tempfile::tempdir().unwrap();
    let mut godbg = Godbg::new().start();
    let (pid, counters) = counting(&mut godbg, dir.path(), "sleeper");
    godbg.send("detach");
    godbg.finish().success();
    let beat = counters.get(BEAT);
    wait_until(SOON, "it to beat after godbg is gone", || counters.get(BEAT) > beat + 3);
    kernel::wait_let_go(pid);
    kernel::assert_text_unchanged(pid);
    kernel::signal(pid, Signal::SIGKILL);
}

/// The foreground process group of a process's terminal, as the kernel says.
fn foreground(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(") ").next().unwrap().split(' ').nth(5).unwrap().parse().unwrap()
}

/// A godbg on a terminal with a program started under it and stopped: the session and the program's pid.
fn on_terminal(name: &str, words: &str) -> (Pty, i32) {
    let mut godbg = Pty::at_prompt(Godbg::new());
    godbg.line(&format!("exec {} {words}", path_of(name)));
    godbg.expect_row_end("stopped] godbg>");
    let pid = kernel::children(godbg.pid())[0];
    (godbg, pid)
}

#[test]
fn the_terminal_is_handed_over_and_taken_back() {
    let (mut godbg, pid) = on_terminal("terminal", "");
    assert_eq!(foreground(godbg.pid()), godbg.pid(), "the terminal is godbg's while the program is stopped");
    godbg.line("continue");
    godbg.expect("end of report");
    godbg.expect(&format!("pgid: {pid}"));
    godbg.expect(&format!("tcpgid: {pid}"));
    assert_eq!(foreground(godbg.pid()), pid);
    godbg.line("hello");
    godbg.expect("read: hello");
    godbg.send(CTRL_C);
    godbg.expect_prompt(&format!("[{pid} stopped] godbg>"));
    assert_eq!(foreground(godbg.pid()), godbg.pid());
    godbg.line("continue");
    wait_until(SOON, "the terminal to be the program's again", || foreground(godbg.pid()) == pid);
    godbg.line("again");
    godbg.expect("read: again");
    godbg.line("end");
    godbg.expect("exited with status 5");
    godbg.expect_prompt("godbg>");
    assert_eq!(foreground(godbg.pid()), godbg.pid());
    godbg.line("echo still 'here'");
    godbg.expect("\nstill here");
}

#[test]
fn a_program_in_the_background_that_wants_the_terminal_gets_it_by_continue() {
    let (mut godbg, pid) = on_terminal("terminal", "");
    godbg.line("continue &");
    godbg.expect("it wants the terminal (SIGTTIN)");
    godbg.expect_prompt(&format!("[{pid} stopped] godbg>"));
    assert_eq!(foreground(godbg.pid()), godbg.pid());
    godbg.line("continue");
    wait_until(SOON, "the terminal to be the program's", || foreground(godbg.pid()) == pid);
    godbg.line("hello");
    godbg.expect("read: hello");
    godbg.line("end");
    godbg.expect("exited with status 5");
    godbg.expect_prompt("godbg>");
}

#[test]
fn ctrl_c_and_ctrl_z_interrupt_without_a_signal_to_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("counters");
    std::fs::write(&path, [0; 4096]).unwrap();
    let (mut godbg, pid) = on_terminal("sigcont", &path.display().to_string());
    let counters = Counters::open(&path);
    for key in [CTRL_C, CTRL_Z, CTRL_C, CTRL_Z] {
        godbg.line("continue");
        let goal = counters.get(BEAT) + 3;
        wait_until(SOON, "the program to run", || counters.get(BEAT) > goal);
        godbg.send(key);
        godbg.expect_prompt(&format!("[{pid} stopped] godbg>"));
        kernel::wait_all_stopped(pid);
    }
    godbg.line("detach");
    godbg.expect_prompt("godbg>");
    let goal = counters.get(BEAT) + 3;
    wait_until(SOON, "the program to run on", || counters.get(BEAT) > goal);
    assert_eq!((counters.get(3), counters.get(4)), (0, 0), "signals that the program was given");
    kernel::signal(pid, Signal::SIGKILL);
}

#[test]
fn quit_asks_before_it_kills() {
    let (mut godbg, pid) = on_terminal("terminal", "");
    godbg.line("quit");
    godbg.expect("?");
    godbg.line("n");
    godbg.expect_prompt(&format!("[{pid} stopped] godbg>"));
    assert!(kernel::all_stopped(pid));
    godbg.line("quit");
    godbg.expect_row_end("");
    wait_until(SOON, "the second question", || godbg.text().matches('?').count() >= 2);
    godbg.line("y");
    assert_eq!(godbg.wait_exit().code(), Some(0));
    wait_until(SOON, "the program to end", || kernel::threads(pid).is_empty());
}

#[test]
fn kill_asks_on_a_terminal_and_not_in_a_script() {
    let (mut godbg, pid) = on_terminal("terminal", "");
    godbg.line("kill");
    godbg.expect("?");
    godbg.line("n");
    godbg.expect_prompt(&format!("[{pid} stopped] godbg>"));
    assert!(kernel::all_stopped(pid));
    godbg.line("kill");
    wait_until(SOON, "the second question", || godbg.text().matches('?').count() >= 2);
    godbg.line("y");
    godbg.expect_prompt("godbg>");
    wait_until(SOON, "the program to end", || kernel::threads(pid).is_empty());
    Godbg::new().run_script("exec /bin/cat\nkill\necho over\n").success().says("\nover");
}
