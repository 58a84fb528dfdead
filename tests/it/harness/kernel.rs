//! The oracle: what the kernel itself says about a process, before and after a session.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, Instant};

use godbg::kernel::ptrace::Tracer;
use godbg::kernel::wait::{self, Report, Stop};
use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// The one short sleep of the harness.
pub fn nap() {
    std::thread::sleep(Duration::from_millis(1));
}

/// Polls until a fact holds; fails with what was awaited.
#[track_caller]
pub fn wait_until(bound: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < bound, "waited {bound:?} in vain for {what}");
        nap();
    }
}

/// Ten seconds: longer than anything here should take on a busy machine.
pub const SOON: Duration = Duration::from_secs(10);

pub fn signal(pid: i32, signal: Signal) {
    nix::sys::signal::kill(Pid::from_raw(pid), signal).unwrap();
}

/// A pid that could be one and is not.
pub fn unused_pid() -> i32 {
    let most: i32 = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap().trim().parse().unwrap();
    (1..most).rev().find(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()).unwrap()
}

/// One line of /proc/PID/status, or `None` when there is no such process (any more).
pub fn status_of(pid: i32, field: &str) -> Option<String> {
    field_of(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, field)
}

fn field_of(status: &str, field: &str) -> Option<String> {
    status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(|value| value.trim().to_owned())
}

/// What the kernel says about one thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    pub tid: i32,
    pub state: char,
    pub tracer: i32,
    pub pending: String,
}

/// Every thread of a process, in the order of their tids; those that end meanwhile are left out.
pub fn threads(pid: i32) -> Vec<Thread> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let tids = tasks.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut threads: Vec<Thread> = tids.filter_map(|tid| thread(pid, tid)).collect();
    threads.sort_by_key(|thread| thread.tid);
    threads
}

fn thread(pid: i32, tid: i32) -> Option<Thread> {
    let status = fs::read(format!("/proc/{pid}/task/{tid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    Some(Thread {
        tid,
        state: field_of(&status, "State")?.chars().next()?,
        tracer: field_of(&status, "TracerPid")?.parse().ok()?,
        pending: field_of(&status, "SigPnd")?,
    })
}

pub fn tids(pid: i32) -> Vec<i32> {
    threads(pid).iter().map(|thread| thread.tid).collect()
}

/// The children of a process (of all its threads).
pub fn children(pid: i32) -> Vec<i32> {
    let lists =
        tids(pid).into_iter().filter_map(|tid| fs::read_to_string(format!("/proc/{pid}/task/{tid}/children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>()).collect()
}

/// Every living thread is traced by one tracer and stands still in a ptrace stop.
pub fn all_stopped(pid: i32) -> bool {
    let threads = threads(pid);
    let alive = threads.iter().filter(|thread| !matches!(thread.state, 'Z' | 'X'));
    !threads.is_empty() && alive.clone().all(|thread| thread.state == 't' && thread.tracer != 0)
}

#[track_caller]
pub fn wait_all_stopped(pid: i32) {
    wait_until(SOON, &format!("every thread of {pid} to be in a traced stop: {:?}", threads(pid)), || all_stopped(pid));
}

/// Nobody traces any thread, and none is left in a stop (`t`; `T` only when `stopped`, and then each one).
fn is_let_go(pid: i32, stopped: bool) -> bool {
    let threads = threads(pid);
    threads.iter().all(|thread| {
        thread.tracer == 0 && thread.state != 't' && (thread.state == 'Z' || (thread.state == 'T') == stopped)
    })
}

#[track_caller]
pub fn wait_let_go(pid: i32) {
    let begin = Instant::now();
    while !is_let_go(pid, false) {
        assert!(begin.elapsed() < SOON, "{pid} was not let go: {:?}", threads(pid));
        nap();
    }
}

/// How a process stood before a session; `assert_restored` compares.
pub struct Snapshot {
    pid: i32,
    stopped: bool,
    shared_pending: String,
    pending: BTreeMap<i32, String>,
}

impl Snapshot {
    pub fn of(pid: i32) -> Self {
        let threads = threads(pid);
        assert!(threads.iter().all(|thread| thread.tracer == 0), "somebody traces {pid} already");
        Self {
            pid,
            stopped: threads.iter().any(|thread| thread.state == 'T'),
            shared_pending: status_of(pid, "ShdPnd").unwrap(),
            pending: threads.into_iter().map(|thread| (thread.tid, thread.pending)).collect(),
        }
    }

    /// Everything of "What must hold after any session" that the kernel can be asked about a quiet process.
    #[track_caller]
    pub fn assert_restored(&self) {
        let begin = Instant::now();
        while !self.is_restored() {
            let (now, shared) = (threads(self.pid), status_of(self.pid, "ShdPnd"));
            assert!(begin.elapsed() < SOON, "{} was not left as found: {now:?}, ShdPnd {shared:?}", self.pid);
            nap();
        }
        self.assert_code_restored();
    }

    fn is_restored(&self) -> bool {
        let pending_as_before =
            |thread: &Thread| self.pending.get(&thread.tid).is_none_or(|old| *old == thread.pending);
        is_let_go(self.pid, self.stopped)
            && status_of(self.pid, "ShdPnd").is_some_and(|now| now == self.shared_pending)
            && threads(self.pid).iter().all(pending_as_before)
    }

    /// The part that holds for a busy process too, whose pending signals change by themselves.
    #[track_caller]
    pub fn assert_code_restored(&self) {
        wait_until(SOON, "the process to be let go", || is_let_go(self.pid, self.stopped));
        assert_text_unchanged(self.pid);
        assert_debug_registers_clear(self.pid);
        // A thread let go in a group-stop is `R` for a moment before it is `T` again.
        wait_until(SOON, "the reading of debug registers to leave no trace", || is_let_go(self.pid, self.stopped));
    }
}

/// The code of the main program is, byte by byte, what its file holds.
#[track_caller]
pub fn assert_text_unchanged(pid: i32) {
    let threads = threads(pid);
    // A zombie leader has no memory: any live thread does.
    // The leader first: others may end while they are asked.
    let leader = threads.iter().find(|thread| thread.tid == pid && thread.state != 'Z');
    let Some(alive) = leader.or(threads.iter().find(|thread| thread.state != 'Z')).map(|thread| thread.tid) else {
        return;
    };
    // By its inode: the path may be deleted, or written with escapes.
    let inode = fs::metadata(format!("/proc/{alive}/exe")).unwrap().ino().to_string();
    let (file, memory) = (open(alive, "exe"), open(alive, "mem"));
    let maps = fs::read_to_string(format!("/proc/{alive}/maps")).unwrap();
    let mut compared = 0;
    for line in maps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !words[1].contains('x') || words[4] != inode {
            continue;
        }
        let (from, to) = words[0].split_once('-').unwrap();
        let hex = |text| u64::from_str_radix(text, 16).unwrap();
        let (from, to, offset) = (hex(from), hex(to), hex(words[2]));
        let (mut there, mut here) = (vec![0; usize::try_from(to - from).unwrap()], Vec::new());
        memory.read_exact_at(&mut there, from).unwrap();
        here.resize(there.len(), 0);
        let length = file.read_at(&mut here, offset).unwrap();
        let wrong = (0..length).find(|&at| there[at] != here[at]);
        assert_eq!(wrong.map(|at| (from + at as u64, there[at], here[at])), None, "changed code (address, now, file)");
        compared += length;
    }
    assert!(compared > 0, "no code of inode {inode} in\n{maps}");
}

fn open(pid: i32, name: &str) -> File {
    File::open(format!("/proc/{pid}/{name}")).unwrap_or_else(|error| panic!("/proc/{pid}/{name}: {error}"))
}

/// No thread has a breakpoint left in its debug registers. Looks at 64 threads at most.
#[track_caller]
pub fn assert_debug_registers_clear(pid: i32) {
    for thread in threads(pid).into_iter().filter(|thread| thread.state != 'Z').take(64) {
        let tid = Pid::from_raw(thread.tid);
        // One that has ended meanwhile, or stands in vfork and cannot be asked, has nothing to be asked.
        if thread.state == 'D' || ptrace::seize(tid, ptrace::Options::empty()).is_err() {
            continue;
        }
        // `nix` knows no realtime signals, neither in a wait status nor to pass one on: one that came first would leave the
        // thread stopped, or be lost. The thin requests of the kernel layer do.
        let tracer = Tracer::on_this_thread();
        // One that ends as it is asked must be taken in, or it stays.
        let take_in = || {
            let flags = nix::sys::wait::WaitPidFlag::__WALL | nix::sys::wait::WaitPidFlag::WNOHANG;
            let _ = nix::sys::wait::waitpid(tid, Some(flags));
        };
        if ptrace::interrupt(tid).is_err() {
            take_in();
            continue;
        }
        let asked = godbg::addr::Tid(thread.tid);
        wait_until(SOON, "a thread to stop or end", || !matches!(wait::look(asked), Ok(None)));
        let Ok(Some(Report::Stopped(stop, _))) = wait::look(asked) else {
            take_in();
            continue;
        };
        let registers: Vec<i64> = [0, 1, 2, 3, 7].iter().map_while(|&number| debug_register(tid, number)).collect();
        let signal = if let Stop::Signal(signal) = stop { Some(signal) } else { None };
        tracer.detach(asked, signal).ok();
        assert!(registers.iter().all(|&value| value == 0), "debug registers of {tid}: {registers:x?}");
    }
}

#[cfg(target_arch = "x86_64")]
fn debug_register(tid: Pid, number: usize) -> Option<i64> {
    let offset = std::mem::offset_of!(libc::user, u_debugreg) + 8 * number;
    ptrace::read_user(tid, std::ptr::without_provenance_mut(offset)).ok()
}

/// Resident memory and open descriptors of a process, for "no growth".
pub fn footprint(pid: i32) -> (u64, usize) {
    let kib = |text: String| text.trim_end_matches(" kB").trim().parse().unwrap();
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    (status_of(pid, "VmRSS").map_or(0, kib), fds)
}

/// Where a function of the main program is, by `nm` of its file.
pub fn symbol(pid: i32, name: &str) -> u64 {
    let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    let output = std::process::Command::new("nm").arg(&exe).output().unwrap();
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let hex = |text| u64::from_str_radix(text, 16).unwrap();
    let found = table.lines().find(|line| line.split_whitespace().nth(2) == Some(name));
    let value = hex(found.unwrap_or_else(|| panic!("no {name} in {exe:?}")).split_whitespace().next().unwrap());
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let first = maps.lines().find(|line| line.ends_with(exe.to_str().unwrap())).unwrap();
    hex(first.split_once('-').unwrap().0) + value
}
