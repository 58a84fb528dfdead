//! `try`: runs a command and goes on if it fails.

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::command::{args, no_question, parse, reply};
use crate::session::dispatch::run_words;
use crate::session::page::{Page, Span, Style};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Script, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "try",
    aliases: &[],
    group: Group::Shell,
    summary: "Run a command; in a script, go on if it fails",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Tried>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
struct Args {
    /// The command
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// The reply when the command failed; when it succeeded, its own reply stands here.
#[derive(Serialize, JsonSchema)]
struct Tried {
    error: Failure,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    Ok(match run_words(cx.session, &args.command) {
        Ok(Outcome::Script(script)) => Outcome::Script(Script { tolerant: true, ..script }),
        Ok(outcome) => outcome,
        Err(error) => Outcome::Reply(Reply::new(Tried { error })),
    })
}

impl Show for Tried {
    fn show(&self, page: &mut Page) {
        page.spans(vec![Span::new(format!("failed: {}", self.error.message), Style::Warn)]);
        if let Some(hint) = &self.error.hint {
            page.spans(vec![Span::new(format!("hint: {hint}"), Style::Dim)]);
        }
    }
}
