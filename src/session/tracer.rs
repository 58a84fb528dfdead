//! The tracer thread and the only way in. The kernel ties tracees to one thread: [`Session`] is made, used and dropped
//! there, and cannot leave it. Others post jobs and read what the session tells of its own accord. Knows no commands.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::Context as _;

use super::dispatch::Answer;
#[cfg(doc)]
use super::dispatch::execute_all;
use super::event::Event;
use super::{Commands, Prompt, Session, panics};
use crate::kernel::own::{self, Bell, Poller};
use crate::target::News;

type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// The way to the tracer thread. It ends, and lets every process go, when this is dropped.
pub struct TracerHandle {
    jobs: Option<Sender<Job>>,
    bell: Bell,
    outbox: Arc<Outbox>,
    thread: Option<JoinHandle<()>>,
}

/// A handler panicked. Its process has been let go.
#[derive(Debug, thiserror::Error)]
#[error("a bug in godbg: {message}")]
pub struct Panicked {
    /// What the panic said.
    pub message: String,
}

/// What the session tells of its own accord, in order, and whether a job is done.
#[derive(Default)]
pub struct Outbox {
    state: Mutex<OutboxState>,
    changed: Condvar,
    /// Whether SIGINT has come since somebody asked.
    interrupted: AtomicBool,
}

/// One thing that the tracer thread tells, in the order in which it happened.
// As for events.
#[allow(clippy::large_enum_variant)]
pub enum Post {
    /// An event.
    Event(Event),
    /// A line of a script is about to run, with the prompt that it would have had ([`execute_all`]).
    Begins(usize, Prompt),
    /// A line of a script has run. `None`: it is blank or a comment.
    Done(usize, Option<Box<Answer>>),
}

#[derive(Default)]
struct OutboxState {
    posts: VecDeque<Post>,
    /// How many events had to be dropped, because nobody came to read them.
    missed: u64,
    jobs_done: u64,
    at_prompt: bool,
    closed: bool,
}

/// How many posts are kept for a reader that does not come; then the oldest events go, and the reader is told.
const MOST_POSTS: usize = 10_000;

impl OutboxState {
    fn drain(&mut self) -> Vec<Post> {
        let missed = std::mem::take(&mut self.missed);
        let gap = (missed > 0).then_some(Post::Event(News::Missed { events: missed }.into()));
        gap.into_iter().chain(self.posts.drain(..)).collect()
    }

    fn drain_events(&mut self) -> Vec<Event> {
        let posts = self.drain().into_iter();
        posts.filter_map(|post| if let Post::Event(event) = post { Some(event) } else { None }).collect()
    }
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, OutboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event. Never blocks: the target may be held while the reader's terminal is stuck.
    pub(super) fn post(&self, event: Event) {
        self.add(Post::Event(event));
        self.changed.notify_all();
    }

    /// Lets the reader have what was added. The tracer thread does so before it waits for anything and when a job is
    /// done, not with each line: a reader that wakes while the process is held takes a processor from it.
    pub(super) fn flush(&self) {
        if !self.lock().posts.is_empty() {
            self.changed.notify_all();
        }
    }

    /// Adds a post, to be flushed. Never blocks.
    pub(super) fn add(&self, post: Post) {
        let mut state = self.lock();
        if state.posts.len() >= MOST_POSTS && matches!(state.posts.front(), Some(Post::Event(_))) {
            state.posts.pop_front();
            state.missed += 1;
        }
        state.posts.push_back(post);
    }

    fn job_done(&self) {
        self.lock().jobs_done += 1;
        self.changed.notify_all();
    }

    /// Notes that SIGINT has come.
    pub(super) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    /// Whether SIGINT has come since the last call. For whoever shows what is long: the session's own request is the next
    /// command's.
    pub fn take_interrupt(&self) -> bool {
        self.interrupted.swap(false, Ordering::Relaxed)
    }

    /// Takes the events that have come since the last call.
    pub fn take(&self) -> Vec<Event> {
        self.lock().drain_events()
    }

    /// Says whether a person is looking at the prompt now: then [`Outbox::next_at_prompt`] gets the events.
    pub fn set_at_prompt(&self, at_prompt: bool) {
        self.lock().at_prompt = at_prompt;
        self.changed.notify_all();
    }

    /// Sleeps until events come while the prompt is shown; `None` when the session has ended. For a thread of its own
    /// that prints them above the prompt.
    pub fn next_at_prompt(&self) -> Option<Vec<Event>> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if state.at_prompt && !state.posts.is_empty() {
                return Some(state.drain_events());
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

impl TracerHandle {
    /// Starts the tracer thread with an empty session. Signals must be blocked before
    /// ([`own::block_signals`]).
    pub fn start(commands: Commands) -> anyhow::Result<TracerHandle> {
        let poller = Poller::new().context("cannot make the descriptors of the tracer thread")?;
        let bell = poller.bell();
        let outbox = Arc::new(Outbox::default());
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (started, start) = mpsc::channel::<anyhow::Result<()>>();
        let theirs = outbox.clone();
        let thread = thread::Builder::new()
            .name("tracer".into())
            .spawn(move || match Session::new(commands, poller, theirs) {
                Ok(session) => {
                    let _ = started.send(Ok(()));
                    attend(session, &inbox);
                }
                Err(error) => drop(started.send(Err(error))),
            })
            .context("cannot start the tracer thread")?;
        start.recv().context("the tracer thread ended")??;
        Ok(TracerHandle { jobs: Some(jobs), bell, outbox, thread: Some(thread) })
    }

    /// Runs a job on the tracer thread and waits for its answer. Events that come meanwhile are handed to `on_event` as
    /// they come, those that came before it first, and all of them before this returns.
    pub fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Session) -> R + Send + 'static,
        mut on_event: impl FnMut(Event),
    ) -> Result<R, Panicked> {
        self.run_with_posts(job, |post| {
            if let Post::Event(event) = post {
                on_event(event);
            }
        })
    }

    /// The same for a job that posts more than events.
    pub fn run_with_posts<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Session) -> R + Send + 'static,
        mut on_post: impl FnMut(Post),
    ) -> Result<R, Panicked> {
        let (answer, answers) = mpsc::channel();
        let outbox = self.outbox.clone();
        let before = outbox.lock().jobs_done;
        let boxed: Job = Box::new(move |session| {
            let outcome = catch_unwind(AssertUnwindSafe(|| job(session)));
            if outcome.is_err() {
                session.let_go_after_panic();
            }
            let _ = answer.send(outcome);
            outbox.job_done();
        });
        if self.jobs.as_ref().expect("only drop takes it").send(boxed).is_err() {
            return Err(Panicked { message: "the tracer thread has ended".into() });
        }
        self.bell.ring();
        loop {
            let (posts, done) = self.wait_for_news(before);
            posts.into_iter().for_each(&mut on_post);
            if done {
                break;
            }
        }
        match answers.recv() {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(panic)) => Err(Panicked { message: panics::message(&*panic) }),
            Err(_) => Err(Panicked { message: "the tracer thread has ended".into() }),
        }
    }

    fn wait_for_news(&self, before: u64) -> (Vec<Post>, bool) {
        let mut state = self.outbox.lock();
        while state.posts.is_empty() && state.jobs_done == before && !state.closed {
            state = self.outbox.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let done = state.jobs_done != before || state.closed;
        (state.drain(), done)
    }

    /// What the session tells of its own accord.
    pub fn outbox(&self) -> Arc<Outbox> {
        self.outbox.clone()
    }
}

impl Drop for TracerHandle {
    fn drop(&mut self) {
        self.jobs = None;
        self.bell.ring();
        if let Some(thread) = self.thread.take() {
            // Its panics are caught job by job; one outside a job has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

/// The loop of the tracer thread: signals, news of tracees, the leash and jobs, each as it comes, until nobody can post
/// any more.
fn attend(mut session: Session, inbox: &Receiver<Job>) {
    let outbox = session.outbox.clone();
    let result = catch_unwind(AssertUnwindSafe(|| {
        loop {
            session.idle();
            loop {
                match inbox.try_recv() {
                    Ok(job) => job(&mut session),
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
                session.obey_request();
            }
        }
    }));
    let _ = catch_unwind(AssertUnwindSafe(|| session.let_go()));
    if let Err(panic) = result {
        // A bug outside any command: nothing could run on.
        panics::report(&panics::message(&*panic));
        own::leave(101);
    }
    outbox.close();
}
