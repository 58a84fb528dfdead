//! `advance`: lets the process run until a thread comes to a location.

use super::continue_::{Continued, go_on};
use super::until::{Args, place};
use crate::session::command::{args, no_question, reply};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Words};
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

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let addresses = place(cx, &COMMAND, words)?;
    let at = |addr| Goal { addr, thread: None, above: None, why: Why::LocationReached };
    let goals = addresses.into_iter().map(at).collect();
    cx.session.set_goals(goals)?;
    Ok(Outcome::Reply(Reply::new(go_on(cx, false)?)))
}
