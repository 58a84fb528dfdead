//! `goroutines`: every goroutine of a Go program, one row each, filtered, grouped, or with its stack. A process that runs is held
//! only while they are copied.

use std::fmt::Write as _;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::backtrace::show_pause;
use crate::addr::{Pid, RuntimeAddr, Tid};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::duration;
use crate::session::frame_rows::{EndRow, SharedFrames};
use crate::session::goroutines::{Filter, GroupBy, PlaceKind, filtered};
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};
use crate::target::goroutines::{Depth, Goroutine, Goroutines};
use crate::target::stacks::{NamedFrame, NamedStack};

pub(super) const COMMAND: Command = Command {
    name: "goroutines",
    aliases: &["grs", "info goroutines"],
    group: Group::Threads,
    summary: "List the goroutines of a Go program: what each does, waits for, and where",
    needs: Needs::Process,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Answer>,
    question: no_question,
    run,
};

/// One row a goroutine: number, what it does or waits for, about how long, thread, where it is in the program's own code, what it
/// began with, where it was made, labels. A running process is held only while the goroutines are copied.
#[derive(clap::Parser)]
pub(super) struct Args {
    /// Those that are running|waiting|user|system, or have label K[=V], func REGEX, userloc|curloc|goloc|startloc REGEX
    #[arg(short = 'w', long = "with", value_name = "FILTER", value_parser = Filter::parse)]
    with: Vec<Filter>,
    /// Those that are not
    #[arg(long = "without", value_name = "FILTER", value_parser = Filter::parse)]
    without: Vec<Filter>,
    /// Count them by userloc|curloc|go|start|state or by label KEY
    #[arg(short = 'g', long = "group", value_name = "BY", value_parser = GroupBy::parse)]
    group: Option<GroupBy>,
    /// With their stacks
    #[arg(short, long)]
    stacks: bool,
    /// So many frames of each stack
    #[arg(short = 'f', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), default_value = "50")]
    frames: u32,
    /// So many goroutines
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// Goroutines of a process.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    process: Pid,
    /// The toolchain that built it: `go1.27.3`; null where it does not say.
    version: Option<String>,
    /// How long the process was held for it; null where it was held already.
    pause_ms: Option<f64>,
    /// How many there are.
    total: usize,
    /// How many the filters leave.
    found: usize,
    /// How many could not be read.
    unreadable: usize,
    /// By rising number; null where they are grouped.
    goroutines: Option<Vec<GoroutineRow>>,
    /// The largest first; null where they are not grouped.
    groups: Option<Vec<GroupRow>>,
    #[serde(skip)]
    with_stacks: bool,
}

/// One goroutine.
#[derive(Serialize, JsonSchema)]
pub(super) struct GoroutineRow {
    pub(super) id: u64,
    /// `runnable`, `running`, `syscall`, `waiting`, `copystack`, `preempted`, … as the runtime names it.
    status: &'static str,
    /// What it waits for, in the runtime's words.
    wait_reason: Option<&'static str>,
    /// About how long, seconds: the runtime notes the time when it first collects garbage after the wait's beginning.
    waiting_s: Option<f64>,
    /// Whether it is the runtime's own.
    system: bool,
    /// The thread that runs it.
    pub(super) thread: Option<Tid>,
    /// Where it is in the program's own code.
    user: Option<PlaceRow>,
    /// Where it is.
    current: Option<PlaceRow>,
    /// The function that it began with.
    start: Option<PlaceRow>,
    /// Where it was made.
    creator: Option<PlaceRow>,
    /// The goroutine that made it; known since Go 1.21.
    parent: Option<u64>,
    labels: Option<Vec<LabelRow>>,
    /// Its stack, where it was asked for.
    frames: Option<SharedFrames>,
    /// Why that ends.
    end: Option<EndRow>,
}

/// A label (runtime/pprof).
#[derive(Serialize, JsonSchema)]
struct LabelRow {
    key: String,
    value: String,
}

/// A place in code.
#[derive(Clone, Serialize, JsonSchema)]
pub(super) struct PlaceRow {
    pc: RuntimeAddr,
    function: Option<std::sync::Arc<str>>,
    file: Option<std::sync::Arc<str>>,
    line: Option<u32>,
}

/// Goroutines that have something in common.
#[derive(Serialize, JsonSchema)]
struct GroupRow {
    /// What they have in common.
    key: String,
    count: usize,
    /// The numbers of the first of them.
    ids: Vec<u64>,
}

/// So many numbers of a group are shown.
const MOST_IDS: usize = 8;

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, &joined(words))?;
    Ok(Outcome::Reply(Reply::new(answer(cx, &args)?)))
}

/// Words as Delve takes them: options with one dash, and filters of two words.
fn joined(words: &[String]) -> Vec<String> {
    let (mut joined, mut words) = (Vec::new(), words.iter().peekable());
    while let Some(word) = words.next() {
        let option = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).unwrap_or_default();
        match option {
            "with" | "w" | "without" | "group" | "g" => {
                let long = match option {
                    "w" => "with",
                    "g" => "group",
                    option => option,
                };
                joined.push(format!("--{long}"));
                let Some(name) = words.next() else { break };
                let more = words.next_if(|_| Filter::takes_word(name));
                joined.push(more.map_or_else(|| name.clone(), |more| format!("{name} {more}")));
            }
            _ => joined.push(word.clone()),
        }
    }
    joined
}

/// What the command answers.
pub(super) fn answer(cx: &mut Context<'_>, args: &Args) -> anyhow::Result<Answer> {
    let depth = depth(args);
    let found = cx.session.goroutines("goroutines", depth)?;
    Ok(shown(found, args))
}

/// How much of the goroutines is needed.
pub(super) fn depth(args: &Args) -> Depth {
    let depth = if args.stacks { Depth::stacks(args.frames as usize) } else { Depth::USER };
    // A function may be anywhere on the stack.
    let needs_all = args.with.iter().chain(&args.without).any(|filter| matches!(filter, Filter::Function(_)));
    if needs_all { Depth::stacks(depth.frames.max(args.frames as usize)) } else { depth }
}

/// Those that are wanted.
pub(super) fn shown(found: Goroutines, args: &Args) -> Answer {
    let Goroutines { process, version, held, all, unreadable } = found;
    let total = all.len();
    let kept = filtered(all, &args.with, &args.without);
    let found = kept.len();
    let limit = args.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let (goroutines, groups) = match &args.group {
        Some(by) => {
            let group = |(key, members): (String, Vec<Goroutine>)| {
                let ids = members.iter().take(MOST_IDS).map(|member| member.id).collect();
                GroupRow { key, count: members.len(), ids }
            };
            (None, Some(by.groups(kept).into_iter().take(limit).map(group).collect()))
        }
        None => (Some(kept.into_iter().take(limit).map(|one| GoroutineRow::new(one, args.stacks)).collect()), None),
    };
    let pause_ms = held.map(|held| held.as_secs_f64() * 1e3);
    let version = Some(version).filter(|version| !version.is_empty());
    Answer { process, version, pause_ms, total, found, unreadable, goroutines, groups, with_stacks: args.stacks }
}

impl PlaceRow {
    fn new(frame: &NamedFrame) -> PlaceRow {
        let spot = frame.spot.as_ref();
        PlaceRow {
            pc: frame.pc,
            function: frame.function.clone(),
            file: spot.map(|spot| spot.file.clone()),
            line: spot.map(|spot| spot.line).filter(|line| *line > 0),
        }
    }

    /// `main.worker at t/main.go:12`.
    fn words(&self) -> String {
        let mut words = self.function.as_deref().map_or_else(|| self.pc.to_string(), str::to_owned);
        if let Some(file) = &self.file {
            let begin = file.rmatch_indices('/').nth(1).map_or(0, |(at, _)| at + 1);
            let _ = write!(words, " at {}", &file[begin..]);
            if let Some(line) = self.line {
                let _ = write!(words, ":{line}");
            }
        }
        words
    }
}

impl GoroutineRow {
    pub(super) fn new(one: Goroutine, with_stack: bool) -> GoroutineRow {
        let place = |kind: PlaceKind| kind.frame(&one).map(PlaceRow::new);
        let labels = one.labels.as_ref().map(|labels| {
            labels.iter().map(|(key, value)| LabelRow { key: key.clone(), value: value.clone() }).collect()
        });
        GoroutineRow {
            id: one.id,
            status: one.status.name(),
            wait_reason: one.wait_reason,
            waiting_s: one.waiting.map(|waiting| waiting.as_secs_f64()),
            system: one.is_system,
            thread: one.thread,
            user: place(PlaceKind::User),
            current: place(PlaceKind::Current),
            start: place(PlaceKind::Start),
            creator: place(PlaceKind::Go),
            parent: one.parent,
            labels,
            end: with_stack.then(|| one.stack.stack.end.into()),
            frames: with_stack.then(|| SharedFrames(std::sync::Arc::new(NamedStack::clone(&one.stack.stack)))),
        }
    }

    fn state(&self) -> &'static str {
        self.wait_reason.unwrap_or(self.status)
    }

    fn labels(&self) -> String {
        let labels = self.labels.iter().flatten();
        labels.map(|label| format!("{}={}", label.key, label.value)).collect::<Vec<_>>().join(" ")
    }

    fn spans(&self, with_labels: bool) -> Vec<Span> {
        let words = |place: &Option<PlaceRow>| place.as_ref().map(PlaceRow::words).unwrap_or_default();
        let state = if self.thread.is_some() { Style::Good } else { Style::Plain };
        let mut spans = vec![
            self.id.to_string().into(),
            Span::new(self.state(), state),
            self.waiting_s.map(|s| duration::show(Duration::from_secs_f64(s))).unwrap_or_default().into(),
            self.thread.map(|tid| tid.to_string()).unwrap_or_default().into(),
            Span::new(words(&self.user), Style::Name),
            self.start.as_ref().and_then(|start| start.function.as_deref()).unwrap_or_default().into(),
            words(&self.creator).into(),
        ];
        if with_labels {
            spans.push(self.labels().into());
        }
        spans
    }

    /// `goroutine 7 [chan receive, 2.0 min]`, as Go's own traces have it.
    pub(super) fn head(&self) -> Vec<Span> {
        let waiting = self.waiting_s.map(|s| format!(", {}", duration::show(Duration::from_secs_f64(s))));
        let thread = self.thread.map(|tid| format!(", thread {tid}"));
        let labels = self.labels();
        let labels = if labels.is_empty() { labels } else { format!(" {labels}") };
        vec![
            Span::new(format!("goroutine {}", self.id), Style::Strong),
            format!(" [{}{}{}]", self.state(), waiting.unwrap_or_default(), thread.unwrap_or_default()).into(),
            Span::new(labels, Style::Dim),
        ]
    }

    pub(super) fn show_whole(&self, page: &mut Page) {
        page.spans(self.head());
        if let Some(frames) = &self.frames {
            frames.show(page);
        }
        if let Some(creator) = &self.creator {
            let parent = self.parent.map_or_else(String::new, |parent| format!(" in goroutine {parent}"));
            page.spans(vec![Span::new(format!("made by {}{parent}", creator.words()), Style::Dim)]);
        }
    }
}

impl Answer {
    /// The first of its rows that is the one, and how long the process was held for it.
    pub(super) fn into_row(
        self,
        is_it: &dyn Fn(&GoroutineRow) -> bool,
        missing: &str,
    ) -> anyhow::Result<(GoroutineRow, Option<f64>)> {
        let found = self.goroutines.into_iter().flatten().find(|row| is_it(row));
        let total = self.total;
        let missing = || Failure::hinted(format!("{missing} among {total}"), "goroutines lists their numbers");
        Ok((found.ok_or_else(missing)?, self.pause_ms))
    }
}

impl Show for Answer {
    fn show(&self, page: &mut Page) {
        if let Some(groups) = &self.groups {
            let columns =
                vec![Column::right("COUNT"), Column::shrinking("WHAT", 1), Column::shrinking("GOROUTINES", 2)];
            let row = |group: &GroupRow| {
                let ids: Vec<String> = group.ids.iter().map(u64::to_string).collect();
                let more = if group.count > ids.len() { ", …" } else { "" };
                vec![
                    group.count.to_string().into(),
                    Span::new(&group.key, Style::Name),
                    format!("{}{more}", ids.join(", ")).into(),
                ]
            };
            page.table(Table { columns, rows: groups.iter().map(row).collect() });
        }
        if let Some(goroutines) = self.goroutines.as_ref().filter(|_| self.with_stacks) {
            for one in goroutines {
                one.show_whole(page);
                page.line("");
            }
        } else if let Some(goroutines) = &self.goroutines {
            let with_labels = goroutines.iter().any(|one| one.labels.is_some());
            let mut columns = vec![
                Column::right("ID"),
                Column::left("STATE"),
                Column::right("FOR"),
                Column::left("THREAD"),
                Column::shrinking("WHERE", 1),
                Column::shrinking("BEGAN AS", 2),
                Column::shrinking("MADE BY", 3),
            ];
            if with_labels {
                columns.push(Column::shrinking("LABELS", 2));
            }
            page.table(Table { columns, rows: goroutines.iter().map(|one| one.spans(with_labels)).collect() });
        }
        page.line(self.count());
        show_pause(page, self.process, self.pause_ms);
    }
}

impl Answer {
    /// `12 goroutines`, `3 of 12 goroutines`.
    fn count(&self) -> String {
        let noun = if self.total == 1 { "goroutine" } else { "goroutines" };
        let shown = self.goroutines.as_ref().map_or(self.found, Vec::len);
        let unreadable = match self.unreadable {
            0 => String::new(),
            count => format!("; {count} could not be read"),
        };
        match (shown == self.total, shown == self.found) {
            (true, _) => format!("{} {noun}{unreadable}", self.total),
            (false, true) => format!("{} of {} {noun}{unreadable}", self.found, self.total),
            (false, false) => {
                format!("the first {shown} of {} found, of {} {noun}{unreadable}", self.found, self.total)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delves_words_are_taken() {
        let join = |text: &str| joined(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(join("-with label a=b -s"), ["--with", "label a=b", "-s"]);
        assert_eq!(join("-without running -group label k"), ["--without", "running", "--group", "label k"]);
        assert_eq!(join("-w user -g state -n 3"), ["--with", "user", "--group", "state", "-n", "3"]);
        assert_eq!(join("--with"), ["--with"]);
        let args: Args =
            parse(&COMMAND, &join("-with label a=b -with waiting -without system -g go")).expect("Delve's");
        assert_eq!((args.with.len(), args.without.len(), args.group), (2, 1, Some(GroupBy::Place(PlaceKind::Go))));
    }
}
