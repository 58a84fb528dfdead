//! The prompt's text, and how it changes while a line is being edited. Pure.

use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use std::time::Duration;

use crate::session::{Event, Prompt, RunState};
use crate::target::News;

/// `godbg> `, `[1311 stopped] godbg> `, `[1311 stopped, leash 9s] godbg> `.
pub fn text(prompt: &Prompt) -> String {
    match (prompt.process, prompt.leash_left) {
        (Some((pid, RunState::Stopped)), Some(left)) => {
            format!("[{pid} stopped, leash {}s] godbg> ", whole_seconds(left))
        }
        _ => without_leash(prompt),
    }
}

/// The same without the leash: a transcript must not depend on the time.
pub fn without_leash(prompt: &Prompt) -> String {
    match prompt.process {
        None => "godbg> ".into(),
        Some((pid, RunState::Stopped)) => format!("[{pid} stopped] godbg> "),
        Some((pid, RunState::Running)) => format!("[{pid} running] godbg> "),
        Some((pid, RunState::JobStopped)) => format!("[{pid} job-stopped] godbg> "),
    }
}

fn whole_seconds(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

/// What has become of the process since the prompt was shown.
#[derive(Default)]
pub struct Since {
    shown: AtomicI32,
    state: AtomicU8,
}

const NOTHING: u8 = 0;
const STOPPED: u8 = 1;
const RUNNING: u8 = 2;
const ENDED: u8 = 3;

impl Since {
    /// A new prompt is shown, which says how things are.
    pub fn reset(&self, prompt: &Prompt) {
        self.shown.store(prompt.process.map_or(0, |(pid, _)| pid.0), Ordering::Relaxed);
        self.state.store(NOTHING, Ordering::Relaxed);
    }

    /// Takes note of an event of the process that the prompt shows.
    pub fn note(&self, event: &Event) {
        let (process, state) = match event {
            Event::Happened(News::Stopped(report)) => (report.process, STOPPED),
            Event::Happened(News::LeashOver { process, .. } | News::Resumed { process }) => (*process, RUNNING),
            Event::Happened(News::Ended { process, .. }) => (*process, ENDED),
            _ => return,
        };
        if process.0 == self.shown.load(Ordering::Relaxed) {
            self.state.store(state, Ordering::Relaxed);
        }
    }

    /// The prompt as it should read now, of the same width: the line behind it stands where it stands. `None`: as it was.
    pub fn apply(&self, prompt: &str) -> Option<String> {
        let state = match self.state.load(Ordering::Relaxed) {
            STOPPED => "stopped",
            RUNNING => "running",
            ENDED => "exited",
            _ => return None,
        };
        let inside = prompt.strip_prefix('[')?;
        let (pid, rest) = inside.split_once(' ')?;
        let (status, tail) = rest.split_once(']')?;
        // A leash that ran out or was left behind by the process is blanked out.
        let blank = " ".repeat(status.len().saturating_sub(state.len()));
        Some(format!("[{pid} {state}]{blank}{tail}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Pid;

    fn prompt(state: RunState, leash: Option<u64>) -> Prompt {
        Prompt { process: Some((Pid(1311), state)), leash_left: leash.map(Duration::from_millis) }
    }

    #[test]
    fn the_prompt_names_the_process_its_state_and_its_leash() {
        assert_eq!(text(&Prompt::default()), "godbg> ");
        assert_eq!(text(&prompt(RunState::Stopped, None)), "[1311 stopped] godbg> ");
        assert_eq!(text(&prompt(RunState::Running, None)), "[1311 running] godbg> ");
        for (millis, seconds) in [(8001, 9), (9000, 9), (1, 1), (0, 0)] {
            assert_eq!(
                text(&prompt(RunState::Stopped, Some(millis))),
                format!("[1311 stopped, leash {seconds}s] godbg> ")
            );
        }
        assert_eq!(without_leash(&prompt(RunState::Stopped, Some(1))), "[1311 stopped] godbg> ");
    }

    #[test]
    fn it_changes_under_the_line_without_changing_its_width() {
        let since = Since::default();
        let before = prompt(RunState::Stopped, Some(9000));
        since.reset(&before);
        let shown = text(&before);
        since.note(&News::LeashOver { process: Pid(4), held_ms: 9000 }.into());
        assert_eq!(since.apply(&shown), None);
        since.note(&News::LeashOver { process: Pid(1311), held_ms: 9000 }.into());
        assert_eq!(since.apply(&shown).as_deref(), Some("[1311 running]           godbg> "));
        assert_eq!(since.apply(&shown).map(|text| text.len()), Some(shown.len()));
        since.note(&News::Ended { process: Pid(1311), end: crate::target::End::Exited { status: 0 } }.into());
        assert_eq!(since.apply("[1311 running] godbg> ").as_deref(), Some("[1311 exited]  godbg> "));
        assert_eq!(since.apply("godbg> "), None);
        since.note(&News::Resumed { process: Pid(1311) }.into());
        assert_eq!(since.apply("[1311 stopped] godbg> ").as_deref(), Some("[1311 running] godbg> "));
        since.reset(&before);
        assert_eq!(since.apply(&shown), None);
    }
}
