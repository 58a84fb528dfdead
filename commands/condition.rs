//! `condition`: gives a breakpoint a condition, or takes it away.

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::Page;
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "condition",
    aliases: &["cond"],
    group: Group::Breakpoints,
    summary: "Change when a breakpoint stops",
    needs: Needs::Nothing,
    words: Words::Raw,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Conditioned>,
    question: no_question,
    run,
};

/// It then stops only where the expression is not 0; without an expression, always.
#[derive(clap::Parser)]
struct Args {
    /// The breakpoint's number, and its condition
    #[arg(value_name = "N [EXPR]", allow_hyphen_values = true)]
    words: Option<String>,
}

const USAGE: &str = "usage: condition N [EXPR]";

#[derive(Serialize, JsonSchema)]
struct Conditioned {
    number: u32,
    /// `breakpoint` or `catchpoint`.
    #[serde(skip)]
    kind: &'static str,
    condition: Option<String>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let (number, rest) = number_and_rest("condition", args.words.as_deref(), USAGE)?;
    let condition = if rest.is_empty() { None } else { Some(cx.session.compile(&rest)?) };
    let text = condition.as_ref().map(|condition| condition.text().to_owned());
    cx.session.change_point(number, |one| one.condition.clone_from(&condition))?;
    let kind = cx.session.point_word(number);
    Ok(Outcome::Reply(Reply::new(Conditioned { number, kind, condition: text })))
}

/// A breakpoint's number and what stands behind it.
pub(super) fn number_and_rest(command: &str, text: Option<&str>, usage: &str) -> Result<(u32, String), Failure> {
    let text = text.unwrap_or_default().trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    if word.is_empty() {
        return Err(Failure::usage(format!("{command}: a breakpoint's number is missing"), usage));
    }
    let short: String = word.chars().take(40).collect();
    let number =
        word.parse().map_err(|_| Failure::usage(format!("{command}: {short:?} is no breakpoint's number"), usage))?;
    Ok((number, rest.trim().to_owned()))
}

impl Show for Conditioned {
    fn show(&self, page: &mut Page) {
        match &self.condition {
            Some(condition) => page.line(format!("{} {} stops if {condition}", self.kind, self.number)),
            None => page.line(format!("{} {} stops always", self.kind, self.number)),
        }
    }
}
