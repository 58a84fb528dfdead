//! Stacks of threads of Go programs against the programs' own runtime.Callers and against gdb: across the changes of stack
//! between goroutine, thread and C.

use std::process::Command;

use serde_json::Value;

use crate::harness::fixture::Fixture;
use crate::harness::godbg::Godbg;
use crate::harness::kernel::{SOON, wait_until};
use crate::harness::skip;
use crate::harness::toolchain::{self, Go};

const WAYS: &[&[&str]] = &[&[], &["-ldflags=-s -w"], &["-buildmode=pie"]];

/// The replies to a script for a program.
fn replies(program: &Fixture, script: &str) -> Vec<Value> {
    let script = format!("attach {}\n{script}", program.pid());
    let said = Godbg::new().args(["--format", "json"]).run_script(script).success();
    said.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["reply"].take()).collect()
}

/// The functions of a stack; a call convention's own spelling is no other function.
fn functions(stack: &Value) -> Vec<String> {
    let name = |frame: &Value| frame["function"].as_str().unwrap_or("??").trim_end_matches(".abi0").to_owned();
    stack["frames"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn every_thread_of_a_go_program_has_a_whole_stack() {
    for go in Go::all() {
        for way in WAYS {
            let program = Fixture::of_program(go.program("goroutines", way)).start();
            let what = format!("{} {way:?}", go.version);
            let replies = replies(&program, "thread all bt\ngoroutines\nthreads\nthread all bt 64\n");
            let threads = replies[1]["threads"].as_array().unwrap();
            assert!(threads.len() >= 3, "{what}");
            for thread in threads {
                let names = functions(thread);
                assert_eq!(thread["end"]["reason"], "outermost", "{what}: {names:?}");
                let last = names.last().unwrap().as_str();
                let ends = ["runtime.goexit", "runtime.mstart", "runtime.mcall", "runtime.morestack", "runtime.rt0_go"];
                assert!(ends.contains(&last), "{what}: {names:?}");
            }
            // The one that reads a pipe in a system call: its own stack, as its goroutine has it.
            let reads = threads.iter().map(functions).find(|names| names.iter().any(|name| name == "syscall.Read"));
            let reads = reads.unwrap_or_else(|| panic!("{what}: nobody reads"));
            assert!(reads.iter().any(|name| name.starts_with("main.main.func")), "{what}: {reads:?}");
            program.assert_beats();
        }
    }
}

#[test]
fn threads_tell_which_goroutine_they_run() {
    for go in Go::all() {
        let program = Fixture::of_program(go.program("goroutines", &[])).start();
        let replies = replies(&program, "threads\ngoroutines\n");
        let goroutines = replies[2]["goroutines"].as_array().unwrap();
        let on_threads = goroutines.iter().filter(|one| !one["thread"].is_null());
        let wanted: Vec<(i64, u64)> =
            on_threads.map(|one| (one["thread"].as_i64().unwrap(), one["id"].as_u64().unwrap())).collect();
        let threads = replies[1]["threads"].as_array().unwrap();
        let mut found: Vec<(i64, u64)> = threads
            .iter()
            .filter_map(|thread| Some((thread["tid"].as_i64()?, thread["goroutine"].as_u64()?)))
            .collect();
        let mut wanted = wanted;
        wanted.sort_unstable();
        found.sort_unstable();
        assert!(!wanted.is_empty(), "{}", go.version);
        assert_eq!(found, wanted, "{}", go.version);
    }
}

#[test]
fn a_stack_goes_from_c_to_go_to_c_to_go() {
    for go in Go::all() {
        for way in WAYS {
            let program = Fixture::of_program(go.program("callbacks", way)).start();
            let what = format!("{} {way:?}", go.version);
            let callers = std::fs::read_to_string(program.dir().join("callers")).unwrap();
            let by_gdb = by_gdb(program.pid());
            let replies = replies(&program, "thread all bt\n");
            let stripped = way.iter().any(|flag| flag.contains("-s"));
            let all: Vec<(Vec<String>, &Value)> =
                replies[1]["threads"].as_array().unwrap().iter().map(|thread| (functions(thread), thread)).collect();
            let found = all.iter().find(|(names, _)| names.iter().any(|name| name == "main.deeper"));
            let (names, thread) = found.unwrap_or_else(|| panic!("{what}: {all:#?}"));
            assert_eq!(thread["end"]["reason"], "outermost", "{what}: {names:?}");
            assert_eq!(names.last().map(String::as_str), Some("runtime.goexit"), "{what}: {names:?}");
            // Go's part, as the program itself sees it.
            let of_go = |name: &&str| name.starts_with("main.") && !name.contains("_cgoexp");
            let wanted: Vec<&str> = callers.lines().filter(of_go).collect();
            let deeper = names.iter().position(|name| name == "main.deeper").unwrap();
            let found: Vec<&str> = names[deeper..].iter().map(String::as_str).filter(of_go).collect();
            assert_eq!(found, wanted, "{what}");
            assert!(wanted.len() >= 4, "{what}: {wanted:?}");
            // C's parts: the outer one by the source, the inner one by gdb.
            let order = ["main.goInner", "runtime.cgocallback", "crosscall2", "runtime.asmcgocall", "main.callC"];
            let mut at = deeper;
            for name in order {
                let next = names[at..].iter().position(|found| found == name);
                at += next.unwrap_or_else(|| panic!("{what}: no {name} in {:?}", &names[at..]));
            }
            if stripped {
                continue;
            }
            let outer = names[deeper..].iter().filter(|name| ["goInner", "c_outer"].contains(&name.as_str()));
            assert_eq!(outer.collect::<Vec<_>>(), ["goInner", "c_outer"], "{what}: {names:?}");
            let Some(by_gdb) = by_gdb else { continue };
            let is_c = |names: &[String]| -> Vec<String> {
                let sleep = names.iter().position(|name| name == "c_sleep").unwrap();
                names[sleep..].iter().take_while(|name| !name.starts_with("runtime.")).cloned().collect()
            };
            assert_eq!(is_c(names), is_c(&by_gdb), "{what}");
        }
    }
}

#[test]
fn a_host_in_c_has_the_goroutines_of_its_library() {
    for go in Go::all() {
        for mode in ["c-shared", "c-archive"] {
            let library = go.program("hosted", &[&format!("-buildmode={mode}")]);
            // What is in an archive is taken when it is asked for, and the host comes behind it.
            let options = ["-Wl,--no-as-needed,-u,HostedStart", library.to_str().unwrap()];
            let Some(host) = toolchain::program_with("hosting", &options) else { return };
            let target = Fixture::of_program(host).start();
            let what = format!("{} {mode}", go.version);
            let asleep = |replies: &[Value]| {
                let rows = replies[1]["goroutines"].as_array().unwrap().clone();
                rows.into_iter().find(|row| functions(row).iter().any(|name| name == "main.HostedSleep"))
            };
            // The call comes when its thread does.
            let mut replies = self::replies(&target, "goroutines -s\n");
            wait_until(SOON, "the call", || {
                replies = self::replies(&target, "goroutines -s\n");
                asleep(&replies).is_some_and(|row| row["wait_reason"] == "sleep")
            });
            assert_eq!(replies[1]["version"], go.version, "{what}");
            let caller = asleep(&replies).unwrap();
            let names = functions(&caller);
            let order = ["time.Sleep", "main.sleep", "main.HostedSleep", "runtime.cgocallbackg", "runtime.goexit"];
            let places: Vec<_> = order.iter().map(|name| names.iter().position(|found| found == name)).collect();
            assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{what}: {names:?}");
            assert_eq!(caller["end"]["reason"], "outermost", "{what}: {names:?}");
            // The thread that has called waits in the scheduler, below C's frames.
            let threads = self::replies(&target, "thread all bt\n");
            let threads = threads[1]["threads"].as_array().unwrap();
            let of_caller = threads.iter().find(|thread| functions(thread).iter().any(|name| name == "call"));
            let of_caller = of_caller.unwrap_or_else(|| panic!("{what}: {threads:#?}"));
            let names = functions(of_caller);
            let order = ["runtime.mcall", "crosscall2", "HostedSleep", "call", "start_thread"];
            let places: Vec<_> = order.iter().map(|name| names.iter().position(|found| found == name)).collect();
            assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{what}: {names:?}");
            assert_eq!(of_caller["end"]["reason"], "outermost", "{what}: {names:?}");
            let rows = replies[1]["goroutines"].as_array().unwrap();
            let waits = |row: &&Value| row["start"]["function"] == "main.HostedStart.func1";
            let waiting: Vec<&Value> = rows.iter().filter(waits).collect();
            assert_eq!(waiting.len(), 3, "{what}: {rows:#?}");
            assert!(waiting.iter().all(|row| row["wait_reason"] == "chan receive"), "{what}: {waiting:#?}");
            target.assert_beats();
        }
    }
}

/// gdb's frames of the thread that sleeps in `c_sleep`.
fn by_gdb(pid: i32) -> Option<Vec<String>> {
    let mut gdb = Command::new("gdb");
    let pid = pid.to_string();
    gdb.args(["-nx", "-batch", "-ex", "set auto-load no", "-ex", "thread apply all bt", "-p", &pid]);
    let Ok(output) = gdb.output() else {
        skip("no gdb: stacks of C below Go are not compared with its own");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let stack = text.split("\nThread ").find(|stack| stack.contains("c_sleep"))?;
    // `#1  0x… in c_sleep (n=…) at …`, the innermost without an address.
    let name = |line: &str| {
        let rest = line.strip_prefix('#')?.split_once(char::is_whitespace)?.1.trim_start();
        let rest = rest.split_once(" in ").filter(|(first, _)| first.starts_with("0x")).map_or(rest, |(_, rest)| rest);
        Some(rest.split_whitespace().next()?.to_owned())
    };
    Some(stack.lines().filter_map(name).collect())
}

#[test]
fn a_parked_goroutine_can_be_looked_at_like_a_thread() {
    for go in Go::all() {
        for way in WAYS {
            let program = Fixture::of_program(go.program("goroutines", way)).start();
            let what = format!("{} {way:?}", go.version);
            let all = replies(&program, "goroutines -s --with func lockAgain\n");
            let row = &all[1]["goroutines"][0];
            let (id, wanted) = (row["id"].as_u64().unwrap(), functions(row));
            let script = format!(
                "goroutine {id}\nbt\nregs rip rsp\nframe 3\nregs rip rsp\nprint $rsp > 0\nup\ngoroutine {id} regs rip rsp\nthread 1\nbt\n"
            );
            let said = replies(&program, &script);
            let bt = &said[2];
            assert_eq!((&bt["goroutine"], functions(bt)), (&id.into(), wanted), "{what}");
            assert_eq!(bt["end"]["reason"], "outermost", "{what}");
            // The registers are those that the frames were found by: each return address lies right below its caller's stack.
            let register = |reply: &Value, index: usize| reply["registers"][index]["value"].as_u64();
            assert_eq!(register(&said[3], 0), bt["frames"][0]["pc"].as_u64(), "{what}: {}", said[3]);
            assert_eq!(register(&said[5], 0), bt["frames"][3]["pc"].as_u64(), "{what}: {}", said[5]);
            assert!(register(&said[3], 1) < register(&said[5], 1), "{what}");
            assert_eq!(said[8]["reply"]["registers"], said[3]["registers"], "{what}");
            assert_eq!((said[7]["frame"].as_u64(), &said[10]["goroutine"]), (Some(4), &Value::Null), "{what}");
            assert_ne!(functions(&said[10]), functions(bt), "{what}");
            program.assert_beats();
        }
    }
}

#[test]
fn stacks_of_goroutines_are_shown_without_attaching_by_hand() {
    let Some(program) = Fixture::start_go("goroutines", &[]) else { return };
    let pid = program.pid().to_string();
    let said = Godbg::new().args(["stacks", "--goroutines", "--format", "json", &pid]).run().success();
    let reply = said.json().remove(0)["reply"].take();
    let rows = reply["goroutines"].as_array().unwrap();
    assert!(rows.iter().any(|row| functions(row).iter().any(|name| name.ends_with(".lockAgain"))), "{reply}");
    assert!(reply["pause_ms"].as_f64().is_some(), "{reply}");
    program.assert_beats();
}

#[test]
fn goroutines_that_never_rest_are_found_where_they_are() {
    const BUSY: [&str; 7] = ["asksTime", "collects", "spins", "grows", "yields", "locked", "asksKernel"];
    const ROUNDS: usize = 15;
    for go in Go::all() {
        for way in WAYS {
            let program = Fixture::of_program(go.program("gobusy", way)).start();
            let what = format!("{} {way:?}", go.version);
            let script = format!("continue &\n{}", "goroutines -s --with label kind=busy\n".repeat(ROUNDS));
            let said = replies(&program, &script);
            for reply in &said[2..2 + ROUNDS] {
                let rows = reply["goroutines"].as_array().unwrap();
                assert!(reply["pause_ms"].as_f64().is_some(), "{what}");
                for busy in BUSY {
                    let name = format!("main.{busy}");
                    let is_it = |row: &&Value| {
                        row["start"]["function"]
                            .as_str()
                            .is_some_and(|start| start == name || start.starts_with("main.main.func"))
                            && functions(row).contains(&name)
                    };
                    let row = rows.iter().find(is_it);
                    let row = row.unwrap_or_else(|| {
                        panic!("{what}: no {name} in {:#?}", rows.iter().map(functions).collect::<Vec<_>>())
                    });
                    assert_eq!(row["end"]["reason"], "outermost", "{what}: {:?}", functions(row));
                    assert_eq!(functions(row).last().map(String::as_str), Some("runtime.goexit"), "{what}");
                }
            }
            program.assert_beats();
        }
    }
}

#[test]
fn repeated_stacks_are_one_object_each_until_the_process_ends() {
    let Some(program) = Fixture::start_go("goroutines", &[]) else { return };
    let pid = program.pid().to_string();
    let said = Godbg::new()
        .args(["stacks", "--goroutines", "--repeat", "3", "--every", "10ms", "--format", "json", &pid])
        .run()
        .success();
    let objects = said.json();
    assert_eq!(objects.len(), 3, "{}", said.stdout);
    for object in &objects {
        let reply = &object["reply"];
        assert!(reply["pause_ms"].is_f64() && !reply["goroutines"].as_array().unwrap().is_empty(), "{object}");
    }
    program.assert_beats();
    // It ends on the way: that is told once, and all that was seen before is there.
    let long = Godbg::new().args(["stacks", "--repeat", "60000", "--every", "1ms", "--format", "json", &pid]).start();
    long.expect("\"ok\":true");
    program.signal(nix::sys::signal::Signal::SIGKILL);
    let said = long.finish().status(1);
    let objects = said.json();
    let (last, before) = objects.split_last().unwrap();
    assert_eq!((&last["ok"], before.is_empty()), (&Value::Bool(false), false), "{last}");
    assert!(before.iter().all(|object| object["ok"] == true));
}

#[test]
fn nothing_has_made_the_first_goroutine() {
    for go in Go::all() {
        let program = Fixture::of_program(go.program("goroutines", &[])).start();
        let said = replies(&program, "goroutine 1\ngoroutines\n");
        assert_eq!((&said[1]["id"], &said[1]["creator"]), (&1.into(), &Value::Null), "{}", go.version);
        // One goroutine alone is as it is among all.
        let rows = said[2]["goroutines"].as_array().unwrap();
        assert_eq!(rows[0]["id"], said[1]["id"], "{}", go.version);
        assert!(rows[1..].iter().all(|row| row["creator"].is_object()), "{}", go.version);
    }
}

#[test]
fn a_goroutine_in_c_has_its_frames_of_c() {
    for go in Go::all() {
        let program = Fixture::of_program(go.program("callbacks", &[])).start();
        let said = replies(&program, "goroutines -s --with func main.deeper\nthread all bt\n");
        let row = &said[1]["goroutines"][0];
        let threads = said[2]["threads"].as_array().unwrap();
        let thread = threads.iter().find(|thread| thread["thread"] == row["thread"]).unwrap();
        assert!(functions(row).iter().any(|name| name == "c_sleep"), "{}: {row}", go.version);
        assert_eq!(functions(row), functions(thread), "{}", go.version);
        assert_eq!(row["user"]["function"], "main._Cfunc_c_inner", "{}", go.version);
    }
}
