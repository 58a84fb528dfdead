//! `until`: lets the process run until the selected thread comes to a location, or its function returns.

use super::continue_::{Continued, go_on};
use crate::addr::RuntimeAddr;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::resolve;
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Words};
use crate::target::{Goal, Why};

pub(super) const COMMAND: Command = Command {
    name: "until",
    aliases: &["u"],
    group: Group::Stepping,
    summary: "Run until a location, or until the function returns",
    needs: Needs::Stopped,
    words: Words::Raw,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Continued>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
pub(super) struct Args {
    /// The location, as of `break`
    #[arg(value_name = "LOC", allow_hyphen_values = true)]
    location: Option<String>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let addresses = place(cx, &COMMAND, words)?;
    let tid = cx.session.stopped_thread()?;
    let at = |addr| Goal { addr, thread: Some(tid), above: None, why: Why::LocationReached };
    let mut goals: Vec<Goal> = addresses.into_iter().map(at).collect();
    let process = cx.session.process()?;
    // As gdb has it: at the latest where the function returns, if that can be found.
    let place = process.registers_at(tid).and_then(|registers| process.return_of(&registers));
    goals.extend(place.map(|place| Goal::at_return(place, tid)));
    cx.session.set_goals(goals)?;
    Ok(Outcome::Reply(Reply::new(go_on(cx, false)?)))
}

/// The addresses of the location that a command is given.
pub(super) fn place(
    cx: &mut Context<'_>,
    command: &'static Command,
    words: &[String],
) -> anyhow::Result<Vec<RuntimeAddr>> {
    let args: Args = parse(command, words)?;
    let name = command.name;
    let missing = || Failure::usage(format!("{name}: a location is missing"), format!("usage: {name} LOC"));
    resolve(cx.session, &args.location.ok_or_else(missing)?)
}
