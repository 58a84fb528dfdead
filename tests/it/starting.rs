//! "Starting": the command line, scripts, their order and their echo, exit statuses.

use std::process::Stdio;

use crate::harness::fixture::Fixture;
use crate::harness::godbg::Godbg;
use crate::harness::kernel;

#[test]
fn help_and_version() {
    for words in [["--help"], ["-h"]] {
        let outcome = Godbg::new().args(words).run().success();
        for word in ["attach", "exec", "--batch", "--format", "--color", "--quiet", "--command-file", "--eval"] {
            assert!(outcome.stdout.contains(word), "{word}: {outcome:?}");
        }
    }
    Godbg::new().args(["--version"]).run().success().says(&format!("godbg {}", env!("CARGO_PKG_VERSION")));
    Godbg::new().args(["-V"]).run().success().says("godbg ");
}

#[test]
fn files_and_commands_run_in_the_order_given() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    std::fs::write(&script, "echo two\n").unwrap();
    let outcome =
        Godbg::new().args(["-q", "-e", "echo one", "-x"]).arg(&script).args(["-e", "echo three", "--batch"]).run();
    assert_eq!(outcome.success().stdout, "one\ntwo\nthree\n");
}

#[test]
fn commands_run_after_the_attach() {
    let target = Fixture::start("sleeper", &["3"]);
    let words = ["-e", "threads", "--batch", "attach", &target.pid().to_string()];
    let outcome = Godbg::new().args(words).run().success();
    assert!(outcome.stdout.find("stopped in") < outcome.stdout.find("3 threads:"), "{outcome:?}");
    kernel::wait_let_go(target.pid());
}

#[test]
fn input_that_is_no_terminal_is_a_script() {
    let outcome = Godbg::new().args(["-e", "echo first"]).run_script("echo second\n").success();
    assert!(outcome.stdout.find("first") < outcome.stdout.find("second"), "{outcome:?}");
    Godbg::new().args(["-q", "-x", "-"]).run_script("echo one\n").success().says("one");
    // With --batch standard input is left alone.
    Godbg::new().args(["-q", "--batch", "-e", "echo one"]).run_script("echo two\n").success().says_not("two");
}

#[test]
fn script_lines_are_echoed_behind_the_prompt() {
    let target = Fixture::start("sleeper", &["1"]);
    let pid = target.pid();
    let outcome = Godbg::new().run_script(format!("attach {pid}\necho here\ndetach\necho there\n")).success();
    for line in [
        format!("godbg> attach {pid}\n"),
        format!("[{pid} stopped] godbg> echo here\nhere\n"),
        format!("[{pid} stopped] godbg> detach\n"),
        "godbg> echo there\nthere\n".into(),
    ] {
        assert!(outcome.stdout.contains(&line), "{line:?} in {outcome:?}");
    }
    let quiet = Godbg::new().arg("-q").run_script("echo here\n").success();
    assert_eq!(quiet.stdout, "here\n");
}

#[test]
fn a_script_ends_at_its_first_failure() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script").display().to_string();
    std::fs::write(&script, "echo one\n\n# nothing\nnonsense here\necho two\n").unwrap();
    let outcome = Godbg::new().args(["--batch", "-x", &script]).run().status(1);
    let outcome = outcome.says("\none").says_not("\ntwo").complains(&format!("{script}:4: nonsense"));
    outcome.one_error();
    // A nested one names the inner place.
    let outer = dir.path().join("outer").display().to_string();
    std::fs::write(&outer, format!("source {script}\n")).unwrap();
    Godbg::new().args(["--batch", "-x", &outer]).run().status(1).complains(&format!("{script}:4: "));
}

#[test]
fn try_goes_on() {
    let outcome = Godbg::new().run_script("try nonsense\ntry detach\necho two\n").success();
    assert_eq!(outcome.stdout.matches("failed: ").count(), 2, "{outcome:?}");
    outcome.says("\ntwo");
}

#[test]
fn quit_in_a_script_ends_it() {
    for word in ["quit", "q", "exit"] {
        Godbg::new().run_script(format!("echo one\n{word}\necho two\n")).success().says("one").says_not("\ntwo");
    }
}

#[test]
fn unambiguous_prefixes_and_aliases() {
    let target = Fixture::start("sleeper", &["3"]);
    let script = format!("att {}\ninfo threads\nc &\npause\ndet\n", target.pid());
    Godbg::new().run_script(script).success().says("3 threads").says("held for");
    kernel::wait_let_go(target.pid());
}

#[test]
fn colour_is_for_terminals_or_when_asked_for() {
    let target = Fixture::start("sleeper", &["2"]);
    let pid = target.pid().to_string();
    let run =
        |words: &[&str]| Godbg::new().args(words).args(["--batch", "attach", &pid, "-e", "threads"]).run().success();
    run(&[]).says_not("\u{1b}");
    run(&["--color", "never"]).says_not("\u{1b}");
    run(&["--color", "always"]).says("\u{1b}[");
}

#[test]
fn wait_that_runs_out_is_a_failure() {
    let target = Fixture::start("sleeper", &["2"]);
    let script = format!("attach {}\ncontinue &\nwait 100ms\n", target.pid());
    Godbg::new().run_script(script).status(1).complains("stdin:3: ");
    kernel::wait_let_go(target.pid());
    target.assert_beats();
}

#[test]
fn wait_shows_the_status_and_the_usage_of_resources() {
    let target = Fixture::start("sleeper", &["2"]);
    let outcome = Godbg::new().run_script(format!("attach {}\nwait\n", target.pid())).success();
    let outcome = outcome.says("0x80057f").says("max rss").says("user ").says("voluntary");
    outcome.says(&format!("process {} stopped", target.pid()));
}

#[test]
fn a_missing_terminal_and_closed_inputs_are_no_trouble() {
    let outcome = Godbg::wrapped(&["sh", "-c", r#"exec "$0" "$@" <&-"#]).args(["-q", "-e", "echo one"]).run();
    outcome.success().says("one");
    let outcome =
        Godbg::wrapped(&["sh", "-c", r#"exec "$0" "$@" 2>&-"#]).args(["-q", "--batch", "-e", "nonsense"]).run();
    outcome.status(1);
}

#[test]
fn shell_commands_run_in_the_shell() {
    let outcome = Godbg::new().run_script("shell echo $((40+2))\n! echo 'a  b'\n").success();
    outcome.says("42").says("a  b");
    Godbg::new().run_script("shell exit 3\n").status(1);
}

#[test]
fn a_full_disk_under_the_history_is_no_reason_to_stop() {
    let godbg = Godbg::new().env("XDG_STATE_HOME", "/dev/full");
    godbg.run_script("echo one\n").says("one").status(0);
    let godbg = Godbg::new().env("XDG_STATE_HOME", "/proc").env("HOME", "/proc");
    godbg.stdout(Stdio::null()).run_script("echo one\n").status(0);
}

#[test]
fn help_knows_every_command_of_the_table() {
    let outcome = Godbg::new().run_script("help\n").success();
    for name in [
        "attach",
        "detach",
        "exec",
        "kill",
        "ps",
        "status",
        "threads",
        "thread",
        "wait",
        "continue",
        "interrupt",
        "sleep",
        "echo",
        "source",
        "try",
        "shell",
        "history",
        "set",
        "show",
        "help",
        "quit",
    ] {
        assert!(outcome.stdout.contains(&format!("  {name}")), "{name}: {outcome:?}");
        Godbg::new().run_script(format!("help {name}\n")).success().says("usage: ");
    }
}

#[test]
fn ps_lists_who_can_be_attached_to_and_why_not_the_others() {
    let target = Fixture::start("sleeper", &["2"]);
    let outcome = Godbg::new().run_script("ps sleeper\nps\n").success();
    let outcome = outcome.says(&target.pid().to_string());
    outcome.says("kernel thread");
}

#[test]
fn status_says_what_is_held() {
    let target = Fixture::start("sleeper", &["4"]);
    let outcome = Godbg::new().run_script(format!("status\nattach {}\nstatus\n", target.pid())).success();
    outcome.says("sleeper").says("4").says(&target.pid().to_string());
}
