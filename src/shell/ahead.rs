//! Runs what is known beforehand (the command line's own command, `-e`, the files of `-x`) ahead of the screen: the tracer
//! thread goes from line to line by itself, and answers are shown while it does. So a script holds its process for the
//! commands alone. Refuses to wait for input.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::runner::{Runner, Stop};
use super::script::{Line, Source};
use crate::session::dispatch::{self, Answer, Work};
use crate::session::tracer::{Panicked, Post};
use crate::session::{Failure, FailureKind, Outcome};
use crate::target::Signal;

/// So many lines are handed over at once.
const MOST: usize = 256;

/// A line and what is said of it.
struct Step {
    work: Work,
    /// The line, for the echo and JSON.
    shown: String,
    /// Where it stands; nothing for the command line's own command.
    place: Option<String>,
    /// The file that it is of.
    identity: Option<(u64, u64)>,
}

impl Step {
    fn of_words(words: &[String]) -> Step {
        let shown = shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "));
        Step { work: Work::Words(words.to_vec()), shown, place: None, identity: None }
    }

    /// `None`: a blank line, which does nothing in a script.
    fn of_line(line: Line, source: &Source) -> Option<Step> {
        let (work, shown) = match line {
            Line::Text(text) if text.trim().is_empty() => return None,
            Line::Text(text) => (Work::Line(text.clone()), text),
            Line::Bad { shown, why } => (Work::Refused(why), shown),
        };
        Some(Step { work, place: Some(source.place(&shown)), shown, identity: source.identity })
    }
}

/// How far a run of steps came.
#[derive(Default)]
struct Progress {
    /// The step after the last one that was answered.
    next: usize,
    /// What the last one left to the shell.
    left: Option<Outcome>,
    stop: Option<Stop>,
}

impl Runner {
    /// Runs the command line's own command (if there is one) and then the scripts, to the first failure.
    pub fn run_ahead(&mut self, begin: &[String], sources: Vec<Source>) -> Result<(), Stop> {
        let mut steps = Vec::new();
        if !begin.is_empty() {
            steps.push(Step::of_words(begin));
        }
        for mut source in sources {
            if source.waits {
                self.steps(std::mem::take(&mut steps))?;
                self.script(source)?;
                continue;
            }
            loop {
                match source.next_line() {
                    Ok(None) => break,
                    Ok(Some(line)) => steps.extend(Step::of_line(line, &source)),
                    Err(failure) => {
                        self.steps(std::mem::take(&mut steps))?;
                        return self.fail(&format!("source {}", source.name), failure, None);
                    }
                }
                if steps.len() >= MOST {
                    self.steps(std::mem::take(&mut steps))?;
                }
            }
        }
        self.steps(steps)
    }

    /// Runs steps, and the scripts that they bring.
    fn steps(&mut self, mut steps: Vec<Step>) -> Result<(), Stop> {
        while !steps.is_empty() {
            let progress = self.run_steps(&steps)?;
            if let Some(stop) = progress.stop {
                return Err(stop);
            }
            let done: Vec<Step> = steps.drain(..progress.next).collect();
            if let (Some(outcome), Some(last)) = (progress.left, done.last()) {
                self.running.push(last.identity);
                let ended = self.show(last.shown.trim(), Ok(outcome), last.place.as_deref());
                self.running.pop();
                ended?;
            }
        }
        Ok(())
    }

    fn run_steps(&self, steps: &[Step]) -> Result<Progress, Stop> {
        let works: Vec<Work> = steps.iter().map(|step| step.work.clone()).collect();
        let cancel = Arc::new(AtomicBool::new(false));
        let (theirs, echoes) = (cancel.clone(), self.screen.echoes());
        let mut progress = Progress::default();
        let job = move |session: &mut crate::session::Session| {
            session.interactive = false;
            dispatch::execute_all(session, works, echoes, &theirs);
        };
        let outcome = self.handle.run_with_posts(job, |post| {
            match post {
                Post::Event(event) => self.screen.event(&event),
                Post::Begins(index, prompt) if steps[index].place.is_some() => {
                    self.screen.echo(&prompt, &steps[index].shown);
                }
                Post::Begins(..) => {}
                Post::Done(index, answer) => {
                    progress.next = index + 1;
                    if let Some(answer) = answer {
                        self.show_answer(&steps[index], *answer, &mut progress);
                    }
                }
            }
            if progress.stop.is_none()
                && let Err(stop) = self.check_output()
            {
                progress.stop = Some(stop);
                cancel.store(true, Ordering::Relaxed);
            }
        });
        outcome.map_err(|Panicked { message }| Stop::Bug(message))?;
        // The steps that were not reached are run next, behind what the last one left.
        Ok(progress)
    }

    fn show_answer(&self, step: &Step, answer: Answer, progress: &mut Progress) {
        self.screen.adopt(&answer.settings);
        let shown = match answer.result {
            Ok(Outcome::Reply(reply)) => self.show_reply(step.shown.trim(), reply),
            Ok(outcome) => {
                progress.left = Some(outcome);
                Ok(())
            }
            // Wrong words on the command line are told as its own are.
            Err(failure) if failure.kind == FailureKind::Usage && step.place.is_none() => self.usage(&failure),
            Err(failure) => self.fail(step.shown.trim(), failure, step.place.as_deref()),
        };
        let interrupted = (answer.request == Some(Signal::INT)).then_some(Stop::Interrupted);
        progress.stop = match shown {
            // The command line's own command has no prompt to fall back to.
            Err(Stop::Failed(_)) if step.place.is_none() => Some(Stop::Begin),
            Err(stop) => Some(stop),
            Ok(()) => interrupted,
        };
    }

    fn usage(&self, failure: &Failure) -> Result<(), Stop> {
        self.screen.complain(failure, None);
        Err(Stop::Usage)
    }
}
