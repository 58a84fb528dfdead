//! `watch`, and what `rwatch` and `awatch` share with it: stopping where memory is written or read, by debug registers.

use super::break_::{BreakpointSet, thread_of};
use crate::addr::RuntimeAddr;
use crate::session::breakpoint_words;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Words};
use crate::target::expr::Expr;
use crate::target::{Access, Kind, NewBreakpoint};

pub(super) const COMMAND: Command = Command {
    name: "watch",
    aliases: &["wa"],
    group: Group::Breakpoints,
    summary: "Stop where memory is changed",
    needs: Needs::Process,
    words: Words::Raw,
    repeats: false,
    args: args::<WatchArgs>,
    reply: reply::<BreakpointSet>,
    question: no_question,
    run,
};

/// Watches `*(TYPE*)ADDR`, `{TYPE}ADDR`, or so many bytes from an address on (8 without a length), in every thread. The
/// processor has four registers for it, each for 1, 2, 4 or 8 aligned bytes. It stops behind the instruction. `watch` stops
/// where the value has changed, `rwatch` where it was reached and is the same, `awatch` at each of both.
#[derive(clap::Parser)]
pub(super) struct WatchArgs {
    /// `ADDR|EXPR [LENGTH] [if EXPR] [thread N]`
    #[arg(value_name = "ADDR|EXPR [LENGTH] [if EXPR] [thread N]", allow_hyphen_values = true)]
    words: Option<String>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    set(cx, &COMMAND, words, Access::Write)
}

pub(super) fn set(
    cx: &mut Context<'_>,
    command: &'static Command,
    words: &[String],
    access: Access,
) -> anyhow::Result<Outcome> {
    let args: WatchArgs = parse(command, words)?;
    let usage = format!("usage: {} ADDR|EXPR [LENGTH] [if EXPR] [thread N]", command.name);
    let words = breakpoint_words::parse(args.words.as_deref().unwrap_or_default(), &usage)?;
    let (address, length) = range(cx, &words.location)?;
    let new = NewBreakpoint {
        kind: Kind::Watch(access),
        addresses: vec![address],
        follows: false,
        length,
        temporary: words.temporary,
        thread: thread_of(cx, &words)?,
        condition: words.condition.as_deref().map(|text| cx.session.compile(text)).transpose()?,
        location: words.location,
        trace: None,
    };
    let (number, held) = cx.session.add_breakpoint(new)?;
    Ok(Outcome::Reply(Reply::new(BreakpointSet::new(cx, number, held)?)))
}

/// The address and length that an expression names.
fn range(cx: &Context<'_>, text: &str) -> anyhow::Result<(RuntimeAddr, u64)> {
    let (expr, rest) =
        Expr::parse_prefix(text).map_err(|error| crate::session::locations::not_understood(text, &error))?;
    let (address, length) = match expr.as_address() {
        Some(address) => {
            let address = cx.session.evaluate_expr(&address)?;
            (address.bits(), address.ty().pointee().size().into())
        }
        None => (cx.session.evaluate_expr(&expr)?.bits(), 8),
    };
    let length = match rest.trim() {
        "" => length,
        rest => cx.session.evaluate(rest)?.bits(),
    };
    if length == 0 {
        let usage = "say a length from 1 on, or none: watch ADDR LENGTH";
        return Err(Failure::usage("nothing can be watched: the length is 0", usage).into());
    }
    Ok((RuntimeAddr(address), length))
}
