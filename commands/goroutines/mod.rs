//! `goroutines`: every goroutine of a Go program, one row each, filtered, grouped, or with its stack. A process that runs is held
//! only while they are copied.

mod rows;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

pub(super) use self::rows::GoroutineRow;
use self::rows::Rows;
use super::backtrace::show_pause;
use crate::addr::Pid;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::goroutines::{Filter, GroupBy, filtered};
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};
use crate::target::goroutines::{Depth, Goroutine, Goroutines};

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
            (Some(Rows { all: Arc::new(kept), with_stacks: args.stacks }), None)
        }
    };
    let pause_ms = held.map(|held| held.as_secs_f64() * 1e3);
    let version = Some(version).filter(|version| !version.is_empty());
    Answer { process, version, pause_ms, total, found, unreadable, goroutines, groups }
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
    use crate::session::goroutines::PlaceKind;

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
