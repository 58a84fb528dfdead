//! All goroutines of a Go program, with and without its debug information: godbg, Delve, and a bare loop that only reads what
//! they are made of, interleaved in one run.
//!
//! `scripts/bench goroutines` runs it with everything in place. Figures, all medians: wall (attach, list, detach), pause (how
//! long a sleeping thread of the target stood still; of the bare loop how long it read), memory (the peak).
//!
//! Nothing here fails by a time: goals are printed as met or missed. It fails when godbg does not do its work.

mod programs;
mod report;
mod table;
#[allow(dead_code, reason = "the C targets are not for this bench")]
mod target;
#[allow(dead_code, reason = "what proves the work of a tool is another thing here")]
mod tool;

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use programs::{Programs, installed, number, succeed};
use report::ms;
use table::{Better, Column, Kind, Summary, Table};
use target::{Language, Target};
use tool::{Line, Tool};

#[derive(Parser)]
#[command(bin_name = "cargo bench --bench goroutines --", about = "Measures the list of all goroutines")]
struct Options {
    /// Goroutines of the targets
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000])]
    sizes: Vec<u32>,
    /// Runs of the bare loop and of godbg; Delve gets 3, of 100,000 goroutines 1
    #[arg(long, default_value_t = 11)]
    runs: usize,
    /// Size 10,000 with 3 runs
    #[arg(long)]
    quick: bool,
    /// The peers to run; those that are not installed are left out
    #[arg(long, value_delimiter = ',', default_values_t = [Tool::Delve], value_enum)]
    peers: Vec<Tool>,
    /// Only these of all tools
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Tool>,
    #[arg(long, hide = true)]
    bench: bool, // cargo bench says so; cargo test --benches does not
}

/// A row: a tool and what it is told.
struct Contender {
    name: &'static str,
    tool: Tool,
    commands: &'static [&'static str],
}

const LIST: &str = "goroutines";
const STACKS: &str = "goroutines -s";
const BARE: &str = "bare reads, two threads";

/// Delve shows ten frames of each stack unless it is told how many.
const CONTENDERS: [Contender; 5] = [
    Contender { name: BARE, tool: Tool::Bare, commands: &[] },
    Contender { name: LIST, tool: Tool::Godbg, commands: &["continue &", "goroutines"] },
    Contender { name: STACKS, tool: Tool::Godbg, commands: &["continue &", "goroutines -s"] },
    Contender { name: "delve goroutines", tool: Tool::Delve, commands: &["goroutines"] },
    Contender { name: "delve goroutines -t", tool: Tool::Delve, commands: &["goroutines -t 50"] },
];

/// The targets: with debug information, and with neither that nor symbols.
const TARGETS: [(&str, &str); 2] = [("goroutines", "with DWARF"), ("goroutines-stripped", "stripped")];

/// With so many Delve takes 7 s, and 37 s with stacks.
const MANY: u32 = 50_000;

fn main() -> Result<()> {
    let mut options = Options::parse();
    if !options.bench {
        println!("nothing measured: this is for cargo bench");
        return Ok(());
    }
    ensure!(installed("go"), "go is not installed: the targets are Go programs");
    if options.quick {
        (options.sizes, options.runs) = (vec![10_000], 3);
    }
    let programs = Programs::build()?;
    let tools = tool::chosen(&options.peers, &options.only);
    let contenders: Vec<&Contender> = CONTENDERS.iter().filter(|one| tools.contains(&one.tool)).collect();
    let mut summary = Summary::default();
    for &size in &options.sizes {
        let mut usual = None;
        for (program, kind) in TARGETS {
            let table = measure_target(&programs, &contenders, (program, kind), size, options.runs, &mut summary)?;
            goals(&table, kind, size, &mut summary);
            let wall = table.median_of(LIST, 0);
            let bound = usual.map(|usual: f64| usual * 1.5);
            summary.goal(format!("{size} {kind}: 1.5 × the wall with DWARF"), wall, Better::Less, bound, "ms");
            usual = wall;
        }
    }
    summary.print();
    ensure!(summary.godbg_works, "godbg failed; see above");
    Ok(())
}

fn measure_target(
    programs: &Programs,
    contenders: &[&Contender],
    (program, kind): (&str, &str),
    size: u32,
    runs: usize,
    summary: &mut Summary,
) -> Result<Table> {
    let column = |name, better, decimals| Column { name, better, decimals };
    let less = |name| column(name, Better::Less, 1);
    let columns = vec![less("wall ms"), less("pause ms"), less("MiB"), column("lines", Better::More, 0)];
    let mut table = Table::new(format!("all goroutines of a {} with {size}, {kind}", Language::Go.name()), columns);
    let rows: Vec<usize> = contenders.iter().map(|one| table.row(one.name, one.tool.into())).collect();
    let mut target = Target::start(programs, program, Language::Go, size, &[])?;
    for round in 0..runs {
        for (one, row) in contenders.iter().zip(&rows) {
            let is_peer = Kind::from(one.tool) == Kind::Peer;
            let most = match (is_peer, size >= MANY) {
                (false, _) => runs,
                (true, false) => 3,
                (true, true) if one.name.ends_with("-t") => 0,
                (true, true) => 1,
            };
            if table.failed(*row) || round >= most {
                continue;
            }
            match measure(programs, one, program, &target) {
                Ok(figures) => table.add(*row, figures),
                Err(error) => {
                    table.fail(*row, &error, summary);
                    target = Target::start(programs, program, Language::Go, size, &[])?;
                }
            }
        }
    }
    table.print();
    Ok(table)
}

fn goals(table: &Table, kind: &str, size: u32, summary: &mut Summary) {
    let mut goal = |what: &str, row, column, bound, unit| {
        summary.goal(format!("{size} {kind}: {what}"), table.median_of(row, column), Better::Less, bound, unit);
    };
    goal("pause: 1.5 × the bare reads", LIST, 1, table.median_of(BARE, 1).map(|bare| bare * 1.5), "ms");
    if size >= MANY {
        goal("list, wall", LIST, 0, Some(150.0), "ms");
        goal("list, pause", LIST, 1, Some(60.0), "ms");
        goal("list, memory", LIST, 2, Some(150.0), "MiB");
        goal("stacks, wall", STACKS, 0, Some(1000.0), "ms");
        goal("stacks, memory", STACKS, 2, Some(150.0), "MiB");
    }
}

/// Wall, pause and memory of one run, and how much it has said.
fn measure(programs: &Programs, one: &Contender, program: &str, target: &Target) -> Result<Vec<f64>> {
    target.wait_for_beats(5).context("before the run")?;
    target.reset()?;
    let (line, proof) = match one.tool {
        Tool::Bare => (bare(programs, program, target.pid())?, "held="),
        // Nothing but the list says this.
        Tool::Godbg => (session(programs, one, target.pid())?, " goroutines\n"),
        _ => (session(programs, one, target.pid())?, " goroutines]"),
    };
    let run = programs.run(&line, proof)?;
    target.wait_for_beats(2).context("the target stands still after the run")?;
    target.check_released()?;
    let pause = match one.tool {
        Tool::Bare => number(&run.said, "held=")?,
        _ => ms(target.longest_gap()?.saturating_sub(target.usual)),
    };
    Ok(vec![ms(run.wall), pause, run.memory_kib as f64 / 1024.0, run.said.lines().count() as f64])
}

fn session(programs: &Programs, one: &Contender, pid: u32) -> Result<Line> {
    let commands: Vec<String> = one.commands.iter().map(|&command| command.to_owned()).collect();
    tool::session(programs, one.tool, pid, &commands)
}

/// The bare loop does not look for the runtime's variables: nm does. Of a stripped program they are not to be had.
fn bare(programs: &Programs, program: &str, pid: u32) -> Result<Line> {
    let symbols = succeed(Command::new("nm").arg(programs.file(&format!("{program}-go"))))?;
    let addr = |name: &str| {
        let line = symbols.lines().find(|line| line.split(' ').next_back() == Some(name));
        let addr = line.and_then(|line| line.split(' ').next());
        addr.with_context(|| format!("the program has no symbol {name}"))
    };
    let loop_ = programs.file("bare_goroutines").display().to_string();
    Ok(Line::new(&[&loop_, &pid.to_string(), addr("runtime.allglen")?, addr("runtime.allgptr")?]))
}
