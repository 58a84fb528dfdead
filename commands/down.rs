//! `down`: selects a frame further inwards.

use super::frame::{Selected, select};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Words};

pub(super) const COMMAND: Command = Command {
    name: "down",
    aliases: &[],
    group: Group::Threads,
    summary: "Select the frame that the selected one called",
    needs: Needs::Stopped,
    words: Words::Split,
    repeats: true,
    args: args::<Args>,
    reply: reply::<Selected>,
    question: no_question,
    run,
};

/// Goes so many frames inwards: to what it called. frame N selects one by its number.
#[derive(clap::Parser)]
struct Args {
    /// How many frames
    #[arg(value_name = "N", default_value_t = 1, hide_default_value = true)]
    count: usize,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let now = cx.session.frame_number();
    let number = now.checked_sub(args.count).ok_or_else(|| {
        let message = format!("down: frame {now} is selected, and below it there are only {now}");
        Failure::hinted(message, "frame 0 selects the innermost frame")
    })?;
    Ok(Outcome::Reply(Reply::new(select(cx, number)?)))
}
