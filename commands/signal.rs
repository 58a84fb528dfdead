//! `signal`: lets the process run on, the selected thread with another signal or with none.

use super::continue_::{Continued, go_on};
use super::signals::find;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Words};
use crate::target::Signal;

pub(super) const COMMAND: Command = Command {
    name: "signal",
    aliases: &[],
    group: Group::Signals,
    summary: "Continue with another signal for the selected thread (0: none)",
    needs: Needs::Stopped,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Continued>,
    question: no_question,
    run,
};

/// Continues. The selected thread gets this signal in place of the one that it stopped for; with 0 it gets none. The
/// other threads get what they stopped for.
#[derive(clap::Parser)]
struct Args {
    /// The signal, or 0
    #[arg(value_name = "SIG|0", allow_hyphen_values = true)]
    signal: String,
    /// `&`: do not wait
    #[arg(value_name = "&")]
    background: Option<String>,
}

/// A signal's name or number; `None` for 0.
pub(super) fn find_or_none(word: &str) -> Result<Option<Signal>, Failure> {
    if word == "0" { Ok(None) } else { find(word).map(Some) }
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let signal = find_or_none(&args.signal)?;
    let background = match args.background.as_deref() {
        None => false,
        Some("&") => true,
        Some(word) => {
            return Err(Failure::usage(format!("signal: {word:?} is not known here"), "usage: signal SIG|0 [&]").into());
        }
    };
    cx.session.give_signal(signal)?;
    Ok(Outcome::Reply(Reply::new(go_on(cx, background)?)))
}
