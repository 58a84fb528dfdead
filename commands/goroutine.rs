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
    summary: "Show one goroutine with its stack, or run a command for it; all bt: the stacks of all",
    needs: Needs::Process,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Answer>,
    question: no_question,
    run,
};

/// With a number, selects that goroutine and shows its stack: bt, frame, regs, print and list are then its own, until a thread is
/// selected or the process runs. Without, the selected goroutine, or that of the selected thread. With bt its stack alone; with any
/// other command, runs that as if the goroutine were selected. goroutine all bt: all stacks.
#[derive(clap::Parser)]
struct Args {
    /// The goroutine's number in `goroutines`, or `all`
    #[arg(value_name = "N|all")]
    goroutine: Option<String>,
    /// bt [N], or a command for it
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
    /// Its thread; null if it is on none.
    thread: Option<Tid>,
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
        (Some(word), None) => Answer::OnThread(as_if_selected(cx, number(word)?, &args.command)?),
        (Some(word), Some(frames)) => {
            let id = number(word)?;
            let row = one(cx, &frames, Some(id), &|row| row.id == id, &format!("no goroutine {id}"))?;
            if args.command.is_empty() && is_held(cx) {
                cx.session.select_goroutine(id)?;
            }
            Answer::One(Box::new(row))
        }
        (None, _) => {
            let (tid, parked) = (cx.session.selected(), cx.session.parked_goroutine());
            let missing = tid.map_or("no thread is selected".into(), |tid| format!("thread {tid} runs no goroutine"));
            // Of a process that runs nobody knows before it is held.
            let on_thread = tid.and_then(|tid| cx.session.goroutines_of(&[tid])?.pop()?);
            let id = parked.or(on_thread);
            let is_it = |row: &GoroutineRow| match id {
                Some(id) => row.id == id,
                None => row.thread.is_some() && row.thread == tid,
            };
            Answer::One(Box::new(one(cx, &[], id, &is_it, &missing)?))
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
    goroutines::answer(cx, &with_stacks(options)?)
}

fn with_stacks(options: &[String]) -> anyhow::Result<goroutines::Args> {
    let words: Vec<String> = std::iter::once("--stacks".to_owned()).chain(options.iter().cloned()).collect();
    parse(&goroutines::COMMAND, &words)
}

fn one(
    cx: &mut Context<'_>,
    options: &[String],
    id: Option<u64>,
    is_it: &dyn Fn(&GoroutineRow) -> bool,
    missing: &str,
) -> anyhow::Result<One> {
    let found = match id {
        Some(id) => goroutines::answer_for(cx, &with_stacks(options)?, id)?,
        None => all(cx, options)?,
    };
    let (row, pause_ms) = found.into_row(is_it, missing)?;
    Ok(One { pause_ms, goroutine: row })
}

fn is_held(cx: &Context<'_>) -> bool {
    cx.session.current().is_some_and(|process| process.held().is_some())
}

fn as_if_selected(cx: &mut Context<'_>, id: u64, command: &[String]) -> anyhow::Result<OnThread> {
    if !is_held(cx) {
        let message = format!("goroutine {id}: {} needs a process that stands still, and this one runs", command[0]);
        let hint = format!("interrupt stops it; goroutine {id} bt works while it runs");
        return Err(Failure::hinted(message, hint).into());
    }
    let before = (cx.session.selected(), cx.session.kept_frame());
    let thread = cx.session.select_goroutine(id)?;
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
