//! What symbols cost: the first prompt on a large program, and its first breakpoint by function and by line, with an empty
//! cache and from it; godbg, gdb, lldb and Delve, interleaved in one run.
//!
//! `scripts/bench symbols` builds the programs: godbg itself with full debug information, and a Go program of many packages.
//! Every figure is a whole process: attach, the command, detach. The cache is that of a session before, which has listed names
//! and so has waited until all were kept. Nothing here fails by a time.

// What the other benches use of the shared modules is not used here.
#[allow(dead_code)]
mod programs;
#[allow(dead_code)]
mod report;
#[allow(dead_code)]
mod table;
#[allow(dead_code)]
mod tool;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use programs::{Programs, succeed};
use table::{Better, Column, Kind, Summary, Table};
use tool::{Line, Tool};

#[derive(Parser)]
#[command(bin_name = "cargo bench --bench symbols --", about = "Measures first prompts and first breakpoints")]
struct Options {
    /// A large Rust program with debug information that waits on its standard input: a debug build of godbg
    #[arg(long)]
    rust: PathBuf,
    /// Rounds of godbg; the peers have three at most
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The peers to run; those that are not installed are left out
    #[arg(long, value_delimiter = ',', default_values_t = [Tool::Gdb, Tool::Lldb, Tool::Delve], value_enum)]
    peers: Vec<Tool>,
    /// Only these of all tools
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Tool>,
    #[arg(long, hide = true)]
    bench: bool,
}

/// A program and places in it.
struct Subject {
    name: &'static str,
    program: PathBuf,
    function: &'static str,
    line: String,
    peers: &'static [Tool],
    /// Goals in ms: the prompt, a breakpoint with an empty cache, and from it.
    goals: [f64; 3],
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Nothing,
    Function,
    Line,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if !options.bench {
        println!("nothing measured: this is for cargo bench");
        return Ok(());
    }
    let programs = Programs::build()?;
    let mut tools = tool::chosen(&options.peers, &options.only);
    tools.retain(|tool| !matches!(tool, Tool::Nothing | Tool::Bare));
    let mut summary = Summary::default();
    for subject in subjects(&programs, &options, &tools)? {
        println!("\n{}: {} MB", subject.name, fs::metadata(&subject.program)?.len() / 1_000_000);
        for wish in [Wish::Nothing, Wish::Function, Wish::Line] {
            measure(&programs, &subject, wish, &tools, options.rounds, &mut summary)?;
        }
    }
    summary.print();
    ensure!(summary.godbg_works, "godbg failed at something it has a command for; see above");
    Ok(())
}

fn subjects(programs: &Programs, options: &Options, tools: &[Tool]) -> Result<Vec<Subject>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/session/attending.rs");
    let text = fs::read_to_string(source)?;
    let line = text.lines().position(|line| line.contains("poller.wait(")).context("attending.rs waits nowhere")? + 1;
    let mut subjects = vec![Subject {
        name: "a Rust program",
        program: options.rust.clone(),
        function: "godbg::kernel::proc::thread_stat",
        line: format!("attending.rs:{line}"),
        peers: &[Tool::Gdb, Tool::Lldb],
        goals: [10.0, 250.0, 20.0],
    }];
    if tools.contains(&Tool::Delve) || programs::installed("go") {
        let program = programs.file("large-go");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/large.go");
        succeed(Command::new("go").args(["build", "-o"]).args([&program, &source]).env("GO111MODULE", "off"))?;
        subjects.push(Subject {
            name: "a Go program",
            program,
            function: "main.work",
            line: "large.go:29".into(),
            peers: &[Tool::Delve],
            goals: [10.0, 40.0, 40.0],
        });
    }
    Ok(subjects)
}

/// The program, waiting on a pipe; ended when dropped.
struct Waiting(Child);

impl Waiting {
    fn start(subject: &Subject) -> Result<Waiting> {
        let mut command = Command::new(&subject.program);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot start {}", subject.program.display()))?;
        let waiting = Waiting(child);
        // All its libraries are there once it waits in read(2).
        for _ in 0..1000 {
            let call = fs::read_to_string(format!("/proc/{}/syscall", waiting.0.id()))?;
            if call.starts_with("0 0x0 ") || call.starts_with("7 ") || call.starts_with("202 ") {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        Ok(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn measure(
    programs: &Programs,
    subject: &Subject,
    wish: Wish,
    tools: &[Tool],
    rounds: usize,
    summary: &mut Summary,
) -> Result<()> {
    let title = match wish {
        Wish::Nothing => format!("{}: attach, prompt, detach", subject.name),
        Wish::Function => format!("{}: the first breakpoint by function", subject.name),
        Wish::Line => format!("{}: the first breakpoint by line", subject.name),
    };
    let column = |name, decimals| Column { name, better: Better::Less, decimals };
    let mut table = Table::new(title.clone(), vec![column("wall ms", 1), column("MiB", 0)]);
    let mut rows = Vec::new();
    for &tool in tools.iter().filter(|tool| **tool == Tool::Godbg || subject.peers.contains(tool)) {
        let kind = Kind::from(tool);
        if tool == Tool::Godbg && wish != Wish::Nothing {
            rows.push((tool, false, table.row("godbg, empty cache", kind)));
            rows.push((tool, true, table.row("godbg, from its cache", kind)));
        } else {
            rows.push((tool, false, table.row(tool.name(), kind)));
        }
    }
    let place = match wish {
        Wish::Nothing => None,
        Wish::Function => Some(subject.function),
        Wish::Line => Some(subject.line.as_str()),
    };
    let (empty, kept) = (programs.file("no-cache"), programs.file("cache"));
    if rows.iter().any(|(_, cached, _)| *cached) {
        once(programs, subject, Tool::Godbg, &["functions no-function-has-this-name".into()], &kept)?;
        ensure!(fs::read_dir(kept.join("godbg")).is_ok_and(|mut files| files.next().is_some()), "no names were kept");
    }
    for round in 0..rounds {
        for &(tool, cached, row) in &rows {
            if table.failed(row) || (tool.is_peer() && round >= 3) {
                continue;
            }
            if empty.exists() {
                fs::remove_dir_all(&empty)?;
            }
            let words: Vec<String> = place.map(|place| breakpoint(tool, wish, place)).into_iter().collect();
            match once(programs, subject, tool, &words, if cached { &kept } else { &empty }) {
                Ok(figures) => table.add(row, figures),
                Err(error) => table.fail(row, &error, summary),
            }
        }
    }
    table.print();
    let names = match wish {
        Wish::Nothing => [Some("godbg"), None, None],
        _ => [None, Some("godbg, empty cache"), Some("godbg, from its cache")],
    };
    for (name, goal) in names.iter().zip(subject.goals) {
        if let Some(name) = name {
            summary.goal(format!("{title}: {name}"), table.median_of(name, 0), Better::Less, Some(goal), "ms");
        }
    }
    Ok(())
}

/// One session on a program that was just started: wall time in ms, peak memory in MiB.
fn once(programs: &Programs, subject: &Subject, tool: Tool, words: &[String], cache: &Path) -> Result<Vec<f64>> {
    let waiting = Waiting::start(subject)?;
    let session = match tool {
        // Not the lean one of the other benches: without symbols there is nothing to measure.
        Tool::Lldb => lldb(waiting.0.id(), words),
        _ => tool::session(programs, tool, waiting.0.id(), words)?,
    };
    let mut line = Line::new(&["env", &format!("XDG_CACHE_HOME={}", cache.display())]);
    line.words.extend(session.words);
    line.input = session.input;
    let run = programs.run(&line, tool.proof())?;
    Ok(vec![run.wall.as_secs_f64() * 1e3, run.memory_kib as f64 / 1024.0])
}

fn breakpoint(tool: Tool, wish: Wish, place: &str) -> String {
    match (tool, wish, place.split_once(':')) {
        (Tool::Lldb, Wish::Line, Some((file, line))) => format!("breakpoint set --file {file} --line {line}"),
        (Tool::Lldb, ..) => format!("breakpoint set --name {place}"),
        _ => format!("break {place}"),
    }
}

fn lldb(pid: u32, words: &[String]) -> Line {
    let mut line = Line::new(&["lldb", "--no-lldbinit", "--script-language", "none", "-b"]);
    let attach = format!("process attach -p {pid}");
    for word in std::iter::once(&attach).chain(words).chain([&"detach".to_owned()]) {
        line.words.extend(["-o".to_owned(), word.clone()]);
    }
    line
}
