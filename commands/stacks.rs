//! `stacks`: the stacks of all threads of a process, taken in a short stop. What `thread all bt` shows, and, with a process, all
//! there is to an attach and a detach.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;

use super::attach;
use super::backtrace::{self, show_pause};
use super::goroutines;
use crate::addr::{Pid, Tid};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::frame_rows::{EndRow, SharedFrames};
use crate::session::page::{Page, Span, Style};
use crate::session::stacks::{Stacks, ThreadStack};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words, duration};
use crate::target::stacks::NamedStack;

pub(super) const COMMAND: Command = Command {
    name: "stacks",
    aliases: &[],
    group: Group::Threads,
    summary: "Show the stacks of all threads; of a process that is not attached, in a stop of milliseconds",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Answer>,
    question: no_question,
    run,
};

/// The stacks of all threads, as thread all bt. With a process, and none attached: attaches to it, copies registers and stacks,
/// lets it go, and only then finds functions and lines. --goroutines shows those of a Go program's goroutines instead.
#[derive(clap::Parser)]
struct Args {
    /// Equal stacks once, with their threads
    #[arg(short, long)]
    group: bool,
    /// The goroutines of a Go program instead of its threads; with -g counted by where they are
    #[arg(long)]
    goroutines: bool,
    /// So many frames of each
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    frames: Option<i64>,
    /// So long from now
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    after: Option<Duration>,
    /// The process: its pid, a thread's tid, or its name
    #[arg(value_name = "PID|NAME")]
    process: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Answer {
    Threads(AllStacks),
    Goroutines(Box<goroutines::Answer>),
}

/// The stacks of all threads of a process.
#[derive(Serialize, JsonSchema)]
pub(super) struct AllStacks {
    process: Pid,
    /// How long the process was held for it; null where it was held already.
    pause_ms: Option<f64>,
    /// One a thread, by number; null where equal ones are grouped.
    threads: Option<Vec<OfThread>>,
    /// Equal stacks once, the most frequent first; null where they are not grouped.
    groups: Option<Vec<OfGroup>>,
}

/// The stack of one thread.
#[derive(Serialize, JsonSchema)]
struct OfThread {
    number: u32,
    thread: Tid,
    /// The thread's name; null if it has ended since.
    name: Option<String>,
    frames: SharedFrames,
    end: EndRow,
}

/// A stack that some threads have.
#[derive(Serialize, JsonSchema)]
struct OfGroup {
    count: usize,
    numbers: Vec<u32>,
    threads: Vec<Tid>,
    /// The names of the threads, each once.
    names: BTreeSet<String>,
    frames: SharedFrames,
    end: EndRow,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let own = backtrace::Args::first(args.frames);
    let of_goroutines = goroutine_args(&args)?;
    if let Some(after) = args.after {
        cx.session.wait_until(Some(Instant::now() + after), || false)?;
    }
    let attached = cx.session.current().is_some();
    let answer = match args.process {
        None if attached => match &of_goroutines {
            Some(of_goroutines) => Answer::Goroutines(Box::new(goroutines::answer(cx, of_goroutines)?)),
            None => Answer::Threads(of_all(cx, &own, args.group)?),
        },
        None => {
            let message = "stacks: no process is attached, and none is named";
            return Err(Failure::hinted(message, "usage: stacks [-g] [-n N] PID|NAME; ps lists the processes").into());
        }
        Some(_) if attached => {
            let message = "stacks: a process is attached already, and there can be only one";
            return Err(Failure::hinted(message, "stacks without a PID shows those of its threads").into());
        }
        Some(word) => {
            let pid = attach::find(&word, "stacks")?;
            if let Some(of_goroutines) = &of_goroutines {
                let found = cx.session.goroutines_of_process(pid, goroutines::depth(of_goroutines))?;
                Answer::Goroutines(Box::new(goroutines::shown(found, of_goroutines)))
            } else {
                let snapshot = cx.session.snapshot_of(pid)?;
                Answer::Threads(answer(cx.session.stacks_of(snapshot, own.most()), &own, args.group))
            }
        }
    };
    Ok(Outcome::Reply(Reply::new(answer)))
}

/// What `goroutines` would be asked for.
fn goroutine_args(args: &Args) -> anyhow::Result<Option<goroutines::Args>> {
    if !args.goroutines {
        return Ok(None);
    }
    let words = match (args.group, args.frames) {
        (true, _) => vec!["--group".to_owned(), "userloc".to_owned()],
        (false, None) => vec!["--stacks".to_owned()],
        (false, Some(frames)) => vec!["--stacks".to_owned(), "--frames".to_owned(), frames.to_string()],
    };
    Ok(Some(parse(&goroutines::COMMAND, &words)?))
}

/// The stacks of all threads of the attached process.
pub(super) fn of_all(cx: &mut Context<'_>, args: &backtrace::Args, group: bool) -> anyhow::Result<AllStacks> {
    args.check()?;
    cx.session.process().context("no process is attached")?;
    let snapshot = cx.session.snapshot(None)?;
    Ok(answer(cx.session.stacks_of(snapshot, args.most()), args, group))
}

fn answer(stacks: Stacks, args: &backtrace::Args, group: bool) -> AllStacks {
    let pause_ms = stacks.pause.map(|pause| pause.as_secs_f64() * 1e3);
    let threads = stacks.threads.into_iter();
    let threads = threads.map(|one| ThreadStack { stack: args.cut(&one.stack), ..one });
    let (threads, groups) = match group {
        true => (None, Some(grouped(threads))),
        false => (Some(threads.map(OfThread::from).collect()), None),
    };
    AllStacks { process: stacks.process, pause_ms, threads, groups }
}

/// Equal stacks once, the most frequent first, and of equally frequent ones that of the first thread.
fn grouped(threads: impl Iterator<Item = ThreadStack>) -> Vec<OfGroup> {
    let mut places: FxHashMap<Arc<NamedStack>, usize> = FxHashMap::default();
    let mut groups: Vec<OfGroup> = Vec::new();
    for one in threads {
        let place = match places.entry(one.stack.clone()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                groups.push(OfGroup {
                    count: 0,
                    numbers: Vec::new(),
                    threads: Vec::new(),
                    names: BTreeSet::new(),
                    end: one.stack.end.into(),
                    frames: SharedFrames(one.stack),
                });
                *new.insert(groups.len() - 1)
            }
        };
        let group = &mut groups[place];
        group.count += 1;
        group.numbers.push(one.number);
        group.threads.push(one.tid);
        group.names.extend(one.name);
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

impl From<ThreadStack> for OfThread {
    fn from(one: ThreadStack) -> OfThread {
        OfThread {
            number: one.number,
            thread: one.tid,
            name: one.name,
            end: one.stack.end.into(),
            frames: SharedFrames(one.stack),
        }
    }
}

/// So many names of a group are shown.
const MOST_NAMES: usize = 3;

impl OfGroup {
    fn head(&self) -> Vec<Span> {
        let names: Vec<&str> = self.names.iter().take(MOST_NAMES).map(String::as_str).collect();
        let more = if self.names.len() > MOST_NAMES { ", …" } else { "" };
        let numbers = compact(&self.numbers);
        let what = match self.count {
            1 => format!("thread {numbers}"),
            count => format!("{count} threads"),
        };
        let list = if self.count == 1 { String::new() } else { format!(": {numbers}") };
        vec![
            Span::new(what, Style::Strong),
            Span::new(format!(" ({}{more})", names.join(", ")), Style::Name),
            list.into(),
        ]
    }
}

/// Rising numbers in few words: `1, 3-7`.
fn compact(numbers: &[u32]) -> String {
    let mut spans: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match spans.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*number) => *last = *number,
            _ => spans.push((*number, *number)),
        }
    }
    let words = spans.into_iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        _ => format!("{first}-{last}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

impl Show for Answer {
    fn show(&self, page: &mut Page) {
        match self {
            Answer::Threads(stacks) => stacks.show(page),
            Answer::Goroutines(goroutines) => goroutines.show(page),
        }
    }
}

impl Show for AllStacks {
    fn show(&self, page: &mut Page) {
        // Most threads have one of few stacks.
        let mut shown: FxHashMap<*const NamedStack, Arc<Page>> = FxHashMap::default();
        for one in self.threads.iter().flatten() {
            let name = one.name.as_deref().unwrap_or("ended");
            page.spans(vec![
                Span::new(format!("thread {}", one.number), Style::Strong),
                Span::new(format!(" ({}, {name})", one.thread), Style::Name),
            ]);
            let shown = shown.entry(Arc::as_ptr(&one.frames.0)).or_insert_with(|| {
                let mut page = Page::default();
                one.frames.show(&mut page);
                page.line("");
                Arc::new(page)
            });
            page.share(shown.clone());
        }
        for group in self.groups.iter().flatten() {
            page.spans(group.head());
            group.frames.show(page);
            page.line("");
        }
        show_pause(page, self.process, self.pause_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_threads_are_short() {
        assert_eq!(compact(&[1, 3, 4, 5, 9]), "1, 3-5, 9");
        assert_eq!((compact(&[]), compact(&[7, 8])), (String::new(), "7-8".into()));
    }
}
