//! `dump`: writes a range of memory into a file, as it is.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::Serialize;

use super::find::size;
use crate::addr::{Pid, RuntimeAddr};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::looking::{Glances, fault, note_running, runs};
use crate::session::page::Page;
use crate::session::ranges::{End, Range, range};
use crate::session::{Command, Context, Failure, Group, Interrupted, Needs, Outcome, Reply, Show, Words};
use crate::target::{Fault, Process};

pub(super) const COMMAND: Command = Command {
    name: "dump",
    aliases: &["dump memory", "dump binary memory"],
    group: Group::Looking,
    summary: "Write memory into a file as it is",
    needs: Needs::Process,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Dumped>,
    question: no_question,
    run,
};

/// The range is `START, END` (END is not in it), `START END`, `START, +LENGTH`, or the name of a mapping (maps lists them). A
/// file that is there is overwritten, as gdb does. Memory that cannot be read ends it; the file then has what stands before
/// it, and the error says how much that is.
#[derive(clap::Parser)]
struct Args {
    /// The file to write
    #[arg(value_name = "FILE")]
    file: String,
    /// What to write
    #[arg(value_name = "RANGE|MAPPING", required = true, num_args = 1.., allow_hyphen_values = true)]
    range: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Dumped {
    process: Pid,
    /// Whether the process ran meanwhile.
    running: bool,
    file: String,
    start: RuntimeAddr,
    /// How many bytes were written.
    length: u64,
}

/// How much is read and written at once.
const PIECE: usize = 1 << 20;

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let locations = cx.session.locations();
    let range = range(cx.session, &locations, &args.range.join(" "), End::Behind)?;
    let mut piece = Vec::new();
    // What cannot be read at all leaves a file that is there alone.
    read(cx.session.process()?, range, 0, &mut piece).map_err(fault)?;
    let mut file = create(&args.file)?;
    let mut done = 0;
    copy(cx, &mut file, range, &mut piece, &mut done).map_err(|error| explain(error, &args.file, done, range))?;
    let process = cx.session.process()?;
    Ok(Outcome::Reply(Reply::new(Dumped {
        process: process.pid(),
        running: runs(process),
        file: args.file,
        start: range.start,
        length: range.length,
    })))
}

/// Opens the file. What is not a file could block for ever, or is a terminal.
fn create(path: &str) -> anyhow::Result<File> {
    let attempt = || format!("dump: cannot write {path:?}");
    match fs::metadata(path) {
        Ok(facts) if facts.is_dir() => return Err(Failure::plain(format!("{}: it is a folder", attempt())).into()),
        Ok(facts) if !facts.is_file() && !is_device(&facts) => {
            return Err(Failure::plain(format!("{}: it is no file", attempt())).into());
        }
        _ => {}
    }
    let file = File::create(Path::new(path)).with_context(attempt)?;
    if file.is_terminal() {
        return Err(Failure::plain(format!("{}: it is a terminal", attempt())).into());
    }
    Ok(file)
}

/// `/dev/null` and `/dev/full` are written like files.
fn is_device(facts: &fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    facts.file_type().is_char_device()
}

/// Why a copy ended early.
enum Broken {
    Memory(Fault),
    File(io::Error),
    Other(anyhow::Error),
}

/// Writes the first piece, which has been read already, and then reads and writes piece by piece.
fn copy(
    cx: &mut Context<'_>,
    file: &mut File,
    range: Range,
    piece: &mut Vec<u8>,
    done: &mut u64,
) -> Result<(), Broken> {
    let mut glances = Glances::new();
    loop {
        file.write_all(piece).map_err(Broken::File)?;
        *done += piece.len() as u64;
        if *done == range.length {
            return Ok(());
        }
        glances.glance(cx.session).map_err(Broken::Other)?;
        let process = cx.session.process().map_err(Broken::Other)?;
        read(process, range, *done, piece).map_err(Broken::Memory)?;
    }
}

/// Reads what comes next, at least a byte.
fn read(process: &Process, range: Range, done: u64, piece: &mut Vec<u8>) -> Result<(), Fault> {
    let length = usize::try_from(range.length - done).unwrap_or(PIECE).min(PIECE);
    let addr = RuntimeAddr(range.start.0 + done);
    piece.resize(length, 0);
    let mut got = process.read_memory_fast(addr, piece)?;
    if got < length {
        // What the program may not read itself is read the slower way.
        got += process.read_memory_partly(RuntimeAddr(addr.0 + got as u64), &mut piece[got..])?;
    }
    if got == 0 {
        process.read_memory(addr, &mut [0])?;
    }
    piece.truncate(got);
    Ok(())
}

/// The error with what stands in the file by now.
fn explain(error: Broken, file: &str, done: u64, range: Range) -> anyhow::Error {
    let there = format!("{file:?} holds the first {done} of {} bytes", range.length);
    match error {
        Broken::Memory(bad) => {
            let failure = fault(bad);
            Failure { message: format!("dump: {}; {there}", failure.message), ..failure }.into()
        }
        Broken::File(error) => {
            // A failed write may have written a part of its piece.
            anyhow::Error::new(error)
                .context(format!("dump: cannot write {file:?} behind {done} of {} bytes", range.length))
        }
        Broken::Other(error) if error.is::<Interrupted>() => {
            Failure::interrupted(format!("dump: interrupted; {there}")).into()
        }
        Broken::Other(error) => error.context(format!("dump: {there}")),
    }
}

impl Show for Dumped {
    fn show(&self, page: &mut Page) {
        page.line(format!("{} from {} written to {}", size(self.length), self.start, self.file));
        note_running(page, self.process, self.running);
    }
}
