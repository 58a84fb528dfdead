//! `handle`: changes what is done with signals.

use super::signals::{Signals, find};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Words};
use crate::target::{Handling, Signal};

pub(super) const COMMAND: Command = Command {
    name: "handle",
    aliases: &[],
    group: Group::Signals,
    summary: "Say whether a signal stops the process, is told, reaches it",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Signals>,
    question: no_question,
    run,
};

/// Signals are given by name, by number, as a range of numbers (`34-64`), or as `all` (without SIGTRAP, SIGINT and SIGKILL).
/// `stop` implies `print`, `noprint` implies `nostop`; `ignore` is `nopass`, `noignore` is `pass`. What is said holds
/// for all processes until godbg ends. `handle SIGTRAP pass` gives the program the SIGTRAP of its own int3 as well.
#[derive(clap::Parser)]
struct Args {
    /// Signals, and what to do with them: stop, print, pass, ignore, each also with `no` before it
    #[arg(value_name = "SIG|N-M|all|[no]stop|[no]print|[no]pass|[no]ignore", required = true)]
    words: Vec<String>,
}

const USAGE: &str = "usage: handle SIG|N-M|all… [no]stop|[no]print|[no]pass|[no]ignore…";

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let (mut signals, mut handlings) = (Vec::new(), Vec::new());
    for word in &args.words {
        match handling(word) {
            Some(handling) => handlings.push(handling),
            None => signals.extend(several(word)?),
        }
    }
    if signals.is_empty() {
        return Err(Failure::usage("handle: a signal is missing", USAGE).into());
    }
    signals.sort_unstable();
    signals.dedup();
    if signals.contains(&Signal::KILL) && !handlings.is_empty() {
        return Err(Failure::plain("handle: SIGKILL cannot be held back or told of: it ends a process at once").into());
    }
    for signal in &signals {
        cx.session.rules().signals.handle(*signal, &handlings);
    }
    Ok(Outcome::Reply(Reply::new(Signals::new(cx.session, signals))))
}

fn handling(word: &str) -> Option<Handling> {
    Some(match word.to_ascii_lowercase().as_str() {
        "stop" => Handling::Stop,
        "nostop" => Handling::NoStop,
        "print" => Handling::Print,
        "noprint" => Handling::NoPrint,
        "pass" | "noignore" => Handling::Pass,
        "nopass" | "ignore" => Handling::NoPass,
        _ => return None,
    })
}

/// The signals that a word means.
fn several(word: &str) -> Result<Vec<Signal>, Failure> {
    if word.eq_ignore_ascii_case("all") {
        // As in gdb: those that a debugger itself lives on are changed by name only.
        let own = [Signal::TRAP, Signal::INT, Signal::KILL];
        return Ok(Signal::all().filter(|signal| !own.contains(signal)).collect());
    }
    let numeric = word.starts_with(|c: char| c.is_ascii_digit());
    match word.split_once('-').filter(|_| numeric) {
        None => Ok(vec![find(word)?]),
        Some((first, last)) => {
            let (first, last) = (find(first)?, find(last)?);
            if first > last {
                return Err(Failure::usage(format!("handle: the range {word:?} is empty"), USAGE));
            }
            // A range jumps over what cannot be changed.
            Ok(Signal::all().filter(|signal| (first..=last).contains(signal) && !signal.is_kill()).collect())
        }
    }
}
