//! "Wrong input": one `error:` line, often one `hint:` line, the session goes on, and nothing is lost.

use crate::attaching::hold;
use crate::harness::fixture::Fixture;
use crate::harness::godbg::{Godbg, NOBODY, Outcome};
use crate::harness::kernel::{self, Snapshot};
use crate::harness::{is_root, skip, toolchain};

/// One command that must fail: it ends a script with an error, and after `try` the session goes on.
#[track_caller]
fn fails(command: &str) -> Outcome {
    let tried = Godbg::new().run_script(format!("try {command}\necho went on\n")).success().says("\nwent on");
    assert_eq!(tried.stdout.matches("\nfailed: ").count(), 1, "{tried:?}");
    let outcome = Godbg::new().run_script(format!("{command}\necho went on\n")).status(1);
    outcome.says_not("went on").complains("error: stdin:1: ").one_error()
}

/// `attach` that must fail and leave the target alone.
#[track_caller]
fn refuses(setup: Godbg, pid: i32) -> Outcome {
    let outcome = setup.args(["--batch", "attach", &pid.to_string()]).run().status(1).one_error();
    let threads = kernel::threads(pid);
    assert!(threads.iter().all(|thread| thread.tracer == 0 && thread.state != 't'), "{threads:?}");
    outcome
}

#[test]
fn unknown_commands_name_the_nearest() {
    fails("detahc").complains("detach");
    fails("thraeds").complains("threads");
    fails("xyzzy").complains("xyzzy");
    fails("'\u{1b}[31mred'").complains("red").complains_of_one(&["\\e", "\\x1b", "\\u{1b}", "^[", "␛"]);
}

#[test]
fn ambiguous_prefixes_name_what_fits() {
    fails("s").complains("status").complains("show");
    fails("e").complains("exec").complains("echo");
}

#[test]
fn missing_and_extra_words_show_the_usage() {
    for command in
        ["attach", "attach 1 2", "detach now", "threads 1", "status 1", "sleep", "sleep 1 2", "source", "exec"]
    {
        // Of what else is wrong, that nothing is attached may come first.
        fails(command).complains_of_one(&["usage", "needs a"]);
    }
}

#[test]
fn what_is_not_a_pid() {
    for word in ["abc-no-such-process", "0", "-1", "1.5", "99999999999999999999999", "4294967297", "2147483647", "''"] {
        fails(&format!("attach {word}")).complains("error");
    }
    // On godbg's own command line a word that cannot be a pid or a name is wrong usage.
    for word in ["0", "-1", "1.5", "99999999999999999999999"] {
        Godbg::new().args(["attach", word]).run().status(2);
    }
}

#[test]
fn durations_that_are_none() {
    for word in ["x", "1x", "-1", "1e400", "''", "99999999999999999999s", "nan"] {
        fails(&format!("sleep {word}")).complains("error");
    }
}

#[test]
fn a_missing_process() {
    let pid = {
        let mut target = Fixture::start("dies", &["exit", "1"]);
        target.wait_end();
        target.pid()
    };
    fails(&format!("attach {pid}")).complains(&format!("no process {pid}")).complains("hint:");
}

#[test]
fn godbg_itself() {
    let mut godbg = Godbg::new().start();
    godbg.send(&format!("try attach {}\necho went on", godbg.pid()));
    godbg.expect("\nwent on");
    godbg.finish().success().says("itself");
}

#[test]
fn a_kernel_thread() {
    let kernel_thread = (2..200).find(|&pid| kernel::status_of(pid, "Kthread").as_deref() == Some("1"));
    let Some(pid) = kernel_thread else { return skip("no kernel thread is visible here") };
    refuses(Godbg::new(), pid).complains("kernel thread");
}

#[test]
fn a_true_zombie() {
    let parent = Fixture::start("true_zombie", &[]);
    let zombie = i32::try_from(parent.get(3)).unwrap();
    let outcome = Godbg::new().args(["--batch", "attach", &zombie.to_string()]).run().status(1).one_error();
    outcome.complains("zombie").complains(&parent.pid().to_string());
}

#[test]
fn a_second_attach() {
    let (first, second) = (Fixture::start("sleeper", &["2"]), Fixture::start("sleeper", &["2"]));
    let mut godbg = hold(first.pid());
    godbg.send(&format!("try attach {}\ntry attach {}\nstatus\necho went on", second.pid(), first.pid()));
    godbg.expect("\nwent on");
    assert!(kernel::all_stopped(first.pid()));
    kernel::wait_let_go(second.pid());
    let outcome = godbg.finish().success();
    assert_eq!(outcome.stdout.matches("failed: ").count(), 2, "{outcome:?}");
    kernel::wait_let_go(first.pid());
}

#[test]
fn commands_that_need_a_process() {
    for command in [
        "detach",
        "threads",
        "thread 1",
        "wait",
        "continue",
        "interrupt",
        "kill",
        "x/x 1",
        "find 1, 2, 3",
        "dump f 1, 2",
        "restore f 1",
        "maps",
        "fds",
        "auxv",
        "environ",
        "disassemble",
    ] {
        fails(command).complains_of_one(&["no process", "nothing is attached", "not attached", "needs a process"]);
    }
}

#[test]
fn commands_that_need_a_stop() {
    let target = Fixture::start("sleeper", &["2"]);
    let mut godbg = hold(target.pid());
    godbg.send("continue &\ntry continue\ninterrupt\ntry thread 99\ntry thread abc\ntry thread 0\necho went on");
    godbg.expect("\nwent on");
    let outcome = godbg.finish().success();
    assert_eq!(outcome.stdout.matches("failed: ").count(), 4, "{outcome:?}");
    kernel::wait_let_go(target.pid());
}

#[test]
fn another_users_process() {
    if !is_root() {
        return skip("needs root to become nobody");
    }
    let target = Fixture::start("sleeper", &["2"]);
    let outcome = refuses(Godbg::as_nobody(), target.pid());
    outcome.complains_of_one(&["uid", "user", "root"]).complains("hint:");
}

#[test]
fn an_undumpable_process() {
    if !is_root() {
        return skip("needs root to become nobody");
    }
    let dir = tempfile::tempdir().unwrap();
    open_to_all(dir.path());
    let copy = dir.path().join("undumpable");
    let target = Fixture::of("undumpable").wrapper(NOBODY).copied_to(&copy).start();
    refuses(Godbg::as_nobody(), target.pid()).complains("dumpable").complains("hint:");
    // Root may, and leaves it as it was.
    let before = Snapshot::of(target.pid());
    Godbg::new().args(["--batch", "attach", &target.pid().to_string(), "-e", "detach"]).run().success();
    before.assert_restored();
}

#[test]
fn nobody_traces_nobodys_own_process() {
    if !is_root() {
        return skip("needs root to become nobody");
    }
    if std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").is_ok_and(|scope| scope.trim() != "0") {
        return skip("Yama forbids it");
    }
    let dir = tempfile::tempdir().unwrap();
    open_to_all(dir.path());
    let copy = dir.path().join("sleeper");
    let target = Fixture::of("sleeper").wrapper(NOBODY).copied_to(&copy).args(["3"]).start();
    Godbg::as_nobody().args(["--batch", "attach", &target.pid().to_string(), "-e", "threads"]).run().success();
    kernel::wait_let_go(target.pid());
    target.assert_beats();
}

fn open_to_all(path: &std::path::Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(path, mode).unwrap();
}

/// What Yama forbids is refused in its name, and where it does not stand in the way (off, or not in this kernel), nothing is.
#[test]
fn yama() {
    if !is_root() {
        return skip("needs root to become nobody");
    }
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let dir = tempfile::tempdir().unwrap();
    open_to_all(dir.path());
    let copy = dir.path().join("sleeper");
    let target = Fixture::of("sleeper").wrapper(NOBODY).copied_to(&copy).start();
    if matches!(scope.trim(), "" | "0") {
        Godbg::as_nobody().args(["--batch", "attach", &target.pid().to_string()]).run().success();
    } else {
        refuses(Godbg::as_nobody(), target.pid()).complains("ptrace_scope");
    }
}

#[test]
fn root_without_the_capability() {
    if !is_root() {
        return skip("needs root to drop a capability");
    }
    let target = Fixture::start("sleeper", &["2"]);
    refuses(Godbg::without_cap_sys_ptrace(), target.pid()).complains("CAP_SYS_PTRACE").complains("hint:");
}

#[test]
fn a_seccomp_filter() {
    let target = Fixture::start("sleeper", &["2"]);
    let wrapper = toolchain::program("no_ptrace").unwrap();
    refuses(Godbg::wrapped(&[wrapper.to_str().unwrap()]), target.pid()).complains("seccomp").complains("hint:");
}

#[test]
fn a_seccomp_filter_on_exec() {
    let wrapper = toolchain::program("no_ptrace").unwrap();
    let outcome = Godbg::wrapped(&[wrapper.to_str().unwrap()]).args(["--batch", "exec", "/bin/true"]).run();
    outcome.status(1).complains("seccomp");
}

#[test]
fn scripts_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(at("not-utf8"), b"echo one\necho \xff\xfe\n").unwrap();
    std::fs::write(at("nul"), b"echo one\necho \0\n").unwrap();
    std::fs::write(at("itself"), format!("echo one\nsource {}\n", at("itself"))).unwrap();
    for (name, word) in [("missing", "no such file"), ("", "is a ")] {
        fails(&format!("source '{}'", at(name))).complains(word);
        Godbg::new().args(["--batch", "-x", &at(name)]).run().status(1).complains(word);
    }
    for name in ["not-utf8", "nul"] {
        let outcome = Godbg::new().args(["--batch", "-x", &at(name)]).run().status(1);
        outcome.says("one").complains(&format!("{}:2: ", at(name)));
    }
    Godbg::new().args(["--batch", "-x", &at("itself")]).run().status(1).complains(&at("itself"));
    if is_root() {
        return;
    }
    std::fs::write(at("secret"), "echo one\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    std::fs::set_permissions(at("secret"), mode).unwrap();
    Godbg::new().args(["--batch", "-x", &at("secret")]).run().status(1).complains("permission denied");
}

#[test]
fn a_script_that_is_a_fifo_or_a_device() {
    Godbg::new().args(["--batch", "-x", "/dev/null"]).run().success();
    let outcome = Godbg::new().args(["--batch", "-x", "/dev/zero"]).run();
    outcome.status(1).complains("/dev/zero");
}

#[test]
fn lines_of_a_megabyte_and_odd_bytes() {
    let long = "x".repeat(1 << 20);
    for line in [format!("{long}\n"), format!("echo {long}\n"), long] {
        let outcome = Godbg::new().run_script(format!("echo one\n{line}")).status(1).says("one").complains("stdin:2: ");
        let length = outcome.stdout.len() + outcome.stderr.len();
        assert!(length < 4096, "what it says repeats {length} bytes");
    }
    Godbg::new().run_script(b"echo one\n\xff\n".to_vec()).status(1).complains("stdin:2: ");
    Godbg::new().run_script(b"echo one\necho a\0b\n".to_vec()).status(1).complains("stdin:2: ");
    // No newline at the end, DOS line ends, blanks, comments.
    Godbg::new().run_script("  \n\t\n# comment\necho one # two\r\necho three").success().says("three").says_not("\r");
}

#[test]
fn unbalanced_quotes() {
    for line in ["echo 'a", "echo \"a", "echo a\\"] {
        Godbg::new().run_script(format!("{line}\n")).status(1).complains("stdin:1: ");
    }
}

#[test]
fn a_process_that_has_just_died() {
    let mut target = Fixture::start("sleeper", &["4"]);
    let mut godbg = hold(target.pid());
    target.signal(nix::sys::signal::Signal::SIGKILL);
    target.wait_end();
    godbg.send("try threads\ntry detach\ntry continue\ntry status\necho went on");
    godbg.expect("\nwent on");
    godbg.finish().success().says("failed: ").says("SIGKILL");
}

#[test]
fn programs_that_cannot_be_started() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plain");
    std::fs::write(&path, "not a program").unwrap();
    fails(&format!("exec {}", path.display())).complains_of_one(&["permission denied", "may not be executed"]);
    fails("exec /no/such/program").complains("no such file");
    fails(&format!("exec {}", dir.path().display())).complains("error");
    fails(&format!("exec --cwd {} /bin/true", path.display())).complains("error");
    fails("exec --env NOEQUALS /bin/true").complains("error");
    fails("exec --stdin /no/such/file /bin/true").complains("no such file");
    Godbg::new().args(["--batch", "exec", "/no/such/program"]).run().status(1).one_error();
}

#[test]
fn wrong_words_on_the_command_line_are_usage() {
    for words in
        [&["--nonsense"][..], &["attach"], &["attach", "1", "2"], &["frobnicate"], &["-x"], &["--format", "xml"]]
    {
        Godbg::new().args(words).run().status(2).complains_of_one(&["usage", "--help"]);
    }
    Godbg::new().args(["exec"]).run().status(2);
    Godbg::new().args(["--color", "sometimes"]).run().status(2);
}
