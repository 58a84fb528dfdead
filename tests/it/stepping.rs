//! Steps of all kinds, on places whose instructions are known (`stepping.c`). What the program counted and where the kernel shows
//! it decide.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::fixture::Fixture;
use crate::harness::kernel::{self, SOON, wait_until};
use crate::harness::places::*;
use crate::harness::{quick, skip};

#[test]
fn counts_of_instructions() {
    let target = Fixture::start("stepping", &["line"]);
    let answers = steer(&target, "advance *{line}\nstepi\nstepi 4\nstepi 5\n");
    let line = address(&target, "line");
    assert_eq!(pcs(&answers), [line, line + 1, line + 11, address(&target, "line_end")]);
    let steps: Vec<u64> = answers.iter().filter_map(|answer| answer["reply"]["steps"].as_u64()).collect();
    assert_eq!(steps, [1, 4, 5]);
    assert_done(&target);
    assert_eq!(target.get(RESULT), 6);
}

#[test]
fn onto_and_past_breakpoints() {
    let target = Fixture::start("stepping", &["line"]);
    let script = "break *{line}\nbreak *{line}+6\ncontinue\nstepi 10\nbreakpoints\nstepi\nbreakpoints\ncontinue &\n";
    let answers = steer(&target, script);
    let line = address(&target, "line");
    assert_eq!(pcs(&answers), [line, line + 6, line + 9]);
    let stepped = answers_to(&answers, "stepi 10")[0];
    assert_eq!((stepped["why"].as_str(), stepped["steps"].as_u64()), (Some("breakpoint"), Some(2)));
    for reply in answers_to(&answers, "breakpoints") {
        let hits: Vec<&Value> = reply["breakpoints"].as_array().unwrap().iter().map(|one| &one["hits"]).collect();
        assert_eq!(hits, [1, 1], "each was met once");
    }
    assert_done(&target);
    assert_eq!(target.get(RESULT), 6);
}

#[test]
fn the_programs_own_int3() {
    for rest in ["stepi\nstepi\nstepi\ncontinue &\n", "continue\ncontinue &\n", "stepi 100\nstepi\ndetach\n"] {
        let target = Fixture::start("stepping", &["trap"]);
        let answers = steer(&target, &format!("advance *{{trap}}\nstepi\n{rest}"));
        let told = answers.iter().filter(|answer| answer["reply"]["signal"] == "SIGTRAP").count();
        assert_eq!(told, 1, "{answers:#?}");
        assert_done(&target);
        // Who was told of it lets the program go on behind it, as in gdb.
        assert_eq!(target.get(RESULT), 7, "{rest:?}");
        assert!(target.get(HANDLED) <= 1, "{rest:?}");
    }
}

#[test]
fn a_breakpoint_on_the_programs_own_int3() {
    for (script, hits) in [
        ("break *{trap}+1 if 0\ncontinue &\n", 0),
        ("break *{trap}+1\ncontinue\ncontinue &\n", 1),
        ("trace *{trap}+1 $rax\ncontinue &\n", 1),
    ] {
        let target = Fixture::start("stepping", &["trap"]);
        let mut godbg = attached(&target);
        godbg.send(&with_places(&target, script));
        // The text is unchanged only once it is let go.
        wait_until(SOON, "the fixture to be done", || target.get(DONE) == 1);
        let answers = godbg.feed("breakpoints\n").success().json();
        let list = &answers_to(&answers, "breakpoints")[0]["breakpoints"][0];
        assert_eq!(list["hits"], hits, "{script}: {answers:#?}");
        assert_done(&target);
        assert_eq!((target.get(HANDLED), target.get(RESULT)), (1, 7), "{script}: its handler has seen it");
    }
}

#[test]
fn a_jump_to_itself() {
    let target = Fixture::start("stepping", &["forever"]);
    let answers = steer(&target, "advance *{forever}\nstepi\nstepi 100\nset $rip = {line_end}\ncontinue &\n");
    assert_eq!(pcs(&answers), [address(&target, "forever"); 3]);
    assert_eq!(last(&answers)["steps"], 100);
    assert_done(&target);
}

/// A thread that is let past the breakpoint comes to it again with the jump, and each round is a hit.
#[test]
fn a_breakpoint_on_a_jump_to_itself() {
    let target = Fixture::start("stepping", &["forever"]);
    let script = "break *{forever}\ncontinue\ncontinue\nstepi\ncontinue\nbreakpoints\nignore 1 1000\ncontinue\n\
                  breakpoints\nset $rip = {line_end}\ncontinue &\n";
    let answers = steer(&target, script);
    assert_eq!(pcs(&answers), [address(&target, "forever"); 5]);
    let hits: Vec<u64> = answers_to(&answers, "breakpoints")
        .iter()
        .map(|reply| reply["breakpoints"][0]["hits"].as_u64().unwrap())
        .collect();
    assert_eq!(hits, [4, 1005]);
    assert_done(&target);
}

#[test]
fn rounds_of_a_repeated_instruction() {
    let target = Fixture::start("stepping", &["repeat"]);
    let answers = steer(&target, "advance *{repeat}\nstepi 2\nstepi 60\nregs rcx\nstepi 40\ncontinue &\n");
    let end = address(&target, "repeat_end");
    assert_eq!(pcs(&answers)[1..], [end - 2, end - 2, end]);
    assert_eq!(answers_to(&answers, "regs rcx")[0]["registers"][0]["value"], 40);
    assert_done(&target);
}

#[test]
fn a_call_that_another_thread_ends() {
    let target = Fixture::start("stepping", &["pipe"]);
    let answers = steer(&target, "advance *{call_read}\nstepi 3\nregs rax\ncontinue &\n");
    assert_eq!(pcs(&answers), [address(&target, "call_read"), address(&target, "call_read_end")]);
    assert_eq!(answers_to(&answers, "regs rax")[0]["registers"][0]["value"], 1, "{answers:#?}");
    assert_done(&target);
    assert_eq!(target.get(RESULT), 1);
}

#[test]
fn a_call_that_never_ends_is_given_up() {
    let target = Fixture::start("stepping", &["block"]);
    let mut godbg = attached(&target);
    godbg.send(&with_places(&target, "advance *{call_read}\nstepi 3"));
    wait_until(SOON, "the read", || {
        let call = std::fs::read_to_string(format!("/proc/{}/syscall", target.pid())).unwrap_or_default();
        kernel::threads(target.pid())[0].state == 'S' && call.starts_with("0 ")
    });
    godbg.signal(Signal::SIGINT);
    godbg.wait_exit();
    kernel::wait_let_go(target.pid());
    kernel::assert_text_unchanged(target.pid());
    wait_until(SOON, "the read to go on", || {
        std::fs::read_to_string(format!("/proc/{}/syscall", target.pid())).unwrap_or_default().starts_with("0 ")
    });
}

/// The program's own trap flag: every trap of it reaches the program's handler, stepped or not.
#[test]
fn a_program_that_steps_itself() {
    let free = Fixture::start("stepping", &["own_flag"]);
    free.set(GO, 1);
    assert_done(&free);
    let expected = free.get(HANDLED);
    let scripts = ["advance *{own_flag}\ndetach\n", "advance *{own_flag}\nstepi\nstepi\ndetach\n"];
    for script in scripts {
        let target = Fixture::start("stepping", &["own_flag"]);
        let script = format!("handle SIGTRAP nostop noprint pass\n{script}");
        let outcome = attached(&target).feed(with_places(&target, &script)).success();
        assert_done(&target);
        assert_eq!(target.get(HANDLED), expected, "{script}\n{}", outcome.stdout);
    }
}

#[test]
fn a_signal_that_stops_and_its_handler() {
    let target = Fixture::start("stepping", &["loop"]);
    let mut godbg = attached(&target);
    godbg.send(&with_places(&target, "advance *{loop}\nstepi 4"));
    godbg.expect("\"steps\":4");
    target.signal(Signal::SIGUSR1);
    let rest = "stepi 100\nstepi\nfinish\nstepi 50\nset $rip = {loop_end}\ncontinue &\n";
    let answers = godbg.feed(with_places(&target, rest)).success().json();
    let told = answers_to(&answers, "stepi 100")[0];
    assert_eq!((told["signal"].as_str(), told["steps"].as_u64()), (Some("SIGUSR1"), Some(0)), "{told:#?}");
    assert_eq!(answers_to(&answers, "stepi")[0]["place"]["pc"], address(&target, "on_signal"));
    assert_done(&target);
    assert_eq!(target.get(HANDLED), 1);
}

/// A signal that nobody is told of comes a thousand times a second: steps go on in the program's own code.
#[test]
fn steps_under_a_silent_timer() {
    let target = Fixture::start("stepping", &["alarm"]);
    let count = if quick() { 2000 } else { 20_000 };
    let script = format!("handle SIGALRM nostop noprint pass\nadvance *{{loop}}\nstepi {count}\ndetach\n");
    let answers = steer(&target, &script);
    let stop = last(&answers);
    assert_eq!((stop["steps"].as_u64(), stop["why"].as_str()), (Some(count), Some("step")), "{answers:#?}");
    assert_eq!(stop["place"]["pc"], address(&target, "loop"));
    target.assert_grows(HANDLED, 5);
    target.assert_grows(RESULT, 1000);
    kernel::wait_let_go(target.pid());
    kernel::assert_text_unchanged(target.pid());
}

#[test]
fn an_instruction_that_faults() {
    for rest in ["stepi\nstepi\ncontinue &\n", "stepi\ncontinue &\n", "stepi 5\nstepi 500\ndetach\n"] {
        let target = Fixture::start("stepping", &["fault"]);
        let answers = steer(&target, &format!("advance *{{fault}}\n{rest}"));
        let told = answers.iter().filter(|answer| answer["reply"]["signal"] == "SIGSEGV").count();
        assert_eq!(told, 1, "{answers:#?}");
        assert_done(&target);
        assert_eq!((target.get(RESULT), target.get(HANDLED)), (0, 1));
    }
}

#[test]
fn fork_and_vfork_and_a_thread() {
    // fork(2) is 57.
    let target = Fixture::start("stepping", &["number", "57"]);
    let answers = steer(&target, "advance *{call_number}\nstepi 5\nregs rax\ncontinue &\n");
    assert_eq!(last(&answers)["place"]["pc"], address(&target, "call_number_end"), "{answers:#?}");
    assert_done(&target);
    let child = answers_to(&answers, "regs rax")[0]["registers"][0]["value"].as_i64().unwrap();
    assert_eq!(target.get(RESULT).cast_signed(), child);
    let target = Fixture::start("stepping", &["thread"]);
    let answers = steer(&target, "advance *{nothing}\nthreads\nstepi 10\nthreads\ncontinue &\n");
    for list in answers_to(&answers, "threads") {
        assert_eq!(list["threads"].as_array().unwrap().len(), 2, "{list:#?}");
    }
    assert_done(&target);
    assert_eq!(target.get(OTHERS), 1);
}

#[test]
fn a_thread_that_is_born_in_a_step_is_held() {
    let target = Fixture::start("stepping", &["thread"]);
    let answers = steer(&target, &format!("{}detach\n", "stepi 500\nthreads\n".repeat(14)));
    let counts = |list: &&Value| list["threads"].as_array().unwrap().len();
    let most = answers_to(&answers, "threads").iter().map(counts).max();
    assert_eq!(most, Some(2), "the thread was seen");
    assert_done(&target);
    assert_eq!(target.get(OTHERS), 1);
}

#[test]
fn a_step_into_a_call_that_is_caught() {
    let target = Fixture::start("stepping", &["number", "39"]);
    let script = "advance *{call_number}\ncatch syscall getpid\nstepi 50\nstepi\nstepi\ncontinue &\n";
    let answers = steer(&target, script);
    let caught = |reply: &&Value| (reply["caught"].as_str().map(str::to_owned), reply["steps"].as_u64());
    let end = address(&target, "call_number_end");
    assert_eq!(caught(&answers_to(&answers, "stepi 50")[0]), (Some("syscall_entry".into()), Some(4)), "{answers:#?}");
    let stops: Vec<_> = answers_to(&answers, "stepi").iter().map(caught).collect();
    assert_eq!(stops, [(Some("syscall_return".into()), Some(0)), (None, Some(1))], "{answers:#?}");
    assert_eq!(pcs(&answers)[1..3], [end, end]);
    assert_done(&target);
    assert_eq!(target.get(RESULT), u64::try_from(target.pid()).unwrap());
    // Another call is caught: this one is an instruction like any other.
    let target = Fixture::start("stepping", &["number", "39"]);
    let answers = steer(&target, "advance *{call_number}\ncatch syscall openat\nstepi 5\ncontinue &\n");
    let stop = answers_to(&answers, "stepi 5")[0];
    assert_eq!((&stop["why"], &stop["place"]["pc"]), (&"step".into(), &end_of_call(&target).into()), "{answers:#?}");
    assert_done(&target);
    assert_eq!(target.get(RESULT), u64::try_from(target.pid()).unwrap());
}

fn end_of_call(target: &Fixture) -> u64 {
    address(target, "call_number_end")
}

#[test]
fn the_end_of_all_threads_is_caught_once() {
    for end in ["set $rdi = 231\nset $rip = {call_number}\ncontinue", "signal SIGABRT"] {
        let mut target = Fixture::start("stepping", &["locking"]);
        let script = format!("advance *{{loop}}\ncatch exit\n{end}\ncontinue\n");
        let answers = attached(&target).feed(with_places(&target, &script)).success().json();
        let exits: Vec<&Value> =
            answers.iter().map(|answer| &answer["reply"]).filter(|reply| reply["caught"] == "exit").collect();
        assert_eq!(exits.len(), 1, "{answers:#?}");
        assert_eq!(answers.last().unwrap()["reply"]["state"], "ended", "{answers:#?}");
        if end.starts_with("set") {
            assert_eq!(exits[0]["thread"], target.pid(), "the thread that called");
        }
        target.wait_end();
    }
}

#[test]
fn exec_and_exit() {
    // exit(2) is 60, exit_group(2) 231.
    for number in ["60", "231"] {
        // In any kind of step the end is told as by `continue`.
        for step in ["stepi 9", "nexti 9", "finish", "until *{line}", "advance *{line}"] {
            let mut target = Fixture::start("stepping", &["number", number]);
            let script = with_places(&target, &format!("advance *{{call_number}}\n{step}\n"));
            let answers = attached(&target).feed(script).success().json();
            let end = &answers.last().unwrap()["reply"];
            assert_eq!((&end["state"], &end["end"]["status"]), (&"ended".into(), &0.into()), "{step}: {answers:#?}");
            assert_eq!(target.wait_end().code(), Some(0));
        }
    }
    // A thread that ends alone in its step: another stands for it.
    let target = Fixture::start("stepping", &["leaves"]);
    let answers = steer(&target, "advance *{call_number}\nstepi 50\nstatus\n");
    let stop = answers_to(&answers, "stepi 50")[0];
    assert_eq!((&stop["why"], &stop["thread"]), (&"interrupt".into(), &target.pid().into()), "{answers:#?}");
    assert_done(&target);
    let target = Fixture::start("stepping", &["exec"]);
    let answers = steer(&target, "advance *{line_end}\nstepi 100000\ncontinue &\n");
    assert_eq!(answers_to(&answers, "stepi 100000")[0]["why"], "exec", "{answers:#?}");
    // The new program finds its counters as they were, and waits for GO, which is set.
    assert_done(&target);
}

#[test]
fn nexti_over_calls() {
    let target = Fixture::start("stepping", &["outer"]);
    let answers = steer(&target, "advance *{outer_call}\nnexti\nregs rax\ncontinue &\n");
    assert_eq!(pcs(&answers), [address(&target, "outer_call"), address(&target, "outer_back")]);
    assert_eq!(answers_to(&answers, "regs rax")[0]["registers"][0]["value"], 11);
    assert_done(&target);
    // The same return address in deeper frames does not end it, and a count goes on behind the call.
    let target = Fixture::start("stepping", &["outer"]);
    let answers = steer(&target, "advance *{recurse_call}\nnexti\nregs rdi\nnexti 2\nfinish\ncontinue &\n");
    let back = address(&target, "recurse_back");
    let pcs = pcs(&answers);
    assert_eq!(pcs[1..3], [back, back + 3]);
    assert_eq!(answers_to(&answers, "regs rdi")[0]["registers"][0]["value"], 0);
    assert_eq!(pcs[3], address(&target, "outer_back"), "{answers:#?}");
    assert_done(&target);
    assert_eq!(target.get(RESULT), 11);
}

#[test]
fn nexti_over_a_call_that_does_not_come_back() {
    let target = Fixture::start("stepping", &["away"]);
    let script = "advance *{jump_away}\nbreak *{landed}\nnexti 50\nclear *{landed}\nfinish\ncontinue &\n";
    let answers = steer(&target, script);
    let stop = answers_to(&answers, "nexti 50")[0];
    assert_eq!(
        (stop["why"].as_str(), &stop["place"]["pc"]),
        (Some("breakpoint"), &Value::from(address(&target, "landed")))
    );
    assert_done(&target);
    assert_eq!(target.get(RESULT), 1);
}

#[test]
fn finish_from_everywhere() {
    for (mode, script, expected) in [
        ("deep", "advance *{leaf}\nfinish\n", "deep_leaf_back"),
        ("deep", "advance *{leaf_middle}\nfinish\n", "deep_leaf_back"),
        ("outer", "advance *{recurse}\nfinish\n", "outer_back"),
        ("outer", "advance *{recurse_call}\nfinish\n", "outer_back"),
        ("outer", "tbreak *{recurse}\ncontinue\nstepi 3\nadvance *{recurse}\nfinish\nfinish\n", "outer_back"),
    ] {
        let target = Fixture::start("stepping", &[mode]);
        let answers = steer(&target, &format!("{script}continue &\n"));
        assert_eq!(last(&answers)["place"]["pc"], address(&target, expected), "{script}: {answers:#?}");
        assert_done(&target);
    }
    // Into C: from the first instruction, the middle, a tail call, below a frame of unknown size.
    for (mode, script) in [
        ("deep", "advance *{deep}\nfinish\n"),
        ("deep", "advance *{deep_middle}\nfinish\n"),
        ("tail", "advance *{leaf}\nfinish\n"),
        ("alloca", "advance *{sized}\nfinish\nfinish\n"),
        ("alloca", "advance *{with_alloca}\nfinish\n"),
    ] {
        let target = Fixture::start("stepping", &[mode]);
        let answers = steer(&target, &format!("{script}continue &\n"));
        assert_eq!(last(&answers)["why"], "function_finished", "{script}: {answers:#?}");
        assert_done(&target);
        let expected = if mode == "alloca" { 1 } else { 42 };
        assert_eq!(target.get(RESULT), expected);
    }
}

#[test]
fn until_and_advance() {
    let target = Fixture::start("stepping", &["deep"]);
    let answers = steer(&target, "advance *{deep_middle}\nuntil *{deep_leaf_back}\nuntil *{forever}\ncontinue &\n");
    let pcs = pcs(&answers);
    assert_eq!(pcs[..2], [address(&target, "deep_middle"), address(&target, "deep_leaf_back")]);
    assert_eq!(last(&answers)["why"], "function_finished", "until ends where the function returns: {answers:#?}");
    assert_done(&target);
}

#[test]
fn the_page_that_the_kernel_emulates() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    if !maps.contains("[vsyscall]") {
        return skip("no vsyscall page: the step through it is not tested");
    }
    let target = Fixture::start("stepping", &["vsyscall"]);
    let answers = steer(&target, "advance *{vsys}\nstepi 3\nstepi\nstepi\ncontinue &\n");
    let pcs = pcs(&answers);
    assert_eq!(pcs[2], 0xffff_ffff_ff60_0400);
    // The kernel emulates the call in its page fault; the processor alone would trap after the next instruction (4 bytes) only.
    assert_eq!(pcs[3], address(&target, "vsys_end"), "{answers:#?}");
    assert_done(&target);
    assert!(target.get(RESULT) > 1_000_000_000);
    let target = Fixture::start("stepping", &["vsyscall"]);
    let answers = steer(&target, "advance *{vsys}\nnexti 4\ncontinue &\n");
    assert_eq!(last(&answers)["place"]["pc"], address(&target, "vsys_end"), "{answers:#?}");
    assert_done(&target);
}

#[test]
fn other_threads_are_held_or_run() {
    for (locking, run) in [("on", false), ("step", false), ("off", true)] {
        let target = Fixture::start("stepping", &["locking"]);
        let mut godbg = attached(&target);
        godbg.send(&with_places(&target, &format!("set scheduler-locking {locking}\nadvance *{{loop}}\nstepi 2")));
        godbg.expect("\"steps\":2");
        let before: Vec<u64> = (10..13).map(|slot| target.get(slot)).collect();
        godbg.send("stepi 2002");
        godbg.expect("\"steps\":2002");
        let after: Vec<u64> = (10..13).map(|slot| target.get(slot)).collect();
        if run {
            assert!(after.iter().zip(&before).any(|(after, before)| after > before), "{locking}");
        } else {
            assert_eq!(before, after, "{locking}");
        }
        godbg.finish().success();
        (10..13).for_each(|slot| target.assert_grows(slot, 1000));
        kernel::assert_text_unchanged(target.pid());
    }
}

#[test]
fn many_threads_do_not_notice_a_step() {
    let target = Fixture::start("stepping", &["many", if quick() { "100" } else { "1000" }]);
    let mut godbg = attached(&target);
    godbg.send(&with_places(&target, "advance *{loop}"));
    godbg.expect("\"why\":\"location_reached\"");
    let switches = || -> Vec<Option<String>> {
        let others = kernel::tids(target.pid()).into_iter().filter(|tid| *tid != target.pid());
        others.map(|tid| kernel::status_of(tid, "voluntary_ctxt_switches")).collect()
    };
    let before = switches();
    godbg.send("stepi 1003");
    godbg.expect("\"steps\":1003");
    assert_eq!(before, switches());
    godbg.finish().success();
    target.assert_grows(RESULT, 1000);
}

/// godbg is killed in the middle of steps: the target lives, and nothing is left.
#[test]
fn killed_in_a_step() {
    for round in 0..if quick() { 5 } else { 20 } {
        let target = Fixture::start("stepping", &["loop"]);
        let mut godbg = attached(&target);
        godbg.send(&with_places(&target, "advance *{loop}\nstepi 1000000000"));
        wait_until(SOON, "the loop to be stepped", || target.get(RESULT) > 20);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_micros(137 * round) {}
        godbg.signal(Signal::SIGKILL);
        godbg.wait_exit();
        target.assert_grows(RESULT, 1_000_000);
        kernel::wait_let_go(target.pid());
        let lent = || std::fs::read_to_string(format!("/proc/{}/status", target.pid())).unwrap();
        assert!(lent().contains("State:\tR"));
        kernel::assert_text_unchanged(target.pid());
    }
}
