//! Events as lines for people. The data is `target`'s; what is said of it stands here.

use super::catch_words::{caught_name, caught_words};
use schemars::JsonSchema;
use serde::Serialize;

use super::fetch_news::FetchNews;
use super::hooks::Ran;
use super::locations::file_name;
use super::page::{Page, Span, Style};
use super::reply::Show;
use super::signal_words::signal_words;
use super::{duration, listing, size};
use crate::target::{
    Access, Birth, Caught, CodePlace, End, LateThread, News, Place, Signal, StopReport, TracedValue, Why,
};

/// What is told unasked.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
// Events are moved a few times each: boxing them would cost more than it saves.
#[allow(clippy::large_enum_variant)]
pub enum Event {
    /// Something happened to a target.
    Happened(News),
    /// A breakpoint has run a command.
    Ran(Box<Ran>),
    /// Debug info is missing, or was fetched.
    DebugInfo(FetchNews),
}

impl From<News> for Event {
    fn from(news: News) -> Event {
        Event::Happened(news)
    }
}

impl Show for Event {
    fn show(&self, page: &mut Page) {
        match self {
            Event::Happened(news) => news.show(page),
            Event::DebugInfo(news) => news.show(page),
            Event::Ran(ran) => {
                page.append(ran.page.clone());
                if let Some(error) = &ran.error {
                    let text = format!("breakpoint {}: {}: {error}", ran.number, ran.command);
                    page.spans(vec![Span::new(text, Style::Bad)]);
                }
            }
        }
    }
}

/// `signal SIGSEGV (from process 12)`, `job control (SIGTSTP)`, `attach`, …
pub fn why_words(why: &Why) -> String {
    match why {
        Why::Attach => "attach".into(),
        Why::Interrupt => "interrupt".into(),
        Why::Start => "start".into(),
        Why::Exec => "exec".into(),
        Why::Signal { signal, .. } => format!("signal {signal}"),
        Why::Fork { .. } => "fork".into(),
        Why::Born { .. } => "born".into(),
        Why::Catch { event, .. } => format!("catch {}", caught_name(event)),
        Why::Terminal { signal } => format!("terminal ({signal})"),
        Why::JobControl { signal } => format!("job control ({signal})"),
        Why::Breakpoint { number } => format!("breakpoint {number}"),
        Why::Watchpoint { number, .. } => format!("watchpoint {number}"),
        Why::Step => "step".into(),
        Why::FunctionFinished => "function finished".into(),
        Why::LocationReached => "location reached".into(),
    }
}

/// `watchpoint 3: 7 (0x7) became 8 (0x8)`.
fn watch_words(number: u32, access: Access, old: Option<u64>, new: Option<u64>) -> String {
    let value = |value: Option<u64>| value.map_or_else(|| "unreadable".into(), |value| format!("{value} ({value:#x})"));
    match access {
        Access::Write => format!("watchpoint {number}: {} became {}", value(old), value(new)),
        _ if old != new => format!("watchpoint {number}: {} became {}", value(old), value(new)),
        _ => format!("watchpoint {number}: {} was read or written again", value(new)),
    }
}

/// `, $rdi = 7 (0x7)`.
fn value_words(value: &TracedValue) -> String {
    match (value.value, &value.error) {
        (Some(number), _) => format!(", {} = {number} ({number:#x})", value.expression),
        (None, error) => format!(", {}: {}", value.expression, error.as_deref().unwrap_or("no value")),
    }
}

/// `0x46d0f4 work at main.c:12`, `0x46d0f4 write+0x14`, `0x46d0f4 libc.so.6+0x23`: files by their names alone, which is what
/// tells them apart for people.
pub fn place_words(place: &Place) -> String {
    let name = place.module.as_deref().map(file_name);
    let code = &place.code;
    if let (Some(file), Some(line)) = (&code.file, code.line) {
        let function = code.function.as_ref().map(|function| format!("{function} at ")).unwrap_or_default();
        return format!("{} {function}{}:{line}", place.pc, file_name(file));
    }
    match (name, place.module_offset) {
        _ if code.symbol.is_some() => {
            let offset = code.offset.filter(|offset| *offset > 0).map(|offset| format!("+{offset:#x}"));
            format!("{} {}{}", place.pc, code.symbol.as_deref().unwrap_or_default(), offset.unwrap_or_default())
        }
        (Some(name), Some(offset)) => format!("{} {name}+{offset:#x}", place.pc),
        _ => place.pc.to_string(),
    }
}

/// How a child came to be, as its maker's deed.
fn birth_words(birth: Birth) -> &'static str {
    match birth {
        Birth::Fork => "forked",
        Birth::Vfork => "started (vfork)",
        Birth::Clone => "cloned",
    }
}

/// `exited with status 3`, `was killed by SIGSEGV (core dumped)`.
pub fn end_words(end: &End) -> String {
    match end {
        End::Exited { status } => format!("exited with status {status}"),
        End::Killed { signal, core: false } => format!("was ended by {signal}"),
        End::Killed { signal, core: true } => format!("was ended by {signal} (core dumped)"),
    }
}

/// Says of a thread that does not answer where it is.
pub fn late_words(late: &LateThread) -> String {
    let state = late.state.map_or_else(String::new, |state| format!(" in state {state}"));
    let channel = late.wait_channel.as_ref().map_or_else(String::new, |channel| format!(" ({channel})"));
    format!("thread {}{state}{channel}", late.thread)
}

impl Show for StopReport {
    fn show(&self, page: &mut Page) {
        let StopReport { process, thread, number, why, place, sender_name, also, late } = self;
        let reason = match why {
            Why::Attach => "godbg attached".into(),
            Why::Interrupt => "interrupted".into(),
            Why::Start => "it stands at its first instruction".into(),
            Why::Exec => "it has executed another program".into(),
            Why::Fork { child, birth } => format!("it {} process {child}; both are held", birth_words(*birth)),
            Why::Born { parent } => format!("process {parent} has just made it"),
            Why::Catch { catchpoint, event } => {
                format!("{} (catchpoint {catchpoint})", caught_words(*process, event, sender_name.as_deref()))
            }
            Why::Terminal { signal } => format!("it wants the terminal ({signal}); continue gives it"),
            Why::JobControl { signal } => format!("job control stopped it ({signal})"),
            Why::Breakpoint { number } => format!("breakpoint {number}"),
            Why::Watchpoint { number, access, old, new } => watch_words(*number, *access, *old, *new),
            Why::Step => "step".into(),
            Why::FunctionFinished => "the function has returned".into(),
            Why::LocationReached => "the location is reached".into(),
            Why::Signal { signal: Signal::TRAP, origin: Some(origin) } if origin.is_int3() => {
                "it met an int3 of its own (SIGTRAP)".into()
            }
            Why::Signal { signal, origin } => {
                format!("it was given {}", signal_words(*process, *signal, *origin, sender_name.as_deref()))
            }
        };
        let style = if matches!(why, Why::Signal { .. } | Why::Catch { event: Caught::Signal { .. }, .. }) {
            Style::Warn
        } else {
            Style::Plain
        };
        let at = place.as_ref().map(|place| format!(" at {}", place_words(place)));
        page.spans(vec![
            Span::new(format!("process {process} stopped: "), Style::Strong),
            Span::new(format!("thread {number} ({thread}), {reason}"), style),
            Span::new(at.unwrap_or_default(), Style::Address),
        ]);
        if let Some(CodePlace { file: Some(file), line: Some(line), source: Some(text), .. }) =
            place.as_ref().map(|place| &*place.code)
        {
            listing::stop_line(page, file, *line, text);
        }
        for other in also {
            page.spans(vec![Span::new(
                format!("  thread {} was given {} too", other.thread, other.signal),
                Style::Warn,
            )]);
        }
        show_late(page, late);
    }
}

/// One line for each thread that could not be stopped.
pub fn show_late(page: &mut Page, late: &[LateThread]) {
    for late in late {
        let text =
            format!("  {} sleeps in the kernel and has not stopped yet; it joins when it wakes", late_words(late));
        page.spans(vec![Span::new(text, Style::Warn)]);
    }
}

impl Show for News {
    fn show(&self, page: &mut Page) {
        match self {
            News::Stopped(report) => report.show(page),
            News::Signalled { process, number, signal, origin, sender_name, passed, .. } => {
                let words = signal_words(*process, *signal, *origin, sender_name.as_deref());
                let kept = if *passed { "" } else { "; the program does not get it" };
                page.line(format!("process {process}: thread {number} got {words}{kept}"));
            }
            News::Ended { process, end } => {
                page.spans(vec![Span::new(format!("process {process} {}", end_words(end)), Style::Warn)]);
            }
            News::Forked { process, thread, child, birth } => {
                let how = birth_words(*birth);
                page.line(format!("process {process}: thread {thread} {how} process {child}, which runs on untraced"));
            }
            News::Followed { process, thread, child, birth, number, instead } => {
                let made = format!("process {process}: thread {thread} {} process {child}", birth_words(*birth));
                page.line(if *instead {
                    format!("{made}, which is followed; process {process} was let go")
                } else {
                    format!("{made}, which is process {number} of this session and held")
                });
            }
            News::Selected { process, number } => {
                page.line(format!("process {number} ({process}) is the current one now"))
            }
            News::ForkedMore { process, children } => {
                let (noun, run) = if *children == 1 { ("process", "runs") } else { ("processes", "run") };
                page.line(format!("process {process} forked {children} more {noun}, which {run} on untraced"));
            }
            News::Traced { thread, number, values, .. } => {
                let values: Vec<String> = values.iter().map(value_words).collect();
                page.line(format!("trace {number}: thread {thread}{}", values.concat()));
            }
            News::ConditionFailed { thread, number, why, .. } => {
                let text = format!("breakpoint {number}: its condition has no value in thread {thread}: {why}");
                page.spans(vec![Span::new(text, Style::Warn)]);
            }
            News::BreakpointLost { number, why, .. } => {
                let text = format!("breakpoint {number} is not in force any more: {why}");
                page.spans(vec![Span::new(text, Style::Warn)]);
            }
            News::BreakpointFound { number, places, .. } => {
                let places = if *places == 1 { "one place".to_owned() } else { format!("{places} places") };
                page.line(format!("breakpoint {number} is in force at {places} now"));
            }
            News::Unshielded { process, why } => {
                let text = format!("process {process} would not outlive a kill -9 of godbg at a breakpoint: {why}");
                page.spans(vec![Span::new(text, Style::Warn)]);
            }
            News::Detached { process, held_ms } => {
                let held = duration::show(std::time::Duration::from_millis(*held_ms));
                page.line(format!("process {process} detached; it was held for {held}"));
            }
            News::Executed { process, program, .. } => {
                let program = program.as_deref().unwrap_or("another program");
                page.line(format!("process {process} executes {program} now"));
            }
            News::Joined { process, thread } => {
                page.line(format!("process {process}: thread {thread} has woken and is stopped with the others"));
            }
            News::LetGo { process, thread } => {
                page.line(format!("process {process}: thread {thread} has woken and was let go"));
            }
            News::Progress { file, bytes, total_bytes, .. } => {
                let percent = 100 * u128::from(*bytes) / u128::from(*total_bytes).max(1);
                let (done, total) = (size::show(*bytes), size::show(*total_bytes));
                page.line(format!("  {file}: {done} of {total} written ({percent} %)"));
            }
            News::Missed { events } => page.line(format!("{events} earlier events were dropped: nobody read them")),
            News::Resumed { process } => page.line(format!("process {process} runs on")),
            News::LeashOver { process, held_ms } => {
                let held = duration::show(std::time::Duration::from_millis(*held_ms));
                let text = format!(
                    "process {process} runs again: its leash ran out (it was held for {held}); it is still attached"
                );
                page.spans(vec![Span::new(text, Style::Warn)]);
            }
        }
    }
}
