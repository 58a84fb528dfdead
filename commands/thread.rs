//! `thread`: selects a thread, or runs a command for one or all of them.

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::backtrace;
use super::stacks::{self, AllStacks};
use crate::addr::Tid;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::dispatch::run_words;
use crate::session::event::{place_words, why_words};
use crate::session::listing;
use crate::session::locations::file_name;
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::user_frames::{UserFrame, UserFrames};
use crate::session::{Command, Context, Failure, Group, Locations, Needs, Outcome, Reply, Row, Show, Words};
use crate::target::{Caught, CodePlace, Place, Signal, Syscall, ThreadFacts, Why};

pub(super) const COMMAND: Command = Command {
    name: "thread",
    aliases: &[],
    group: Group::Threads,
    summary: "Select a thread, or run a command for one or for all",
    needs: Needs::Process,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Answer>,
    question: no_question,
    run,
};

/// Without words, the selected thread. With a number or tid, selects that thread; with a command behind it, runs the
/// command as if that thread were selected. `thread all COMMAND` runs it for each.
#[derive(clap::Parser)]
struct Args {
    /// The thread's number in `threads`, its tid, or `all`
    #[arg(value_name = "N|TID|all")]
    thread: Option<String>,
    /// The command to run for it
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Answer {
    Selected(Box<ThreadRow>),
    One(ForThread),
    All { threads: Vec<ForThread> },
    Stacks(AllStacks),
}

/// What a command answered for one thread.
#[derive(Serialize, JsonSchema)]
struct ForThread {
    number: u32,
    thread: Tid,
    ok: bool,
    /// The command's reply.
    reply: Value,
    error: Option<Failure>,
    #[serde(skip)]
    page: Page,
    /// The reply beside others of its kind.
    #[serde(skip)]
    row: Option<Row>,
}

/// A thread as `threads` shows it.
#[derive(Serialize, JsonSchema)]
pub(super) struct ThreadRow {
    number: u32,
    tid: Tid,
    selected: bool,
    /// top's letter.
    state: Option<char>,
    name: String,
    /// Why it stands still: `attach`, `interrupt`, `start`, `exec`, `signal`, `catch`, `fork`, `born`, `terminal`, `job_control`; null while it runs.
    why: Option<&'static str>,
    /// The signal behind `why`, or one that it gets silently when it goes on.
    signal: Option<Signal>,
    /// Whether it was asked to stop but sleeps in the kernel.
    late: bool,
    /// The name (or number) of the system call that it is in.
    syscall: Option<String>,
    /// That call's arguments, where their number is known.
    syscall_args: Option<Vec<u64>>,
    /// The program counter.
    pc: Option<u64>,
    /// The file or kernel object that is mapped there.
    module: Option<String>,
    module_offset: Option<u64>,
    /// What symbols and source say of it.
    #[serde(flatten)]
    code: CodePlace,
    /// The innermost frame that is neither the C library's nor a language runtime's.
    user_frame: Option<UserFrame>,
    /// The number of the goroutine that runs on it; null where none does, and while the process runs.
    goroutine: Option<u64>,
    #[serde(skip)]
    text: RowText,
}

/// What people see of a row, where it is not the JSON fields themselves.
struct RowText {
    why: String,
    call: String,
    place: String,
}

impl ThreadRow {
    pub(super) fn new(
        mut facts: ThreadFacts,
        selected: Option<Tid>,
        locations: &Locations,
        user: Option<UserFrame>,
        goroutine: Option<u64>,
    ) -> ThreadRow {
        if let Some(place) = &mut facts.place {
            *place.code = locations.code_place(place.pc);
        }
        let text = RowText {
            why: match (&facts.why, facts.late) {
                (Some(why), _) => why_words(why),
                (None, true) => "(not yet stopped)".into(),
                (None, false) => String::new(),
            },
            call: facts.syscall.as_ref().map(Syscall::to_string).unwrap_or_default(),
            place: facts.place.as_ref().map(|place| where_words(place, user.as_ref())).unwrap_or_default(),
        };
        ThreadRow {
            number: facts.number,
            tid: facts.tid,
            selected: selected == Some(facts.tid),
            state: facts.state,
            name: facts.name,
            why: facts.why.as_ref().map(why_name),
            signal: facts.why.and_then(why_signal).or(facts.pending),
            late: facts.late,
            syscall_args: facts.syscall.as_ref().filter(|call| !call.args.is_empty()).map(|call| call.args.clone()),
            syscall: facts.syscall.map(|call| call.name.map_or_else(|| call.number.to_string(), str::to_owned)),
            pc: facts.place.as_ref().map(|place| place.pc.0),
            module_offset: facts.place.as_ref().and_then(|place| place.module_offset),
            module: facts.place.as_ref().and_then(|place| place.module.clone()),
            code: facts.place.as_ref().map(|place| (*place.code).clone()).unwrap_or_default(),
            user_frame: user,
            goroutine,
            text,
        }
    }

    pub(super) fn state_letter(&self) -> char {
        self.state.unwrap_or('?')
    }

    /// The cells of `threads`: # TID S NAME WHY GOROUTINE IN WHERE.
    pub(super) fn spans(&self, with_goroutine: bool) -> Vec<Span> {
        let mark = if self.selected { "* " } else { "" };
        let stopped = if self.state == Some('T') { Style::Plain } else { Style::Good };
        let why = if matches!(self.why, Some("signal")) { Style::Warn } else { Style::Plain };
        let mut spans = vec![
            Span::new(format!("{mark}{}", self.number), if self.selected { Style::Strong } else { Style::Plain }),
            self.tid.to_string().into(),
            Span::new(self.state_letter().to_string(), if self.state == Some('D') { Style::Warn } else { stopped }),
            Span::new(&self.name, Style::Name),
            Span::new(&self.text.why, why),
            self.text.call.as_str().into(),
            Span::new(&self.text.place, Style::Address),
        ];
        if with_goroutine {
            spans.insert(5, self.goroutine.map(|id| id.to_string()).unwrap_or_default().into());
        }
        spans
    }
}

/// `0x7f12 clock_nanosleep+0x5a from work at main.c:12`: where a thread is, and which code of the program brought it there.
fn where_words(place: &Place, user: Option<&UserFrame>) -> String {
    let here = place_words(place);
    let Some(user) = user.filter(|user| user.pc != place.pc) else { return here };
    let line = match (&user.file, user.line) {
        (Some(file), Some(line)) => format!(" at {}:{line}", file_name(file)),
        _ => String::new(),
    };
    format!("{here} from {}{line}", user.function)
}

fn why_name(why: &Why) -> &'static str {
    match why {
        Why::Attach => "attach",
        Why::Interrupt => "interrupt",
        Why::Start => "start",
        Why::Exec => "exec",
        Why::Signal { .. } => "signal",
        Why::Catch { .. } => "catch",
        Why::Fork { .. } => "fork",
        Why::Born { .. } => "born",
        Why::Terminal { .. } => "terminal",
        Why::JobControl { .. } => "job_control",
        Why::Breakpoint { .. } => "breakpoint",
        Why::Watchpoint { .. } => "watchpoint",
        Why::Step => "step",
        Why::FunctionFinished => "function_finished",
        Why::LocationReached => "location_reached",
    }
}

fn why_signal(why: Why) -> Option<Signal> {
    match why {
        Why::Signal { signal, .. }
        | Why::JobControl { signal }
        | Why::Terminal { signal }
        | Why::Catch { event: Caught::Signal { signal, .. }, .. } => Some(signal),
        _ => None,
    }
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let answer = match (args.thread.as_deref(), args.command.as_slice()) {
        (None, _) => {
            let tid = cx.session.selected().context("no thread is selected")?;
            Answer::Selected(Box::new(row(cx, tid)?))
        }
        (Some("all"), []) => {
            return Err(Failure::hinted("thread all: a command is missing", "usage: thread all COMMAND").into());
        }
        (Some("all"), command) => for_all(cx, command)?,
        (Some(word), []) => {
            let (_, tid) = find(cx, word)?;
            cx.session.select(tid);
            Answer::Selected(Box::new(row(cx, tid)?))
        }
        (Some(word), command) => {
            let (number, tid) = find(cx, word)?;
            let answer = for_one(cx, number, tid, command);
            if let Some(error) = answer.error {
                return Err(error.into());
            }
            Answer::One(answer)
        }
    };
    Ok(Outcome::Reply(Reply::new(answer)))
}

fn row(cx: &mut Context<'_>, tid: Tid) -> anyhow::Result<ThreadRow> {
    let facts = cx.session.process()?.facts_of_thread(tid);
    let facts = facts.with_context(|| format!("thread {tid} has ended"))?;
    let locations = cx.session.locations();
    let user = cx.session.current().and_then(|process| UserFrames::new(process, &locations).of(tid));
    let goroutine = cx.session.goroutines_of(&[tid]).and_then(|found| found.into_iter().next().flatten());
    let mut row = ThreadRow::new(facts, cx.session.selected(), &locations, user, goroutine);
    if let (Some(file), Some(line)) = (&row.code.file, row.code.line) {
        let source = cx.session.source(file).ok();
        row.code.source = source.and_then(|source| Some(source.line(line)?.to_owned()));
    }
    Ok(row)
}

/// The thread that a word means: a number of the listing, or a tid.
pub(super) fn find(cx: &mut Context<'_>, word: &str) -> anyhow::Result<(u32, Tid)> {
    let numbers = cx.session.process()?.thread_numbers();
    let by_number = word.parse::<u32>().ok().and_then(|n| numbers.iter().find(|(number, _)| *number == n));
    let by_tid = word.parse::<i32>().ok().and_then(|n| numbers.iter().find(|(_, tid)| tid.0 == n));
    let short: String = word.chars().take(40).collect();
    let missing = || Failure::hinted(format!("no thread {short}"), "threads lists their numbers and tids");
    Ok(*by_number.or(by_tid).ok_or_else(missing)?)
}

fn for_all(cx: &mut Context<'_>, command: &[String]) -> anyhow::Result<Answer> {
    let (group, command) = match command {
        [first, rest @ ..] if matches!(first.as_str(), "-g" | "--group") => (true, rest),
        command => (false, command),
    };
    // A word that is no command fails once, not for each thread.
    let found = cx.session.commands().find(command)?;
    if found.command.name == backtrace::COMMAND.name {
        // All at once: a process that runs is held once for all of them.
        let args = parse(&backtrace::COMMAND, &found.words(command))?;
        return Ok(Answer::Stacks(stacks::of_all(cx, &args, group)?));
    }
    if group {
        let message = format!("thread all -g: {} cannot be grouped", found.command.name);
        return Err(Failure::hinted(message, "thread all -g bt groups equal stacks").into());
    }
    let numbers = cx.session.process()?.thread_numbers();
    let threads = numbers.into_iter().map(|(number, tid)| for_one(cx, number, tid, command)).collect();
    Ok(Answer::All { threads })
}

fn for_one(cx: &mut Context<'_>, number: u32, tid: Tid, command: &[String]) -> ForThread {
    let before = (cx.session.selected(), cx.session.kept_frame());
    cx.session.select(tid);
    let result = match run_words(cx.session, command) {
        Ok(Outcome::Reply(reply)) => Ok(reply),
        Ok(_) => Err(Failure::plain(format!("{} cannot be run for a thread", command[0]))),
        Err(failure) => Err(failure),
    };
    if let (Some(tid), frame) = before {
        cx.session.select(tid);
        cx.session.restore_frame(frame);
    }
    let (reply, page, row, error) = match result {
        Ok(reply) => (reply.json(), reply.page(), reply.row(), None),
        Err(failure) => (Value::Null, Page::default(), None, Some(failure)),
    };
    ForThread { number, thread: tid, ok: error.is_none(), reply, error, page, row }
}

/// The replies as one table with a row a thread, where all are rows under the same columns. Threads for which the command
/// failed have a row of nothing; why stands below.
fn side_by_side(threads: &[ForThread]) -> Option<Table> {
    let rows = || threads.iter().filter(|one| one.ok).map(|one| one.row.as_ref());
    let columns = &rows().next()??.columns;
    if rows().any(|row| row.is_none_or(|row| row.columns != *columns)) {
        return None;
    }
    let head = [Column::right("#"), Column::left("TID")];
    let body = threads.iter().map(|one| {
        let cells = one.row.as_ref().map_or(&[][..], |row| &row.cells);
        let head = [one.number.to_string().into(), one.thread.to_string().into()];
        let padding = columns.len() - cells.len();
        head.into_iter().chain(cells.iter().cloned()).chain(std::iter::repeat_n(Span::default(), padding)).collect()
    });
    Some(Table { columns: head.into_iter().chain(columns.iter().cloned()).collect(), rows: body.collect() })
}

impl Show for Answer {
    fn show(&self, page: &mut Page) {
        match self {
            Answer::Selected(row) => {
                let goroutine = row.goroutine.map(|id| format!("goroutine {id}")).unwrap_or_default();
                let place = [row.text.why.as_str(), &goroutine, row.text.call.as_str(), row.text.place.as_str()];
                let place: Vec<&str> = place.into_iter().filter(|text| !text.is_empty()).collect();
                page.spans(vec![
                    Span::new(format!("thread {} ({}, {}) ", row.number, row.tid, row.name), Style::Strong),
                    format!("{}: {}", row.state_letter(), place.join(", ")).into(),
                ]);
                if let CodePlace { file: Some(file), line: Some(line), source: Some(text), .. } = &row.code {
                    listing::stop_line(page, file, *line, text);
                }
            }
            Answer::One(one) => page.append(one.page.clone()),
            Answer::Stacks(stacks) => stacks.show(page),
            Answer::All { threads } => {
                if let Some(table) = side_by_side(threads) {
                    page.table(table);
                    for (one, error) in threads.iter().filter_map(|one| Some((one, one.error.as_ref()?))) {
                        page.spans(vec![Span::new(format!("thread {}: error: {error}", one.number), Style::Bad)]);
                    }
                    return;
                }
                for one in threads {
                    page.spans(vec![Span::new(format!("thread {} ({}):", one.number, one.thread), Style::Strong)]);
                    page.append(one.page.clone());
                    if let Some(error) = &one.error {
                        page.spans(vec![Span::new(format!("error: {error}"), Style::Bad)]);
                    }
                }
            }
        }
    }
}
