//! `goroutines`: every goroutine of a Go program, one row each, filtered, grouped, or with its stack. A process that runs is held
//! only while they are copied.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use super::backtrace::show_pause;
use crate::addr::{Pid, RuntimeAddr, Tid};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::duration;
use crate::session::frame_rows::{EndRow, SharedFrames};
use crate::session::goroutines::{Filter, GroupBy, PlaceKind, filtered};
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};
use crate::target::goroutines::{Depth, Goroutine, Goroutines};
use crate::target::stacks::NamedFrame;

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
    goroutines: Option<Rows>,
    /// The largest first; null where they are not grouped.
    groups: Option<Vec<GroupRow>>,
}

/// Goroutines whose rows are made when they are shown: a hundred thousand would take more memory than all else.
struct Rows {
    all: Vec<Goroutine>,
    with_stacks: bool,
}

impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.all.iter().map(|one| GoroutineRow::new(one, self.with_stacks)))
    }
}

impl JsonSchema for Rows {
    fn schema_name() -> Cow<'static, str> {
        Vec::<GoroutineRow>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<GoroutineRow>::json_schema(generator)
    }

    fn inline_schema() -> bool {
        true
    }
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
    function: Option<Arc<str>>,
    file: Option<Arc<str>>,
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
    let found = cx.session.goroutines("goroutines", depth(args))?;
    Ok(shown(found, args))
}

/// The same of one goroutine alone, of which no others are copied.
pub(super) fn answer_for(cx: &mut Context<'_>, args: &Args, id: u64) -> anyhow::Result<Answer> {
    let found = cx.session.goroutines("goroutine", depth(args).of(id))?;
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
    let Goroutines { process, version, held, all, total, unreadable } = found;
    let mut kept = filtered(all, &args.with, &args.without);
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
        None => {
            kept.truncate(limit);
            (Some(Rows { all: kept, with_stacks: args.stacks }), None)
        }
    };
    let pause_ms = held.map(|held| held.as_secs_f64() * 1e3);
    let version = Some(version).filter(|version| !version.is_empty());
    Answer { process, version, pause_ms, total, found, unreadable, goroutines, groups }
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
    pub(super) fn new(one: &Goroutine, with_stack: bool) -> GoroutineRow {
        let place = |kind: PlaceKind| kind.frame(one).map(PlaceRow::new);
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
            frames: with_stack.then(|| SharedFrames(one.stack.stack.clone())),
        }
    }

    fn state(&self) -> &'static str {
        self.wait_reason.unwrap_or(self.status)
    }

    fn labels(&self) -> String {
        let labels = self.labels.iter().flatten();
        labels.map(|label| format!("{}={}", label.key, label.value)).collect::<Vec<_>>().join(" ")
    }

    /// `goroutine 7 [chan receive, 2.0 min]`, as Go's own traces have it.
    fn head(&self) -> Vec<Span> {
        let waiting = self.waiting_s.map(|s| format!(", {}", duration::show(Duration::from_secs_f64(s))));
        let thread = self.thread.map(|tid| format!(", thread {tid}"));
        let labels = self.labels();
        let mut head = vec![
            Span::new(format!("goroutine {}", self.id), Style::Strong),
            format!(" [{}{}{}]", self.state(), waiting.unwrap_or_default(), thread.unwrap_or_default()).into(),
        ];
        if !labels.is_empty() {
            head.push(Span::new(format!(" {labels}"), Style::Dim));
        }
        head
    }

    pub(super) fn show_whole(&self, page: &mut Page) {
        page.spans(self.head());
        self.show_stack(page);
    }

    fn show_stack(&self, page: &mut Page) {
        if let Some(frames) = &self.frames {
            frames.show(page);
        }
        if let Some(creator) = &self.creator {
            let parent = self.parent.map_or_else(String::new, |parent| format!(" in goroutine {parent}"));
            page.spans(vec![Span::new(format!("made by {}{parent}", creator.words()), Style::Dim)]);
        }
    }
}

/// Texts that many rows have, each made once: by where the frame is in memory that the goroutines share.
#[derive(Default)]
struct Texts {
    places: FxHashMap<*const NamedFrame, Span>,
    starts: FxHashMap<*const NamedFrame, Span>,
    states: FxHashMap<&'static str, Span>,
    /// The runtime notes one time for all that a collection finds.
    waits: FxHashMap<Duration, Span>,
}

impl Texts {
    fn place(&mut self, frame: Option<&NamedFrame>, style: Style) -> Span {
        let Some(frame) = frame else { return Span::default() };
        let make = || Span::shared(PlaceRow::new(frame).words(), style);
        let known = self.places.entry(frame).or_insert_with(make);
        known.styled(style)
    }

    fn cells(&mut self, one: &Goroutine, with_labels: bool) -> Vec<Span> {
        let state = one.wait_reason.unwrap_or(one.status.name());
        let state = self.states.entry(state).or_insert_with(|| Span::shared(state, Style::Plain)).clone();
        let style = if one.thread.is_some() { Style::Good } else { Style::Plain };
        let start = PlaceKind::Start.frame(one).map_or_else(Span::default, |frame| {
            let make = || Span::shared(frame.function.as_deref().unwrap_or_default(), Style::Plain);
            self.starts.entry(frame).or_insert_with(make).clone()
        });
        let waiting = one.waiting.map_or_else(Span::default, |waiting| {
            let make = || Span::shared(duration::show(waiting), Style::Plain);
            self.waits.entry(waiting).or_insert_with(make).clone()
        });
        let mut cells = Vec::with_capacity(7 + usize::from(with_labels));
        cells.extend([
            one.id.to_string().into(),
            state.styled(style),
            waiting,
            one.thread.map(|tid| tid.to_string()).unwrap_or_default().into(),
            self.place(PlaceKind::User.frame(one), Style::Name),
            start,
            self.place(PlaceKind::Go.frame(one), Style::Plain),
        ]);
        if with_labels {
            cells.push(GoroutineRow::new(one, false).labels().into());
        }
        cells
    }
}

impl Rows {
    fn show(&self, page: &mut Page) {
        if self.with_stacks { self.show_stacks(page) } else { self.show_table(page) }
    }

    /// Stacks that many have are one part of the page.
    fn show_stacks(&self, page: &mut Page) {
        let mut known = FxHashMap::default();
        for one in &self.all {
            let row = GoroutineRow::new(one, true);
            page.spans(row.head());
            let key = (Arc::as_ptr(&one.stack), PlaceKind::Go.frame(one).map(std::ptr::from_ref), one.parent);
            let make = || {
                let mut stack = Page::default();
                row.show_stack(&mut stack);
                stack.line("");
                Arc::new(stack)
            };
            page.share(known.entry(key).or_insert_with(make).clone());
        }
    }

    fn show_table(&self, page: &mut Page) {
        let with_labels = self.all.iter().any(|one| one.labels.is_some());
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
        let mut texts = Texts::default();
        page.table(Table { columns, rows: self.all.iter().map(|one| texts.cells(one, with_labels)).collect() });
    }
}

impl Answer {
    /// The first of its rows that is the one, and how long the process was held for it.
    pub(super) fn into_row(
        self,
        is_it: &dyn Fn(&GoroutineRow) -> bool,
        missing: &str,
    ) -> anyhow::Result<(GoroutineRow, Option<f64>)> {
        let rows = self.goroutines.iter().flat_map(|rows| rows.all.iter().map(|one| (one, rows.with_stacks)));
        let found = rows.map(|(one, with_stack)| GoroutineRow::new(one, with_stack)).find(|row| is_it(row));
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
        if let Some(rows) = &self.goroutines {
            rows.show(page);
        }
        page.line(self.count());
        show_pause(page, self.process, self.pause_ms);
    }
}

impl Answer {
    /// `12 goroutines`, `3 of 12 goroutines`.
    fn count(&self) -> String {
        let noun = if self.total == 1 { "goroutine" } else { "goroutines" };
        let shown = self.goroutines.as_ref().map_or(self.found, |rows| rows.all.len());
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
