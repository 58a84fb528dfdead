//! `backtrace`: the stack of the selected thread. Of a running process, as it was in a moment.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::{Pid, Tid};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::frame_rows::{EndRow, FrameRow, show_end};
use crate::session::page::{Page, Span, Style};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words, duration};
use crate::target::stacks::{End, NamedFrame, NamedStack};

pub(super) const COMMAND: Command = Command {
    name: "backtrace",
    aliases: &["bt", "where", "stack", "info stack"],
    group: Group::Threads,
    summary: "Show the stack of the selected thread, the innermost frame first",
    needs: Needs::Process,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Backtrace>,
    question: no_question,
    run,
};

/// One line a frame: where it is, its function and line. Calls that the compiler has inlined are frames too. A process that runs
/// is held only while registers and stack are copied. thread all bt shows the stacks of all threads, thread all -g bt equal
/// ones once.
#[derive(clap::Parser)]
pub(super) struct Args {
    /// So many frames: the innermost ones, with -N the outermost
    #[arg(value_name = "N|-N", allow_negative_numbers = true)]
    frames: Option<i64>,
}

/// So many frames are shown where nobody says how many.
const USUAL: usize = 1000;

impl Args {
    /// The innermost frames, so many; as many as usual if `None`.
    pub(super) fn first(frames: Option<i64>) -> Args {
        Args { frames }
    }

    /// The frames of a stack that are wanted.
    pub(super) fn cut(&self, stack: &Arc<NamedStack>) -> Arc<NamedStack> {
        let (count, skipped) = (stack.frames.len(), self.skipped(stack.frames.len()));
        if skipped == 0 && count <= self.most() {
            return stack.clone();
        }
        let frames: Vec<NamedFrame> = stack.frames.iter().skip(skipped).take(self.most()).cloned().collect();
        let end = if skipped + frames.len() == count { stack.end } else { End::Enough };
        Arc::new(NamedStack { frames, end })
    }

    /// How far stacks are followed.
    pub(super) fn most(&self) -> usize {
        match self.frames {
            None => USUAL,
            Some(frames) if frames < 0 => usize::MAX,
            Some(frames) => usize::try_from(frames).unwrap_or(usize::MAX),
        }
    }

    /// Refuses what shows nothing.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match self.frames {
            Some(0) => Err(Failure::usage("backtrace: 0 frames show nothing", "usage: backtrace [N|-N]")),
            _ => Ok(()),
        }
    }

    /// How many of the innermost frames are left out.
    pub(super) fn skipped(&self, count: usize) -> usize {
        let outermost = self.frames.filter(|frames| *frames < 0).and_then(|frames| frames.checked_neg());
        outermost.map_or(0, |outermost| count.saturating_sub(usize::try_from(outermost).unwrap_or(usize::MAX)))
    }

    /// The frames that are wanted, with their numbers, and why there are no more. Inlined calls can make more frames than were
    /// asked for.
    pub(super) fn choose(&self, stack: &NamedStack) -> (Vec<FrameRow>, End) {
        let skipped = self.skipped(stack.frames.len());
        let rows = stack.frames.iter().enumerate().skip(skipped).take(self.most());
        let rows: Vec<FrameRow> = rows.map(|(number, frame)| FrameRow::new(number, frame)).collect();
        let all = skipped + rows.len() == stack.frames.len();
        (rows, if all { stack.end } else { End::Enough })
    }
}

#[derive(Serialize, JsonSchema)]
struct Backtrace {
    process: Pid,
    /// The thread's number and tid.
    number: u32,
    thread: Tid,
    /// The goroutine whose stack it is, if it is on no thread; null where it is the thread's.
    goroutine: Option<u64>,
    /// How long the process was held for it; null where it was held already.
    pause_ms: Option<f64>,
    /// The selected frame; null while the process runs.
    selected_frame: Option<usize>,
    frames: Vec<FrameRow>,
    end: EndRow,
    #[serde(skip)]
    shown_end: End,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    args.check()?;
    let thread = cx.session.selected().context("no thread is selected")?;
    let process = cx.session.process()?;
    let (pid, held) = (process.pid(), process.held().is_some());
    let number = process.thread_numbers().into_iter().find(|(_, tid)| *tid == thread).map_or(0, |(number, _)| number);
    let goroutine = cx.session.parked_goroutine();
    let (stack, pause, selected_frame) = if held {
        let frames = cx.session.frames(args.most())?;
        (frames.named, None, Some(cx.session.frame_number()))
    } else {
        let snapshot = cx.session.snapshot(Some(&[thread]))?;
        let stacks = cx.session.stacks_of(snapshot, args.most());
        let one = stacks.threads.into_iter().next().with_context(|| format!("thread {thread} has ended"))?;
        (NamedStack::clone(&one.stack), stacks.pause, None)
    };
    let (frames, end) = args.choose(&stack);
    Ok(Outcome::Reply(Reply::new(Backtrace {
        process: pid,
        number,
        thread,
        goroutine,
        pause_ms: pause.map(|pause| pause.as_secs_f64() * 1e3),
        selected_frame,
        frames,
        end: end.into(),
        shown_end: end,
    })))
}

impl Show for Backtrace {
    fn show(&self, page: &mut Page) {
        for row in &self.frames {
            page.spans(row.line(self.selected_frame == Some(row.frame), false));
        }
        show_end(page, self.shown_end);
        show_pause(page, self.process, self.pause_ms);
    }
}

/// Says how long a running process was held, if it was.
pub(super) fn show_pause(page: &mut Page, process: Pid, pause_ms: Option<f64>) {
    if let Some(pause) = pause_ms {
        let pause = duration::show(Duration::from_secs_f64(pause / 1e3));
        page.spans(vec![Span::new(format!("process {process} was held for {pause} and runs on"), Style::Dim)]);
    }
}
