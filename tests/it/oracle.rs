//! The harness itself: the oracle sees what a bad debugger leaves, and the terminal driver shows what a person would see.

use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::harness::fixture::Fixture;
use crate::harness::kernel::{self, Snapshot};
use crate::harness::screen::Screen;
use crate::harness::watched::Watched;

/// True when a check fails, as it must.
fn fails(check: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(check)).is_err()
}

#[test]
fn an_untouched_process_passes() {
    let target = Watched::start();
    target.assert_untouched();
}

#[test]
fn a_changed_byte_of_code_is_seen() {
    let target = Fixture::start("sleeper", &["2"]);
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", target.pid())).unwrap();
    let code = maps.lines().find(|line| line.contains("r-xp") && line.ends_with("/sleeper")).unwrap();
    let address = u64::from_str_radix(code.split('-').next().unwrap(), 16).unwrap();
    let memory = std::fs::File::options().write(true).open(format!("/proc/{}/mem", target.pid())).unwrap();
    kernel::assert_text_unchanged(target.pid());
    memory.write_all_at(&[0xcc], address).unwrap();
    assert!(fails(|| kernel::assert_text_unchanged(target.pid())));
}

#[test]
fn a_debug_register_that_was_left_is_seen() {
    let target = Fixture::start("sleeper", &["2"]);
    let pid = Pid::from_raw(target.pid());
    ptrace::seize(pid, ptrace::Options::empty()).unwrap();
    ptrace::interrupt(pid).unwrap();
    waitpid(pid, None).unwrap();
    let register = std::mem::offset_of!(nix::libc::user, u_debugreg);
    ptrace::write_user(pid, std::ptr::without_provenance_mut(register), 0x1000).unwrap();
    ptrace::detach(pid, None).unwrap();
    assert!(fails(|| kernel::assert_debug_registers_clear(target.pid())));
}

#[test]
fn an_attach_by_sigstop_is_seen_by_the_parent_or_the_snapshot() {
    let target = Watched::start();
    kernel::signal(target.pid(), Signal::SIGSTOP);
    kernel::wait_until(kernel::SOON, "the stop", || target.reports().0 == 1);
    kernel::signal(target.pid(), Signal::SIGCONT);
    kernel::wait_until(kernel::SOON, "the handler", || target.handled().0 == 1);
    assert!(fails(|| target.assert_untouched()));
}

#[test]
fn a_thread_that_stays_traced_is_seen() {
    let target = Fixture::start("sleeper", &["3"]);
    let before = Snapshot::of(target.pid());
    before.assert_restored();
    let worker = Pid::from_raw(kernel::tids(target.pid())[1]);
    ptrace::seize(worker, ptrace::Options::empty()).unwrap();
    assert!(kernel::threads(target.pid())[1].tracer != 0 && !kernel::all_stopped(target.pid()));
    ptrace::interrupt(worker).unwrap();
    waitpid(worker, None).unwrap();
    assert_eq!(kernel::threads(target.pid())[1].state, 't');
    ptrace::detach(worker, None).unwrap();
    before.assert_restored();
}

#[test]
fn the_screen_shows_what_a_person_would_see() {
    let screen = Screen::of(b"godbg> ech\r\x1b[Kgodbg> \x1b[1mecho\x1b[m abc\x1b[3D\x1b[Kx\r\nnext\x1b[1A\rG");
    assert_eq!(screen.rows(), ["Godbg> echo x", "next"]);
    assert_eq!((screen.cursor_row().as_str(), screen.cursor_position()), ("Godbg> echo x", (0, 1)));
    assert_eq!(screen.unknown, Vec::<String>::new());
    assert_eq!(Screen::of(b"\x1b]0;title").unknown.len(), 1);
}

/// What godbg stands on: seize, interrupt, wait and detach of every thread, with no code of godbg between.
fn bare_freeze(pid: i32) {
    let tids: Vec<Pid> = kernel::tids(pid).into_iter().map(Pid::from_raw).collect();
    for &tid in &tids {
        ptrace::seize(tid, ptrace::Options::empty()).unwrap();
        ptrace::interrupt(tid).unwrap();
    }
    for &tid in &tids {
        waitpid(tid, Some(WaitPidFlag::__WALL)).unwrap();
    }
    for &tid in &tids {
        ptrace::detach(tid, None).unwrap();
    }
}

#[test]
fn the_bare_requests_are_not_seen_by_a_running_target_or_its_parent() {
    let target = Watched::start();
    for _ in 0..50 {
        bare_freeze(target.pid());
    }
    target.assert_untouched();
}

#[test]
fn the_bare_requests_are_not_seen_by_a_stopped_targets_parent() {
    let target = Watched::start();
    kernel::signal(target.pid(), Signal::SIGSTOP);
    kernel::wait_until(kernel::SOON, "the stop", || target.reports() == (1, 0, 0));
    let before = Snapshot::of(target.pid());
    for _ in 0..50 {
        bare_freeze(target.pid());
        before.assert_restored();
    }
    assert_eq!(target.reports(), (1, 0, 0));
    kernel::signal(target.pid(), Signal::SIGCONT);
    target.assert_beats();
    assert_eq!(target.handled(), (1, 0));
}

#[test]
fn the_bare_requests_cut_epoll_wait_short_once_each() {
    let target = Fixture::start("epoll_eintr", &[]);
    for _ in 0..50 {
        bare_freeze(target.pid());
    }
    target.assert_beats();
    // A fact of the kernel (epoll_wait is never restarted), and the measure for godbg: not more than one a stop.
    assert!(target.get(3) <= 50, "{}", target.get(3));
}
