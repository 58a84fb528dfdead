//! `stepping.c` under a godbg: its slots and places, scripts with places in them, and what was answered.

use std::time::Duration;

use serde_json::Value;

use super::fixture::Fixture;
use super::godbg::{Godbg, Live};
use super::kernel::{self, SOON, wait_until};

/// Slots of `stepping.c`.
pub const GO: usize = 3;
pub const DONE: usize = 4;
pub const RESULT: usize = 5;
pub const HANDLED: usize = 6;
pub const WANT: usize = 7;
pub const OTHERS: usize = 8;
pub const RETURN: usize = 20;
pub const CFA: usize = 21;

/// The places, in the order of their slots.
pub const PLACES: &[&str] = &[
    "line",
    "line_end",
    "trap",
    "trap_end",
    "forever",
    "call_read",
    "call_read_end",
    "own_flag",
    "own_flag_end",
    "fault",
    "fault_end",
    "loop",
    "loop_end",
    "call_number",
    "call_number_end",
    "repeat",
    "repeat_end",
    "outer",
    "outer_call",
    "outer_back",
    "recurse",
    "recurse_call",
    "recurse_back",
    "leaf",
    "leaf_middle",
    "deep",
    "deep_middle",
    "deep_leaf_back",
    "tail",
    "vsys",
    "vsys_end",
    "jump_away",
    "landed",
    "sized",
    "with_alloca",
    "on_signal",
    "nothing",
    "make_vfork",
    "made_vfork",
    "compare",
    "trapped",
];

pub fn address(target: &Fixture, name: &str) -> u64 {
    target.get(100 + PLACES.iter().position(|place| *place == name).unwrap())
}

/// A script with `{name}` for the addresses of places.
pub fn with_places(target: &Fixture, script: &str) -> String {
    let replace =
        |text: String, name: &&str| text.replace(&format!("{{{name}}}"), &format!("{:#x}", address(target, name)));
    PLACES.iter().fold(script.to_owned(), replace)
}

pub fn attached(target: &Fixture) -> Live {
    let mut godbg = Godbg::new().args(["--format", "json"]).bound(Duration::from_secs(60)).start();
    godbg.send(&format!("attach {}", target.pid()));
    kernel::wait_all_stopped(target.pid());
    target.set(GO, 1);
    godbg
}

/// Attaches, lets the fixture go on to its mode's code under a script, and returns the answers.
pub fn steer(target: &Fixture, script: &str) -> Vec<Value> {
    attached(target).feed(with_places(target, script)).success().json()
}

/// The answers to one command, as typed.
pub fn answers_to<'a>(answers: &'a [Value], command: &str) -> Vec<&'a Value> {
    answers.iter().filter(|answer| answer["command"] == command).map(|answer| &answer["reply"]).collect()
}

/// The program counters after each command that stepped or ran.
pub fn pcs(answers: &[Value]) -> Vec<u64> {
    answers.iter().filter_map(|answer| answer["reply"]["place"]["pc"].as_u64()).collect()
}

pub fn last(answers: &[Value]) -> &Value {
    &answers.iter().rfind(|answer| answer["reply"]["place"].is_object()).unwrap()["reply"]
}

#[track_caller]
pub fn assert_done(target: &Fixture) {
    wait_until(SOON, "the fixture to be done", || target.get(DONE) == 1);
    target.assert_beats();
    kernel::wait_let_go(target.pid());
    kernel::assert_text_unchanged(target.pid());
}
