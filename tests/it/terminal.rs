//! The shell on a terminal: editing, history, completion, hints, Ctrl-C, Ctrl-D, notices above the prompt.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::harness::fixture::Fixture;
use crate::harness::godbg::Godbg;
use crate::harness::kernel::{self, SOON, Snapshot, wait_until};
use crate::harness::pty::{CTRL_C, CTRL_D, Pty};
use crate::harness::watched::Watched;

const LEFT: &str = "\u{1b}[D";
const UP: &str = "\u{1b}[A";
const BACKSPACE: &str = "\u{7f}";

/// A session on a terminal with a process attached.
fn attached(pid: i32) -> Pty {
    let mut godbg = Pty::at_prompt(Godbg::new());
    godbg.line(&format!("attach {pid}"));
    godbg.expect_prompt(&format!("[{pid} stopped] godbg>"));
    godbg
}

#[test]
fn a_line_can_be_edited() {
    let mut godbg = Pty::at_prompt(Godbg::new());
    godbg.send(&format!("echo axbc{LEFT}{LEFT}{BACKSPACE}\u{1}\u{5}d\r"));
    godbg.expect("\nabcd\n");
    godbg.send("echo one two\u{17}three\r");
    godbg.expect("\none three\n");
    godbg.line("echo 'grün 漢字'");
    godbg.expect("\ngrün 漢字");
}

#[test]
fn ctrl_c_clears_the_line_and_ctrl_d_leaves() {
    let mut godbg = Pty::at_prompt(Godbg::new());
    godbg.send("echo ju'nk'");
    godbg.expect_row_end("ju'nk'");
    godbg.send(CTRL_C);
    godbg.expect_prompt("godbg>");
    godbg.line("echo al'ive'");
    godbg.expect("\nalive");
    assert!(!godbg.text().contains("\njunk"), "{}", godbg.text());
    godbg.expect_prompt("godbg>");
    godbg.send(CTRL_D);
    assert_eq!(godbg.wait_exit().code(), Some(0), "{}", godbg.text());
}

#[test]
fn errors_do_not_end_a_session_on_a_terminal() {
    let mut godbg = Pty::at_prompt(Godbg::new());
    godbg.line("detahc");
    godbg.expect("error: ");
    godbg.line("echo still 'here'");
    godbg.expect("\nstill here");
    godbg.expect_prompt("godbg>");
    godbg.line("quit");
    // As in every shell, what was typed wrongly an hour ago does not make the session a failure... or it does: both occur.
    assert!(godbg.wait_exit().code().is_some());
}

/// Every file under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn history_is_kept_private_and_comes_back() {
    let state = tempfile::tempdir().unwrap();
    let setup = || Godbg::new().env("XDG_STATE_HOME", state.path());
    let mut godbg = Pty::at_prompt(setup());
    godbg.line("echo a line 'to keep'");
    godbg.expect("\na line to keep");
    godbg.line("quit");
    godbg.wait_exit();
    let kept = files(state.path());
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(kept[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut godbg = Pty::at_prompt(setup());
    // The last line is `quit`, the one before it is ours.
    godbg.send(&format!("{UP}{UP}"));
    godbg.expect_row_end("echo a line 'to keep'");
    godbg.send("\r");
    godbg.expect("\na line to keep");
    godbg.line("history");
    godbg.expect("echo a line 'to keep'\n");
}

#[test]
fn completion_of_commands_options_files_and_pids() {
    let target = Fixture::start("sleeper", &["3"]);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("some-script"), "echo from the script\n").unwrap();
    let mut godbg = Pty::at_prompt(Godbg::new());
    for (typed, completed) in [
        ("deta\t".to_owned(), "detach".to_owned()),
        ("attach --le\t".to_owned(), "attach --leash".to_owned()),
        (format!("source {}/some\t", dir.path().display()), format!("source {}/some-script", dir.path().display())),
        ("help thread\t".to_owned(), "help thread".to_owned()),
        ("show le\t".to_owned(), "show leash".to_owned()),
    ] {
        godbg.send(&typed);
        godbg.wait_screen(&format!("{completed:?}"), |screen| {
            screen.cursor_row().starts_with(&format!("godbg> {completed}"))
        });
        godbg.send(CTRL_C);
        godbg.expect_prompt("godbg>");
    }
    // A pid is offered with its name when there are several, or completed when it is the only one.
    let pid = target.pid().to_string();
    godbg.send(&format!("attach {pid}\t"));
    godbg.expect_row_end(&pid);
    godbg.send(CTRL_C);
    godbg.expect_prompt("godbg>");
    godbg.line(&format!("attach {pid}"));
    godbg.expect_prompt(&format!("[{pid} stopped] godbg>"));
    godbg.send("thread \t\t");
    godbg.wait_screen("the thread numbers", |screen| {
        screen.rows().iter().any(|row| row.split_whitespace().take(3).eq(["1", "2", "3"]))
    });
}

#[test]
fn completion_of_numbers_registers_signals_calls_and_mappings() {
    let target = Fixture::start("memory", &[]);
    let mut godbg = attached(target.pid());
    for line in ["break *$pc", "catch fork"] {
        godbg.line(line);
        godbg.expect("point");
    }
    for (typed, completed) in [
        ("clear 2\t", "clear 2"),
        ("print $ri\t", "print $rip"),
        ("set $rsp\t", "set $rsp"),
        ("x/2xg *(u64*)($rb\t", "x/2xg *(u64*)($rb"),
        ("regs gs_\t", "regs gs_base"),
        ("handle SIGUSR1 nos\t", "handle SIGUSR1 nostop"),
        ("catch sig\t", "catch signal"),
        ("catch syscall getpp\t", "catch syscall getppid"),
        ("syscall getpp\t", "syscall getppid"),
        ("find --in [sta\t", "find --in [stack]"),
        ("maps [sta\t", "maps [stack]"),
        ("set follow-fork ch\t", "set follow-fork child"),
    ] {
        godbg.send(typed);
        godbg.wait_screen(completed, |screen| screen.cursor_row().contains(&format!("godbg> {completed}")));
        godbg.send(CTRL_C);
        godbg.expect_prompt(&format!("[{} stopped] godbg>", target.pid()));
    }
    godbg.send("clear \t\t");
    godbg.wait_screen("both numbers", |screen| {
        screen.rows().iter().any(|row| row.split_whitespace().take(2).eq(["1", "2"]))
    });
}

#[test]
fn hints_show_behind_the_cursor_and_are_not_run() {
    let mut godbg = Pty::at_prompt(Godbg::new());
    godbg.line("echo a rather long 'line'");
    godbg.expect("\na rather long line");
    godbg.expect_prompt("godbg>");
    godbg.send("echo a ra");
    let typed = "godbg> echo a ra";
    godbg.wait_screen("a hint", |screen| {
        screen.cursor_row().starts_with(&format!("{typed}ther long")) && screen.cursor_position().1 == typed.len()
    });
    godbg.send("\r");
    godbg.expect("\na ra\n");
}

#[test]
fn a_notice_stands_above_the_prompt_and_the_line_stays() {
    let mut target = Fixture::start("sleeper", &["3"]);
    let mut godbg = attached(target.pid());
    godbg.line("continue &");
    godbg.expect_prompt(&format!("[{} running] godbg>", target.pid()));
    godbg.send("echo par'ti");
    godbg.expect_row_end("echo par'ti");
    target.signal(Signal::SIGKILL);
    target.wait_end();
    godbg.expect("SIGKILL");
    godbg.wait_screen("the line below the notice", |screen| {
        let rows = screen.rows();
        let notice = rows.iter().position(|row| row.contains("SIGKILL"));
        let prompt = rows.iter().rposition(|row| row.ends_with("godbg> echo par'ti"));
        notice.is_some() && notice < prompt && screen.cursor_row().ends_with("echo par'ti")
    });
    godbg.send("al'\r");
    godbg.expect("\npartial");
    godbg.expect_prompt("godbg>");
}

#[test]
fn ctrl_c_interrupts_a_running_target() {
    let target = Watched::start();
    let mut godbg = attached(target.pid());
    for _ in 0..3 {
        godbg.line("continue");
        target.assert_beats();
        godbg.send(CTRL_C);
        godbg.expect_prompt(&format!("[{} stopped] godbg>", target.pid()));
        kernel::wait_all_stopped(target.pid());
    }
    godbg.line("quit");
    godbg.wait_exit();
    target.assert_untouched();
}

#[test]
fn ctrl_c_ends_long_commands_and_not_the_session() {
    let target = Watched::start();
    let mut godbg = attached(target.pid());
    for command in ["sleep 60", "shell sleep 60"] {
        godbg.line(command);
        godbg.wait_screen("the command to run", |screen| screen.cursor_row().is_empty());
        godbg.send(CTRL_C);
        godbg.expect_prompt(&format!("[{} stopped] godbg>", target.pid()));
    }
    godbg.line("continue &");
    godbg.expect_prompt(&format!("[{} running] godbg>", target.pid()));
    godbg.line("wait 60");
    godbg.wait_screen("the command to run", |screen| screen.cursor_row().is_empty());
    godbg.send(CTRL_C);
    godbg.wait_screen("the prompt", |screen| screen.cursor_row().ends_with("] godbg>"));
    godbg.line("detach");
    godbg.expect_prompt("godbg>");
    target.assert_untouched();
}

#[test]
fn ctrl_c_ends_a_search_for_names() {
    // A large program nobody has listed yet: godbg itself.
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_godbg");
    let mut target = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let pid = target.id().cast_signed();
    let mut godbg = Pty::at_prompt(Godbg::new().env("XDG_CACHE_HOME", folder.path()));
    godbg.line(&format!("attach {pid}"));
    godbg.expect_prompt(&format!("[{pid} stopped] godbg>"));
    godbg.line("functions no_such_name");
    let is_reading =
        |tid: i32| std::fs::read_to_string(format!("/proc/{tid}/comm")).is_ok_and(|name| name == "all names\n");
    let shell = godbg.pid();
    wait_until(SOON, "the names to be read", || kernel::threads(shell).iter().any(|thread| is_reading(thread.tid)));
    godbg.send(CTRL_C);
    godbg.expect_prompt(&format!("[{pid} stopped] godbg>"));
    assert!(!godbg.text().contains("no functions"), "{}", godbg.text());
    godbg.line("detach");
    godbg.expect_prompt("godbg>");
    target.kill().unwrap();
    target.wait().unwrap();
}

#[test]
fn an_empty_line_repeats_continue_and_not_detach() {
    let target = Watched::start();
    let mut godbg = attached(target.pid());
    for line in ["continue", ""] {
        godbg.line(line);
        target.assert_beats();
        godbg.send(CTRL_C);
        godbg.expect_prompt(&format!("[{} stopped] godbg>", target.pid()));
    }
    godbg.line("echo on'ce'");
    godbg.expect("\nonce");
    godbg.line("");
    godbg.line("echo sec'ond'");
    godbg.expect("\nsecond");
    assert_eq!(godbg.text().matches("\nonce").count(), 1, "{}", godbg.text());
}

#[test]
fn hostile_names_never_reach_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("\u{1b}[41mevil\u{7}\n\u{202e}");
    let target = Fixture::of("hostile").copied_to(&path).start();
    let before = Snapshot::of(target.pid());
    let mut godbg = attached(target.pid());
    for command in ["threads", "status", "ps", "thread 2", "wait", "thread 3"] {
        godbg.line(command);
        godbg.expect_prompt(&format!("[{} stopped] godbg>", target.pid()));
    }
    for typed in ["thread \t\t", "attach \t\t"] {
        godbg.send(typed);
        // A list that is too long is asked about first: `n` is an answer, or one more letter.
        godbg.send("n");
        godbg.send(CTRL_C);
        godbg.expect_prompt(&format!("[{} stopped] godbg>", target.pid()));
    }
    godbg.line("detach");
    godbg.expect_prompt("godbg>");
    let raw = godbg.raw();
    let text = String::from_utf8_lossy(&raw);
    for bad in
        ["\u{1b}[31mred", "\u{1b}]0;", "\u{1b}[2Jmain", "\u{1b}[41m", "\u{9b}", "\u{202e}", "two\nlines", "\u{7}\n"]
    {
        assert!(!text.contains(bad), "{bad:?} reached the terminal");
    }
    assert!(std::str::from_utf8(&raw).is_ok(), "bytes that are not UTF-8 reached the terminal");
    assert_eq!(godbg.screen().unknown, Vec::<String>::new());
    before.assert_restored();
    // The same through pipes.
    let outcome = Godbg::new().run_script(format!("attach {}\nthreads\nstatus\nps\n", target.pid())).success();
    assert!(outcome.stdout.chars().all(|c| c == '\n' || !c.is_control()), "{outcome:?}");
}

#[test]
fn listings_fit_the_width() {
    let target = Fixture::start("sleeper", &["6"]);
    let script = format!("attach {}\nset width 60\necho begin\nthreads\n", target.pid());
    let outcome = Godbg::new().run_script(script).success();
    let listing = outcome.stdout.split("\nbegin\n").nth(1).unwrap();
    assert!(listing.lines().all(|row| row.chars().count() <= 60), "{listing}");
}

#[test]
fn ctrl_c_and_ctrl_d_in_a_question() {
    let target = Fixture::start("sleeper", &["2"]);
    let mut godbg = attached(target.pid());
    for key in [CTRL_C, CTRL_D, "n\r", "\r"] {
        godbg.line("kill");
        godbg.wait_screen("the question", |screen| screen.cursor_row().contains('?'));
        godbg.send(key);
        godbg.expect_prompt(&format!("[{} stopped] godbg>", target.pid()));
    }
    godbg.line("detach");
    godbg.expect_prompt("godbg>");
    wait_until(SOON, "the target to run", || kernel::threads(target.pid()).iter().all(|thread| thread.tracer == 0));
    target.assert_beats();
}

#[test]
fn banner_and_prompt() {
    let godbg = Pty::at_prompt(Godbg::new());
    assert!(godbg.text().contains("godbg "), "{}", godbg.text());
    let quiet = Pty::at_prompt(Godbg::new().arg("-q"));
    assert_eq!(quiet.text().trim(), "godbg>");
}

#[test]
fn an_empty_line_goes_on_where_the_last_look_ended() {
    let target = Fixture::start("memory", &[]);
    let mut godbg = attached(target.pid());
    for (line, expected) in [
        ("x/2xw 0x1000000", "\n0x1000000 <[anon]>:"),
        ("", "\n0x1000008 <[anon]+0x8>:"),
        ("", "\n0x1000010 <[anon]+0x10>:"),
        ("disassemble -n 2 0x1007000", "   0x1007001 <[anon]+0x1>:"),
        ("", "   0x1007009 <[anon]+0x9>:"),
    ] {
        godbg.line(line);
        godbg.expect(expected);
        godbg.expect_prompt(&format!("[{} stopped] godbg>", target.pid()));
    }
}

#[test]
fn an_empty_line_repeats_steps_and_continue_and_the_prompt_says_stopped() {
    let target = Fixture::start("spin", &["1"]);
    let pid = target.pid();
    let mut godbg = attached(pid);
    let stopped = format!("[{pid} stopped] godbg>");
    for command in ["stepi", "nexti"] {
        for line in [command, "", ""] {
            let before = godbg.text().matches("thread 1").count();
            godbg.line(line);
            wait_until(SOON, "a step", || godbg.text().matches("thread 1").count() > before);
            godbg.expect_prompt(&stopped);
        }
    }
    godbg.line("continue &");
    godbg.expect_prompt(&format!("[{pid} running] godbg>"));
    godbg.line("interrupt");
    godbg.expect_prompt(&stopped);
    godbg.line("status");
    godbg.expect("\n  breakpoints");
}

#[test]
fn the_prompt_follows_a_stop_in_the_background_and_what_on_runs_at_it() {
    let target = Fixture::start("sleeper", &["1"]);
    let pid = target.pid();
    let mut godbg = attached(pid);
    for line in ["handle SIGUSR1 nopass", "catch signal SIGUSR1", "on 1 print 40 + 2", "on 1 continue", "continue &"] {
        godbg.line(line);
        let state = if line == "continue &" { "running" } else { "stopped" };
        godbg.expect_prompt(&format!("[{pid} {state}] godbg>"));
    }
    target.signal(Signal::SIGUSR1);
    godbg.expect("= 42\n");
    godbg.expect("runs on\n");
    godbg.expect_prompt(&format!("[{pid} running] godbg>"));
    godbg.line("on 1 clear");
    godbg.expect_prompt(&format!("[{pid} running] godbg>"));
    target.signal(Signal::SIGUSR1);
    godbg.expect_prompt(&format!("[{pid} stopped] godbg>"));
}

#[test]
fn ctrl_c_ends_a_long_listing() {
    let Some(target) = Fixture::start_go("goroutines", &["30000"]) else { return };
    let mut godbg = attached(target.pid());
    godbg.line("goroutines -s");
    godbg.expect("goroutine 1 [");
    godbg.send(CTRL_C);
    godbg.expect_prompt(&format!("[{} stopped] godbg>", target.pid()));
    // The last line of a listing.
    assert!(!godbg.text().contains("\n300"), "it was shown whole");
    godbg.line("echo al'ive'");
    godbg.expect("\nalive");
    godbg.line("detach");
    godbg.expect_prompt("godbg>");
    target.assert_beats();
}
