//! Stacks at every instruction of a program: its calls and returns, counted while it is stepped through, say which frames there
//! are. With unwind tables and without, in prologues, epilogues, stubs of the linkage table and the linker's own code.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::binaries;
use crate::harness::godbg::Godbg;
use crate::harness::toolchain;

/// So many instructions are looked at: all kinds of frames come within them.
const STEPS: usize = 1200;

const BARE: [&str; 3] = ["-g0", "-fno-asynchronous-unwind-tables", "-fno-exceptions"];

/// Steps through `go` of a program whose symbols `named` has: how many stacks were as they must be.
#[track_caller]
fn walk(program: &Path, named: &Path) -> usize {
    let symbols = binaries::run(Command::new("nm").arg(named));
    let go = symbols.lines().find_map(|line| line.strip_suffix(" T go")).expect("go");
    let go = u64::from_str_radix(go, 16).unwrap();
    let header = binaries::run(Command::new("readelf").arg("-h").arg(program));
    // What is not moved is found by its own address.
    let place = if header.contains("DYN") { format!("walk+{go:#x}") } else { format!("{go:#x}") };
    let mut script = format!("exec {}\ntbreak *{place}\ncontinue\nbt\n", program.display());
    script += &"regs rip\nx/1i $rip\nbt\nstepi\n".repeat(STEPS);
    script += "kill\n";
    let godbg = Godbg::new().args(["--format", "json"]).bound(Duration::from_secs(180));
    let answers = godbg.run_script(script).success().json();
    let replies: Vec<&Value> =
        answers.iter().filter(|line| line["command"].is_string()).map(|line| &line["reply"]).collect();
    // The return addresses below the innermost function, the innermost last.
    let mut shadow = vec![pcs(replies[3])[1]];
    let mut agreed = 0;
    for step in replies[4..].chunks_exact(4) {
        let (pc, instruction) = (step[0]["registers"][0]["value"].as_u64().unwrap(), &step[1]["instructions"][0]);
        let wanted: Vec<u64> = std::iter::once(pc).chain(shadow.iter().rev().copied()).collect();
        let found = pcs(step[2]);
        assert_eq!(
            found.get(..wanted.len()),
            Some(&wanted[..]),
            "{}, instruction {agreed} at {pc:#x}: {instruction}: {:#}",
            program.display(),
            step[2]
        );
        agreed += 1;
        let text = instruction["text"].as_str().unwrap();
        let length = instruction["bytes"].as_str().unwrap().split(' ').count() as u64;
        match text {
            _ if text.contains("call") => shadow.push(pc + length),
            _ if text.contains("ret") => drop(shadow.pop()),
            _ => {}
        }
        if shadow.is_empty() {
            break;
        }
    }
    agreed
}

/// The frames that are neither inlined nor gone.
fn pcs(reply: &Value) -> Vec<u64> {
    let frames = reply["frames"].as_array().unwrap().iter();
    let real = frames.filter(|frame| frame["inlined"] == false && frame["found_by"] != "tail_call");
    real.map(|frame| frame["pc"].as_u64().unwrap()).collect()
}

fn walks(options: &[&str]) {
    let Some(program) = toolchain::program_with("walk", options) else { return };
    let agreed = walk(&program, &program);
    println!("{options:?}: {agreed} stacks as the program's calls have them");
    assert!(agreed > 700, "{options:?}: {agreed}");
}

#[test]
fn with_unwind_tables() {
    for options in [&["-O0"][..], &["-O2", "-fomit-frame-pointer"], &["-O2", "-static"]] {
        walks(options);
    }
}

#[test]
fn without_unwind_tables() {
    for level in ["-O0", "-O1", "-O2", "-Os"] {
        walks(&[&BARE[..], &[level]].concat());
    }
}

#[test]
fn without_unwind_tables_and_symbols() {
    for level in ["-O0", "-O2"] {
        let options = [&BARE[..], &[level]].concat();
        let named = toolchain::program_with("walk", &options);
        let stripped = toolchain::program_with("walk", &[&options[..], &["-s"]].concat());
        let (Some(named), Some(stripped)) = (named, stripped) else { return };
        assert!(walk(&stripped, &named) > 700);
    }
}
