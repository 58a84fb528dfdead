//! `dump` and `find`: much memory, beside bare reading.
//!
//! A tool's time is that of attaching, doing it and detaching, less that of attaching and detaching alone in the same
//! round. The bare loop's is by its own clock.

use crate::Setup;
use crate::commands;
use crate::programs::number;
use crate::report::ms;
use crate::table::{Better, Column, Summary, Table};
use crate::target::{Language, Target};
use crate::tool::{self, Line, Tool};
use anyhow::{Context as _, Result, ensure};
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use tempfile::TempDir;

/// What is expected of godbg.
const DUMP_OF_BARE: f64 = 0.8;
const FIND_GOAL: f64 = 2.0;

/// lldb reads some 7 MB/s: it is to search only this part of the memory.
const LLDB_PART: u64 = 32;

/// See heartbeat.c.
pub const NEEDLE: &str = "the needle in the haystack";
const NEEDLE_BEFORE_END: u64 = 4096;

/// A target with much memory, and a folder for big files that goes with it.
pub struct Haystack {
    pub target: Target,
    pub start: u64,
    pub length: u64,
    pub folder: TempDir,
}

impl Haystack {
    /// `files` of this size are to fit into memory too: the folder is in memory where that can be had.
    pub fn new(setup: &Setup, language: Language, mib: u64, files: u64) -> Result<Self> {
        let (needed, free) = (mib * (1 + files) + 512, available_mib()?);
        ensure!(needed <= free, "needs {needed} MiB of memory, {free} MiB are available");
        let target = Target::start(&setup.programs, "heartbeat", language, 1, &[mib.to_string()])?;
        let (start, length) = (target.field(32)?, target.field(40)?);
        let folder = TempDir::new_in(setup.scratch.path())?;
        Ok(Self { target, start, length, folder })
    }

    fn end(&self) -> u64 {
        self.start + self.length
    }

    pub fn bare_copy(&self, setup: &Setup, file: Option<&Path>) -> Line {
        let program = setup.programs.file("bare_copy").display().to_string();
        let mut words = vec![program, self.target.pid().to_string(), self.start.to_string(), self.length.to_string()];
        words.extend(file.map(|file| file.display().to_string()));
        Line { words, input: None }
    }

    /// The words in a copy of the memory are those that heartbeat.c wrote.
    fn expect_copy(&self, file: &Path) -> Result<()> {
        let copy = File::open(file).context("no file was written")?;
        let length = copy.metadata()?.len();
        ensure!(length == self.length, "{length} bytes instead of {} were written", self.length);
        for part in 0..64 {
            let index = part * (self.length / 8 / 64);
            let mut word = [0; 8];
            copy.read_exact_at(&mut word, 8 * index)?;
            let expected = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ensure!(u64::from_ne_bytes(word) == expected, "wrong bytes at {:#x} of the dump", 8 * index);
        }
        Ok(())
    }
}

fn available_mib() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next());
    Ok(kib.context("no MemAvailable in /proc/meminfo")?.parse::<u64>()? / 1024)
}

pub fn dump(setup: &Setup, mib: u64, summary: &mut Summary) -> Result<()> {
    let title = format!("dump of {mib} MiB (bare: process_vm_readv and write)");
    let Some(haystack) = haystack_for(setup, mib, 1, &title) else { return Ok(()) };
    let file = haystack.folder.path().join("dump");
    let once = |tool: Tool| {
        let time = match tool {
            Tool::Bare => bare_ms(setup, &haystack.bare_copy(setup, Some(&file))),
            _ => over_attaching(setup, tool, &haystack, |tool| {
                commands::dump(tool, &file, haystack.start, haystack.end())
            })
            .map(|(time, _)| time),
        };
        let right = time.and_then(|time| haystack.expect_copy(&file).map(|()| (haystack.length, time)));
        let _ = fs::remove_file(&file); // a tool may have failed before it made one
        right
    };
    let table = measure(setup, title, &haystack, once, summary);
    let bare = table.median_of("bare", 1).map(|bare| DUMP_OF_BARE * bare);
    summary.goal(format!("dump of {mib} MiB, 0.8 × bare"), table.median_of("godbg", 1), Better::More, bare, "GB/s");
    Ok(())
}

pub fn find(setup: &Setup, mib: u64, summary: &mut Summary) -> Result<()> {
    let title = format!("find in {mib} MiB (bare: process_vm_readv alone; lldb: 1/{LLDB_PART} of it)");
    let Some(haystack) = haystack_for(setup, mib, 0, &title) else { return Ok(()) };
    let place = format!("{:x}", haystack.end() - NEEDLE_BEFORE_END);
    let once = |tool: Tool| match tool {
        Tool::Bare => Ok((haystack.length, bare_ms(setup, &haystack.bare_copy(setup, None))?)),
        _ => {
            let length = if tool == Tool::Lldb { haystack.length / LLDB_PART } else { haystack.length };
            let words = |tool| commands::find(tool, haystack.end() - length, haystack.end(), NEEDLE);
            let (time, said) = over_attaching(setup, tool, &haystack, words)?;
            ensure!(said.contains(&place), "it did not find {place}");
            Ok((length, time))
        }
    };
    let table = measure(setup, title, &haystack, once, summary);
    let what = format!("find in {mib} MiB");
    summary.goal(what, table.median_of("godbg", 1), Better::More, Some(FIND_GOAL), "GB/s");
    Ok(())
}

fn haystack_for(setup: &Setup, mib: u64, files: u64, title: &str) -> Option<Haystack> {
    match Haystack::new(setup, Language::C, mib, files) {
        Ok(haystack) => Some(haystack),
        Err(error) => {
            println!("\nSKIPPED: {title}: {error:#}");
            None
        }
    }
}

/// All tools in turn, round by round; `once` answers with bytes and milliseconds.
fn measure(
    setup: &Setup,
    title: String,
    haystack: &Haystack,
    once: impl Fn(Tool) -> Result<(u64, f64)>,
    summary: &mut Summary,
) -> Table {
    let columns = vec![
        Column { name: "ms", better: Better::Less, decimals: 1 },
        Column { name: "GB/s", better: Better::More, decimals: 2 },
    ];
    let mut table = Table::new(title, columns);
    let tools: Vec<Tool> = setup.tools.iter().copied().filter(|&tool| tool != Tool::Delve).collect();
    let rows: Vec<usize> = tools.iter().map(|&tool| table.row(tool.name(), tool.into())).collect();
    for round in 0..setup.rounds {
        for (&tool, &row) in tools.iter().zip(&rows) {
            if table.failed(row) || !setup.takes_part(tool.into(), round) {
                continue;
            }
            match once(tool).and_then(|run| haystack.target.check_released().map(|()| run)) {
                Ok((bytes, time)) => table.add(row, vec![time, bytes as f64 / 1e6 / time]),
                Err(error) => table.fail(row, &error, summary),
            }
        }
    }
    table.print();
    table
}

fn bare_ms(setup: &Setup, line: &Line) -> Result<f64> {
    Ok(number(&setup.programs.run(line, "ns=")?.said, "ns=")? / 1e6)
}

/// Milliseconds, and what was said.
fn over_attaching(
    setup: &Setup,
    tool: Tool,
    haystack: &Haystack,
    words: impl Fn(Tool) -> Option<Vec<String>>,
) -> Result<(f64, String)> {
    let words = words(tool).with_context(|| format!("{tool} has no such thing"))?;
    let pid = haystack.target.pid();
    let alone = setup.programs.run(&tool::session(&setup.programs, tool, pid, &[])?, tool.proof())?;
    let with = setup.programs.run(&tool::session(&setup.programs, tool, pid, &words)?, tool.proof())?;
    Ok(((ms(with.wall) - ms(alone.wall)).max(0.01), with.said))
}
