//! `goroutine`: one goroutine with its stack, or a command for it or for all.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::goroutines::{self, Answer as All, GoroutineRow};
use crate::addr::Tid;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::dispatch::run_words;
use crate::session::page::Page;
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "goroutine",
    aliases: &["gr"],
    group: Group::Threads,
    summary: "Show one goroutine with its stack, or run a command for its thread; all bt: the stacks of all",
    needs: Needs::Process,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Answer>,
    question: no_question,
    run,
};

/// With a number, that goroutine and its stack; if it is on a thread, that thread is selected. Without, the goroutine of the selected
/// thread. With bt its stack alone; with any other command, runs that for the goroutine's thread. goroutine all bt: all stacks.
#[derive(clap::Parser)]
struct Args {
    /// The goroutine's number in `goroutines`, or `all`
    #[arg(value_name = "N|all")]
    goroutine: Option<String>,
    /// bt [N], or a command for its thread
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Answer {
    One(Box<One>),
    All(Box<All>),
    OnThread(OnThread),
}

/// One goroutine.
#[derive(Serialize, JsonSchema)]
struct One {
    /// How long the process was held for it; null where it was held already.
    pause_ms: Option<f64>,
    #[serde(flatten)]
    goroutine: GoroutineRow,
}

/// What a command answered for a goroutine's thread.
#[derive(Serialize, JsonSchema)]
struct OnThread {
    goroutine: u64,
    thread: Tid,
    /// The command's reply.
    reply: Value,
    #[serde(skip)]
    page: Page,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let frames = stack_words(&args.command)?;
    let answer = match (args.goroutine.as_deref(), frames) {
        (Some("all"), Some(frames)) if !args.command.is_empty() => Answer::All(Box::new(all(cx, &frames)?)),
        (Some("all"), _) => {
            let usage = "usage: goroutine all bt [N]; goroutines lists them";
            return Err(Failure::hinted("goroutine all: only bt can be run for all", usage).into());
        }
        (Some(word), frames) => {
            let id = number(word)?;
            let row =
                one(cx, frames.as_deref().unwrap_or_default(), &|row| row.id == id, &format!("no goroutine {id}"))?;
            match frames {
                Some(_) => selected(cx, row, args.command.is_empty()),
                None => Answer::OnThread(on_thread(cx, &row.goroutine, &args.command)?),
            }
        }
        (None, _) => {
            let tid = cx.session.selected();
            let missing = tid.map_or("no thread is selected".into(), |tid| format!("thread {tid} runs no goroutine"));
            Answer::One(Box::new(one(cx, &[], &|row| row.thread.is_some() && row.thread == tid, &missing)?))
        }
    };
    Ok(Outcome::Reply(Reply::new(answer)))
}

/// The options of `goroutines -s` that `bt [N]` means; `None`: it is another command. No command is `bt`.
fn stack_words(command: &[String]) -> anyhow::Result<Option<Vec<String>>> {
    Ok(match command {
        [] => Some(Vec::new()),
        [name] if is_backtrace(name) => Some(Vec::new()),
        [name, count] if is_backtrace(name) && count.parse::<u32>().is_ok() => {
            Some(vec!["--frames".into(), count.clone()])
        }
        [name, ..] if is_backtrace(name) => {
            return Err(
                Failure::usage("goroutine bt takes a number of frames", "usage: goroutine N bt [FRAMES]").into()
            );
        }
        _ => None,
    })
}

fn is_backtrace(name: &str) -> bool {
    matches!(name, "bt" | "backtrace" | "where" | "stack")
}

fn number(word: &str) -> anyhow::Result<u64> {
    let short: String = word.chars().take(40).collect();
    let wrong = || Failure::usage(format!("{short:?} is no goroutine's number"), "goroutines lists them: goroutine 1");
    Ok(word.parse().map_err(|_| wrong())?)
}

fn all(cx: &mut Context<'_>, options: &[String]) -> anyhow::Result<All> {
    let words: Vec<String> = std::iter::once("--stacks".to_owned()).chain(options.iter().cloned()).collect();
    goroutines::answer(cx, &parse(&goroutines::COMMAND, &words)?)
}

fn one(
    cx: &mut Context<'_>,
    options: &[String],
    is_it: &dyn Fn(&GoroutineRow) -> bool,
    missing: &str,
) -> anyhow::Result<One> {
    let (row, pause_ms) = all(cx, options)?.into_row(is_it, missing)?;
    Ok(One { pause_ms, goroutine: row })
}

/// A goroutine on a thread brings the thread with it.
fn selected(cx: &mut Context<'_>, one: One, select: bool) -> Answer {
    if let Some(tid) = one.goroutine.thread.filter(|_| select) {
        cx.session.select(tid);
    }
    Answer::One(Box::new(one))
}

fn on_thread(cx: &mut Context<'_>, row: &GoroutineRow, command: &[String]) -> anyhow::Result<OnThread> {
    let id = row.id;
    let Some(thread) = row.thread else {
        let message = format!("goroutine {id} is on no thread: {} has nothing to work on", command[0]);
        return Err(Failure::hinted(message, format!("goroutine {id} bt shows its stack")).into());
    };
    let before = (cx.session.selected(), cx.session.kept_frame());
    cx.session.select(thread);
    let done = match run_words(cx.session, command) {
        Ok(Outcome::Reply(reply)) => Ok(reply),
        Ok(_) => Err(Failure::plain(format!("{} cannot be run for a goroutine", command[0]))),
        Err(failure) => Err(failure),
    };
    if let (Some(tid), frame) = before {
        cx.session.select(tid);
        cx.session.restore_frame(frame);
    }
    let reply = done?;
    Ok(OnThread { goroutine: id, thread, page: reply.page(), reply: reply.json() })
}

impl Show for Answer {
    fn show(&self, page: &mut Page) {
        match self {
            Answer::One(one) => one.goroutine.show_whole(page),
            Answer::All(all) => all.show(page),
            Answer::OnThread(answer) => page.append(answer.page.clone()),
        }
    }
}
