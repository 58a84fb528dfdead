//! Hits of a breakpoint whose condition is false, and single steps: how many a second.
//!
//! Every run has a fresh target, and ends with it: a peer that is stopped in mid-work could leave its own breakpoint behind.

use crate::Setup;
use crate::caller::Caller;
use crate::commands::{self, Breakpoint};
use crate::programs::number;
use crate::running::{self, Running};
use crate::table::{Better, Column, Kind, Summary, Table};
use crate::target::Language;
use crate::tool::{self, Line, Tool};
use anyhow::{Context as _, Result};

/// What is expected of godbg.
const HITS_GOAL: f64 = 30_000.0;
const TIMES_GDB: f64 = 10.0;
const STEPS_OF_BARE: f64 = 0.8;
/// With a thousand more threads it is to be no worse; this much less is noise.
const NO_WORSE: f64 = 0.9;

/// One row of a table.
#[derive(Clone, Copy)]
enum Contender {
    Tool(Tool),
    Bare { how: &'static str, pinned: bool },
}

impl Contender {
    fn name(self) -> String {
        match self {
            Contender::Tool(tool) => tool.name().to_owned(),
            Contender::Bare { how, pinned } => format!("bare {how}{}", if pinned { ", pinned" } else { "" }),
        }
    }

    fn kind(self) -> Kind {
        match self {
            Contender::Tool(tool) => tool.into(),
            Contender::Bare { .. } => Kind::Bare,
        }
    }

    fn language(self) -> Language {
        match self {
            Contender::Tool(Tool::Delve) => Language::Go,
            _ => Language::C,
        }
    }
}

/// The bare loops of these kinds, unpinned and pinned, then the debuggers.
fn contenders(tools: &[Tool], hows: &[&'static str]) -> Vec<Contender> {
    let mut all = Vec::new();
    if tools.contains(&Tool::Bare) {
        all.extend(hows.iter().flat_map(|&how| [false, true].map(|pinned| Contender::Bare { how, pinned })));
    }
    all.extend(tools.iter().filter(|&&tool| tool != Tool::Bare).map(|&tool| Contender::Tool(tool)));
    all
}

pub fn conditions(setup: &Setup, sizes: &[u32], summary: &mut Summary) -> Result<()> {
    let hows = ["reinsert", "emulate", "displaced"];
    let commands = |tool, caller: &Caller| commands::false_condition(tool, Breakpoint::Software, caller);
    let mut with_one = None;
    for &threads in sizes {
        let title = format!("Breakpoints with a false condition, {threads} threads (one of them hits)");
        let table = measure(setup, title, "hits/s", &hows, threads, &commands, |_| Ok(1.0), summary)?;
        let godbg = table.best(Kind::Godbg, 0);
        let what = |goal: &str| format!("false conditions, {threads} threads, {goal}");
        summary.goal(what("hits"), godbg, Better::More, Some(HITS_GOAL), "/s");
        let gdb = table.median_of("gdb", 0).map(|gdb| TIMES_GDB * gdb);
        summary.goal(what("10 × gdb's"), godbg, Better::More, gdb, "/s");
        no_worse(what("no worse than the first"), godbg, &mut with_one, summary);
    }
    Ok(())
}

pub fn steps(setup: &Setup, sizes: &[u32], summary: &mut Summary) -> Result<()> {
    let commands = |tool, _: &Caller| commands::many_steps(tool);
    let mut with_one = None;
    let in_c = steps_a_call(setup, Language::C)?;
    println!("\ninstructions of the C loop that is stepped through: {in_c:.2}");
    let mut in_go = 1.0;
    if setup.tools.contains(&Tool::Delve) {
        in_go = steps_a_call(setup, Language::Go)?;
        println!("instructions of the Go loop: {in_go:.2}");
    }
    let scale = |language| Ok(if language == Language::Go { in_go } else { in_c });
    for &threads in sizes {
        let title = format!("Single steps, {threads} threads");
        let table = measure(setup, title, "steps/s", &["step"], threads, &commands, scale, summary)?;
        let godbg = table.best(Kind::Godbg, 0);
        for bare in ["bare step", "bare step, pinned"] {
            let bound = table.median_of(bare, 0).map(|bare| STEPS_OF_BARE * bare);
            summary.goal(format!("steps, {threads} threads, 0.8 × {bare}"), godbg, Better::More, bound, "/s");
        }
        no_worse(format!("steps, {threads} threads, no worse than the first"), godbg, &mut with_one, summary);
    }
    Ok(())
}

fn no_worse(what: String, godbg: Option<f64>, first: &mut Option<f64>, summary: &mut Summary) {
    match *first {
        None => *first = godbg,
        Some(first) => summary.goal(what, godbg, Better::More, Some(NO_WORSE * first), "/s"),
    }
}

/// All contenders in turn, round by round. `scale` is what one call counts for.
#[expect(clippy::too_many_arguments, reason = "two callers, each a list of what makes it different")]
fn measure(
    setup: &Setup,
    title: String,
    unit: &'static str,
    hows: &[&'static str],
    threads: u32,
    commands: &dyn Fn(Tool, &Caller) -> Option<Vec<String>>,
    scale: impl Fn(Language) -> Result<f64>,
    summary: &mut Summary,
) -> Result<Table> {
    let mut table = Table::new(title, vec![Column { name: unit, better: Better::More, decimals: 0 }]);
    let contenders = contenders(&setup.tools, hows);
    let rows: Vec<usize> = contenders.iter().map(|contender| table.row(&contender.name(), contender.kind())).collect();
    for round in 0..setup.rounds {
        for (&contender, &row) in contenders.iter().zip(&rows) {
            if table.failed(row) || !setup.takes_part(contender.kind(), round) {
                continue;
            }
            match measure_one(setup, contender, threads, commands) {
                Ok(rate) => table.add(row, vec![rate * scale(contender.language())?]),
                Err(error) => table.fail(row, &error, summary),
            }
            running::end_orphans();
        }
    }
    table.print();
    Ok(table)
}

fn measure_one(
    setup: &Setup,
    contender: Contender,
    threads: u32,
    commands: &dyn Fn(Tool, &Caller) -> Option<Vec<String>>,
) -> Result<f64> {
    let mut caller = Caller::start(&setup.programs, contender.language(), threads, 0)?;
    let line = match contender {
        Contender::Bare { how, pinned } => bare_line(setup, how, pinned, 0, &caller),
        Contender::Tool(tool) => {
            let words = commands(tool, &caller).with_context(|| format!("{tool} has no such thing"))?;
            tool::session(&setup.programs, tool, caller.pid(), &words)?
        }
    };
    let mut running = Running::start(&setup.programs, &line)?;
    let rate = caller.slowed_rate(&mut running, setup.window);
    // The target first: a breakpoint would stay in it. But it is not gone before its tracer is, if that waits for nothing.
    caller.target.child.kill()?;
    drop(running);
    rate
}

fn bare_line(setup: &Setup, how: &str, pinned: bool, count: u32, caller: &Caller) -> Line {
    let program = setup.programs.file("bare_step").display().to_string();
    let numbers = [u64::from(caller.pid()), caller.work, caller.room, u64::from(pinned), u64::from(count)];
    let mut words = vec![program, how.to_owned()];
    words.extend(numbers.map(|number| number.to_string()));
    Line { words, input: None }
}

/// How many instructions lie between two calls of the target, as a bare loop finds them.
fn steps_a_call(setup: &Setup, language: Language) -> Result<f64> {
    const COUNT: u32 = 20_000;
    let caller = Caller::start(&setup.programs, language, 1, 0)?;
    let run = setup.programs.run(&bare_line(setup, "count", true, COUNT, &caller), "calls=")?;
    Ok(f64::from(COUNT) / number(&run.said, "calls=")?)
}
