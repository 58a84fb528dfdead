//! How long a freeze takes: godbg, its peers and the bare kernel loop, interleaved in one run.
//!
//! `cargo bench --bench attach -- --help` names the options; `scripts/bench` runs it with everything in place. Targets
//! with 1 … 10,000 threads are attached to and let go by every tool in turn. Figures, all medians:
//!
//! - wall: the whole command, from fork to exit;
//! - pause: how long one sleeping thread of the target stood still (the longest gap in its heartbeat above the usual);
//! - memory: the largest peak of the command or of a helper it waited for.
//!
//! Nothing here fails by a time: goals are printed as met or missed, and a reader judges. It fails when godbg does not do
//! its work, or leaves the target stopped or traced.

mod attach_report;
mod attach_runs;
mod programs;
mod report;
mod target;
mod tool;

use anyhow::{Context as _, Result, ensure};
use attach_report::{Measurement, Rows};
use clap::Parser;
use programs::Programs;
use std::time::Duration;
use target::{Language, Target};
use tool::Tool;

#[derive(Parser)]
#[command(bin_name = "cargo bench --bench attach --", about = "Measures attach + all stopped + detach")]
struct Options {
    /// Threads of the targets
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1000, 5000, 10_000])]
    sizes: Vec<u32>,
    /// Runs of the bare loop and of godbg at each size, five times as many up to 100 threads; the peers get 5 or 3
    #[arg(long, default_value_t = 11)]
    runs: usize,
    /// Sizes 1, 100 and 1000 with 3 runs
    #[arg(long)]
    quick: bool,
    /// The peers to run; those that are not installed are left out
    #[arg(long, value_delimiter = ',', default_values_t = [Tool::Gdb, Tool::Lldb, Tool::Delve], value_enum)]
    peers: Vec<Tool>,
    /// Only these of all tools
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Tool>,
    /// Leave out the time to the first prompt
    #[arg(long)]
    no_startup: bool,
    #[arg(long, hide = true)]
    bench: bool, // cargo bench says so; cargo test --benches does not
}

fn main() -> Result<()> {
    let mut options = Options::parse();
    if !options.bench {
        println!("nothing measured: this is for cargo bench");
        return Ok(());
    }
    if options.quick {
        options.sizes = vec![1, 100, 1000];
        options.runs = 3;
    }
    let programs = Programs::build()?;
    let tools = tool::chosen(&options.peers, &options.only);
    let mut summary = Vec::new();
    let mut godbg_works = true;
    for &size in &options.sizes {
        for language in [Language::C, Language::Go] {
            let tools: Vec<Tool> = tools.iter().copied().filter(|tool| tool.measured_on(language)).collect();
            if language == Language::Go && !tools.contains(&Tool::Delve) {
                continue; // the Go target is there for Delve
            }
            if let Some(rows) = measure_size(&programs, &tools, language, size, options.runs)? {
                rows.print();
                godbg_works &= !rows.failed.contains(&Tool::Godbg);
                summary.push(rows);
            }
        }
    }
    attach_report::print_summary(&summary);
    if !options.no_startup {
        startup(&programs, &tools);
    }
    ensure!(godbg_works, "godbg failed to attach or detach; see above");
    Ok(())
}

fn measure_size(
    programs: &Programs,
    tools: &[Tool],
    language: Language,
    size: u32,
    runs: usize,
) -> Result<Option<Rows>> {
    let mut target = match Target::start(programs, "heartbeat", language, size, &[]) {
        Ok(target) => target,
        Err(error) => {
            println!("\nSKIPPED: {size} threads, {}: {error:#}\n  {}", language.name(), attach_runs::limits());
            return Ok(None);
        }
    };
    let mut rows = Rows::new(&target, language, size, tools)?;
    let rounds = tools.iter().map(|tool| tool.runs(size, runs)).max().unwrap_or(0);
    for round in 0..rounds {
        for position in 0..tools.len() {
            let tool = tools[(position + round) % tools.len()]; // no tool always runs behind the same one
            if rows.failed.contains(&tool) || round >= tool.runs(size, runs) {
                continue;
            }
            match measure(programs, tool, &target) {
                Ok(measurement) => rows.add(tool, measurement),
                Err(error) => {
                    println!("FAILED: {} on {size} threads, {}: {error:#}", tool.name(), language.name());
                    rows.failed.push(tool);
                    target = Target::start(programs, "heartbeat", language, size, &[])
                        .context("the target a second time")?;
                }
            }
        }
    }
    Ok(Some(rows))
}

fn measure(programs: &Programs, tool: Tool, target: &Target) -> Result<Measurement> {
    target.wait_for_beats(5).context("before the run")?;
    target.reset()?;
    let cost = attach_runs::attach_once(programs, tool, target.pid())?;
    target.wait_for_beats(2).context("the target stands still after the run")?;
    target.check_released()?;
    let pause = target.longest_gap()?.saturating_sub(target.usual);
    Ok(Measurement { wall: cost.wall, pause, memory_kib: cost.memory_kib, phases: cost.phases })
}

/// From nothing to the first prompt, on a terminal.
fn startup(programs: &Programs, tools: &[Tool]) {
    const RUNS: usize = 20;
    let mut times: Vec<(Tool, Vec<Duration>)> =
        tools.iter().filter(|tool| tool.to_prompt().is_some()).map(|&tool| (tool, Vec::new())).collect();
    for _ in 0..RUNS {
        times.retain_mut(|(tool, times)| match attach_runs::time_to_prompt(programs, *tool) {
            Ok(time) => {
                times.push(time);
                true
            }
            Err(error) => {
                println!("FAILED: start of {}: {error:#}", tool.name());
                false
            }
        });
    }
    attach_report::print_startup(&times);
}
