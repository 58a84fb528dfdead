//! `up`: selects a frame further outwards.

use super::frame::{Selected, select};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Words};

pub(super) const COMMAND: Command = Command {
    name: "up",
    aliases: &[],
    group: Group::Threads,
    summary: "Select the frame that called the selected one",
    needs: Needs::Stopped,
    words: Words::Split,
    repeats: true,
    args: args::<Args>,
    reply: reply::<Selected>,
    question: no_question,
    run,
};

/// Goes so many frames outwards: to the caller. frame N selects one by its number.
#[derive(clap::Parser)]
struct Args {
    /// How many frames
    #[arg(value_name = "N", default_value_t = 1, hide_default_value = true)]
    count: usize,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let number = cx.session.frame_number().saturating_add(args.count);
    Ok(Outcome::Reply(Reply::new(select(cx, number)?)))
}
