//! `sleep`: waits, attentive to the process and to Ctrl-C.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::Page;
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words, duration};

pub(super) const COMMAND: Command = Command {
    name: "sleep",
    aliases: &[],
    group: Group::Shell,
    summary: "Wait for a time",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Slept>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
struct Args {
    /// How long
    #[arg(value_name = "DURATION", value_parser = duration::parse)]
    duration: Duration,
}

#[derive(Serialize, JsonSchema)]
struct Slept {
    slept_ms: f64,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let begin = Instant::now();
    cx.session.wait_until(Some(begin + args.duration), || false)?;
    Ok(Outcome::Reply(Reply::new(Slept { slept_ms: begin.elapsed().as_secs_f64() * 1e3 })))
}

impl Show for Slept {
    fn show(&self, _: &mut Page) {}
}
