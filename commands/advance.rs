//! `advance`: lets the process run until a thread comes to a location.

use super::continue_::go_on;
use super::until::{self, place};
use crate::session::{Command, Context, Outcome, Reply};
use crate::target::{Goal, Why};

pub(super) const COMMAND: Command =
    Command { name: "advance", aliases: &[], summary: "Run until a location", run, ..until::COMMAND };

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let addresses = place(cx, &COMMAND, words)?;
    let at = |addr| Goal { addr, thread: None, above: None, why: Why::LocationReached };
    let goals = addresses.into_iter().map(at).collect();
    cx.session.set_goals(goals)?;
    Ok(Outcome::Reply(Reply::new(go_on(cx, false)?)))
}
