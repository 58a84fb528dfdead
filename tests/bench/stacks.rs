//! The stacks of all threads: godbg, its peers, and a bare loop that only copies what they are made of, interleaved in one run.
//!
//! `scripts/bench stacks` runs it with everything in place. Targets are C programs with 100 … 10,000 threads. Figures, all
//! medians: wall (the whole command), pause (how long a sleeping thread of the target stood still), memory (the peak).
//!
//! Nothing here fails by a time: goals are printed as met or missed. It fails when godbg does not do its work.

mod programs;
mod report;
mod table;
mod target;
mod tool;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use programs::{Programs, installed};
use report::ms;
use table::{Better, Column, Kind, Summary, Table};
use target::{Language, Target};
use tool::{Line, Tool};

#[derive(Parser)]
#[command(bin_name = "cargo bench --bench stacks --", about = "Measures the stacks of all threads")]
struct Options {
    /// Threads of the targets
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000, 10_000])]
    sizes: Vec<u32>,
    /// Runs of the bare loop and of godbg; the peers get 3
    #[arg(long, default_value_t = 11)]
    runs: usize,
    /// Sizes 100 and 1000 with 3 runs
    #[arg(long)]
    quick: bool,
    /// The peers to run; those that are not installed are left out
    #[arg(long, value_delimiter = ',', default_values_t = [Tool::Gdb, Tool::Lldb], value_enum)]
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
    kind: Kind,
    line: fn(&Programs, u32) -> Result<Line>,
    /// Every output that did its work says this.
    proof: &'static str,
}

const BARE: &str = "bare loop, 4 KiB a stack";

fn contenders(options: &Options) -> Vec<Contender> {
    let mut all = Vec::new();
    for tool in tool::chosen(&options.peers, &options.only) {
        let one = |name, line, proof| Contender { name, kind: tool.into(), line, proof };
        match tool {
            Tool::Bare => all.push(one(BARE, |programs, pid| Ok(bare(programs, pid)), "held=")),
            Tool::Godbg => {
                all.push(one("godbg stacks", |_, pid| Ok(godbg(pid, false)), "was held for"));
                all.push(one("godbg stacks -g", |_, pid| Ok(godbg(pid, true)), "was held for"));
            }
            Tool::Gdb | Tool::Lldb => {
                let line = match tool {
                    Tool::Gdb => |programs: &Programs, pid| peer(programs, Tool::Gdb, pid),
                    _ => |programs: &Programs, pid| peer(programs, Tool::Lldb, pid),
                };
                all.push(one(tool.name(), line, tool.proof()));
            }
            Tool::Nothing | Tool::Delve => {}
        }
    }
    if options.only.is_empty() && installed("eu-stack") {
        let line = |_: &Programs, pid: u32| Ok(Line::new(&["eu-stack", "-p", &pid.to_string()]));
        all.push(Contender { name: "eu-stack", kind: Kind::Peer, line, proof: "TID" });
    }
    all
}

fn bare(programs: &Programs, pid: u32) -> Line {
    Line::new(&[&programs.file("bare_stacks").display().to_string(), &pid.to_string()])
}

fn godbg(pid: u32, group: bool) -> Line {
    let group: &[&str] = if group { &["-g"] } else { &[] };
    Line::new(&[&[env!("CARGO_BIN_EXE_godbg"), "stacks"], group, &[&pid.to_string()]].concat())
}

fn peer(programs: &Programs, tool: Tool, pid: u32) -> Result<Line> {
    let commands: Vec<String> = match tool {
        Tool::Gdb => ["set pagination off", "thread apply all bt"].map(str::to_owned).into(),
        _ => vec!["thread backtrace all".to_owned()],
    };
    tool::session(programs, tool, pid, &commands)
}

fn main() -> Result<()> {
    let mut options = Options::parse();
    if !options.bench {
        println!("nothing measured: this is for cargo bench");
        return Ok(());
    }
    if options.quick {
        (options.sizes, options.runs) = (vec![100, 1000], 3);
    }
    let programs = Programs::build()?;
    let contenders = contenders(&options);
    let mut summary = Summary::default();
    for &size in &options.sizes {
        measure_size(&programs, &contenders, size, options.runs, &mut summary)?;
    }
    summary.print();
    ensure!(summary.godbg_works, "godbg failed; see above");
    Ok(())
}

fn measure_size(
    programs: &Programs,
    contenders: &[Contender],
    size: u32,
    runs: usize,
    summary: &mut Summary,
) -> Result<()> {
    let column = |name, better, decimals| Column { name, better, decimals };
    let less = |name| column(name, Better::Less, 1);
    let columns = vec![less("wall ms"), less("pause ms"), less("MiB"), column("lines", Better::More, 0)];
    let mut table = Table::new(format!("all stacks of a {} with {size} threads", Language::C.name()), columns);
    let rows: Vec<usize> = contenders.iter().map(|one| table.row(one.name, one.kind)).collect();
    let mut target = Target::start(programs, "heartbeat", Language::C, size, &[])?;
    for round in 0..runs {
        for (one, row) in contenders.iter().zip(&rows) {
            if table.failed(*row) || (one.kind == Kind::Peer && round >= 3) {
                continue;
            }
            match measure(programs, one, &target) {
                Ok(figures) => table.add(*row, figures),
                Err(error) => {
                    table.fail(*row, &error, summary);
                    target = Target::start(programs, "heartbeat", Language::C, size, &[])?;
                }
            }
        }
    }
    table.print();
    let bare = |column, times: f64| table.median_of(BARE, column).map(|figure| figure * times);
    let ours = |column| table.median_of("godbg stacks", column);
    summary.goal(format!("{size} threads, pause: 1.3 × the bare loop's"), ours(1), Better::Less, bare(1, 1.3), "ms");
    summary.goal(format!("{size} threads, wall: 2 × the bare loop's"), ours(0), Better::Less, bare(0, 2.0), "ms");
    summary.goal(format!("{size} threads, memory"), ours(2), Better::Less, Some(64.0), "MiB");
    Ok(())
}

/// Wall, pause and memory of one run, and how much it has said.
fn measure(programs: &Programs, one: &Contender, target: &Target) -> Result<Vec<f64>> {
    target.wait_for_beats(5).context("before the run")?;
    target.reset()?;
    let run = programs.run(&(one.line)(programs, target.pid())?, one.proof)?;
    target.wait_for_beats(2).context("the target stands still after the run")?;
    target.check_released()?;
    let pause = target.longest_gap()?.saturating_sub(target.usual);
    Ok(vec![ms(run.wall), ms(pause), run.memory_kib as f64 / 1024.0, run.said.lines().count() as f64])
}
