//! `gcore` of a process with much memory: how long one of its threads stood still, and how long the whole command took.
//!
//! Attaching and detaching are in both figures. Delve's row is of a Go program, all others of the C program.

use crate::Setup;
use crate::bulk::Haystack;
use crate::commands;
use crate::report::ms;
use crate::running;
use crate::table::{Better, Column, Summary, Table};
use crate::target::Language;
use crate::tool::{self, Tool};
use anyhow::{Context as _, Result, ensure};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

/// What is expected of godbg.
const PAUSE_GOAL: f64 = 25.0;

pub fn gcore(setup: &Setup, mib: u64, summary: &mut Summary) -> Result<()> {
    let columns = vec![
        Column { name: "pause ms", better: Better::Less, decimals: 1 },
        Column { name: "wall ms", better: Better::Less, decimals: 0 },
    ];
    let title = format!("gcore of {mib} MiB (bare: process_vm_readv and write of a process that runs on)");
    let mut table = Table::new(title, columns);
    let rows: Vec<usize> = setup.tools.iter().map(|&tool| table.row(tool.name(), tool.into())).collect();
    for (language, tools) in [(Language::C, in_c as fn(Tool) -> bool), (Language::Go, |tool| !in_c(tool))] {
        if !setup.tools.iter().any(|&tool| tools(tool)) {
            continue;
        }
        let haystack = match Haystack::new(setup, language, mib, 1) {
            Ok(haystack) => haystack,
            Err(error) => {
                println!("\nSKIPPED: gcore of {mib} MiB, {}: {error:#}", language.name());
                continue;
            }
        };
        for round in 0..setup.rounds {
            for (&tool, &row) in setup.tools.iter().zip(&rows) {
                if !tools(tool) || table.failed(row) || !setup.takes_part(tool.into(), round) {
                    continue;
                }
                match measure_one(setup, tool, &haystack, mib) {
                    Ok(figures) => table.add(row, figures),
                    Err(error) => table.fail(row, &error, summary),
                }
            }
        }
        drop(haystack);
        for name in running::end_orphans() {
            println!("LEFT BEHIND after gcore and ended: {name}");
        }
    }
    table.print();
    let (pause, wall) = (table.median_of("godbg", 0), table.median_of("godbg", 1));
    summary.goal(format!("gcore of {mib} MiB, pause"), pause, Better::Less, Some(PAUSE_GOAL), "ms");
    summary.goal(format!("gcore of {mib} MiB, wall: gdb's"), wall, Better::Less, table.median_of("gdb", 1), "ms");
    Ok(())
}

fn in_c(tool: Tool) -> bool {
    tool != Tool::Delve
}

/// The pause and the wall time of one core, in milliseconds.
fn measure_one(setup: &Setup, tool: Tool, haystack: &Haystack, mib: u64) -> Result<Vec<f64>> {
    let file = haystack.folder.path().join("core");
    let target = &haystack.target;
    target.wait_for_beats(5).context("before the run")?;
    target.reset()?;
    let run = match tool {
        Tool::Bare => setup.programs.run(&haystack.bare_copy(setup, Some(&file)), "ns="),
        _ => {
            let words = commands::core(tool, &file).with_context(|| format!("{tool} has no such thing"))?;
            setup.programs.run(&tool::session(&setup.programs, tool, target.pid(), &words)?, tool.proof())
        }
    };
    let right = run.and_then(|run| expect_core(tool, &file, mib).map(|()| run));
    let _ = fs::remove_file(&file); // a tool may have failed before it made one
    let run = right?;
    target.wait_for_beats(2).context("the target stands still after the run")?;
    target.check_released()?;
    let pause = target.longest_gap()?.saturating_sub(target.usual);
    Ok(vec![ms(pause), ms(run.wall)])
}

/// A core (or lldb's minidump) that holds all the memory; whether debuggers can read it is for the tests.
fn expect_core(tool: Tool, file: &Path, mib: u64) -> Result<()> {
    let mut core = File::open(file).context("no core was written")?;
    let length = core.metadata()?.len();
    ensure!(length >= mib << 20, "the core has {length} bytes only");
    let mut magic = [0; 4];
    core.read_exact(&mut magic)?;
    ensure!(tool == Tool::Bare || magic == *b"\x7fELF" || magic == *b"MDMP", "the core begins with {magic:x?}");
    Ok(())
}
