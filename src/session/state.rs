//! The session itself: the process, the selected thread, the settings, and the waits that stay attentive: whatever a
//! command waits for, ends of tracees, the leash and requests to leave are taken in meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::command::Commands;
use super::event::Event;
use super::settings::Settings;
use super::tracer::Outbox;
use crate::addr::Pid;
use crate::kernel::own::{self, Poller};
use crate::kernel::signal::Signal;

/// What a handler may touch.
pub struct Context<'a> {
    /// The session.
    pub session: &'a mut Session,
}

/// Whether the process is held or runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunState {
    /// All its threads stand still (or will when they wake).
    Stopped,
    /// They run.
    Running,
}

/// What the prompt shows.
#[derive(Clone, Debug, Default)]
pub struct Prompt {
    /// The process and whether it is held.
    pub process: Option<(Pid, RunState)>,
    /// What is left of the leash while it is held.
    pub leash_left: Option<Duration>,
}

/// Facts for completion, as of now.
#[derive(Clone, Debug, Default)]
pub struct Completions {
    /// The numbers of the process's threads.
    pub threads: Vec<u32>,
}

/// The state on the tracer thread. It cannot leave that thread.
pub struct Session {
    pub(super) commands: Commands,
    poller: Poller,
    pub(super) outbox: Arc<Outbox>,
    /// The values of `set`.
    pub settings: Settings,
    /// Whether a person typed the command at a terminal (a script otherwise).
    pub interactive: bool,
    /// Whether what goes to standard output must be JSON lines: a child must not write there.
    pub json: bool,
    /// Whether godbg reads its commands from standard input, which a child then must not share.
    pub commands_on_stdin: bool,
    /// The lines entered so far, the oldest first.
    pub history: Vec<String>,
    pub(super) last_command: Instant,
    request: Option<Signal>,
}

impl Session {
    pub(super) fn new(commands: Commands, poller: Poller, outbox: Arc<Outbox>) -> anyhow::Result<Session> {
        Ok(Session {
            commands,
            poller,
            outbox,
            settings: Settings::default(),
            interactive: false,
            json: false,
            commands_on_stdin: false,
            history: Vec::new(),
            last_command: Instant::now(),
            request: None,
        })
    }

    /// The commands that there are.
    pub fn commands(&self) -> Commands {
        self.commands
    }

    /// The process and whether it is held.
    pub fn process_state(&self) -> Option<(Pid, RunState)> {
        None
    }

    /// What the prompt shows now.
    pub fn prompt(&self) -> Prompt {
        Prompt { process: self.process_state(), leash_left: None }
    }

    /// Facts for completion.
    pub fn completions(&self) -> Completions {
        Completions::default()
    }

    /// Lets the attached process go and ends a started one. For every way out.
    pub fn let_go(&mut self) {}

    pub(super) fn let_go_after_panic(&mut self) {
        self.let_go();
    }

    /// Tells something unasked.
    pub fn tell(&self, event: Event) {
        self.outbox.post(event);
    }

    /// SIGINT, if it came since the last call.
    pub fn take_request(&mut self) -> Option<Signal> {
        self.request.take()
    }

    /// Waits for whatever comes next while no job runs.
    pub(super) fn idle(&mut self) {
        let _ = self.attend(None);
        self.obey_request();
    }

    /// Leaves if a signal asked for that: SIGTERM, SIGHUP and SIGQUIT always, SIGINT where a script is being read.
    pub(super) fn obey_request(&mut self) {
        match self.request {
            Some(Signal::INT) if self.interactive => self.request = None,
            Some(Signal::INT) => {} // the shell ends the script
            Some(signal) => {
                self.let_go();
                own::leave(128 + signal.0);
            }
            None => {}
        }
    }

    fn attend(&mut self, deadline: Option<Instant>) -> anyhow::Result<()> {
        let wakeup = self.poller.wait(deadline).context("cannot wait for events")?;
        if wakeup.request.is_some() {
            self.request = wakeup.request;
        }
        Ok(())
    }
}
