//! `source`: runs the commands of a file.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::Serialize;

use crate::session::command::{args, no_question, parse, reply};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Script, Words};

pub(super) const COMMAND: Command = Command {
    name: "source",
    aliases: &["."],
    group: Group::Shell,
    summary: "Run the commands of a file",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Sourced>,
    question: no_question,
    run,
};

/// A script longer than this is none.
const LONGEST: u64 = 16 << 20;

#[derive(clap::Parser)]
struct Args {
    /// The file
    #[arg(value_name = "FILE")]
    file: String,
}

/// In JSON the commands of the file are lines of their own, and `source` itself has an empty reply.
#[derive(Serialize, JsonSchema)]
struct Sourced {}

fn run(_: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let Args { file: name } = parse(&COMMAND, words)?;
    let mut file = File::open(&name).with_context(|| format!("source: cannot open {name:?}"))?;
    let facts = file.metadata().with_context(|| format!("source: cannot look at {name:?}"))?;
    if facts.is_dir() {
        return Err(Failure::hinted(format!("source: {name:?} is a folder"), "name a file of commands").into());
    }
    let mut bytes = Vec::new();
    file.by_ref().take(LONGEST + 1).read_to_end(&mut bytes).with_context(|| format!("source: cannot read {name:?}"))?;
    if bytes.len() as u64 > LONGEST {
        return Err(Failure::plain(format!("source: {name:?} is longer than 16 MiB")).into());
    }
    let identity = Some((facts.dev(), facts.ino()));
    Ok(Outcome::Script(Script { name, identity, bytes, tolerant: false }))
}
