//! `sources`: the source files that the process's files were made of.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::Pid;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::{names, regex};
use crate::session::page::Page;
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "sources",
    aliases: &["info sources"],
    group: Group::Source,
    summary: "List source files whose paths match a regular expression",
    needs: Needs::Process,
    words: Words::Raw,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Sources>,
    question: no_question,
    run,
};

/// As the compilers named them; whether they are there now is another matter, which `list` tells.
#[derive(clap::Parser)]
struct Args {
    /// What the paths match
    #[arg(value_name = "REGEX", allow_hyphen_values = true)]
    pattern: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Sources {
    process: Pid,
    sources: Vec<String>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let pattern = args.pattern.as_deref().map(|text| regex(COMMAND.name, text)).transpose()?;
    let all = names::sources(cx.session.locations().modules());
    let fits = |path: &str| pattern.as_ref().is_none_or(|pattern| pattern.is_match(path));
    let sources = all.iter().filter(|path| fits(path)).map(|path| path.to_string()).collect();
    let process = cx.session.process()?.pid();
    Ok(Outcome::Reply(Reply::new(Sources { process, sources })))
}

impl Show for Sources {
    fn show(&self, page: &mut Page) {
        if self.sources.is_empty() {
            return page.line("no source files are known by such names");
        }
        self.sources.iter().for_each(|path| page.line(path));
    }
}
