//! The session itself: the current process, the selected thread, the settings, and what commands ask of them. What
//! changes the process as a whole is in `control`, waits in `attending`, several processes in `processes`.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::command::Commands;
use super::event::Event;
use super::fetching::Fetching;
use super::forks::Forks;
use super::looking::Looking;
use super::processes::{Beside, state_of};
use super::seen::Seen;
use super::settings::Settings;
use super::sources::Sources;
use super::tracer::Outbox;
use crate::addr::{Pid, Tid};
use crate::kernel::own::{Bell, Poller, Terminal};
use crate::symbols::Store;
use crate::target::expr::Variables;
use crate::target::{self, End, Leaving, Metronome, Modules, Process, Rules, Signal, StopReport, Tracer, Usage};

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
    /// godbg lets it run, but job control keeps it stopped until SIGCONT.
    JobStopped,
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
    /// The numbers of breakpoints and catchpoints.
    pub breakpoints: Vec<u32>,
    /// The names of the process's mappings, each once.
    pub mappings: Vec<String>,
    /// The files of the process, whose functions and sources can be asked for.
    pub modules: Modules,
    /// The processes that there are, with their names.
    pub processes: Vec<(Pid, String)>,
}

/// How the last process ended, for `wait` and `status`.
#[derive(Clone, Copy, Debug)]
pub struct LastEnd {
    /// The process.
    pub process: Pid,
    /// How it ended.
    pub end: End,
    /// The wait status.
    pub status: u32,
    /// Its resource usage.
    pub usage: Usage,
}

/// What a wait for the process came to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is held.
    Stopped(StopReport),
    /// It has ended.
    Ended(LastEnd),
    /// The time is up, and it still runs.
    StillRuns,
}

/// The state on the tracer thread. It cannot leave that thread.
pub struct Session {
    pub(super) commands: Commands,
    pub(super) poller: Poller,
    pub(super) outbox: Arc<Outbox>,
    pub(super) tracer: Tracer,
    pub(super) metronome: Rc<Metronome>,
    pub(super) rules: Rc<Rules>,
    /// The process that commands work on, and its number among several.
    pub(super) process: Option<Process>,
    pub(super) number: u32,
    pub(super) selected: Option<Tid>,
    pub(super) frame: Option<super::frames::SelectedFrame>,
    /// The others.
    pub(super) beside: Vec<Beside>,
    pub(super) last_process_number: u32,
    /// The process that the command at hand waits for.
    pub(super) awaited: Option<Pid>,
    pub(super) leaving: Vec<Leaving>,
    pub(super) last_end: Option<LastEnd>,
    /// The values of `set`.
    pub settings: Settings,
    /// Convenience variables and the history of printed values.
    pub variables: Variables,
    /// What `x` showed last, and what an empty line runs.
    pub looking: Looking,
    pub(super) seen: Seen,
    pub(super) sources: Sources,
    /// The files whose symbols have been read.
    pub symbols: Store,
    /// Whether a person typed the command at a terminal (a script otherwise).
    pub interactive: bool,
    /// Whether what goes to standard output must be JSON lines: a child must not write there.
    pub json: bool,
    /// Whether godbg reads its commands from standard input, which a child then must not share.
    pub commands_on_stdin: bool,
    /// Whether the shell sleeps in a read of a script and cannot act on SIGINT itself.
    pub reading_script: bool,
    /// The terminal that a started program is given while it runs.
    pub terminal: Option<Arc<Terminal>>,
    /// The lines entered so far, the oldest first.
    pub history: Vec<String>,
    pub(super) last_command: Instant,
    pub(super) request: Option<Signal>,
    /// When that came.
    pub(super) requested: Instant,
    pub(super) forks: Forks,
    pub(super) fetching: Fetching,
    /// Whether the command at hand tells of the process's stop or end itself, so that no event has to.
    pub(super) claimed: bool,
    /// Stops of the background at which commands are to be run.
    pub(super) hooks_due: VecDeque<StopReport>,
}

/// A process whose mappings cannot be read has no names.
fn mapping_names(process: &Process) -> Vec<String> {
    let mappings = process.mappings().unwrap_or_default();
    let names: BTreeSet<&str> = mappings.iter().filter_map(|mapping| mapping.name.as_deref()).collect();
    names.into_iter().map(|name| name.trim_end_matches(" (deleted)").to_owned()).collect()
}

fn rules(symbols: &Store, bell: Bell) -> Rc<Rules> {
    let rules = Rules::default();
    // It is set here alone.
    let _ = rules.bell.set(bell);
    *rules.locate.borrow_mut() = Some(Rc::new(super::locations::Follower(symbols.clone())));
    Rc::new(rules)
}

impl Session {
    pub(super) fn new(commands: Commands, poller: Poller, outbox: Arc<Outbox>) -> anyhow::Result<Session> {
        let symbols = Store::default();
        let settings = Settings::default();
        symbols.set_debuginfod_cache(settings.debuginfod_cache());
        Ok(Session {
            rules: rules(&symbols, poller.bell()),
            commands,
            poller,
            outbox,
            tracer: Tracer::on_this_thread(),
            metronome: Rc::new(Metronome::on_this_thread().context("cannot make the tracer thread's timer")?),
            process: None,
            number: 1,
            selected: None,
            frame: None,
            beside: Vec::new(),
            last_process_number: 1,
            awaited: None,
            leaving: Vec::new(),
            last_end: None,
            settings,
            variables: Variables::default(),
            looking: Looking::default(),
            seen: Seen::default(),
            sources: Sources::default(),
            symbols,
            interactive: false,
            json: false,
            commands_on_stdin: false,
            reading_script: false,
            terminal: None,
            history: Vec::new(),
            last_command: Instant::now(),
            request: None,
            requested: Instant::now(),
            forks: Forks::default(),
            fetching: Fetching::default(),
            claimed: false,
            hooks_due: VecDeque::new(),
        })
    }

    /// The commands that there are.
    pub fn commands(&self) -> Commands {
        self.commands
    }

    /// The process. The dispatcher has checked that there is one where a command needs it.
    pub fn process(&mut self) -> anyhow::Result<&mut Process> {
        self.process.as_mut().context("no process is attached")
    }

    /// The process, if there is one.
    pub fn current(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// What has been decided for all processes: what is done with their signals.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// How the last process ended.
    pub fn last_end(&self) -> Option<LastEnd> {
        self.last_end
    }

    /// The selected thread: the one that stopped the process, or that `thread N` chose.
    pub fn selected(&self) -> Option<Tid> {
        self.selected
    }

    /// Selects a thread of the process.
    pub fn select(&mut self, tid: Tid) {
        self.selected = Some(tid);
        self.frame = None;
    }

    /// The process and whether it is held.
    pub fn process_state(&self) -> Option<(Pid, RunState)> {
        let process = self.process.as_ref()?;
        Some((process.pid(), state_of(process)))
    }

    /// What the prompt shows now.
    pub fn prompt(&self) -> Prompt {
        Prompt { process: self.process_state(), leash_left: self.leash_left() }
    }

    /// How long the process may still be held, if it is held and on a leash.
    pub fn leash_left(&self) -> Option<Duration> {
        self.process.as_ref()?.held()?;
        self.leash_end().map(|end| end.saturating_duration_since(Instant::now()))
    }

    pub(super) fn leash_end(&self) -> Option<Instant> {
        self.any_held().then_some(self.last_command + self.settings.leash?)
    }

    /// Facts for completion.
    pub fn completions(&self) -> Completions {
        let threads = self.process.as_ref().map(Process::thread_numbers).unwrap_or_default();
        Completions {
            threads: threads.into_iter().map(|(number, _)| number).collect(),
            breakpoints: self.point_numbers(),
            mappings: self.process.as_ref().map(mapping_names).unwrap_or_default(),
            modules: self.locations().modules().clone(),
            processes: target::others().into_iter().map(|candidate| (candidate.pid, candidate.name)).collect(),
        }
    }

    /// The bell that makes a wait look at its condition again, from another thread.
    pub fn bell(&self) -> Bell {
        self.poller.bell()
    }

    /// Tells something unasked.
    pub fn tell(&self, event: impl Into<Event>) {
        self.outbox.post(event.into());
    }

    /// The signal that asks the command at hand to stop, if one came.
    pub fn request(&self) -> Option<Signal> {
        self.request
    }

    /// SIGINT, if it came since the last call.
    pub fn take_request(&mut self) -> Option<Signal> {
        if self.request == Some(Signal::INT) { self.request.take() } else { None }
    }

    /// Forgets a SIGINT that came long before the line that was entered just now. One that came right behind it, before its
    /// command could begin, is meant for that command: Ctrl-C is quick.
    pub(super) fn drop_stale_request(&mut self) {
        const BEHIND: Duration = Duration::from_millis(300);
        if self.interactive && self.request == Some(Signal::INT) && self.requested.elapsed() > BEHIND {
            self.request = None;
        }
    }

    /// Takes the terminal back from a program that runs on: a person is about to type.
    pub fn reclaim_terminal(&mut self) {
        self.each_process().for_each(Process::reclaim_terminal);
    }

    /// Asks the command at hand to stop, as Ctrl-C does: for a Ctrl-C that went to a program that has the terminal.
    pub fn request_interrupt(&mut self) {
        self.request = Some(Signal::INT);
    }
}
