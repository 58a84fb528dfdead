//! Events as lines for people. The data is `target`'s; what is said of it stands here.

use super::catch_words::{caught_name, caught_words};
use super::duration;
use super::page::{Page, Span, Style};
use super::reply::Show;
use super::signal_words::signal_words;
pub use crate::target::News as Event;
use crate::target::{Birth, Caught, End, LateThread, Signal, StopReport, Why};

/// `signal SIGSEGV (from process 12)`, `job control (SIGTSTP)`, `attach`, …
pub fn why_words(why: &Why) -> String {
    match why {
        Why::Attach => "attach".into(),
        Why::Interrupt => "interrupt".into(),
        Why::Start => "start".into(),
        Why::Exec => "exec".into(),
        Why::Signal { signal, .. } => format!("signal {signal}"),
        Why::Catch { event, .. } => format!("catch {}", caught_name(event)),
        Why::Terminal { signal } => format!("terminal ({signal})"),
        Why::JobControl { signal } => format!("job control ({signal})"),
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
        let StopReport { process, thread, number, why, sender_name, also, late } = self;
        let reason = match why {
            Why::Attach => "godbg attached".into(),
            Why::Interrupt => "interrupted".into(),
            Why::Start => "it stands at its first instruction".into(),
            Why::Exec => "it has executed another program".into(),
            Why::Catch { catchpoint, event } => {
                format!("{} (catchpoint {catchpoint})", caught_words(*process, event, sender_name.as_deref()))
            }
            Why::Terminal { signal } => format!("it wants the terminal ({signal}); continue gives it"),
            Why::JobControl { signal } => format!("job control stopped it ({signal})"),
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
        page.spans(vec![
            Span::new(format!("process {process} stopped: "), Style::Strong),
            Span::new(format!("thread {number} ({thread}), {reason}"), style),
        ]);
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

impl Show for Event {
    fn show(&self, page: &mut Page) {
        match self {
            Event::Stopped(report) => report.show(page),
            Event::Signalled { process, number, signal, origin, sender_name, passed, .. } => {
                let words = signal_words(*process, *signal, *origin, sender_name.as_deref());
                let kept = if *passed { "" } else { "; the program does not get it" };
                page.line(format!("process {process}: thread {number} got {words}{kept}"));
            }
            Event::Ended { process, end } => {
                page.spans(vec![Span::new(format!("process {process} {}", end_words(end)), Style::Warn)]);
            }
            Event::Forked { process, thread, child, birth } => {
                let how = match birth {
                    Birth::Fork => "forked",
                    Birth::Vfork => "started (vfork)",
                    Birth::Clone => "cloned",
                };
                page.line(format!("process {process}: thread {thread} {how} process {child}, which runs on untraced"));
            }
            Event::ForkedMore { process, children } => {
                let (noun, run) = if *children == 1 { ("process", "runs") } else { ("processes", "run") };
                page.line(format!("process {process} forked {children} more {noun}, which {run} on untraced"));
            }
            Event::Detached { process, held_ms } => {
                let held = duration::show(std::time::Duration::from_millis(*held_ms));
                page.line(format!("process {process} detached; it was held for {held}"));
            }
            Event::Executed { process, program, .. } => {
                let program = program.as_deref().unwrap_or("another program");
                page.line(format!("process {process} executes {program} now"));
            }
            Event::Joined { process, thread } => {
                page.line(format!("process {process}: thread {thread} has woken and is stopped with the others"));
            }
            Event::LetGo { process, thread } => {
                page.line(format!("process {process}: thread {thread} has woken and was let go"));
            }
            Event::Missed { events } => page.line(format!("{events} earlier events were dropped: nobody read them")),
            Event::LeashOver { process, held_ms } => {
                let held = duration::show(std::time::Duration::from_millis(*held_ms));
                let text = format!(
                    "process {process} runs again: its leash ran out (it was held for {held}); it is still attached"
                );
                page.spans(vec![Span::new(text, Style::Warn)]);
            }
        }
    }
}
