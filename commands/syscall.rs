//! `syscall`: has a thread make a system call, and puts everything back.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::{Pid, Tid};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::{Page, Span, Style};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};
use crate::target::{CallResult, call_number, refuse_call};

pub(super) const COMMAND: Command = Command {
    name: "syscall",
    aliases: &[],
    group: Group::Signals,
    summary: "Have a thread make a system call, and put everything back",
    needs: Needs::Stopped,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Called>,
    question: no_question,
    run,
};

/// Has the selected thread make a system call and answers its result. Registers, signal mask and the call that the thread
/// was stopped in are as before afterwards; what the call changed in the process stays changed. A call that waits is broken
/// off after 2 s.
#[derive(clap::Parser)]
struct Args {
    /// The call's name, or its number
    #[arg(value_name = "CALL|NUMBER")]
    call: String,
    /// Up to six arguments: integers and other expressions (-1, 0x7f00, $rsp+8, 'name'), a word each
    #[arg(value_name = "ARG", allow_hyphen_values = true)]
    args: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Called {
    process: Pid,
    thread: Tid,
    #[serde(flatten)]
    call: CallResult,
    args: Vec<u64>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let name = &args.call;
    let Some(number) = call_number(name) else {
        let message = format!("syscall: there is no system call {name:?}");
        return Err(Failure::hinted(message, "man 2 syscalls lists them; a number is taken too").into());
    };
    if args.args.len() > 6 {
        return Err(
            Failure::usage("syscall: a system call has at most 6 arguments", "usage: syscall NAME [ARG]...").into()
        );
    }
    if let Some((why, hint)) = refuse_call(number) {
        return Err(Failure::hinted(format!("syscall: {name} cannot be made for the program: {why}"), hint).into());
    }
    let values: anyhow::Result<Vec<u64>> = args.args.iter().map(|text| Ok(cx.session.evaluate(text)?.bits())).collect();
    let values = values?;
    let mut registers = [0; 6];
    registers[..values.len()].copy_from_slice(&values);
    let selected = cx.session.selected();
    let process = cx.session.process()?;
    let thread = match selected.filter(|tid| process.stopped_thread(*tid).is_some()) {
        Some(tid) => tid,
        None => process.thread_for_calls()?,
    };
    let result = process.call_system(thread, number, registers)?;
    let call = CallResult::new(number, result);
    Ok(Outcome::Reply(Reply::new(Called { process: process.pid(), thread, call, args: values })))
}

impl Show for Called {
    fn show(&self, page: &mut Page) {
        let name = self.call.name.map_or_else(|| format!("syscall {}", self.call.number), str::to_owned);
        let small = |value: &u64| (*value as i64).unsigned_abs() <= i32::MAX as u64;
        let args: Vec<String> = (self.args.iter())
            .map(|value| if small(value) { (*value as i64).to_string() } else { format!("{value:#x}") })
            .collect();
        let mut line = vec![Span::new(format!("{name}({}) = ", args.join(", ")), Style::Plain)];
        match (&self.call.error, &self.call.error_text) {
            (Some(error), Some(text)) => line.push(Span::new(format!("-1 {error} ({text})"), Style::Warn)),
            _ if small(&(self.call.result as u64)) => line.push(self.call.result.to_string().into()),
            _ => line.push(Span::new(format!("{} ({:#x})", self.call.result, self.call.result), Style::Plain)),
        }
        page.spans(line);
    }
}
