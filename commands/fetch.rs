//! `fetch`: fetches missing debug info from debuginfod servers and waits for it.

use schemars::JsonSchema;
use serde::Serialize;

use super::debuginfo::table;
use crate::session::command::{args, parse, reply};
use crate::session::locations::file_name;
use crate::session::page::Page;
use crate::session::{
    Command, Context, DebugInfo, Failure, FetchState, Group, Needs, Outcome, Reply, Session, Show, Words,
};

pub(super) const COMMAND: Command = Command {
    name: "fetch",
    aliases: &["debuginfo fetch"],
    group: Group::Source,
    summary: "Fetch missing debug info from debuginfod servers, and wait for it",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Fetched>,
    question,
    run,
};

/// Debug info of all files that `debuginfo` lists, or of those that are named. Nothing is fetched while a process is held. Ctrl-C ends
/// it. With `set debuginfod on` it is done without this, aside.
#[derive(clap::Parser)]
struct Args {
    /// Files, by name or path
    #[arg(value_name = "FILE")]
    files: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Fetched {
    files: Vec<DebugInfo>,
}

fn question(session: &Session) -> Option<String> {
    session.fetch_question()
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let is_meant = |one: &DebugInfo, word: &str| one.file == word || file_name(&one.file) == word;
    let wants = |one: &DebugInfo| args.files.is_empty() || args.files.iter().any(|word| is_meant(one, word));
    let files = cx.session.fetch_debug_info(wants)?;
    if let Some(word) = args.files.iter().find(|word| !files.iter().any(|one| is_meant(one, word))) {
        let short: String = word.chars().take(60).collect();
        let message = format!("fetch: no file {short:?} lacks debug info");
        return Err(Failure::hinted(message, "debuginfo lists those that do").into());
    }
    let failed: Vec<&DebugInfo> = files.iter().filter(|one| one.state == FetchState::Failed).collect();
    if let Some(first) = failed.first() {
        let why = first.why.as_deref().unwrap_or_default();
        let message = format!("fetch: {} of {} failed: {}: {why}", failed.len(), files.len(), file_name(&first.file));
        return Err(Failure::hinted(message, "debuginfo shows what became of each").into());
    }
    Ok(Outcome::Reply(Reply::new(Fetched { files })))
}

impl Show for Fetched {
    fn show(&self, page: &mut Page) {
        if self.files.is_empty() {
            return page.line("no file is known to lack debug info");
        }
        page.table(table(&self.files));
    }
}
