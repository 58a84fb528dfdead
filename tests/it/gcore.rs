//! Cores of live processes: what debuggers find in them is what the process had, and the process saw nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::attaching::hold;
use crate::harness::fixture::{BEAT, Fixture};
use crate::harness::godbg::{Godbg, Outcome};
use crate::harness::kernel::{self, SOON, Snapshot, wait_until};
use crate::harness::steered::{Steered, calls};
use crate::harness::{is_root, skip, toolchain};

/// Slots of `corefile.c`, and its pages.
const CHILDREN: usize = 3;
const SIGCHLDS: usize = 4;
const ASKED: usize = 5;
const SPINNER: usize = 6;
const SPARSE: usize = 7;
const FIRST_PAGE: usize = 16;
const PAGES: [(&str, Option<u8>); 8] = [
    ("plain", Some(b'a')),
    ("zero", Some(0)),
    ("not copied by fork", Some(b'b')),
    ("wiped by fork", Some(b'c')),
    ("not to be dumped", None),
    ("without access", Some(b'e')),
    ("shared", Some(b'f')),
    ("private of a file", Some(b'g')),
];

/// Waits until the target has asked for children a few times more, and asserts that it saw none.
#[track_caller]
fn assert_saw_nothing(target: &Fixture) {
    target.assert_grows(ASKED, 5);
    target.assert_beats();
    assert_eq!((target.get(CHILDREN), target.get(SIGCHLDS)), (0, 0), "(answers of waitpid, SIGCHLD) seen");
    assert_eq!(kernel::children(target.pid()), Vec::<i32>::new(), "children left, a zombie among them");
}

/// Runs commands on the attached target, in JSON, and gives the reply of `gcore`.
#[track_caller]
fn gcore(target: &Fixture, before: &[&str], words: &str) -> serde_json::Value {
    let pid = target.pid().to_string();
    let mut godbg = Godbg::new().args(["--format", "json", "--batch", "attach", &pid]);
    for command in before.iter().chain(&[words, "detach"]) {
        godbg = godbg.args(["-e", command]);
    }
    let outcome = godbg.run().success();
    let found = outcome.json().into_iter().find(|line| line["command"] == words);
    found.unwrap_or_else(|| panic!("no reply of {words}: {}", outcome.stdout))["reply"].clone()
}

/// A core, read by its headers: where each address is in the file.
struct Core {
    bytes: Vec<u8>,
}

impl Core {
    fn read(path: &Path) -> Self {
        Self { bytes: fs::read(path).unwrap() }
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    /// Address, offset, length in the file, length in memory of each PT_LOAD.
    fn loads(&self) -> Vec<[u64; 4]> {
        let count = usize::from(u16::from_ne_bytes(self.bytes[56..58].try_into().unwrap()));
        let headers = (0..count).map(|index| 64 + 56 * index).filter(|at| self.bytes[*at] == 1);
        headers.map(|at| [self.word(at + 16), self.word(at + 8), self.word(at + 32), self.word(at + 40)]).collect()
    }

    /// A page by its address; `None` if the core does not hold it.
    fn page(&self, addr: u64) -> Option<&[u8]> {
        let loads = self.loads();
        let [start, offset, ..] = loads.iter().find(|[start, _, kept, _]| (*start..start + kept).contains(&addr))?;
        let at = usize::try_from(offset + (addr - start)).unwrap();
        Some(&self.bytes[at..at + 4096])
    }
}

#[track_caller]
fn assert_holds_the_pages(target: &Fixture, core: &Core) {
    for (index, (name, content)) in PAGES.iter().enumerate() {
        let page = core.page(target.get(FIRST_PAGE + index));
        let wanted = content.map(|byte| vec![byte; 4096]);
        assert!(page == wanted.as_deref(), "page {name}: {:?}", page.map(|page| page[0]));
    }
    assert_eq!(core.page(target.get(SPARSE)).map(|page| page[0]), Some(b'h'), "the page of a sparse mapping");
    let loads = core.loads();
    assert!(loads.iter().all(|[start, offset, ..]| start % 4096 == 0 && offset % 4096 == 0), "{loads:x?}");
    assert!(loads.is_sorted_by(|one, next| one[0] + one[3] <= next[0] && one[1] + one[2] <= next[1]), "{loads:x?}");
}

/// Every mapping of the live process is in the core (not the old entry page, which no process has for itself).
#[track_caller]
fn assert_has_the_mappings(target: &Fixture, core: &Core) {
    let maps = fs::read_to_string(format!("/proc/{}/maps", target.pid())).unwrap();
    let loads = core.loads();
    for line in maps.lines() {
        let (from, to) = line.split_whitespace().next().unwrap().split_once('-').unwrap();
        let hex = |text| u64::from_str_radix(text, 16).unwrap();
        let (from, to) = (hex(from), hex(to));
        // A fork can leave neighbours apart that the kernel has merged since.
        let covered: u64 =
            loads.iter().map(|[start, .., length]| to.min(start + length).saturating_sub(from.max(*start))).sum();
        assert_eq!(covered, to - from, "{line}");
    }
}

/// What gdb says about a core.
#[track_caller]
fn gdb(target: &Fixture, core: &Path, commands: &[&str]) -> Option<String> {
    let mut command = Command::new("gdb");
    command.args(["-nx", "-batch"]);
    for line in commands {
        command.args(["-ex", line]);
    }
    let program = fs::read_link(format!("/proc/{}/exe", target.pid())).unwrap();
    let Ok(output) = command.args([program.as_path(), core]).output() else {
        skip("no gdb: what it finds in cores is not looked at");
        return None;
    };
    Some(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

#[track_caller]
fn assert_gdb_reads(target: &Fixture, core: &Path) {
    let plain = target.get(FIRST_PAGE);
    let find = format!("thread find {}", target.get(SPINNER));
    let look = format!("x/2xb {plain:#x}");
    let commands =
        ["info threads", &find, "thread 3", "p/x $rbx", "p/x $r12", "p/x $xmm5.v2_int64", &look, "info auxv", "bt 1"];
    let commands = [&commands[..], &["info proc mappings"]].concat();
    let Some(said) = gdb(target, core, &commands) else { return };
    let (_, mappings) = said.split_once("Mapped address spaces").unwrap_or_else(|| panic!("{said}"));
    let program = fs::read_link(format!("/proc/{}/exe", target.pid())).unwrap();
    assert!(mappings.contains(program.to_str().unwrap()), "{mappings}");
    assert!(!said.contains("warning: Section"), "{said}");
    for wanted in ["0x123456789", "0xabcdef", "{0x1111111111111111, 0x2222222222222222}", "0x61\t0x61", "AT_PAGESZ"] {
        assert!(said.contains(wanted), "no {wanted} in\n{said}");
    }
    assert_eq!(said.matches("(LWP ").count().min(3), 3, "{said}");
    if fs::read_to_string("/proc/cpuinfo").unwrap().contains(" avx ") {
        let said = gdb(target, core, &["thread 3", "p/x $ymm5.v4_int64"]).unwrap();
        assert!(said.contains("0x3333333333333333, 0x4444444444444444}"), "{said}");
    }
}

#[track_caller]
fn assert_readelf_reads(core: &Path) {
    let Ok(output) = Command::new("readelf").args(["-nW"]).arg(core).env("LC_ALL", "C").output() else {
        return skip("no readelf: the notes of cores are not looked at");
    };
    let said = String::from_utf8_lossy(&output.stdout);
    for (kind, count) in
        [("NT_PRSTATUS", 3), ("NT_FPREGSET", 3), ("NT_PRPSINFO", 1), ("NT_AUXV", 1), ("NT_FILE", 1), ("NT_SIGINFO", 1)]
    {
        assert_eq!(said.matches(kind).count(), count, "{kind}");
    }
}

/// The other debuggers that are there.
#[track_caller]
fn assert_others_read(target: &Fixture, core: &Path) {
    let program = fs::read_link(format!("/proc/{}/exe", target.pid())).unwrap();
    let mut lldb = Command::new("lldb");
    lldb.args(["--no-lldbinit", "--batch", "-o", "thread list", "-o", "register read rip", "-c"])
        .arg(core)
        .arg(program);
    match lldb.output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(said.matches("  thread #").count() + said.matches("* thread #").count(), 3, "{said}");
            assert!(said.contains("rip = 0x"), "{said}");
        }
        Err(_) => skip("no lldb: what it finds in cores is not looked at"),
    }
}

#[test]
fn a_running_process_is_forked_and_sees_nothing() {
    let target = Fixture::start("corefile", &["8"]);
    let before = Snapshot::of(target.pid());
    let path = target.dir().join("a core");
    let reply = gcore(&target, &["continue &"], &format!("gcore '{}'", path.display()));
    assert_eq!((&reply["fork"], &reply["threads"], &reply["why_held"]), (&true.into(), &3.into(), &().into()));
    assert!(reply["held_ms"].as_f64().is_some_and(|held| held > 0.0), "{reply}");
    before.assert_restored();
    assert_saw_nothing(&target);
    let facts = fs::metadata(&path).unwrap();
    assert_eq!((facts.permissions().mode() & 0o777, facts.len()), (0o600, reply["bytes"].as_u64().unwrap()));
    assert!(facts.blocks() * 512 < facts.len(), "no holes: {} of {}", facts.blocks() * 512, facts.len());
    let core = Core::read(&path);
    assert_holds_the_pages(&target, &core);
    assert_has_the_mappings(&target, &core);
    assert_gdb_reads(&target, &path);
    assert_readelf_reads(&path);
    assert_others_read(&target, &path);
    assert_eq!(fs::read_dir(target.dir()).unwrap().count(), 3, "the counters, the mapped file and the core");
}

#[test]
fn a_held_process_stays_held() {
    let target = Fixture::start("corefile", &[]);
    let path = target.dir().join("core");
    let mut godbg = hold(target.pid());
    godbg.send(&format!("generate-core-file {}\necho done", path.display()));
    godbg.expect("\ndone");
    assert!(godbg.output().contains("was held already"), "{}", godbg.output());
    kernel::wait_all_stopped(target.pid());
    assert_eq!(kernel::children(target.pid()), Vec::<i32>::new());
    godbg.send("detach");
    godbg.finish().success();
    assert_holds_the_pages(&target, &Core::read(&path));
    assert_gdb_reads(&target, &path);
    assert_saw_nothing(&target);
}

#[test]
fn many_cores_of_one_process_leave_no_trace() {
    let target = Fixture::start("corefile", &["1"]);
    let before = Snapshot::of(target.pid());
    let script = format!("attach {}\ncontinue &\n{}detach\n", target.pid(), "gcore core\n".repeat(20));
    let folder = tempfile::tempdir().unwrap();
    let script = script.replace("gcore core", &format!("gcore {}", folder.path().join("core").display()));
    let outcome = Godbg::new().run_script(script).success();
    assert_eq!(outcome.stdout.matches(" written: ").count(), 20);
    assert!(!outcome.stdout.contains("forked"), "{}", outcome.stdout);
    before.assert_restored();
    assert_saw_nothing(&target);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_process_with_a_filter_is_held_instead() {
    // A process that ignores SIGTRAP can be forked: no trap is needed for it.
    for (how, held) in [("seccomp", Some("seccomp")), ("ignore_trap", None)] {
        let target = Fixture::start("corefile", &["1", how]);
        let path = target.dir().join("core");
        let reply = gcore(&target, &["continue &"], &format!("gcore {}", path.display()));
        assert_eq!(reply["fork"], held.is_none(), "{reply}");
        assert_eq!(
            reply["why_held"].as_str().map(|why| held.is_some_and(|word| why.contains(word))),
            held.map(|_| true)
        );
        assert_saw_nothing(&target);
        assert_holds_the_pages(&target, &Core::read(&path));
    }
}

#[test]
fn a_stopped_job_stays_stopped() {
    let target = Fixture::start("corefile", &[]);
    target.signal(Signal::SIGSTOP);
    wait_until(SOON, "the stop", || kernel::threads(target.pid()).iter().all(|thread| thread.state == 'T'));
    let before = Snapshot::of(target.pid());
    let path = target.dir().join("core");
    let reply = gcore(&target, &["continue &"], &format!("gcore {}", path.display()));
    assert_eq!(reply["fork"], true, "{reply}");
    before.assert_restored();
    assert_holds_the_pages(&target, &Core::read(&path));
    let beat = target.get(BEAT);
    target.signal(Signal::SIGCONT);
    wait_until(SOON, "it to go on", || target.get(BEAT) > beat + 3);
    assert_saw_nothing(&target);
}

#[test]
fn holes_of_shared_memory_stay_holes() {
    if !is_root() {
        return skip("not root: the files behind shared memory cannot be asked for their holes");
    }
    let target = Fixture::start("corefile", &[]);
    let shared = || -> u64 {
        let all = fs::read_to_string("/proc/meminfo").unwrap();
        let shmem = all.lines().find(|line| line.starts_with("Shmem:")).unwrap();
        shmem.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = shared();
    gcore(&target, &["continue &"], &format!("gcore {}", target.dir().join("core").display()));
    assert!(shared() < before + (48 << 10), "shared memory grew from {before} to {} KiB", shared());
    assert_saw_nothing(&target);
}

#[test]
fn everything_is_kept_on_request() {
    let target = Fixture::start("corefile", &[]);
    let path = target.dir().join("core");
    gcore(&target, &["continue &"], &format!("gcore --all {}", path.display()));
    let core = Core::read(&path);
    let undumped = PAGES.iter().position(|(_, content)| content.is_none()).unwrap();
    assert_eq!(core.page(target.get(FIRST_PAGE + undumped)).map(|page| page[0]), Some(b'd'));
    fs::write(format!("/proc/{}/coredump_filter", target.pid()), "0").unwrap();
    gcore(&target, &["continue &"], &format!("gcore {}", path.display()));
    assert_eq!(Core::read(&path).page(target.get(FIRST_PAGE)), None);
}

/// A core that is being written while the target runs: what is done then, and what may be left in the folder.
fn amid(stop: impl Fn(crate::harness::godbg::Live, &Fixture)) {
    let target = Fixture::start("corefile", &["384"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("core");
    let mut godbg = hold(target.pid());
    godbg.send(&format!("continue &\ngcore {}", path.display()));
    wait_until(SOON, "the fork", || !kernel::children(target.pid()).is_empty());
    let copy = kernel::children(target.pid())[0];
    wait_until(SOON, "the target to be let on", || kernel::threads(target.pid()).iter().all(|one| one.state != 't'));
    stop(godbg, &target);
    wait_until(SOON, "the fork's end", || kernel::status_of(copy, "State").is_none_or(|state| state.starts_with('Z')));
    kernel::wait_let_go(target.pid());
    target.assert_grows(ASKED, 5);
    target.assert_beats();
    assert_eq!((target.get(CHILDREN), target.get(SIGCHLDS)), (0, 0));
    assert!(!path.exists(), "a core that is not whole");
}

#[test]
fn an_interrupted_core_leaves_nothing() {
    amid(|godbg, target| {
        godbg.signal(Signal::SIGINT);
        godbg.finish().status(130);
        assert_eq!(kernel::children(target.pid()), Vec::<i32>::new());
    });
}

#[test]
fn the_fork_dies_with_godbg() {
    amid(|mut godbg, _| {
        godbg.signal(Signal::SIGKILL);
        godbg.wait_exit();
    });
}

#[test]
fn a_core_that_does_not_fit_leaves_nothing() {
    let target = Fixture::start("corefile", &["8"]);
    let folder = tempfile::tempdir().unwrap();
    let script = format!("attach {}\ncontinue &\ngcore {}/core\n", target.pid(), folder.path().display());
    let outcome = Godbg::wrapped(&["prlimit", "--fsize=1000000", "--"]).run_script(script).status(1);
    outcome.one_error().complains("file too large");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    kernel::wait_let_go(target.pid());
    assert_saw_nothing(&target);
}

#[test]
fn places_where_no_core_can_be() {
    let target = Fixture::start("corefile", &[]);
    let ask = |file: &str| -> Outcome {
        Godbg::new().run_script(format!("attach {}\ngcore {file}\n", target.pid())).status(1).one_error()
    };
    ask("/").complains("no file");
    ask("/dev/null").complains("no file");
    ask("/nowhere/core").complains("no such file or directory");
    ask("x y").complains("one word too many");
    assert!(Path::new("/dev/null").metadata().is_ok_and(|null| !null.is_file()));
    Godbg::new().run_script("gcore\n").status(1).complains("none is attached");
    assert_saw_nothing(&target);
}

#[test]
fn a_limit_on_processes_makes_it_hold() {
    if !is_root() {
        return skip("not root: a limit on processes is not tried");
    }
    let nobody = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "--bounding-set=-all"];
    let words = [&["prlimit", "--nproc=3", "--"], &nobody[..]].concat();
    let target = Fixture::of("corefile").wrapper(&words).start();
    let path = target.dir().join("core");
    let reply = gcore(&target, &["continue &"], &format!("gcore {}", path.display()));
    assert_eq!(reply["fork"], false, "{reply}");
    assert!(reply["why_held"].as_str().is_some_and(|why| why.contains("cannot be forked")), "{reply}");
    assert_holds_the_pages(&target, &Core::read(&path));
    assert_saw_nothing(&target);
}

#[test]
fn delve_opens_a_core_of_go() {
    let Some(target) = Fixture::start_go("goload", &["2"]) else { return };
    let path = target.dir().join("core");
    gcore(&target, &["continue &"], &format!("gcore {}", path.display()));
    target.assert_beats();
    let program = toolchain::program("goload").unwrap();
    let mut dlv = Command::new("dlv");
    dlv.args(["--allow-non-terminal-interactive=true", "core"])
        .args([&program, &path])
        .env("HOME", target.dir())
        .stdin(std::process::Stdio::piped());
    let Ok(mut child) = dlv.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn() else {
        return skip("no dlv: what it finds in cores is not looked at");
    };
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"threads\ngoroutines\nexit\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("Thread ") && said.contains("Goroutine 1 "), "{said}");
}

/// A thread that meets a breakpoint in the moment of a stop is put before it again, and meets it when all go on: the process
/// is not kept held for it.
#[test]
fn a_process_whose_breakpoints_are_met_meanwhile_runs_on() {
    let mut this = Steered::start("calls", &["4", "free"]);
    let (work, core) = (this.at(calls::WORK), this.target.dir().join("core"));
    this.ask(&format!("break {work} if 0\ncontinue &"));
    for _ in 0..5 {
        this.target.assert_grows(calls::CALLS, 100);
        let said = this.ask(&format!("gcore {}", core.display()));
        assert!(said.contains(" written: ") && !said.contains(" stopped"), "{said}");
    }
    this.target.assert_grows(calls::CALLS, 100);
    assert_eq!(this.hits(1), 0);
    this.leave();
}
