//! `frame`: selects a frame of the stack, or runs a command in one.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::addr::Tid;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::dispatch::run_words;
use crate::session::frame_rows::FrameRow;
use crate::session::page::Page;
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "frame",
    aliases: &["f", "info frame"],
    group: Group::Threads,
    summary: "Select a frame of the stack, or run a command in one",
    needs: Needs::Stopped,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Answer>,
    question: no_question,
    run,
};

/// Without words, the selected frame. With a number, selects that one: registers and expressions are then that frame's. With a
/// command behind it, runs the command as if that frame were selected: frame 3 regs.
#[derive(clap::Parser)]
struct Args {
    /// The frame's number in backtrace; 0 is the innermost
    #[arg(value_name = "N")]
    number: Option<usize>,
    /// The command to run in it
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Answer {
    Selected(Selected),
    One(InFrame),
}

/// The selected frame.
#[derive(Serialize, JsonSchema)]
pub(super) struct Selected {
    thread: Tid,
    /// The goroutine whose frame it is, if it is on no thread; null where it is the thread's.
    goroutine: Option<u64>,
    #[serde(flatten)]
    row: FrameRow,
}

/// What a command answered in a frame.
#[derive(Serialize, JsonSchema)]
struct InFrame {
    frame: usize,
    /// The command's reply.
    reply: Value,
    #[serde(skip)]
    page: Page,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let answer = match args.number {
        None => Answer::Selected(select(cx, cx.session.frame_number())?),
        Some(number) if args.command.is_empty() => Answer::Selected(select(cx, number)?),
        Some(number) => {
            cx.session.commands().find(&args.command)?;
            let done = cx.session.in_frame(number, |session| run_words(session, &args.command))??;
            let Outcome::Reply(reply) = done else {
                return Err(Failure::plain(format!("{} cannot be run in a frame", args.command[0])).into());
            };
            Answer::One(InFrame { frame: number, reply: reply.json(), page: reply.page() })
        }
    };
    Ok(Outcome::Reply(Reply::new(answer)))
}

/// Selects a frame.
pub(super) fn select(cx: &mut Context<'_>, number: usize) -> anyhow::Result<Selected> {
    let thread = cx.session.stopped_thread()?;
    let frame = cx.session.select_frame(number)?;
    Ok(Selected { thread, goroutine: cx.session.parked_goroutine(), row: FrameRow::new(number, &frame) })
}

impl Show for Selected {
    fn show(&self, page: &mut Page) {
        page.spans(self.row.line(true, true));
    }
}

impl Show for Answer {
    fn show(&self, page: &mut Page) {
        match self {
            Answer::Selected(selected) => selected.show(page),
            Answer::One(one) => page.append(one.page.clone()),
        }
    }
}
