//! `on`: what is run when a breakpoint has stopped the process.

use schemars::JsonSchema;
use serde::Serialize;

use super::condition::number_and_rest;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::Page;
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "on",
    aliases: &[],
    group: Group::Breakpoints,
    summary: "Run commands when a breakpoint stops the process",
    needs: Needs::Nothing,
    words: Words::Raw,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Hooked>,
    question: no_question,
    run,
};

/// Each `on N COMMAND` adds one behind the others. `silent`, as the first, keeps the stop itself from being told; `continue`
/// lets the process run on. `on N clear` forgets them all, `on N` lists them.
#[derive(clap::Parser)]
struct Args {
    /// The breakpoint's number, and the command
    #[arg(value_name = "N [COMMAND|clear]", allow_hyphen_values = true)]
    words: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Hooked {
    number: u32,
    /// `breakpoint` or `catchpoint`.
    #[serde(skip)]
    kind: &'static str,
    commands: Vec<String>,
}

/// More commands at one breakpoint are a mistake.
const MOST_COMMANDS: usize = 100;

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let (number, command) = number_and_rest("on", args.words.as_deref(), "usage: on N [COMMAND|clear]")?;
    let (mut commands, mut full) = (Vec::new(), false);
    check(cx, &command)?;
    cx.session.change_point(number, |one| {
        match command.as_str() {
            "" => {}
            "clear" => one.commands.clear(),
            _ if one.commands.len() < MOST_COMMANDS => one.commands.push(command.clone()),
            _ => full = true,
        }
        commands.clone_from(one.commands);
    })?;
    if full {
        let message = format!("on: breakpoint {number} runs {MOST_COMMANDS} commands already");
        return Err(Failure::hinted(message, "put them into a file, and let it run source FILE").into());
    }
    let kind = cx.session.point_word(number);
    Ok(Outcome::Reply(Reply::new(Hooked { number, kind, commands })))
}

/// A word that is no command is refused now, not at the stop.
fn check(cx: &Context<'_>, command: &str) -> Result<(), Failure> {
    let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    match words.first().map(String::as_str) {
        None | Some("silent" | "clear") => Ok(()),
        Some(first) if first.starts_with('!') => Ok(()),
        Some(_) => cx.session.commands().find(&words).map(drop),
    }
}

impl Show for Hooked {
    fn show(&self, page: &mut Page) {
        if self.commands.is_empty() {
            return page.line(format!("{} {} runs nothing", self.kind, self.number));
        }
        page.line(format!("{} {} runs", self.kind, self.number));
        for command in &self.commands {
            page.line(format!("  {command}"));
        }
    }
}
