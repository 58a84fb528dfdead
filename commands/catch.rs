//! `catch`: stops at signals, system calls, births, exec and ends of threads.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::Serialize;

use super::signals::find as find_signal;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words, catch_words};
use crate::target::{Catch, Catchpoint, Signal, syscall_groups, syscalls_called};

pub(super) const COMMAND: Command = Command {
    name: "catch",
    aliases: &[],
    group: Group::Breakpoints,
    summary: "Stop at signals, system calls, fork, vfork, clone, exec, exit",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Catchpoints>,
    question: no_question,
    run,
};

/// Without words, lists the catchpoints. `catch signal` stops at all signals but SIGTRAP and SIGINT, with `all` at
/// every one. `catch syscall` stops when any thread enters a system call and when it leaves it; calls are names, numbers
/// or groups: `group:file`, `g:network`. `catch exit` stops each thread before it ends. `if EXPR` behind the words lets it
/// stop only where the expression is not 0. A catchpoint holds for all processes until it is cleared; `breakpoints` lists
/// it, and `condition`, `ignore`, `on`, `enable`, `disable` and `clear` take its number.
#[derive(clap::Parser)]
pub(super) struct Args {
    /// What to stop at
    #[arg(value_name = "WHAT")]
    what: Option<Kind>,
    /// Which signals or system calls, and `if EXPR`
    #[arg(value_name = "SIG|all|CALL|NUMBER|group:NAME|if EXPR", allow_hyphen_values = true)]
    which: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum, PartialEq, Eq, Debug)]
enum Kind {
    Signal,
    Syscall,
    Fork,
    Vfork,
    Clone,
    Exec,
    Exit,
}

/// The catchpoints that were set or are there.
#[derive(Serialize, JsonSchema)]
pub(super) struct Catchpoints {
    catchpoints: Vec<Catchpoint>,
    /// Whether this is the whole list.
    #[serde(skip)]
    is_list: bool,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    set_or_list(cx, "catch", &args, false)
}

/// Sets what the words say, or lists.
pub(super) fn set_or_list(cx: &mut Context<'_>, name: &str, args: &Args, temporary: bool) -> anyhow::Result<Outcome> {
    let Some(kind) = args.what else {
        let catchpoints = cx.session.rules().catches.list();
        return Ok(Outcome::Reply(Reply::new(Catchpoints { catchpoints, is_list: true })));
    };
    let (which, condition) = split_at_if(&args.which)?;
    let what = what(name, kind, which)?;
    let condition = condition.map(|condition| cx.session.compile(&condition)).transpose()?;
    let catchpoint = cx.session.catch(what, temporary, condition)?;
    Ok(Outcome::Reply(Reply::new(Catchpoints { catchpoints: vec![catchpoint], is_list: false })))
}

/// The words before `if`, and the expression behind it.
fn split_at_if(words: &[String]) -> Result<(&[String], Option<String>), Failure> {
    let Some(at) = words.iter().position(|word| word == "if" || word.starts_with("if(")) else {
        return Ok((words, None));
    };
    let condition = words[at..].join(" ")["if".len()..].trim().to_owned();
    if condition.is_empty() {
        return Err(Failure::usage("an expression is missing behind if", "usage: catch WHAT [WHICH…] if EXPR"));
    }
    Ok((&words[..at], Some(condition)))
}

fn what(name: &str, kind: Kind, which: &[String]) -> Result<Catch, Failure> {
    let plain = match kind {
        Kind::Signal => return Ok(Catch::Signal { signals: signals(which)? }),
        Kind::Syscall => return Ok(Catch::Syscall { syscalls: calls(which)? }),
        Kind::Fork => Catch::Fork,
        Kind::Vfork => Catch::Vfork,
        Kind::Clone => Catch::Clone,
        Kind::Exec => Catch::Exec,
        Kind::Exit => Catch::Exit,
    };
    match which {
        [] => Ok(plain),
        [word, ..] => {
            let short: String = word.chars().take(40).collect();
            let kind = format!("{kind:?}").to_lowercase();
            Err(Failure::usage(format!("{name}: {short:?} is one word too many"), format!("usage: {name} {kind}")))
        }
    }
}

fn signals(words: &[String]) -> Result<Vec<Signal>, Failure> {
    if words.iter().any(|word| word == "all") {
        return Ok(Signal::all().filter(|signal| !signal.is_kill()).collect());
    }
    let mut signals = words.iter().map(|word| find_signal(word)).collect::<Result<Vec<_>, _>>()?;
    if signals.iter().any(|signal| signal.is_kill()) {
        return Err(Failure::plain("SIGKILL cannot be caught: it ends a process at once"));
    }
    signals.sort_unstable();
    signals.dedup();
    Ok(signals)
}

fn calls(words: &[String]) -> Result<Vec<u64>, Failure> {
    let mut calls = Vec::new();
    for word in words {
        let short: String = word.chars().take(40).collect();
        let hint = format!("a name, a number, or group: and one of {}", syscall_groups().join(", "));
        let found =
            syscalls_called(word).ok_or_else(|| Failure::usage(format!("no such system call: {short:?}"), hint))?;
        calls.extend(found);
    }
    calls.sort_unstable();
    calls.dedup();
    Ok(calls)
}

impl Show for Catchpoints {
    fn show(&self, page: &mut Page) {
        match self.catchpoints.as_slice() {
            [] => page.line("no catchpoints"),
            [one] if !self.is_list => {
                let once = if one.temporary { ", once" } else { "" };
                let condition = one.condition.as_ref().map(|condition| format!(", if {}", condition.text()));
                let condition = condition.unwrap_or_default();
                page.line(format!("catchpoint {}: {}{condition}{once}", one.number, catch_words(&one.what)));
            }
            list => {
                let columns = vec![
                    Column::right("#"),
                    Column::shrinking("WHAT", 1),
                    Column::left("STATE"),
                    Column::right("HITS"),
                ];
                page.table(Table { columns, rows: list.iter().map(row).collect() });
            }
        }
    }
}

fn row(catchpoint: &Catchpoint) -> Vec<Span> {
    let state = match (catchpoint.enabled, catchpoint.temporary) {
        (false, _) => Span::new("disabled", Style::Dim),
        (true, true) => "once".into(),
        (true, false) => "enabled".into(),
    };
    let what = match &catchpoint.condition {
        Some(condition) => format!("{} if {}", catch_words(&catchpoint.what), condition.text()),
        None => catch_words(&catchpoint.what),
    };
    vec![catchpoint.number.to_string().into(), what.into(), state, catchpoint.hits.to_string().into()]
}
