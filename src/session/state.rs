//! The session itself: the current process, the selected thread, the settings, and what commands ask of them. Waits are in
//! `attending`, several processes in `processes`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::command::Commands;
use super::event::Event;
use super::forks::Forks;
use super::looking::Looking;
use super::processes::{Beside, state_of};
use super::seen::Seen;
use super::settings::Settings;
use super::tracer::Outbox;
use crate::addr::{Pid, Tid};
use crate::kernel::own::{Bell, Poller, Terminal};
use crate::target::expr::Variables;
use crate::target::{
    self, AttachFacts, Catch, Catchpoint, CoreFacts, CoreImage, End, Launch, Leaving, Metronome, Process, Released,
    Repaired, Resumed, Rules, Signal, StopReport, Tracer, Usage, Why,
};

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
    metronome: Rc<Metronome>,
    pub(super) rules: Rc<Rules>,
    /// The process that commands work on, and its number among several.
    pub(super) process: Option<Process>,
    pub(super) number: u32,
    pub(super) selected: Option<Tid>,
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
    /// Whether the command at hand tells of the process's stop or end itself, so that no event has to.
    pub(super) claimed: bool,
    /// A stop of the background at which commands are to be run.
    pub(super) hook_due: Option<StopReport>,
}

fn rules() -> Rc<Rules> {
    let rules = Rules::default();
    rules.locate.set(Some(super::locations::locate));
    Rc::new(rules)
}

impl Session {
    pub(super) fn new(commands: Commands, poller: Poller, outbox: Arc<Outbox>) -> anyhow::Result<Session> {
        Ok(Session {
            commands,
            poller,
            outbox,
            tracer: Tracer::on_this_thread(),
            metronome: Rc::new(Metronome::on_this_thread().context("cannot make the tracer thread's timer")?),
            rules: rules(),
            process: None,
            number: 1,
            selected: None,
            beside: Vec::new(),
            last_process_number: 1,
            awaited: None,
            leaving: Vec::new(),
            last_end: None,
            settings: Settings::default(),
            variables: Variables::default(),
            looking: Looking::default(),
            seen: Seen::default(),
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
            claimed: false,
            hook_due: None,
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
            processes: target::others().into_iter().map(|candidate| (candidate.pid, candidate.name)).collect(),
        }
    }

    /// Attaches to a process and stops it.
    pub fn attach(&mut self, pid: Pid) -> target::Result<AttachFacts> {
        let (process, facts) = target::attach(pid, self.tracer, self.metronome.clone(), self.rules.clone())?;
        // Threads of it that were still to be let go are its threads again.
        self.leaving.retain(|leaving| leaving.process != facts.report.process);
        self.selected = Some(facts.report.thread);
        self.seen = Seen::default();
        self.last_end = None;
        self.process = Some(process);
        self.begin_numbers();
        self.pass_on_news();
        Ok(facts)
    }

    /// Undoes what a killed godbg has left in a process that is not attached.
    pub fn repair(&mut self, pid: Pid) -> target::Result<Option<Repaired>> {
        target::repair(pid, self.tracer, self.metronome.clone())
    }

    /// Starts a program and holds it at its first instruction.
    pub fn launch(&mut self, launch: Launch) -> target::Result<StopReport> {
        let mut process = target::launch(launch, self.tracer, self.metronome.clone(), self.rules.clone())?;
        let report = process.interrupt(Why::Start)?;
        self.selected = Some(report.thread);
        self.seen = Seen::default();
        self.last_end = None;
        self.process = Some(process);
        self.begin_numbers();
        Ok(report)
    }

    /// Lets the process run on. In the foreground it gets the terminal, if it was started with one.
    pub fn resume(&mut self, foreground: bool) -> anyhow::Result<Resumed> {
        self.check_vfork()?;
        self.note_registers();
        let (selected, variables) = (self.selected, self.variables.clone());
        let alone = selected.filter(|_| self.settings.locking == super::settings::Locking::On);
        let process = self.process()?;
        process.lend_variables(variables);
        if let Some(tid) = selected {
            process.pass_breakpoint_here(tid);
        }
        process.run_alone_next(alone);
        let resumed = process.resume(foreground);
        if self.settings.schedule_multiple && self.process.as_ref().is_some_and(|process| process.held().is_none()) {
            self.resume_beside();
        }
        // What was met while all were being stopped is the stop that comes of it.
        if foreground {
            self.claim(|session| session.pass_on_news());
        } else {
            self.pass_on_news();
        }
        let resumed = resumed?;
        Ok(resumed)
    }

    /// Has the selected thread go on with a signal, or with none, instead of the one that it stopped for.
    pub fn give_signal(&mut self, signal: Option<Signal>) -> anyhow::Result<Tid> {
        let tid = self.selected.context("no thread is selected")?;
        self.process()?.give_signal(tid, signal)?;
        Ok(tid)
    }

    /// Sets a catchpoint for this process and those to come. A running process takes note of it at once.
    pub fn catch(&mut self, what: Catch, temporary: bool) -> anyhow::Result<Catchpoint> {
        let catchpoint = self.rules.catches.add(self.rules.next_number(), what, temporary);
        self.renew_rules()?;
        Ok(catchpoint)
    }

    /// Makes a running process take note of changed catchpoints.
    pub fn renew_rules(&mut self) -> anyhow::Result<()> {
        if self.process.is_some() {
            self.briefly(|_| Ok(()))?;
        }
        self.renew_beside();
        Ok(())
    }

    /// Makes changed settings hold for the processes that are there.
    pub fn apply_settings(&mut self) {
        self.rules.follow.set(self.settings.follow_fork);
    }

    /// Stops the process.
    pub fn interrupt(&mut self) -> anyhow::Result<StopReport> {
        let report = self.process()?.interrupt(Why::Interrupt);
        if self.settings.schedule_multiple {
            self.hold_beside();
        }
        self.pass_on_news();
        let report = report?;
        self.selected = Some(report.thread);
        Ok(report)
    }

    /// Lets the process go. Another one of the session takes its place.
    pub fn detach(&mut self) -> anyhow::Result<Released> {
        let released = self.detach_current();
        self.step_in();
        released
    }

    pub(super) fn detach_current(&mut self) -> anyhow::Result<Released> {
        let mut process = self.process.take().context("no process is attached")?;
        self.selected = None;
        let released = process.detach();
        // What it still has to tell; its children, if any, go with it.
        self.process = Some(process);
        self.tell_current();
        self.process = None;
        let mut released = released?;
        self.leaving.extend(released.leaving.take());
        Ok(released)
    }

    /// Ends the process with SIGKILL.
    pub fn kill(&mut self) -> anyhow::Result<End> {
        self.kill_current()
    }

    pub(super) fn kill_current(&mut self) -> anyhow::Result<End> {
        let end = self.process()?.kill();
        self.claimed = true;
        self.pass_on_news();
        self.claimed = false;
        Ok(end?)
    }

    /// The bell that makes a wait look at its condition again, from another thread.
    pub fn bell(&self) -> Bell {
        self.poller.bell()
    }

    /// Takes what a core is written from: see [`Process::begin_core`].
    pub fn begin_core(&mut self) -> anyhow::Result<CoreImage> {
        let image = self.process()?.begin_core();
        self.pass_on_news();
        Ok(image?)
    }

    /// Gives it back. `None`: the process has ended meanwhile.
    pub fn end_core(&mut self, image: CoreImage) -> anyhow::Result<Option<CoreFacts>> {
        let Some(process) = self.process.as_mut().filter(|process| process.pid() == image.process_id()) else {
            return Ok(None);
        };
        let facts = process.end_core(image);
        self.pass_on_news();
        Ok(Some(facts?))
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
