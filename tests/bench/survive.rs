//! kill -9 of a debugger that has a breakpoint set, at random moments: how many targets live on, and whole.
//!
//! A target is whole if a second later it runs, its calls go on, nobody traces it, its text is its file's and its debug
//! registers are clear. One that is so only later has survived too, and is counted.

use crate::Setup;
use crate::caller::{Caller, PATIENCE};
use crate::commands::{self, Breakpoint};
use crate::kernel_facts::{byte_at, expect_clear_debug_registers, expect_text_of_file};
use crate::running::{self, Running};
use crate::table::{Better, Summary, not_there_yet};
use crate::target::Language;
use crate::tool::{self, Tool};
use anyhow::{Context as _, Result, ensure};
use std::collections::{BTreeMap, VecDeque};
use std::os::unix::process::ExitStatusExt as _;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What a target is given to die in after its debugger did.
const SETTLE: Duration = Duration::from_secs(1);

/// How long a target that is not whole by then is looked at again.
const LATEST: Duration = Duration::from_secs(10);

/// gdb is killed this much less often, as its answer is known.
const LESS_OFTEN: usize = 20;
const AT_LEAST: usize = 3;

const INT3: u8 = 0xcc;

/// Calls a second of the slow target: one a second would have most kills fall before the first hit, in rounds of a second.
const SLOW: u32 = 50;

/// How often a breakpoint of which kind is hit.
struct Way {
    name: &'static str,
    /// Calls a second, 0: as fast as the program can.
    rate: u32,
    /// None for the control: a debugger without a breakpoint is killed, to show that the checks can be passed.
    kind: Option<Breakpoint>,
    /// The kill is at a random moment of so long after the first hit.
    within: Duration,
    /// How many targets are let settle while the next debugger is killed: more than one only where they leave the
    /// processors free.
    beside: usize,
}

const WAYS: [Way; 4] = [
    Way { name: "control: no breakpoint", rate: 0, kind: None, within: Duration::from_millis(40), beside: 0 },
    Way {
        name: "hit 50 times a second",
        rate: SLOW,
        kind: Some(Breakpoint::Software),
        within: Duration::from_millis(2 * 1000 / SLOW as u64),
        beside: 8,
    },
    Way {
        name: "hit as fast as it can call",
        rate: 0,
        kind: Some(Breakpoint::Software),
        within: Duration::from_millis(40),
        beside: 0,
    },
    Way {
        name: "hardware, as fast as it can",
        rate: 0,
        kind: Some(Breakpoint::Hardware),
        within: Duration::from_millis(40),
        beside: 0,
    },
];

/// How the rounds of one tool with one way went.
#[derive(Default)]
struct Tally {
    rounds: usize,
    survivors: usize,
    /// How many of them were not whole after a second.
    late: usize,
    /// What became of the others, and how often.
    fates: BTreeMap<String, usize>,
    /// What outlived its debugger by more than it may, and was ended.
    left_behind: BTreeMap<String, usize>,
}

pub fn survive(setup: &Setup, kills: usize, seed: Option<u64>, summary: &mut Summary) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let mut random = Random(seed.unwrap_or(now) | 1);
    println!(
        "\nkill -9 of the debugger at a random moment after the first hit (--seed {}); whole 1 s later:",
        random.0
    );
    for way in &WAYS {
        for tool in [Tool::Godbg, Tool::Gdb].into_iter().filter(|tool| setup.tools.contains(tool)) {
            let often = tool == Tool::Godbg && way.kind.is_some();
            let rounds = if often { kills } else { (kills / LESS_OFTEN).max(AT_LEAST) };
            match rounds_of(setup, tool, way, rounds, &mut random) {
                Ok(tally) => {
                    tally.print(tool, way);
                    if tool == Tool::Godbg {
                        let what = format!("kill -9, {}, survivors of {rounds}", way.name);
                        summary.goal(what, Some(tally.survivors as f64), Better::More, Some(rounds as f64), "");
                    }
                }
                Err(error) => {
                    let missing = not_there_yet(&error).filter(|_| tool == Tool::Godbg);
                    summary.godbg_works &= missing.is_some() || tool != Tool::Godbg;
                    let why = missing.unwrap_or_else(|| format!("FAILED: {error:#}"));
                    println!("  {:<6} {:<28} {why}", tool.name(), way.name);
                }
            }
        }
    }
    Ok(())
}

impl Tally {
    fn print(&self, tool: Tool, way: &Way) {
        let late = if self.late > 0 { format!(", {} of them later than {SETTLE:?}", self.late) } else { String::new() };
        println!("  {:<6} {:<28} {:>5} of {:>5} survive{late}", tool.name(), way.name, self.survivors, self.rounds);
        for (fate, count) in &self.fates {
            println!("  {:35} {count:>5} × {fate}", "");
        }
        for (name, count) in &self.left_behind {
            println!("  {:35} {count:>5} × {name} was left behind, and ended", "");
        }
    }
}

fn rounds_of(setup: &Setup, tool: Tool, way: &Way, rounds: usize, random: &mut Random) -> Result<Tally> {
    let mut tally = Tally { rounds, ..Tally::default() };
    let mut settling = VecDeque::new();
    for round in 0..rounds {
        let caller = Caller::start(&setup.programs, Language::C, 1, way.rate)?;
        let killed = kill_debugger(setup, tool, way, &caller, random.up_to(way.within));
        match killed {
            Ok(()) => settling.push_back((caller, Instant::now())),
            Err(error) if round == 0 => return Err(error),
            Err(error) => tally.note(format!("not killed: {error:#}")),
        }
        while settling.len() > way.beside {
            tally.look(settling.pop_front());
        }
    }
    while !settling.is_empty() {
        tally.look(settling.pop_front());
    }
    for name in running::end_orphans() {
        *tally.left_behind.entry(name).or_default() += 1;
    }
    Ok(tally)
}

impl Tally {
    fn note(&mut self, fate: String) {
        *self.fates.entry(fate).or_default() += 1;
    }

    /// Waits until a target has had its second, and counts what became of it.
    fn look(&mut self, settling: Option<(Caller, Instant)>) {
        let Some((mut caller, killed)) = settling else { return };
        match outcome(&mut caller, killed) {
            Ok(late) => {
                self.survivors += 1;
                self.late += usize::from(late);
            }
            Err(fate) => self.note(format!("{fate:#}")),
        }
    }
}

/// Until the breakpoint has been hit, `delay` more, and SIGKILL. Fails if the debugger did not get there.
fn kill_debugger(setup: &Setup, tool: Tool, way: &Way, caller: &Caller, delay: Duration) -> Result<()> {
    let words = match way.kind {
        Some(kind) => commands::false_condition(tool, kind, caller).context("it has no such breakpoint")?,
        None => vec!["continue".to_owned()],
    };
    let line = tool::session(&setup.programs, tool, caller.pid(), &words)?;
    let mut running = Running::start(&setup.programs, &line)?;
    match (way.kind, way.rate) {
        (None, _) => wait_for_tracer(caller, &mut running)?,
        (Some(_), 0) => caller.wait_until_slow(&mut running)?,
        (Some(_), _) => wait_for_hit(caller, &mut running)?,
    }
    sleep(delay);
    running.expect_alive()?;
    running.kill_alone()
}

fn wait_for_tracer(caller: &Caller, running: &mut Running) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while caller.target.check_released().is_ok() {
        running.expect_alive()?;
        ensure!(Instant::now() < deadline, "nobody attaches within {PATIENCE:?}");
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// As the kernel shows it: the byte is in the text, and a call has been made since.
fn wait_for_hit(caller: &Caller, running: &mut Running) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut set_at = None;
    loop {
        running.expect_alive()?;
        ensure!(Instant::now() < deadline, "no hit within {PATIENCE:?}");
        let calls = caller.calls()?;
        match set_at {
            None if byte_at(caller.pid(), caller.work)? == INT3 => set_at = Some(calls),
            // The first call may have begun before the byte was there.
            Some(before) if calls >= before + 2 => return Ok(()),
            _ => sleep(Duration::from_millis(1)),
        }
    }
}

/// Whether the target was whole later than it should; fails with what is wrong with it in the end.
fn outcome(caller: &mut Caller, killed: Instant) -> Result<bool> {
    while killed.elapsed() < SETTLE {
        expect_alive(caller)?;
        sleep(Duration::from_millis(20));
    }
    let mut late = false;
    while let Err(fate) = whole(caller) {
        expect_alive(caller)?;
        if killed.elapsed() > LATEST {
            return Err(fate);
        }
        late = true;
    }
    Ok(late)
}

fn expect_alive(caller: &mut Caller) -> Result<()> {
    if let Some(status) = caller.target.child.try_wait()? {
        let signal = status.signal().map_or_else(|| status.to_string(), |signal| format!("signal {signal}"));
        anyhow::bail!("died of {signal}");
    }
    Ok(())
}

/// Fails with what is wrong with the target now.
fn whole(caller: &mut Caller) -> Result<()> {
    expect_alive(caller)?;
    caller.target.check_released()?;
    let rate = caller.rate(Duration::from_millis(100))?;
    ensure!(rate > 0.0, "stands still");
    expect_text_of_file(caller.pid())?;
    expect_clear_debug_registers(caller.pid())
}

/// xorshift64: moments that can be repeated.
struct Random(u64);

impl Random {
    fn up_to(&mut self, most: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        most.mul_f64((self.0 >> 11) as f64 / (1u64 << 53) as f64)
    }
}
