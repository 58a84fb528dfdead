//! Memory commands against what the target itself wrote, what /proc/PID/mem holds, a naive search, and gdb.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;

use crate::harness::fixture::Fixture;
use crate::harness::godbg::Godbg;
use crate::harness::{kernel, skip};

/// Where the fixture keeps its pattern, and how many mebibytes of it.
const BIG: u64 = 0x4000_0000;
const MEBIBYTES: usize = 8;

fn fixture() -> Fixture {
    Fixture::of("memory").args([MEBIBYTES.to_string()]).start()
}

/// The JSON reply of one command on a held process.
#[track_caller]
fn reply(pid: i32, command: &str) -> serde_json::Value {
    let words = ["--format", "json", "-e", &format!("attach {pid}"), "-e", command, "--batch"];
    let outcome = Godbg::new().args(words).run().success();
    let lines = outcome.stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.filter(|line| line["command"] == command).map(|line| line["reply"].clone()).next().unwrap()
}

#[test]
fn a_dump_is_what_the_program_wrote_itself() {
    let target = fixture();
    let own = fs::read(target.dir().join("own")).unwrap();
    let (file, before) = (target.dir().join("dumped"), kernel::Snapshot::of(target.pid()));
    let done = reply(target.pid(), &format!("dump {} {BIG:#x}, +{:#x}", file.display(), own.len()));
    assert_eq!(done["length"], own.len());
    assert!(fs::read(&file).unwrap() == own, "the dump differs");
    // From the middle of a page to the middle of another, and while it runs.
    let (from, to) = (0x1235, own.len() - 0x777);
    let script = format!(
        "attach {}\ncontinue &\ndump {} {:#x}, {:#x}\n",
        target.pid(),
        file.display(),
        BIG + from as u64,
        BIG + to as u64
    );
    Godbg::new().run_script(script).success().says("runs: what is shown may be torn");
    assert!(fs::read(&file).unwrap() == own[from..to], "the part differs");
    before.assert_restored();
    target.assert_beats();
}

#[test]
fn a_dump_ends_at_the_first_bad_byte() {
    let target = fixture();
    let file = target.dir().join("cut");
    let end = BIG + (MEBIBYTES << 20) as u64;
    let script = format!("attach {}\ndump {} {BIG:#x}, +0x7fffffffffff0000\n", target.pid(), file.display());
    let outcome = Godbg::new().run_script(script).status(1);
    outcome.complains(&format!("cannot read memory at {end:#x}: nothing is mapped there"));
    assert_eq!(fs::metadata(&file).unwrap().len(), (MEBIBYTES << 20) as u64);
    kernel::wait_let_go(target.pid());
}

#[test]
fn a_full_disk_is_told_with_what_is_there() {
    let target = fixture();
    let script = format!("attach {}\ndump /dev/full {BIG:#x}, +0x100000\n", target.pid());
    Godbg::new().run_script(script).status(1).complains("No space left on device").one_error();
    kernel::wait_let_go(target.pid());
}

#[test]
fn what_is_restored_is_what_the_program_sees() {
    let target = fixture();
    let file = target.dir().join("bytes");
    let bytes: Vec<u8> = (0..64).map(|at| at * 3).collect();
    fs::write(&file, &bytes).unwrap();
    let script = format!("attach {}\nrestore {} 0x1000000\n", target.pid(), file.display());
    Godbg::new().run_script(script).success();
    target.assert_beats();
    let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
    assert_eq!(target.get(3), sum);
    // Where one byte of it cannot be written, none is.
    let script = format!("attach {}\nrestore {} 0x1005fe0\n", target.pid(), file.display());
    Godbg::new().run_script(script).status(1).complains("0x1006000").complains("nothing was written");
    assert_eq!(at(target.pid(), 0x100_5fe0, 32), [b'z'; 32]);
}

fn at(pid: i32, addr: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    File::open(format!("/proc/{pid}/mem")).unwrap().read_exact_at(&mut bytes, addr).unwrap();
    bytes
}

/// Every place of a pattern, the slow way.
fn naive(text: &[u8], pattern: &[u8], base: u64) -> Vec<u64> {
    let places = text.windows(pattern.len()).enumerate().filter(|(_, window)| *window == pattern);
    places.map(|(at, _)| base + at as u64).collect()
}

#[test]
fn find_finds_what_a_naive_search_finds() {
    let target = fixture();
    let own = fs::read(target.dir().join("own")).unwrap();
    // Short ones are there by chance, others are taken from where pieces of reads meet, and some are nowhere.
    let piece = 256 << 10;
    let mut patterns: Vec<Vec<u8>> = vec![vec![0x12, 0x34, 0x56], vec![0xff; 3], vec![0; 12], own[..7].to_vec()];
    for border in [piece, 2 * piece, 17 * piece] {
        patterns.push(own[border - 3..border + 5].to_vec());
        patterns.push(own[border - 40..border].to_vec());
        patterns.push(own[border..border + 1].iter().cycle().take(2).copied().collect());
    }
    patterns.push(own[own.len() - 9..].to_vec());
    patterns.push(own[1000..5000].to_vec());
    for pattern in patterns {
        let hex: String = pattern.iter().map(|byte| format!("{byte:02x}")).collect();
        let command = format!("find /100000 {BIG:#x}, +{:#x}, x\"{hex}\"", own.len());
        let found = reply(target.pid(), &command);
        let found: Vec<u64> =
            found["found"].as_array().unwrap().iter().map(|place| place["address"].as_u64().unwrap()).collect();
        assert_eq!(found, naive(&own, &pattern, BIG), "{hex}");
    }
}

#[test]
fn find_skips_holes_and_names_them() {
    let target = fixture();
    let found = reply(target.pid(), "find 0x1000000, +0x8000, \"tail\"");
    assert_eq!(found["found"][0]["address"], 0x100_3ffc);
    let holes: Vec<(u64, u64)> = found["holes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hole| (hole["start"].as_u64().unwrap(), hole["length"].as_u64().unwrap()))
        .collect();
    assert_eq!(holes, [(0x100_4000, 0x1000), (0x100_6000, 0x1000)]);
    assert_eq!((found["searched"].as_u64(), found["unread"].as_u64()), (Some(0x6000), Some(0x2000)));
}

#[test]
fn a_long_search_is_ended_by_sigint() {
    // All of memory, again and again: the signal comes in the middle of one.
    let target = Fixture::of("memory").args(["512"]).start();
    let mut godbg = Godbg::new().start();
    godbg.send(&format!("attach {}\necho held", target.pid()));
    godbg.expect("\nheld");
    let line = "find --all \"no such string is anywhere\"\n".repeat(50);
    godbg.send(&line);
    godbg.expect("places with");
    kernel::signal(godbg.pid(), nix::sys::signal::Signal::SIGINT);
    godbg.finish().status(130);
    kernel::wait_let_go(target.pid());
    target.assert_beats();
}

/// What gdb's `x` says of the fixture, without addresses and names: words only.
fn words(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("0x")) {
        let Some((_, values)) = line.split_once(':') else { continue };
        lines.extend(values.split_whitespace().map(str::to_owned));
    }
    lines
}

#[test]
fn x_reads_as_gdbs_does() {
    if Command::new("gdb").arg("--version").output().is_err() {
        return skip("no gdb");
    }
    let target = fixture();
    let commands = [
        "x/8xg 0x1000000",
        "x/8xw 0x1000000",
        "x/20xh 0x1000000",
        "x/20xb 0x1000000",
        "x/8dg 0x1000000",
        "x/8dw 0x1000000",
        "x/8dh 0x1000000",
        "x/20db 0x1000000",
        "x/8ug 0x1000000",
        "x/20ub 0x1000000",
        "x/8og 0x1000000",
        "x/20ob 0x1000000",
        "x/4tg 0x1000000",
        "x/9tb 0x1000000",
        "x/4zw 0x1000000",
        "x/24c 0x1000040",
        "x/s 0x1000060",
        "x/s 0x1000110",
        "x/3s 0x1000058",
        "x/fg 0x1000010",
        "x/-4xw 0x1000020",
    ];
    let mut gdb = Command::new("gdb");
    gdb.args(["-q", "-nx", "-batch", "-p", &target.pid().to_string(), "-ex", "set print repeats unlimited"]);
    for command in commands {
        gdb.args(["-ex", &format!("echo === {command}\\n"), "-ex", command]);
    }
    let said = String::from_utf8_lossy(&gdb.output().unwrap().stdout).into_owned();
    kernel::wait_let_go(target.pid());
    let script: String = commands.iter().map(|command| format!("echo === {command}\n{command}\n")).collect();
    let ours = Godbg::new().args(["-q"]).run_script(format!("attach {}\n{script}", target.pid())).success().stdout;
    let part = |text: &str, command: &str| {
        let mark = format!("\n=== {command}\n");
        let text = format!("\n{text}");
        let from = text.find(&mark).unwrap_or_else(|| panic!("{mark} is not in {text}")) + mark.len();
        words(text[from..].split("\n===").next().unwrap())
    };
    for command in commands {
        assert!(!part(&said, command).is_empty(), "{said}");
        assert_eq!(part(&ours, command), part(&said, command), "{command}");
    }
}
