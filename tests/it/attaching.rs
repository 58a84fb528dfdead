//! "Attaching, case by case": whom godbg attaches to, what it then holds, and what it leaves.

use std::time::Duration;

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::harness::fixture::{BEAT, Fixture, STOP};
use crate::harness::godbg::{Godbg, Live};
use crate::harness::kernel::{self, SOON, Snapshot, wait_until};
use crate::harness::watched::Watched;
use crate::harness::{quick, skip};

/// A godbg that holds a process, its commands coming through a pipe.
pub fn hold(pid: i32) -> Live {
    let mut godbg = Godbg::new().start();
    godbg.send(&format!("attach {pid}"));
    godbg.expect("stopped in");
    godbg
}

/// Runs commands on an attached process and detaches.
fn attached(pid: i32, commands: &str) -> crate::harness::godbg::Outcome {
    Godbg::new().run_script(format!("attach {pid}\n{commands}\ndetach\n"))
}

#[test]
fn every_thread_of_a_process_stops_and_goes_on() {
    for count in [1, 2, 10, 200, if quick() { 500 } else { 3000 }] {
        let target = Fixture::start("sleeper", &[&count.to_string()]);
        let before = Snapshot::of(target.pid());
        let mut godbg = hold(target.pid());
        assert!(kernel::all_stopped(target.pid()), "{:?}", kernel::threads(target.pid()));
        assert_eq!(kernel::threads(target.pid()).len(), count);
        target.assert_frozen();
        let threads = if count == 1 { "1 thread stopped in".into() } else { format!("{count} threads stopped in") };
        godbg.expect(&threads);
        godbg.send("detach");
        godbg.expect("it was held for");
        before.assert_restored();
        target.assert_beats();
        godbg.finish().success();
    }
}

#[test]
fn sleeping_calls_are_not_cut_short() {
    let target = Fixture::start("sleeper", &["5", "futex,nanosleep,read,pause"]);
    for _ in 0..10 {
        attached(target.pid(), "").success();
    }
    target.assert_beats();
    let back: Vec<u64> = (8..13).map(|slot| target.get(slot)).collect();
    assert_eq!(back, [0; 5], "calls that came back");
}

#[test]
fn an_endless_epoll_wait_does_not_come_back() {
    let target = Fixture::start("epoll_eintr", &[]);
    for _ in 0..10 {
        attached(target.pid(), "").success();
    }
    target.assert_beats();
    // The kernel ends epoll_wait with EINTR at every stop; godbg has it made again.
    assert_eq!((target.get(3), target.get(4)), (0, 0), "(EINTR, others) of 10 stops");
}

#[test]
fn threads_born_and_dying_all_the_time_are_all_caught() {
    let target = Fixture::start("churn", &["6"]);
    let before = Snapshot::of(target.pid());
    for _ in 0..5 {
        let mut godbg = hold(target.pid());
        kernel::wait_all_stopped(target.pid());
        let tids = kernel::tids(target.pid());
        godbg.send("threads\necho one\nthreads\necho two");
        godbg.expect("\ntwo");
        assert_eq!(tids, kernel::tids(target.pid()), "threads were born in a stopped process");
        let output = godbg.output();
        for tid in &tids {
            let rows = output.lines().filter(|row| row.split_whitespace().any(|word| word == tid.to_string()));
            assert!(rows.count() >= 2, "thread {tid} is not in both listings:\n{output}");
        }
        godbg.send("detach");
        godbg.finish().success();
        before.assert_code_restored();
        target.assert_grows(3, 20);
    }
    target.set(STOP, 1);
}

#[test]
fn a_process_stopped_by_job_control_stays_stopped() {
    let target = Watched::start();
    kernel::signal(target.pid(), Signal::SIGSTOP);
    wait_until(SOON, "the parent to be told of the stop", || target.reports() == (1, 0, 0));
    let before = Snapshot::of(target.pid());
    for _ in 0..3 {
        let outcome = attached(target.pid(), "threads\nstatus").success();
        assert!(outcome.stdout.contains("SIGSTOP") || outcome.stdout.contains("job control"), "{}", outcome.stdout);
        before.assert_restored();
    }
    // Let run by `continue`, it stays stopped too, and says so.
    let mut godbg = hold(target.pid());
    godbg.send("continue &\necho done");
    godbg.expect("\ndone");
    let states = kernel::threads(target.pid());
    assert!(states.iter().all(|thread| matches!(thread.state, 't' | 'T')), "{states:?}");
    godbg.send("detach");
    godbg.finish().success();
    before.assert_restored();
    assert_eq!(target.reports(), (1, 0, 0), "what the parent was told");
    assert_eq!(target.handled(), (0, 0));
    kernel::signal(target.pid(), Signal::SIGCONT);
    target.assert_beats();
    wait_until(SOON, "the parent to be told that it goes on", || target.reports() == (1, 1, 0));
    assert_eq!(target.handled(), (1, 0), "the SIGCONT handler");
}

#[test]
fn a_process_stopped_and_continued_while_held_ends_up_as_its_parent_wants() {
    let target = Watched::start();
    let mut godbg = hold(target.pid());
    kernel::signal(target.pid(), Signal::SIGSTOP);
    godbg.send("detach\necho gone");
    godbg.expect("\ngone");
    wait_until(SOON, "the stop to take effect", || target.reports().0 == 1);
    wait_until(SOON, "all threads to be stopped", || kernel::threads(target.pid()).iter().all(|t| t.state == 'T'));
    kernel::signal(target.pid(), Signal::SIGCONT);
    target.assert_beats();
    godbg.finish().success();
}

#[test]
fn workers_of_a_dead_leader_are_held() {
    let target = Fixture::start("zombie_leader", &["4"]);
    let before = Snapshot::of(target.pid());
    let mut godbg = hold(target.pid());
    kernel::wait_all_stopped(target.pid());
    target.assert_frozen();
    godbg.send("threads\nstatus\ndetach");
    let outcome = godbg.finish().success();
    let leader = outcome.stdout.lines().find(|row| row.contains(&format!(" {} ", target.pid())) && row.contains(" Z "));
    assert!(leader.is_some(), "the leader is not listed as Z:\n{}", outcome.stdout);
    before.assert_restored();
    target.assert_beats();
}

#[test]
fn a_worker_stands_for_its_process() {
    let target = Fixture::start("sleeper", &["4"]);
    let worker = kernel::tids(target.pid())[2];
    let mut godbg = hold(worker);
    kernel::wait_all_stopped(target.pid());
    godbg.expect(&target.pid().to_string());
    godbg.send("detach");
    godbg.finish().success();
    kernel::wait_let_go(target.pid());
}

#[test]
fn an_ancestor_is_attached_with_a_warning() {
    let script = r#""$0" -q --batch -e "attach $$" -e detach; echo "status $?""#;
    let outcome = Godbg::wrapped(&["sh", "-c", script]).run();
    assert!(outcome.stdout.contains("status 0"), "{outcome:?}");
    let all = format!("{}{}", outcome.stdout, outcome.stderr).to_lowercase();
    assert!(["ancestor", "started from", "frozen", "runs under"].iter().any(|word| all.contains(word)), "{all}");
}

#[test]
fn what_another_tracer_holds_is_left_alone() {
    let target = Fixture::start("sleeper", &["3"]);
    let pid = Pid::from_raw(target.pid());
    ptrace::seize(pid, ptrace::Options::empty()).unwrap();
    let outcome = Godbg::new().args(["--batch", "attach", &target.pid().to_string()]).run();
    let (own_pid, own_name) = (std::process::id().to_string(), std::fs::read_to_string("/proc/self/comm").unwrap());
    outcome.status(1).complains("traced by").complains(&own_pid).complains(own_name.trim()).one_error();
    let states = kernel::threads(target.pid());
    assert_eq!(states[0].tracer, nix::unistd::gettid().as_raw(), "{states:?}");
    assert!(states[1..].iter().all(|thread| thread.tracer == 0 && thread.state != 't'), "{states:?}");
    target.assert_beats();
    ptrace::interrupt(pid).unwrap();
    waitpid(pid, None).unwrap();
    ptrace::detach(pid, None).unwrap();
}

#[test]
fn a_process_in_another_pid_namespace_works() {
    let probe = std::process::Command::new("unshare").args(["--pid", "--fork", "true"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return skip("no right to make a PID namespace");
    }
    let builder = Fixture::of("sleeper").wrapper(&["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]);
    let target = builder.args(["4"]).start();
    let pid = kernel::children(target.pid())[0];
    let before = Snapshot::of(pid);
    let outcome = attached(pid, "threads\nstatus").success();
    assert!(outcome.stdout.contains("4 threads"), "{outcome:?}");
    before.assert_restored();
    target.assert_beats();
}

#[test]
fn a_deleted_or_replaced_executable_works() {
    for replaced in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passing");
        let target = Fixture::of("sleeper").copied_to(&path).args(["3"]).start();
        std::fs::remove_file(&path).unwrap();
        if replaced {
            std::fs::write(&path, "another file").unwrap();
        }
        let before = Snapshot::of(target.pid());
        attached(target.pid(), "threads\nstatus").success().says("passing");
        before.assert_restored();
        target.assert_beats();
    }
}

#[test]
fn a_thread_in_vfork_is_named_and_joins_when_it_wakes() {
    let (let_go, vfork_tid) = (3, 4);
    let target = Fixture::start("vfork_parent", &[]);
    let sleeper = target.get(vfork_tid).to_string();
    let mut godbg = hold(target.pid());
    target.assert_frozen();
    wait_until(SOON, "the thread to be named", || godbg.output().contains(&sleeper));
    godbg.send("threads\necho listed");
    godbg.expect("\nlisted");
    target.set(let_go, 1);
    kernel::wait_all_stopped(target.pid());
    godbg.send("threads\ndetach");
    godbg.finish().success();
    kernel::wait_let_go(target.pid());
    target.assert_beats();
    wait_until(SOON, "the vfork child to be reaped", || target.get(6) == 1);
}

#[test]
fn detach_does_not_wait_for_a_thread_in_vfork() {
    let (let_go, vfork_tid) = (3, 4);
    let target = Fixture::start("vfork_parent", &[]);
    let mut godbg = hold(target.pid());
    let begin = std::time::Instant::now();
    godbg.send("detach\necho gone");
    godbg.expect("\ngone");
    assert!(begin.elapsed() < Duration::from_secs(3), "detach took {:?}", begin.elapsed());
    target.assert_beats();
    assert!(godbg.output().contains(&target.get(vfork_tid).to_string()), "{}", godbg.output());
    // Still in vfork: godbg may trace it until it wakes, and lets it go then.
    target.set(let_go, 1);
    kernel::wait_let_go(target.pid());
    wait_until(SOON, "the vfork child to be reaped", || target.get(6) == 1);
    godbg.finish().success();
    kernel::wait_let_go(target.pid());
}

#[test]
fn leaving_with_a_thread_in_vfork_is_bounded_and_leaves_it_working() {
    let target = Fixture::start("vfork_parent", &[]);
    let godbg = hold(target.pid());
    let begin = std::time::Instant::now();
    godbg.finish();
    assert!(begin.elapsed() < Duration::from_secs(5), "it took {:?}", begin.elapsed());
    target.set(3, 1);
    wait_until(SOON, "the vfork child to be reaped", || target.get(6) == 1);
    kernel::wait_let_go(target.pid());
    target.assert_beats();
}

#[test]
fn a_target_that_is_killed_while_held_is_reaped_and_reported() {
    let mut target = Fixture::start("sleeper", &["5"]);
    let mut godbg = hold(target.pid());
    target.signal(Signal::SIGKILL);
    // The parent gets its child's end although godbg does nothing but wait for a command.
    let status = target.wait_end();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    godbg.send("echo still here\ntry threads\nps sleeper");
    godbg.expect("still here");
    godbg.expect("SIGKILL");
    godbg.finish().status(0);
}

#[test]
fn a_target_that_dies_in_a_sleep_or_a_wait_is_reported() {
    for (how, word) in [("exit", "status 3"), ("group", "status 4"), ("signal", "SIGSEGV"), ("abort", "SIGABRT")] {
        let mut target = Fixture::start("dies", &[how, "0", "6"]);
        let mut godbg = hold(target.pid());
        godbg.send("continue &\necho runs");
        godbg.expect("\nruns");
        target.set(3, 1);
        // A deadly signal stops the process first, and `continue` gives it what it was sent.
        if matches!(how, "signal" | "abort") {
            godbg.send("wait 5s\ncontinue\necho over");
        } else {
            godbg.send("try wait 5s\necho over");
        }
        godbg.expect("\nover");
        godbg.expect(word);
        target.wait_end();
        godbg.finish();
    }
}

#[test]
fn execs_are_followed() {
    let target = Fixture::start("execer", &["5"]);
    let mut godbg = hold(target.pid());
    for _ in 0..5 {
        godbg.send("continue &");
        target.assert_grows(BEAT, 4);
        godbg.send("interrupt\nthreads");
        kernel::wait_all_stopped(target.pid());
    }
    godbg.send("detach");
    godbg.finish().success();
    kernel::wait_let_go(target.pid());
    target.assert_grows(BEAT, 4);
    assert_eq!(target.get(3) + target.get(4), target.get(BEAT) - 1, "an exec was lost");
}

#[test]
fn attaching_in_the_middle_of_execs_never_hangs() {
    let target = Fixture::start("execer", &["1"]);
    for _ in 0..if quick() { 10 } else { 40 } {
        let words = ["--batch", "attach", &target.pid().to_string(), "-e", "continue &", "-e", "detach"];
        Godbg::new().args(words).bound(Duration::from_secs(20)).run().success();
        kernel::wait_let_go(target.pid());
        target.assert_grows(BEAT, 2);
    }
}

#[test]
fn children_are_let_go_untraced() {
    let target = Fixture::start("forker", &[]);
    let mut godbg = hold(target.pid());
    godbg.send("continue &");
    target.assert_grows(BEAT, 20);
    godbg.send("interrupt\ncontinue &");
    target.assert_grows(BEAT, 5);
    godbg.send("interrupt\ndetach");
    godbg.finish().success();
    kernel::wait_let_go(target.pid());
    target.assert_grows(BEAT, 5);
    let (wrong, traced, stops) = (target.get(6), target.get(7), target.get(8));
    assert_eq!((wrong, traced, stops), (0, 0, 0), "children (wrong end, left traced, stopped); {:#x}", target.get(9));
}

#[test]
fn signals_that_come_while_held_arrive_once_each() {
    let target = Watched::start();
    let mut godbg = hold(target.pid());
    for signal in [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGALRM, Signal::SIGTERM, Signal::SIGWINCH] {
        kernel::signal(target.pid(), signal);
    }
    godbg.send("threads\ndetach");
    godbg.finish().success();
    wait_until(SOON, "five signals to arrive", || target.handled().1 >= 5);
    target.assert_beats();
    assert_eq!(target.handled(), (0, 5));
    assert_eq!(target.reports(), (0, 0, 0));
}

#[test]
fn signals_that_stop_the_process_are_delivered_at_detach() {
    let target = Watched::start();
    let mut godbg = hold(target.pid());
    godbg.send("continue &\necho runs");
    godbg.expect("\nruns");
    kernel::signal(target.pid(), Signal::SIGUSR1);
    godbg.send("wait 5s");
    kernel::wait_all_stopped(target.pid());
    godbg.expect("SIGUSR1");
    kernel::signal(target.pid(), Signal::SIGUSR2);
    godbg.send("detach");
    godbg.finish().success();
    wait_until(SOON, "both signals to arrive", || target.handled().1 >= 2);
    target.assert_beats();
    assert_eq!(target.handled(), (0, 2));
}

#[test]
fn blocked_pending_signals_stay_pending_and_arrive_later() {
    let target = Fixture::start("blocked", &[]);
    let before = Snapshot::of(target.pid());
    for _ in 0..5 {
        attached(target.pid(), "status").success();
        before.assert_restored();
    }
    target.set(3, 1);
    wait_until(SOON, "the signals to arrive", || target.get(4) + target.get(5) + target.get(6) >= 5);
    target.assert_beats();
    assert_eq!((target.get(4), target.get(5), target.get(6)), (1, 1, 3));
}

#[test]
fn a_name_finds_its_process_and_several_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let name = format!("uniq{}", std::process::id());
    let path = dir.path().join(&name);
    let first = Fixture::of("sleeper").copied_to(&path).args(["2"]).start();
    let outcome = Godbg::new().args(["--batch", "attach", &name, "-e", "detach"]).run();
    outcome.success().says(&first.pid().to_string());
    let other = tempfile::tempdir().unwrap();
    let second = Fixture::of("sleeper").copied_to(&other.path().join(&name)).args(["2"]).start();
    let outcome = Godbg::new().args(["--batch", "attach", &name]).run().status(1);
    let all = format!("{}{}", outcome.stdout, outcome.stderr);
    for target in [&first, &second] {
        assert!(all.contains(&target.pid().to_string()), "{all}");
        assert!(kernel::threads(target.pid()).iter().all(|thread| thread.tracer == 0));
        target.assert_beats();
    }
}

#[test]
fn programs_of_rust_go_and_a_shell_work() {
    let rust = Fixture::start("spin", &["2"]);
    attached(rust.pid(), "threads").success().says("spin-0");
    rust.assert_beats();
    if let Some(go) = Fixture::start_go("goload", &[]) {
        attached(go.pid(), "threads\nstatus").success().says("goload");
        go.assert_beats();
        assert_eq!(go.get(5), 0, "wrong sums");
    }
}
