//! How fast a process is steered and looked into: godbg, its peers and bare kernel loops, interleaved in one run.
//!
//! `cargo bench --bench steer -- --help` names the parts and options; `scripts/bench steer` runs it with everything in
//! place. Every figure is a median over some rounds. What is fast is measured from outside: the target counts in shared
//! memory what it does under the tool, so that no tool's start, output or clock is in the figure.
//!
//! Nothing here fails by a time: goals are printed as met or missed, and a reader judges. It fails when godbg has a command
//! and the command does not do its work; one that it has not is named and left out.

mod bulk;
mod caller;
mod commands;
mod cores;
mod kernel_facts;
mod programs;
mod rates;
mod report;
mod running;
mod survive;
mod table;
mod target;
mod tool;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use programs::Programs;
use std::time::Duration;
use table::{Kind, Summary};
use tempfile::TempDir;
use tool::Tool;

/// Peers take seconds where the others take a part of one.
const PEER_ROUNDS: usize = 3;

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Breakpoints whose condition is never true: hits a second
    Conditions,
    /// Single steps a second
    Steps,
    /// Memory into a file
    Dump,
    /// A text near the end of much memory
    Find,
    /// A core of a process with much memory: how long it stood still, how long it took
    Gcore,
    /// kill -9 of the debugger at random moments: how many targets live on (not part of a run without names)
    Survive,
}

#[derive(Parser)]
#[command(bin_name = "cargo bench --bench steer --", about = "Measures breakpoints, steps, memory and cores")]
struct Options {
    /// The parts to run [default: all but survive]
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Rounds of the bare loops and of godbg; the peers have three at most
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Threads of the targets that are stepped or hit breakpoints; all but one sleep
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1001])]
    sizes: Vec<u32>,
    /// Seconds that hits and steps are counted in every round
    #[arg(long, default_value_t = 1.0)]
    window: f64,
    /// MiB to dump; find and gcore have four times as much
    #[arg(long, default_value_t = 256)]
    mib: u64,
    /// How often godbg is killed with each kind of breakpoint; gdb a twentieth of it, at least 3 times
    #[arg(long, default_value_t = 100)]
    kills: usize,
    /// The seed of the random moments of the kills, to repeat a run
    #[arg(long)]
    seed: Option<u64>,
    /// One short round of everything, 10 instead of 1000 sleeping threads, 8 MiB, 3 kills
    #[arg(long)]
    quick: bool,
    /// The peers to run; those that are not installed are left out
    #[arg(long, value_delimiter = ',', default_values_t = [Tool::Gdb, Tool::Lldb, Tool::Delve], value_enum)]
    peers: Vec<Tool>,
    /// Only these of all tools
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Tool>,
    #[arg(long, hide = true)]
    bench: bool, // cargo bench says so; cargo test --benches does not
}

/// What every part is given.
pub struct Setup {
    /// Compiled.
    pub programs: Programs,
    /// For big files; in memory where that can be had.
    pub scratch: TempDir,
    /// Installed and asked for.
    pub tools: Vec<Tool>,
    /// Of every tool but the peers.
    pub rounds: usize,
    /// How long hits and steps are counted in a round.
    pub window: Duration,
}

fn main() -> Result<()> {
    let mut options = Options::parse();
    if !options.bench {
        println!("nothing measured: this is for cargo bench");
        return Ok(());
    }
    if options.quick {
        (options.rounds, options.window, options.mib, options.kills) = (1, 0.2, 8, 3);
        options.sizes = vec![1, 11];
    }
    if options.parts.is_empty() {
        options.parts = vec![Part::Conditions, Part::Steps, Part::Dump, Part::Find, Part::Gcore];
    }
    if options.quick {
        println!("--quick: this shows that everything works; the figures mean little");
    }
    let programs = Programs::build()?;
    let scratch = tempfile::Builder::new().prefix("godbg-bench").tempdir_in(target::quick_folder(&programs))?;
    running::adopt_orphans()?;
    running::clean_up_on_signals(scratch.path().to_owned())?;
    let mut tools = tool::chosen(&options.peers, &options.only);
    tools.retain(|&tool| tool != Tool::Nothing);
    let window = Duration::try_from_secs_f64(options.window)?;
    let setup = Setup { programs, scratch, tools, rounds: options.rounds, window };
    let mut summary = Summary::default();
    for &part in &options.parts {
        run(part, &setup, &options, &mut summary)?;
    }
    summary.print();
    ensure!(summary.godbg_works, "godbg failed at something it has a command for; see above");
    Ok(())
}

impl Setup {
    /// Is this tool still to be run in this round? Peers take long: they have three at most.
    pub fn takes_part(&self, kind: Kind, round: usize) -> bool {
        kind != Kind::Peer || round < PEER_ROUNDS
    }
}

fn run(part: Part, setup: &Setup, options: &Options, summary: &mut Summary) -> Result<()> {
    match part {
        Part::Conditions => rates::conditions(setup, &options.sizes, summary),
        Part::Steps => rates::steps(setup, &options.sizes, summary),
        Part::Dump => bulk::dump(setup, options.mib, summary),
        Part::Find => bulk::find(setup, 4 * options.mib, summary),
        Part::Gcore => cores::gcore(setup, 4 * options.mib, summary),
        Part::Survive => survive::survive(setup, options.kills, options.seed, summary),
    }
}
