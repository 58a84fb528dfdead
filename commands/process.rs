//! `process`: selects a process of this session, or runs a command for one.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::processes::{ProcessRow, current};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::dispatch::run_words;
use crate::session::page::Page;
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "process",
    aliases: &["inferior"],
    group: Group::Process,
    summary: "Select a process of this session, or run a command for one",
    needs: Needs::Process,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Answer>,
    question: no_question,
    run,
};

/// Without words, the selected process. With a number or pid, selects that process; with a command behind it, runs the
/// command as if that process were selected.
#[derive(clap::Parser)]
struct Args {
    /// The process's number in `processes`, or its pid
    #[arg(value_name = "N|PID", allow_hyphen_values = true)]
    process: Option<String>,
    /// The command to run for it
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Answer {
    Selected(ProcessRow),
    /// What a command answered for a process.
    One {
        process: String,
        /// The command's reply.
        reply: Value,
        #[serde(skip)]
        page: Page,
    },
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let gone = || Failure::plain("the process has ended");
    let answer = match (args.process, args.command.as_slice()) {
        (None, _) => Answer::Selected(current(cx).ok_or_else(gone)?),
        (Some(word), []) => {
            cx.session.choose_process(&word)?;
            Answer::Selected(current(cx).ok_or_else(gone)?)
        }
        (Some(word), command) => run_for(cx, word, command)?,
    };
    Ok(Outcome::Reply(Reply::new(answer)))
}

fn run_for(cx: &mut Context<'_>, word: String, command: &[String]) -> anyhow::Result<Answer> {
    let before = cx.session.current().map(|process| process.pid().to_string());
    cx.session.choose_process(&word)?;
    let result = run_words(cx.session, command);
    if let Some(before) = before {
        // It may have gone meanwhile: another one is selected then.
        let _ = cx.session.choose_process(&before);
    }
    match result? {
        Outcome::Reply(reply) => Ok(Answer::One { process: word, reply: reply.json(), page: reply.page() }),
        _ => Err(Failure::plain(format!("{} cannot be run for a process", command[0])).into()),
    }
}

impl Show for Answer {
    fn show(&self, page: &mut Page) {
        match self {
            Answer::Selected(row) => row.show(page),
            Answer::One { page: answer, .. } => page.append(answer.clone()),
        }
    }
}
