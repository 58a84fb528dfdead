//! Registers against the program that has them: what godbg says is compared with what the program loaded, and what godbg
//! sets with what the program then stores.

use serde_json::Value;

use crate::harness::fixture::{Fixture, READY};
use crate::harness::godbg::Godbg;
use crate::harness::kernel::{self, SOON, wait_until};

/// Slots of the fixture `registers`.
const DONE: usize = 3;
const WIDTH: usize = 4;
const IN: usize = 16;
const OUT: usize = IN + 176;

/// The general registers in the fixture's order.
const GENERAL: [&str; 16] =
    ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

/// What the fixture has written down: `struct state` of registers.c.
struct State(Vec<u8>);

impl State {
    fn of(target: &Fixture, slot: usize) -> State {
        State((0..176).flat_map(|word| target.get(slot + word).to_le_bytes()).collect())
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    fn general(&self, index: usize) -> u64 {
        self.word(8 * index)
    }

    fn mxcsr(&self) -> u64 {
        self.word(128) & 0xffff_ffff
    }

    fn mask(&self, index: usize) -> u64 {
        self.word(136 + 8 * index)
    }

    fn st(&self, index: usize) -> &[u8] {
        &self.0[200 + 16 * index..][..10]
    }

    fn vector(&self, index: usize, size: usize) -> &[u8] {
        &self.0[384 + 64 * index..][..size]
    }
}

fn start(mode: &str) -> Fixture {
    let target = Fixture::start("registers", &[mode]);
    assert_eq!(target.get(READY), 1);
    target
}

/// How many bytes its vector registers have, and what they are called.
fn vector(target: &Fixture) -> (usize, &'static str) {
    [(16, "xmm"), (32, "ymm"), (64, "zmm")][target.get(WIDTH) as usize]
}

/// Attaches and has godbg do these; the replies of the commands between.
#[track_caller]
fn replies(target: &Fixture, commands: &str) -> Vec<Value> {
    let script = format!("attach {}\n{commands}\ndetach\n", target.pid());
    let lines = Godbg::new().args(["--format", "json"]).run_script(script).success().json();
    lines[1..lines.len() - 1].iter().map(|line| line["reply"].clone()).collect()
}

fn register<'a>(reply: &'a Value, name: &str) -> &'a Value {
    let registers = reply["registers"].as_array().unwrap();
    registers.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name} in {reply:#}"))
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().rev().map(|byte| format!("{byte:02x}")).collect();
    let digits = digits.trim_start_matches('0');
    format!("0x{}", if digits.is_empty() { "0" } else { digits })
}

#[test]
fn every_register_is_what_the_program_loaded() {
    let target = start("patterns");
    let (size, vectors) = vector(&target);
    let all = replies(&target, "regs all").remove(0);
    let loaded = State::of(&target, IN);
    for (index, name) in GENERAL.iter().enumerate().filter(|(_, name)| !["rbx", "rsp"].contains(name)) {
        assert_eq!(register(&all, name)["value"], loaded.general(index), "{name}");
    }
    assert_eq!(register(&all, "rbx")["value"], 0);
    assert_eq!(register(&all, "mxcsr")["value"], loaded.mxcsr());
    for index in 0..8 {
        let st = register(&all, &format!("st{index}"));
        assert_eq!(st["hex"], hex(loaded.st(index)));
        let sign = if index % 2 == 1 { -1.25 } else { 1.25 };
        assert_eq!(st["float"], sign * f64::from(index as u32 + 1));
        if size == 64 {
            assert_eq!(register(&all, &format!("k{index}"))["value"], loaded.mask(index));
        }
    }
    for index in 0..16 {
        let name = format!("{vectors}{index}");
        let got = register(&all, &name);
        assert_eq!(got["hex"], hex(loaded.vector(index, size)), "{name}");
        let lanes: Vec<u64> = loaded.vector(index, size).iter().map(|byte| u64::from(*byte)).collect();
        let said = got["lanes"]["int8"].as_array().unwrap();
        assert_eq!(said.iter().map(|lane| lane.as_i64().unwrap() as u8 as u64).collect::<Vec<_>>(), lanes, "{name}");
    }
    if size == 64 {
        assert_eq!(register(&all, "zmm31")["hex"], hex(loaded.vector(0, 64)));
        assert_eq!(register(&all, "zmm16")["hex"], "0x0");
    }
    // The narrower registers are the beginnings of the wide ones.
    let narrow = replies(&target, "regs xmm5 eax r9w ah xmm5.v4_int32[2]").remove(0);
    assert_eq!(register(&narrow, "xmm5")["hex"], hex(loaded.vector(5, 16)));
    assert_eq!(register(&narrow, "eax")["value"], loaded.general(0) & 0xffff_ffff);
    assert_eq!(register(&narrow, "r9w")["value"], loaded.general(9) & 0xffff);
    assert_eq!(register(&narrow, "ah")["value"], loaded.general(0) >> 8 & 0xff);
    assert_eq!(register(&narrow, "xmm5.v4_int32[2]")["hex"], hex(&loaded.vector(5, 16)[8..12]));
}

/// Lets the fixture go on by its rbx, and gives what it then had in its registers.
fn stored(target: &Fixture, commands: &str) -> State {
    replies(target, &format!("{commands}\nset $rbx = 77"));
    wait_until(SOON, "the fixture to store its registers", || target.get(DONE) == 1);
    target.assert_beats();
    State::of(target, OUT)
}

#[test]
fn what_is_set_is_what_the_program_then_has_and_the_rest_is_as_it_was() {
    let target = start("patterns");
    let (size, vectors) = vector(&target);
    let loaded = State::of(&target, IN);
    let mut script = String::from(
        "set $r12 = -2\nset $al = 0x5a\nset $dx = 0x1234\nset $esi = 0xffffffff\nset $r8b = 1\nset $mxcsr = 0x1f80\n\
         set $st2 = 6.5\nset $xmm3.v4_int32[1] = 0x01020304\nset $xmm4.v2_double[1] = -0.5\nset $xmm5.v4_float[0] = 1.5\n\
         set $xmm6 = {1, 2, 3, 4}\n",
    );
    if size >= 32 {
        script += "set $ymm7.v4_int64[3] = 0x1122334455667788\n";
    }
    if size == 64 {
        script += "set $zmm8.v8_int64[7] = 9\nset $zmm31.v16_uint32[15] = 0xffffffff\nset $k3 = 0xff\n";
    }
    let now = stored(&target, &script);
    let mut expected = [0; 16];
    for (index, word) in expected.iter_mut().enumerate() {
        *word = loaded.general(index);
    }
    expected[0] = expected[0] & !0xff | 0x5a;
    expected[1] = 77;
    expected[3] = expected[3] & !0xffff | 0x1234;
    expected[4] |= 0xffff_ffff;
    expected[8] = expected[8] & !0xff | 1;
    expected[12] = -2i64 as u64;
    for (index, name) in GENERAL.iter().enumerate().filter(|(_, name)| **name != "rsp") {
        assert_eq!(now.general(index), expected[index], "{name}");
    }
    assert_eq!(now.mxcsr(), 0x1f80);
    for index in 0..8 {
        // 6.5 is 0b1.101 times 2 to the second.
        let changed = [0, 0, 0, 0, 0, 0, 0, 0xd0, 0x01, 0x40];
        assert_eq!(now.st(index), if index == 2 { &changed } else { loaded.st(index) }, "st{index}");
    }
    for index in 0..16 {
        let mut bytes = loaded.vector(index, 64).to_vec();
        match index {
            3 => bytes[4..8].copy_from_slice(&0x0102_0304u32.to_le_bytes()),
            4 => bytes[8..16].copy_from_slice(&(-0.5f64).to_le_bytes()),
            5 => bytes[..4].copy_from_slice(&1.5f32.to_le_bytes()),
            6 => bytes[..16].copy_from_slice(&[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]),
            7 if size >= 32 => bytes[24..32].copy_from_slice(&0x1122_3344_5566_7788u64.to_le_bytes()),
            8 if size == 64 => bytes[56..].copy_from_slice(&9u64.to_le_bytes()),
            // zmm31 was loaded with what zmm0 has, and its place is zmm14's.
            14 if size == 64 => {
                bytes = loaded.vector(0, 64).to_vec();
                bytes[60..].fill(0xff);
            }
            _ => {}
        }
        assert_eq!(now.vector(index, size), &bytes[..size], "{vectors}{index}");
    }
    if size == 64 {
        for index in 0..8 {
            assert_eq!(now.mask(index), if index == 3 { 0xff } else { loaded.mask(index) }, "k{index}");
        }
    }
}

#[test]
fn a_component_in_its_initial_state_is_zero_and_can_be_set() {
    let target = start("initial");
    let (size, vectors) = vector(&target);
    let all = replies(&target, "regs fp vec").remove(0);
    for index in 0..16 {
        assert_eq!(register(&all, &format!("{vectors}{index}"))["hex"], "0x0");
    }
    assert_eq!(register(&all, "fctrl")["value"], 0x37f);
    assert_eq!(register(&all, "mxcsr")["value"], 0x1f80);
    let mut script = String::from("set $xmm1.v2_int64[0] = 5\n");
    if size >= 32 {
        script += "set $ymm2.v4_int64[3] = 6\n";
    }
    if size == 64 {
        script += "set $zmm3.v8_int64[7] = 7\nset $zmm31.v8_int64[1] = 8\nset $k7 = 9\n";
    }
    let now = stored(&target, &script);
    for index in 0..16 {
        let mut bytes = [0u8; 64];
        match index {
            1 => bytes[0] = 5,
            2 if size >= 32 => bytes[24] = 6,
            3 if size == 64 => bytes[56] = 7,
            14 if size == 64 => bytes[8] = 8,
            _ => {}
        }
        assert_eq!(now.vector(index, size), &bytes[..size], "{vectors}{index}");
    }
    assert_eq!(now.mxcsr(), 0x1f80);
    if size == 64 {
        assert_eq!((now.mask(7), now.mask(6)), (9, 0));
    }
}

/// The offset of a symbol in the fixture's file.
fn symbol(pid: i32, name: &str) -> u64 {
    let output = std::process::Command::new("nm").arg(format!("/proc/{pid}/exe")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.ends_with(&format!(" {name}"))).unwrap();
    u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap()
}

#[test]
fn a_program_counter_that_is_set_is_where_the_thread_goes_on_from_a_broken_system_call_too() {
    // The main thread sleeps in a call that the kernel would make again; it is sent to where the fixture ends itself.
    let mut target = Fixture::of("sleeper").env("FIXTURE_BEAT_US", "60000000").args(["1"]).start();
    let place = format!("sleeper+{:#x}", symbol(target.pid(), "die"));
    let script = format!(
        "attach {}\nset $rdi = 0\nset $rsp = ($rsp & ~0xf) - 8\nset $rip = {place}\ncontinue &\nwait 10s\n",
        target.pid()
    );
    drop(Godbg::new().run_script(script));
    // `die` says what failed and ends with 99; moved back by a `syscall` instruction it would be somewhere else.
    assert_eq!(target.wait_end().code(), Some(99));
}

#[test]
fn memory_is_written_in_a_running_process_and_in_text_that_nobody_may_write() {
    let target = Fixture::start("sleeper", &["1"]);
    let place = format!("sleeper+{:#x}", symbol(target.pid(), "die"));
    let script = format!(
        "attach {}\ncontinue &\nprint/x *(u32*)({place})\nset {{u8[2]}}({place}) = 0x0f 0x0b\nprint/x *(u16*)({place})\n\
         try print $rip\ntry set $rip = 0\ndetach\n",
        target.pid()
    );
    let outcome = Godbg::new().run_script(script).success();
    let outcome = outcome.says("2 bytes at 0x").says("written, while the process ran").says("$2 = 0xb0f");
    outcome.says("only a thread that stands still has registers").says("hint: interrupt stops it");
    target.assert_beats();
    assert!(std::panic::catch_unwind(|| kernel::assert_text_unchanged(target.pid())).is_err());
}

#[test]
fn registers_that_changed_since_the_process_ran_are_marked() {
    let target = start("patterns");
    let changed = |reply: &Value, name: &str| register(reply, name)["changed"].clone();
    let said = replies(
        &target,
        "regs rax r12 xmm3\ncontinue &\ninterrupt\nset $r12 = 5\nset $xmm3.v4_int32[0] = 5\nregs rax r12 xmm3 xmm4",
    );
    assert_eq!(changed(&said[0], "rax"), Value::Null);
    let last = said.last().unwrap();
    assert_eq!((changed(last, "rax"), changed(last, "r12")), (Value::from(false), Value::from(true)));
    assert_eq!((changed(last, "xmm3"), changed(last, "xmm4")), (Value::from(true), Value::from(false)));
}
