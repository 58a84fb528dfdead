//! `advance`: lets the process run until a thread comes to a location.

use super::continue_::{Continued, go_on};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::resolve;
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Words};
use crate::target::{Goal, Why};

pub(super) const COMMAND: Command = Command {
    name: "advance",
    aliases: &[],
    group: Group::Stepping,
    summary: "Run until a location",
    needs: Needs::Stopped,
    words: Words::Raw,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Continued>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
struct Args {
    /// The location, as of `break`
    #[arg(value_name = "LOC", allow_hyphen_values = true)]
    location: Option<String>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let location =
        args.location.ok_or_else(|| Failure::usage("advance: a location is missing", "usage: advance LOC"))?;
    let addresses = resolve(cx.session, &location)?;
    let at = |addr| Goal { addr, thread: None, above: None, why: Why::LocationReached };
    let goals = addresses.into_iter().map(at).collect();
    cx.session.set_goals(goals)?;
    Ok(Outcome::Reply(Reply::new(go_on(cx, false)?)))
}
