//! Stacks against gdb: frame by frame, by program counters, on the same process at the same moment (SIGSTOP has stopped it); and
//! where gdb only guesses, against the order in which the fixture's functions call each other.

use std::collections::BTreeMap;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::fixture::{Builder, Fixture};
use crate::harness::godbg::Godbg;
use crate::harness::kernel::{self, SOON, wait_until};
use crate::harness::{skip, toolchain};

/// What gdb says of a frame: its program counter, the kind, the function.
#[derive(Debug, Clone)]
#[expect(dead_code, reason = "names are for whoever reads a failure")]
struct Theirs {
    pc: u64,
    kind: String,
    name: String,
}

/// Without unwind tables: `-g0`, or gdb would find `.debug_frame`.
const BARE: [&str; 3] = ["-g0", "-fno-asynchronous-unwind-tables", "-fno-exceptions"];

fn stopped(builder: Builder, mode: &[&str]) -> Fixture {
    let target = builder.args(mode).start();
    stop(target.pid());
    target
}

/// For some milliseconds all its threads have been asleep: it waits for something.
fn is_asleep(pid: i32) -> bool {
    let threads = || kernel::threads(pid).iter().all(|thread| thread.state == 'S');
    (0..20).all(|_| {
        kernel::nap();
        threads()
    })
}

fn stop(pid: i32) {
    kernel::signal(pid, Signal::SIGSTOP);
    wait_until(SOON, "SIGSTOP to work", || kernel::threads(pid).iter().all(|thread| thread.state == 'T'));
}

/// The reply of `stacks PID`.
#[track_caller]
fn stacks_of(pid: i32, options: &str) -> Value {
    let outcome = Godbg::new().args(["--format", "json", "--batch", "-e", &format!("stacks {options} {pid}")]).run();
    outcome.success().json()[0]["reply"].clone()
}

/// Each thread's frames that are no inlined calls, and why they end.
#[track_caller]
fn ours(pid: i32) -> BTreeMap<i64, (Vec<Value>, String)> {
    let reply = stacks_of(pid, "");
    let threads = reply["threads"].as_array().unwrap().iter();
    let whole = |frame: &&Value| frame["inlined"] == false;
    let of = |thread: &Value| {
        let frames = thread["frames"].as_array().unwrap().iter().filter(whole).cloned().collect();
        (thread["thread"].as_i64().unwrap(), (frames, thread["end"]["reason"].as_str().unwrap().to_owned()))
    };
    threads.map(of).collect()
}

/// The same of gdb; `None`, said loudly, without gdb or its Python.
fn theirs(pid: i32) -> Option<BTreeMap<i64, Vec<Theirs>>> {
    let script = toolchain::sources().join("stacks_gdb.py");
    let mut gdb = Command::new("timeout");
    gdb.args(["120", "gdb", "-nx", "-batch", "-ex", "set debuginfod enabled off", "-p", &pid.to_string(), "-x"]);
    let output = gdb.arg(script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let mut threads: BTreeMap<i64, Vec<Theirs>> = BTreeMap::new();
    let mut thread = None;
    for line in said.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["T", tid] => {
                thread = tid.parse().ok();
                thread.map(|tid| threads.entry(tid).or_default());
            }
            ["F", pc, kind, name] => {
                let frame = Theirs { pc: pc.parse().unwrap(), kind: kind.to_owned(), name: name.to_owned() };
                threads.get_mut(&thread.unwrap()).unwrap().push(frame);
            }
            _ => {}
        }
    }
    if threads.is_empty() {
        skip(&format!(
            "gdb with Python: stacks are not compared with its. {}",
            String::from_utf8_lossy(&output.stderr)
        ));
        return None;
    }
    Some(threads)
}

fn pcs(frames: &[Value]) -> Vec<u64> {
    frames.iter().map(|frame| frame["pc"].as_u64().unwrap()).collect()
}

/// Compares all threads: how many frames agree. gdb's frames of no code, which follow a smashed return address, are left out, and
/// so are those that it makes up for tail calls.
#[track_caller]
fn compare(pid: i32, what: &str) -> usize {
    let (ours, Some(theirs)) = (ours(pid), theirs(pid)) else { return 0 };
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{what}: threads");
    let mut frames = 0;
    for (tid, theirs) in theirs {
        let real = |frame: &&Theirs| !matches!(frame.kind.as_str(), "INLINE_FRAME" | "TAILCALL_FRAME");
        let wanted: Vec<u64> = theirs.iter().filter(real).map(|frame| frame.pc).collect();
        let (found, end) = &ours[&tid];
        let tails: Vec<u64> = found.iter().filter(|frame| frame["found_by"] == "tail_call").map(pc_of).collect();
        let found: Vec<Value> = found.iter().filter(|frame| frame["found_by"] != "tail_call").cloned().collect();
        let at = |frame: &Value| format!("{:#x} {} {}", pc_of(frame), frame["function"], frame["found_by"]);
        let shown: Vec<String> = found.iter().map(at).collect();
        assert_eq!(pcs(&found), wanted, "{what}, thread {tid}: {shown:#?} (end: {end}) beside {theirs:#x?}");
        assert_eq!(end, "outermost", "{what}, thread {tid}");
        // Where gdb has seen a tail call, from debug info, code must not tell another.
        let made_up: Vec<u64> =
            theirs.iter().filter(|frame| frame.kind == "TAILCALL_FRAME").map(|frame| frame.pc).collect();
        if !made_up.is_empty() && !tails.is_empty() {
            assert!(tails.iter().any(|tail| made_up.contains(tail)), "{what}: {tails:x?} {made_up:x?}");
        }
        frames += wanted.len();
    }
    frames
}

fn pc_of(frame: &Value) -> u64 {
    frame["pc"].as_u64().unwrap()
}

/// Everything that gdb finds its way through by tables.
const MODES: [&str; 16] = [
    "still",
    "spin",
    "vdso",
    "recursion",
    "signal",
    "nested",
    "altstack",
    "null",
    "wild",
    "data",
    "illegal",
    "abort",
    "tail",
    "saves",
    "aligned",
    "callback",
];

fn agrees(options: &[&str]) {
    let mut frames = 0;
    for mode in MODES {
        let target = stopped(Fixture::with_options("stacks", options), &[mode]);
        frames += compare(target.pid(), &format!("{options:?} {mode}"));
    }
    println!("{options:?}: {frames} frames as gdb has them");
}

#[test]
fn every_frame_is_gdbs_without_optimisation() {
    agrees(&["-O0"]);
}

#[test]
fn every_frame_is_gdbs_optimised() {
    agrees(&["-O2"]);
}

#[test]
fn every_frame_is_gdbs_by_debug_frame_alone() {
    agrees(&["-O2", "-fno-asynchronous-unwind-tables", "-fno-exceptions"]);
}

#[test]
fn every_frame_of_many_threads_is_gdbs() {
    let target = Fixture::with_options("stacks", &["-O2"]).args(["threads", "40"]).start();
    wait_until(SOON, "all threads to sleep", || is_asleep(target.pid()));
    stop(target.pid());
    compare(target.pid(), "threads");
    // Grouped, each thread is in one group, and the groups differ.
    let reply = stacks_of(target.pid(), "-g");
    let groups = reply["groups"].as_array().unwrap();
    let counts: Vec<u64> = groups.iter().map(|group| group["count"].as_u64().unwrap()).collect();
    assert_eq!(counts, [10, 10, 10, 10, 1]);
    let mut tids: Vec<i64> =
        groups.iter().flat_map(|group| group["threads"].as_array().unwrap()).map(|tid| tid.as_i64().unwrap()).collect();
    tids.sort_unstable();
    assert_eq!(tids, kernel::tids(target.pid()).into_iter().map(i64::from).collect::<Vec<_>>());
    // It is as it was: stopped by job control.
    assert!(kernel::threads(target.pid()).iter().all(|thread| thread.state == 'T'));
}

/// The functions of the fixture on the main thread's stack, innermost first.
fn names(pid: i32) -> (Vec<String>, Vec<Value>, String) {
    let (frames, end) = ours(pid).remove(&i64::from(pid)).unwrap();
    let own = |frame: &&Value| frame["module"].as_str().is_some_and(|module| module.ends_with("/stacks"));
    let name = |frame: &Value| frame["function"].as_str().unwrap_or("?").to_owned();
    (frames.iter().filter(own).map(name).collect(), frames, end)
}

#[test]
fn code_without_tables_is_followed() {
    for level in ["-O0", "-O1", "-O2"] {
        let options: Vec<&str> = BARE.into_iter().chain([level]).collect();
        for (mode, inner) in [
            ("still", &["stand_still"][..]),
            ("saves", &["stand_still", "saves"]),
            ("signal", &["stand_still", "on_signal"]),
            ("callback", &["stand_still", "compare"]),
            ("null", &["stand_still", "on_signal", "call"]),
            ("abort", &["stand_still", "on_signal"]),
            ("recursion", &["stand_still"]),
        ] {
            let target = stopped(Fixture::with_options("stacks", &options), &[mode]);
            let (mut names, frames, _) = names(target.pid());
            names.retain(|name| name != "recurse" && name != "_start");
            let expected: Vec<&str> = inner.iter().copied().chain(["third", "second", "first", "main"]).collect();
            assert_eq!(names, expected, "{options:?} {mode}: {frames:#?}");
        }
    }
}

#[test]
fn a_damaged_stack_ends_with_a_reason() {
    let target = stopped(Fixture::with_options("stacks", &["-O1"]), &["smashed"]);
    let (names, _, end) = names(target.pid());
    assert_eq!((&names[..], end.as_str()), (&["stand_still".to_owned(), "smash".into()][..], "bad_return_address"));
    // A ring of frame pointers, in code that has nothing else, does not go round and round.
    let options: Vec<&str> = BARE.into_iter().chain(["-O0"]).collect();
    let target = stopped(Fixture::with_options("stacks", &options), &["ring"]);
    let (names, frames, end) = self::names(target.pid());
    assert_eq!(names[..2], ["stand_still", "ring"], "{frames:#?}");
    assert!(frames.len() < 10, "{frames:#?}");
    assert!(["no_progress", "no_rule", "bad_return_address"].contains(&end.as_str()), "{end}");
}

#[test]
fn a_thread_that_was_made_just_now_has_one_frame() {
    let target = Fixture::start("births", &["thread"]);
    let script = format!("attach {}\ncatch clone\ncontinue\nthread all bt\ndetach\n", target.pid());
    let lines = Godbg::new().args(["--format", "json"]).run_script(script).success().json();
    let threads = lines[3]["reply"]["threads"].as_array().unwrap();
    assert_eq!(threads.len(), 2, "{threads:#?}");
    for thread in threads {
        assert_eq!(thread["end"]["reason"], "outermost", "{thread:#}");
    }
    let newborn = threads.last().unwrap()["frames"].as_array().unwrap();
    assert_eq!(newborn.len(), 1, "{newborn:#?}");
    assert!(newborn[0]["function"].as_str().unwrap().contains("clone"), "{newborn:#?}");
    target.assert_beats();
}

#[test]
fn deep_recursion_is_cut_where_it_was_asked_for_or_copied() {
    let target = stopped(Fixture::with_options("stacks", &["-O0"]), &["deep", "20000"]);
    let reply = stacks_of(target.pid(), "-n 5");
    let thread = &reply["threads"][0];
    assert_eq!((thread["frames"].as_array().unwrap().len(), &thread["end"]["reason"]), (5, &Value::from("enough")));
    let script = format!(
        "set stack-copy 16\nattach {0}\nbt -3\ncontinue &\nbt -2\nset stack-copy 4096\nbt -2\ndetach\n",
        target.pid()
    );
    let lines = Godbg::new().args(["--format", "json"]).run_script(script).success().json();
    let frames = |line: usize| lines[line]["reply"]["frames"].as_array().unwrap();
    // Held, all of it is read; of a running process, what was copied.
    assert_eq!(frames(2)[2]["function"], "_start");
    assert!(frames(2)[0]["frame"].as_u64().unwrap() > 20_000);
    assert_eq!(lines[4]["reply"]["end"]["reason"], "not_copied");
    assert_eq!(
        (&frames(6)[1]["function"], &lines[6]["reply"]["end"]["reason"]),
        (&"_start".into(), &"outermost".into())
    );
}

#[test]
fn a_frame_has_the_registers_that_its_callees_saved() {
    // The program counters that gdb finds, and the stack pointers, of each frame.
    let target = Fixture::with_options("stacks", &["-O2"]).args(["saves"]).start();
    let script = format!(
        "attach {}\nframe 4\nprint/x $rip\nregs rip rsp rbx rax\ntry set $rbx = 1\nup\nprint/x $rip\ndown 2\n\
         frame 0\nframe 2 regs rip\nregs rip\ntry frame 400\ntry down\ndetach\n",
        target.pid()
    );
    let lines = Godbg::new().args(["--format", "json"]).run_script(script).status(0).json();
    let reply = |line: usize| &lines[line]["reply"];
    assert_eq!(reply(1)["function"], "second");
    let registers = reply(3)["registers"].as_array().unwrap();
    assert_eq!(registers[0]["value"], reply(1)["pc"]);
    assert!(registers[2]["value"].is_u64(), "rbx is kept over calls: {registers:?}");
    assert_eq!(registers[3]["value"], Value::Null, "rax is lost in calls: {registers:?}");
    assert!(lines[4].to_string().contains("in frame 4"), "{}", lines[4]);
    assert_eq!((&reply(5)["frame"], &reply(5)["function"]), (&Value::from(5), &Value::from("first")));
    assert_eq!((&reply(7)["frame"], &reply(8)["frame"]), (&Value::from(3), &Value::from(0)));
    assert_eq!(reply(9)["reply"]["frame"], 2);
    assert_eq!(reply(10)["frame"], 0, "frame 2 was selected for one command only");
    assert!(lines[11].to_string().contains("no frame 400"), "{}", lines[11]);
    assert!(lines[12].to_string().contains("below it"), "{}", lines[12]);
}

/// Debian's own programs, started as they are.
#[test]
fn every_frame_of_programs_that_nobody_here_wrote_is_gdbs() {
    let folder = tempfile::tempdir().unwrap();
    let programs: [&[&str]; 4] = [
        &["redis-server", "--port", "0", "--save", "", "--unixsocket", "redis.sock"],
        &[
            "python3",
            "-c",
            "import threading, time\nfor i in range(5): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nsorted([1, 2], key=lambda x: time.sleep(60))",
        ],
        &["bash", "-c", "read line < <(sleep 60)"],
        &["perl", "-e", "sub f { sleep 60; 1 } my @all = sort { f() } (1, 2);"],
    ];
    let mut frames = 0;
    for words in programs {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(folder.path()).stdout(std::process::Stdio::null());
        let Ok(mut child) = command.spawn() else {
            skip(&format!("{} is not there: its stack is not compared with gdb's", words[0]));
            continue;
        };
        let pid = child.id().cast_signed();
        wait_until(SOON, &format!("{} to sleep", words[0]), || is_asleep(pid));
        stop(pid);
        let compared = std::panic::catch_unwind(|| compare(pid, words[0]));
        for child in kernel::children(pid) {
            kernel::signal(child, Signal::SIGKILL);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        frames += compared.unwrap();
    }
    println!("{frames} frames as gdb has them");
}

/// The same while they work, at moments that nobody has chosen.
#[test]
fn every_frame_of_programs_at_work_is_gdbs() {
    let programs: [&[&str]; 3] = [
        &[
            "python3",
            "-c",
            "import json, re, threading\ndef work():\n  while 1: re.sub('(a+)+b', 'x', json.dumps({str(i): [i] * 5 for i in range(50)}))\nfor i in range(5): threading.Thread(target=work).start()\nwork()",
        ],
        &["perl", "-e", "while (1) { my %h = map { $_ => 1 } 1..1000; my @all = sort { $h{$a} <=> $h{$b} } keys %h; }"],
        &["bash", "-c", "while :; do for i in {1..500}; do x=${x//1/2}$i; done; x=; done"],
    ];
    let mut frames = 0;
    for words in programs {
        let Ok(mut child) = Command::new(words[0]).args(&words[1..]).stdout(std::process::Stdio::null()).spawn() else {
            skip(&format!("{} is not there: its stack is not compared with gdb's", words[0]));
            continue;
        };
        let pid = child.id().cast_signed();
        let used = || std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
        let mut compared: std::thread::Result<usize> = Ok(0);
        for _ in 0..4 {
            let before: u64 = used().split(' ').next().unwrap().parse().unwrap();
            let worked = || used().split(' ').next().unwrap().parse::<u64>().unwrap() > before + 50_000_000;
            wait_until(SOON, "it to work for 50 ms", worked);
            stop(pid);
            compared = compared.and_then(|sum| Ok(sum + std::panic::catch_unwind(|| compare(pid, words[0]))?));
            kernel::signal(pid, Signal::SIGCONT);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        frames += compared.unwrap();
    }
    println!("{frames} frames of working programs as gdb has them");
}

#[test]
fn a_running_process_is_held_for_a_moment_only() {
    let target = Fixture::with_options("stacks", &["-O1"]).args(["spin"]).start();
    let before = kernel::Snapshot::of(target.pid());
    let script =
        format!("attach {}\ncontinue &\nbt\nthread all bt\nthread all -g bt\ntry frame 1\ndetach\n", target.pid());
    let lines = Godbg::new().args(["--format", "json"]).run_script(script).success().json();
    let named = |frames: &Value| frames.as_array().unwrap().iter().any(|frame| frame["function"] == "third");
    assert!(named(&lines[2]["reply"]["frames"]) && lines[2]["reply"]["pause_ms"].as_f64().unwrap() > 0.0);
    assert!(named(&lines[3]["reply"]["threads"][0]["frames"]));
    assert!(named(&lines[4]["reply"]["groups"][0]["frames"]));
    assert!(lines[5].to_string().contains("needs a stopped process"), "{}", lines[5]);
    before.assert_restored();
}

#[test]
fn finish_of_an_outer_frame_runs_until_its_caller_goes_on() {
    let target = Fixture::with_options("stacks", &["-O0"]).args(["still"]).start();
    // The fixture leaves its innermost function when it is told to and a signal ends its wait.
    let mut godbg = Godbg::new().args(["--format", "json"]).start();
    godbg.send(&format!("attach {}\nframe 2\nup", target.pid()));
    godbg.expect("\"command\":\"up\"");
    target.set(crate::harness::fixture::STOP, 1);
    godbg.send("handle SIGWINCH nostop pass\nqueue-signal SIGWINCH\nfinish\nbt 1\nkill");
    let lines = godbg.finish().json();
    let bt = lines.iter().find(|line| line["command"] == "bt 1").unwrap();
    let up = lines.iter().find(|line| line["command"] == "up").unwrap();
    // third (frame 2) and second (3) were on the stack; finish in frame 3 comes back to first.
    assert_eq!((&up["reply"]["function"], &bt["reply"]["frames"][0]["function"]), (&"second".into(), &"first".into()));
}
