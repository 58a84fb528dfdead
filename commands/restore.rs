//! `restore`: writes a file's bytes into memory.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::Serialize;

use super::find::size;
use crate::addr::{Pid, RuntimeAddr};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::Locations;
use crate::session::looking::{Glances, fault, runs};
use crate::session::page::Page;
use crate::session::ranges::take_value;
use crate::session::{Command, Context, Failure, Group, Interrupted, Needs, Outcome, Reply, Show, Words};
use crate::target::Fault;

pub(super) const COMMAND: Command = Command {
    name: "restore",
    aliases: &[],
    group: Group::Looking,
    summary: "Write a file's bytes into memory",
    needs: Needs::Process,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Restored>,
    question: no_question,
    run,
};

/// Writes all of the file from ADDR on, or LENGTH bytes from OFFSET in it on. Pages that the program may not write itself are
/// written too, and are then its own copies. Where one of the pages is not mapped, nothing is written.
#[derive(clap::Parser)]
struct Args {
    /// The file to read
    #[arg(value_name = "FILE")]
    file: String,
    /// Where to write it: `ADDR [, OFFSET [, LENGTH]]`
    #[arg(value_name = "ADDR,OFFSET,LENGTH", required = true, num_args = 1.., allow_hyphen_values = true)]
    place: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Restored {
    process: Pid,
    /// Whether the process ran meanwhile.
    running: bool,
    file: String,
    address: RuntimeAddr,
    /// Where in the file the bytes stand.
    offset: u64,
    length: u64,
}

/// How much is read and written at once.
const PIECE: usize = 1 << 20;

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    // gdb's word for a file without a format.
    let words = args.place.strip_prefix(&["binary".to_owned()]).unwrap_or(&args.place);
    let locations = cx.session.locations();
    let place = place(cx, &locations, &words.join(" "))?;
    let (mut file, there) = open(&args.file)?;
    let (offset, length) = part(&args.file, there, place.offset, place.length)?;
    check_mapped(cx, &locations, place.address, length)?;
    file.seek(SeekFrom::Start(offset)).with_context(|| format!("restore: cannot read {:?}", args.file))?;
    let mut done = 0;
    let written = write(cx, &mut file, &args.file, place.address, length, &mut done);
    written.map_err(|error| explain(error, done, length, place.address))?;
    let process = cx.session.process()?;
    Ok(Outcome::Reply(Reply::new(Restored {
        process: process.pid(),
        running: runs(process),
        file: args.file,
        address: place.address,
        offset,
        length,
    })))
}

struct Place {
    address: RuntimeAddr,
    offset: u64,
    length: Option<u64>,
}

fn place(cx: &Context<'_>, locations: &Locations, text: &str) -> anyhow::Result<Place> {
    let mut values = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (value, behind) = take_value(cx.session, locations, rest)?;
        values.push(value.bits());
        rest = behind.strip_prefix(',').unwrap_or(behind).trim_start();
    }
    match values.as_slice() {
        [address] => Ok(Place { address: RuntimeAddr(*address), offset: 0, length: None }),
        [address, offset] => Ok(Place { address: RuntimeAddr(*address), offset: *offset, length: None }),
        [address, offset, length] => {
            Ok(Place { address: RuntimeAddr(*address), offset: *offset, length: Some(*length) })
        }
        _ => Err(Failure::usage("restore: an address is missing or too much stands behind it", HINT).into()),
    }
}

const HINT: &str = "usage: restore FILE ADDR [, OFFSET [, LENGTH]]";

/// Opens a file and says how long it is. A pipe could let its reader wait for ever.
fn open(path: &str) -> anyhow::Result<(File, u64)> {
    let attempt = || format!("restore: cannot read {path:?}");
    let facts = fs::metadata(path).with_context(attempt)?;
    if !facts.is_file() {
        let what = if facts.is_dir() { "it is a folder" } else { "it is no file" };
        return Err(Failure::plain(format!("{}: {what}", attempt())).into());
    }
    Ok((File::open(path).with_context(attempt)?, facts.len()))
}

/// The part of a file that is wanted: offset and length.
fn part(path: &str, there: u64, offset: u64, length: Option<u64>) -> Result<(u64, u64), Failure> {
    let left = there.checked_sub(offset).filter(|left| *left > 0);
    let left = left.ok_or_else(|| match there {
        0 => Failure::plain(format!("restore: {path:?} is empty")),
        _ => Failure::plain(format!("restore: {path:?} ends at {there}, before offset {offset}")),
    })?;
    match length {
        Some(0) => Err(Failure::usage("restore: a length of 0 writes nothing", HINT)),
        Some(length) if length > left => {
            Err(Failure::plain(format!("restore: {path:?} has {left} bytes from offset {offset} on, not {length}")))
        }
        length => Ok((offset, length.unwrap_or(left))),
    }
}

/// Nothing is written where it could not all be written.
fn check_mapped(cx: &mut Context<'_>, locations: &Locations, start: RuntimeAddr, length: u64) -> anyhow::Result<()> {
    let beyond = || Failure::plain(format!("restore: {length} bytes from {start} on go beyond the last address"));
    let last = RuntimeAddr(start.0.checked_add(length - 1).ok_or_else(beyond)?);
    let mut next = start;
    while let Some(mapping) = locations.mappings().find(next) {
        if last < mapping.end {
            return Ok(());
        }
        next = mapping.end;
    }
    let failure = match cx.session.process()?.read_memory(next, &mut [0]) {
        Err(bad) => fault(bad),
        Ok(()) => Failure::plain(format!("nothing was mapped at {next}")),
    };
    let message = format!("restore: {}; nothing was written", failure.message.replace("cannot read", "cannot write"));
    Err(Failure { message, ..failure }.into())
}

fn write(
    cx: &mut Context<'_>,
    file: &mut File,
    path: &str,
    start: RuntimeAddr,
    length: u64,
    done: &mut u64,
) -> anyhow::Result<()> {
    let mut piece = vec![0; usize::try_from(length).unwrap_or(PIECE).min(PIECE)];
    let mut glances = Glances::new();
    while *done < length {
        let wanted = usize::try_from(length - *done).unwrap_or(PIECE).min(PIECE);
        file.read_exact(&mut piece[..wanted]).with_context(|| format!("cannot read {path:?}"))?;
        match cx.session.process()?.write_memory(RuntimeAddr(start.0 + *done), &piece[..wanted]) {
            Ok(()) => *done += wanted as u64,
            Err(bad) => {
                if let Fault::Bad { done: written, .. } = bad {
                    *done += written as u64;
                }
                return Err(fault(bad).into());
            }
        }
        glances.glance(cx.session)?;
    }
    Ok(())
}

/// The error with what is written by now.
fn explain(error: anyhow::Error, done: u64, length: u64, start: RuntimeAddr) -> anyhow::Error {
    let there = format!("{done} of {length} bytes from {start} on are written");
    if error.is::<Interrupted>() {
        return Failure::interrupted(format!("restore: interrupted; {there}")).into();
    }
    error.context(format!("restore: {there}"))
}

impl Show for Restored {
    fn show(&self, page: &mut Page) {
        page.line(format!("{} of {} written at {}", size(self.length), self.file, self.address));
        if self.running {
            page.line(format!("process {} runs: it may have read or written there meanwhile", self.process));
        }
    }
}
