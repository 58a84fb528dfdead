//! `echo`: prints its words, for scripts that say what they do.

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::Page;
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "echo",
    aliases: &[],
    group: Group::Shell,
    summary: "Print words",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Echo>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
struct Args {
    /// What to print
    #[arg(value_name = "TEXT", trailing_var_arg = true, allow_hyphen_values = true)]
    text: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Echo {
    text: String,
}

fn run(_: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    Ok(Outcome::Reply(Reply::new(Echo { text: args.text.join(" ") })))
}

impl Show for Echo {
    fn show(&self, page: &mut Page) {
        page.line(&self.text);
    }
}
