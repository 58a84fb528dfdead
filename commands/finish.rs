//! `finish`: lets the process run until the selected thread's function has returned.

use super::continue_::{Continued, go_on};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Words};
use crate::target::Goal;

pub(super) const COMMAND: Command = Command {
    name: "finish",
    aliases: &["fin", "stepout", "so"],
    group: Group::Stepping,
    summary: "Run until the function returns",
    needs: Needs::Stopped,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Continued>,
    question: no_question,
    run,
};

/// The selected frame's function: frame 2, then finish runs until frame 3 goes on. The return address is found by unwind tables,
/// else by following the function's instructions to its `ret`.
#[derive(clap::Parser)]
struct Args {}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let Args {} = parse(&COMMAND, words)?;
    let tid = cx.session.stopped_thread()?;
    let number = cx.session.frame_number();
    let place = match cx.session.return_of_frame(number)? {
        Some(place) => Some(place),
        None if number == 0 => {
            let process = cx.session.process()?;
            process.registers_at(tid).and_then(|registers| process.return_of(&registers))
        }
        None => None,
    };
    let place = place.ok_or_else(|| {
        let hint = "bt shows the stack; advance *ADDRESS runs to an address";
        Failure::hinted(format!("finish: where frame {number} of thread {tid} returns to cannot be found"), hint)
    })?;
    cx.session.set_goals(vec![Goal::at_return(place, tid)])?;
    Ok(Outcome::Reply(Reply::new(go_on(cx, false)?)))
}
