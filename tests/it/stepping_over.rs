//! Steps over what threads and children do meanwhile, and breakpoints in text that is looked at and changed.

use std::fs;
use std::os::unix::fs::FileExt;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::fixture::Fixture;
use crate::harness::godbg::Godbg;
use crate::harness::kernel::{self, SOON, wait_until};
use crate::harness::places::*;

#[test]
fn a_vfork_is_one_step() {
    // The child runs in the same memory, on the same stack, and ends before its parent goes on.
    for step in ["stepi 2", "nexti 2", "stepi 1\nstepi 1", "tbreak *{made_vfork}\nfinish"] {
        let target = Fixture::start("stepping", &["vfork"]);
        let answers =
            steer(&target, &format!("advance *{{make_vfork}}\n{step}\nregs rax\nstepi\nfinish\ncontinue &\n"));
        assert!(pcs(&answers).iter().rfind(|pc| **pc == address(&target, "made_vfork")).is_some(), "{answers:#?}");
        let child = answers_to(&answers, "regs rax")[0]["registers"][0]["value"].as_i64().unwrap();
        assert!(child > target.pid().into(), "{step}: {answers:#?}");
        assert_eq!(last(&answers)["why"], "function_finished", "{step}: {answers:#?}");
        assert_done(&target);
        assert_eq!(target.get(RESULT), 7, "{step}: the child's own exit status");
    }
    let target = Fixture::start("stepping", &["vfork"]);
    let answers = steer(&target, "advance *{make_vfork}\nfinish\ncontinue &\n");
    assert_eq!(last(&answers)["why"], "function_finished", "{answers:#?}");
    assert_done(&target);
    assert_eq!(target.get(RESULT), 7);
}

/// Each step must make the instruction that stands there now, and not a copy of what stood there.
#[test]
fn a_jump_to_itself_that_another_thread_ends() {
    let target = Fixture::start("stepping", &["let_out"]);
    let trapped = address(&target, "trapped");
    let script = format!("set scheduler-locking off\nadvance *{{trapped}}\nstepi 3\nbreak *{:#x}\n", trapped + 3);
    let mut godbg = attached(&target);
    godbg.send(&with_places(&target, &script));
    godbg.expect("\"steps\":3");
    target.set(WANT, 1);
    let answers = godbg.feed("stepi 1000000000\ncontinue &\n".to_owned()).success().json();
    assert_eq!(pcs(&answers)[..2], [trapped; 2], "{answers:#?}");
    let stop = answers_to(&answers, "stepi 1000000000")[0];
    assert_eq!((&stop["why"], &stop["place"]["pc"]), (&"breakpoint".into(), &(trapped + 3).into()), "{stop:#?}");
    assert_done(&target);
    assert_eq!(target.get(OTHERS), 1);
}

/// Code without frame pointers, called by a C library that was not compiled with ours: the function itself says where it
/// returns to and what the stack pointer is there, which is what gdb calls frame 1.
#[test]
fn finish_out_of_an_optimized_comparator() {
    let target = Fixture::with_options("stepping", &["-O2", "-fomit-frame-pointer"]).args(["sort"]).start();
    let script = "break *{landed}\ncontinue\nfinish\nfinish\nregs rip rsp\ndetach\n";
    let answers = steer(&target, script);
    let value = |index: usize| answers_to(&answers, "regs rip rsp")[0]["registers"][index]["value"].as_u64().unwrap();
    assert_eq!((value(0), value(1)), (target.get(RETURN), target.get(CFA)), "{answers:#?}");
    assert_done(&target);
    // From its first instruction too.
    let target = Fixture::with_options("stepping", &["-O2", "-fomit-frame-pointer"]).args(["sort"]).start();
    let answers = steer(&target, "tbreak *{compare}\ncontinue\nfinish\nregs rip rsp\ndetach\n");
    let value = |index: usize| answers_to(&answers, "regs rip rsp")[0]["registers"][index]["value"].as_u64().unwrap();
    assert_eq!((value(0), value(1)), (target.get(RETURN), target.get(CFA)), "{answers:#?}");
    assert_done(&target);
}

fn text_at(pid: i32, addr: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fs::File::open(format!("/proc/{pid}/mem")).unwrap().read_exact_at(&mut bytes, addr).unwrap();
    bytes
}

/// What is shown, found and dumped is what the program has, held and running; what is written reaches the program, and the
/// breakpoint stays.
#[test]
fn text_under_a_breakpoint() {
    let target = Fixture::start("stepping", &["line"]);
    let line = address(&target, "line");
    let own = text_at(target.pid(), line, 8);
    let (dumped, new) = (target.dir().join("dumped"), target.dir().join("new"));
    let hex: String = own.iter().map(|byte| format!("{byte:02x}")).collect();
    let look = format!(
        "x/8xb {line:#x}\ndump {} {line:#x}, +8\nfind {line:#x}, +8, x\"{hex}\"\nfind {line:#x}, +8, x\"cc\"\n",
        dumped.display()
    );
    // clc in place of the nop that the breakpoint stands on.
    fs::write(&new, [0xf8]).unwrap();
    for go_on in ["", "continue &\n"] {
        let mut godbg = Godbg::new().args(["--format", "json"]).start();
        let write = format!("restore {} {line:#x}\nx/2xb {line:#x}\n", new.display());
        godbg.send(&format!("attach {}\nbreak *{line:#x}\n{go_on}{look}", target.pid()));
        godbg.expect("\"found\":[]");
        assert_eq!(fs::read(&dumped).unwrap(), own, "{go_on}");
        godbg.send(&write);
        godbg.expect("x/2xb");
        let answers = godbg.feed(String::new()).success().json();
        let bytes = |command: &str| -> Vec<u8> {
            let reply = answers.iter().rfind(|answer| answer["command"] == command).unwrap();
            let rows = reply["reply"]["rows"].as_array().unwrap_or_else(|| panic!("{reply:#?}"));
            rows.iter()
                .flat_map(|row| row["values"].as_array().unwrap())
                .map(|value| value.as_u64().unwrap() as u8)
                .collect()
        };
        assert_eq!(bytes(&format!("x/8xb {line:#x}")), own, "{go_on}");
        assert_eq!(bytes(&format!("x/2xb {line:#x}")), [0xf8, own[1]], "{go_on}");
        let places = |answer: &&Value| answer["reply"]["found"].as_array().map(Vec::len);
        assert_eq!(answers.iter().filter_map(|answer| places(&answer)).collect::<Vec<_>>(), [1, 0], "{answers:#?}");
        kernel::wait_let_go(target.pid());
        assert_eq!(text_at(target.pid(), line, 2), [0xf8, own[1]], "the program has what was written");
        // Back again, for the next round.
        fs::write(target.dir().join("old"), &own[..1]).unwrap();
        let back = format!("attach {}\nrestore {} {line:#x}\n", target.pid(), target.dir().join("old").display());
        Godbg::new().run_script(back).success();
        assert_eq!(text_at(target.pid(), line, 8), own);
    }
    // A breakpoint in whose place another byte was written is met, and the program makes the new instruction.
    let mut godbg = Godbg::new().start();
    godbg.send(&format!(
        "attach {}\nbreak *{line:#x}\ncontinue &\nrestore {} {line:#x}\necho written",
        target.pid(),
        new.display()
    ));
    godbg.expect("\nwritten");
    target.set(GO, 1);
    godbg.send("wait\nstepi\nbreakpoints\nclear 1\ncontinue &");
    wait_until(SOON, "the fixture to be done", || target.get(DONE) == 1);
    godbg.signal(Signal::SIGTERM);
    godbg.wait_exit();
    assert!(godbg.output().contains(", breakpoint 1 at "), "{}", godbg.output());
    assert_eq!((target.get(RESULT), text_at(target.pid(), line, 2)), (6, vec![0xf8, own[1]]));
    target.assert_beats();
}
