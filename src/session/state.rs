//! The session itself: the process, the selected thread, the settings, and the waits that stay attentive: whatever a
//! command waits for, ends of tracees, the leash and requests to leave are taken in meanwhile.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::command::Commands;
use super::event::Event;
use super::failure::Interrupted;
use super::forks::Forks;
use super::hooks;
use super::settings::Settings;
use super::tracer::Outbox;
use crate::addr::{Pid, Tid};
use crate::kernel::own::{self, Bell, Poller, Terminal};
use crate::target::expr::Variables;
use crate::target::{
    self, AttachFacts, Catch, Catchpoint, CoreFacts, CoreImage, End, Launch, Leaving, Metronome, News, Origin, Process,
    Released, Repaired, Resumed, Rules, Signal, StopReport, Tracer, Usage, Why,
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
    poller: Poller,
    pub(super) outbox: Arc<Outbox>,
    tracer: Tracer,
    metronome: Rc<Metronome>,
    rules: Rc<Rules>,
    process: Option<Process>,
    selected: Option<Tid>,
    leaving: Vec<Leaving>,
    last_end: Option<LastEnd>,
    /// The values of `set`.
    pub settings: Settings,
    /// Convenience variables and the history of printed values.
    pub variables: Variables,
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
    requested: Instant,
    forks: Forks,
    /// Whether the command at hand tells of the process's stop or end itself, so that no event has to.
    claimed: bool,
    /// A stop of the background at which commands are to be run.
    hook_due: Option<StopReport>,
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
            selected: None,
            leaving: Vec::new(),
            last_end: None,
            settings: Settings::default(),
            variables: Variables::default(),
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
        let state = match process.held() {
            Some(_) => RunState::Stopped,
            None if process.is_job_stopped() => RunState::JobStopped,
            None => RunState::Running,
        };
        Some((process.pid(), state))
    }

    /// What the prompt shows now.
    pub fn prompt(&self) -> Prompt {
        Prompt { process: self.process_state(), leash_left: self.leash_left() }
    }

    /// How long the process may still be held, if it is held and on a leash.
    pub fn leash_left(&self) -> Option<Duration> {
        self.leash_end().map(|end| end.saturating_duration_since(Instant::now()))
    }

    fn leash_end(&self) -> Option<Instant> {
        self.process.as_ref()?.held()?;
        Some(self.last_command + self.settings.leash?)
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
        self.last_end = None;
        self.process = Some(process);
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
        self.last_end = None;
        self.process = Some(process);
        Ok(report)
    }

    /// Lets the process run on. In the foreground it gets the terminal, if it was started with one.
    pub fn resume(&mut self, foreground: bool) -> anyhow::Result<Resumed> {
        let (selected, variables) = (self.selected, self.variables.clone());
        let process = self.process()?;
        process.lend_variables(variables);
        if let Some(tid) = selected {
            process.pass_breakpoint_here(tid);
        }
        let resumed = process.resume(foreground);
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
        Ok(())
    }

    /// Stops the process.
    pub fn interrupt(&mut self) -> anyhow::Result<StopReport> {
        let report = self.process()?.interrupt(Why::Interrupt);
        self.pass_on_news();
        let report = report?;
        self.selected = Some(report.thread);
        Ok(report)
    }

    /// Lets the process go.
    pub fn detach(&mut self) -> anyhow::Result<Released> {
        let mut process = self.process.take().context("no process is attached")?;
        self.selected = None;
        let released = process.detach();
        self.process = Some(process);
        self.pass_on_news();
        self.process = None;
        let mut released = released?;
        self.leaving.extend(released.leaving.take());
        Ok(released)
    }

    /// Ends the process with SIGKILL.
    pub fn kill(&mut self) -> anyhow::Result<End> {
        let end = self.process()?.kill();
        self.claimed = true;
        self.pass_on_news();
        self.claimed = false;
        Ok(end?)
    }

    /// Waits until the process is held or has ended, or until the deadline.
    pub fn wait_for_process(&mut self, deadline: Option<Instant>) -> anyhow::Result<Outcome> {
        self.claimed = true;
        let outcome = self.wait_for_outcome(deadline);
        self.claimed = false;
        outcome
    }

    fn wait_for_outcome(&mut self, deadline: Option<Instant>) -> anyhow::Result<Outcome> {
        loop {
            let Some(process) = &self.process else {
                return Ok(Outcome::Ended(self.last_end.context("no process is attached")?));
            };
            match process.held() {
                Some((_, report)) if process.has_stopped_thread() => return Ok(Outcome::Stopped(report.clone())),
                // All its threads sleep in the kernel: one of them will wake, or be killed.
                Some(_) | None => {}
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(Outcome::StillRuns);
            }
            self.attend(deadline)?;
        }
    }

    /// Waits until a condition holds or the deadline has passed; true if it holds.
    pub fn wait_until(&mut self, deadline: Option<Instant>, done: impl Fn() -> bool) -> anyhow::Result<bool> {
        loop {
            if done() {
                return Ok(true);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(false);
            }
            self.attend(deadline)?;
        }
    }

    /// Takes in what has come, for a command that is busy itself and not waiting. Fails if it is to stop. The leash counts
    /// from the command's end.
    pub fn glance(&mut self) -> anyhow::Result<()> {
        self.last_command = Instant::now();
        self.attend(Some(Instant::now()))
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

    /// The bell that makes a wait look at its condition again, from another thread.
    pub fn bell(&self) -> Bell {
        self.poller.bell()
    }

    /// Lets the attached process go and ends a started one. For every way out.
    pub fn let_go(&mut self) {
        let Some(process) = self.process.as_ref() else { return };
        let pid = process.pid();
        let done = match process.origin() {
            Origin::Attached => self.detach().map(|released| {
                self.tell(News::Detached { process: pid, held_ms: released.held.as_millis() as u64 });
            }),
            Origin::Started => self.kill().map(|end| self.tell(News::Ended { process: pid, end })),
        };
        if done.is_err() {
            // Only a process that has ended, or sleeps in the kernel, comes here: the kernel lets it go with the tracer.
            self.process = None;
        }
    }

    pub(super) fn let_go_after_panic(&mut self) {
        self.let_go();
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
        if let Some(process) = &mut self.process {
            process.reclaim_terminal();
        }
    }

    /// Asks the command at hand to stop, as Ctrl-C does: for a Ctrl-C that went to a program that has the terminal.
    pub fn request_interrupt(&mut self) {
        self.request = Some(Signal::INT);
    }

    /// Waits for whatever comes next while no job runs.
    pub(super) fn idle(&mut self) {
        let deadline = self.next_deadline(None);
        // An error of poll(2) would be one of godbg's own; jobs are served all the same.
        let _ = self.take_in(deadline);
        self.obey_request();
    }

    /// Leaves if a signal asked for that: SIGTERM, SIGHUP and SIGQUIT always, SIGINT where a script is being read.
    pub(super) fn obey_request(&mut self) {
        match self.request {
            // The shell ends the script. At the prompt the line that comes next decides: see `drop_stale_request`.
            Some(Signal::INT) if !self.reading_script => {}
            Some(signal) => {
                self.let_go();
                own::leave(128 + signal.0);
            }
            None => {}
        }
    }

    /// Waits for one thing to come, takes it in, and fails if there is a request to stop: one that came just before the
    /// command began counts too.
    fn attend(&mut self, deadline: Option<Instant>) -> anyhow::Result<()> {
        if self.request.is_some() {
            anyhow::bail!(Interrupted);
        }
        let deadline = self.next_deadline(deadline);
        self.take_in(deadline)?;
        if self.request.is_some() {
            anyhow::bail!(Interrupted);
        }
        Ok(())
    }

    fn next_deadline(&self, deadline: Option<Instant>) -> Option<Instant> {
        if self.process.as_ref().is_some_and(Process::has_backlog) {
            return Some(Instant::now());
        }
        deadline.into_iter().chain(self.leash_end()).chain(self.forks_end()).min()
    }

    /// When the children that were only counted are to be told; not into the screen of a program that has the terminal.
    fn forks_end(&self) -> Option<Instant> {
        self.forks.deadline().filter(|_| !self.process.as_ref().is_some_and(Process::has_terminal))
    }

    fn take_in(&mut self, deadline: Option<Instant>) -> anyhow::Result<()> {
        self.outbox.flush();
        let wakeup = self.poller.wait(deadline).context("cannot wait for events")?;
        if let Some(process) = &mut self.process
            && (wakeup.child.is_some() || process.has_backlog())
        {
            process.take_in(wakeup.child);
        }
        if wakeup.child.is_some() {
            let news: Vec<News> = self.leaving.iter_mut().flat_map(Leaving::attend).collect();
            self.leaving.retain(|leaving| !leaving.is_done());
            news.into_iter().for_each(|event| self.tell(event));
        }
        self.pass_on_news();
        self.run_due_hooks();
        self.mind_the_leash();
        if wakeup.request.is_some() {
            self.request = wakeup.request;
            self.requested = Instant::now();
        }
        Ok(())
    }

    /// Passes on what the process has to tell, and notes its end.
    pub(super) fn pass_on_news(&mut self) {
        let Some(process) = &mut self.process else { return };
        while let Some(news) = process.next_news() {
            let mut told = self.claimed && matches!(news, News::Stopped(_) | News::Ended { .. });
            if let News::Stopped(report) = &news {
                self.selected = Some(report.thread);
                if !told && hooks::has_commands(process, report) {
                    told = hooks::is_silent(process, report);
                    self.hook_due = Some(report.clone());
                }
            }
            if !told && !self.forks.folds(&news, process.has_terminal()) {
                self.outbox.post(news.into());
            }
        }
        self.tell_folded(false);
        let Some(process) = &self.process else { return };
        if let Some((end, status, usage)) = process.ended() {
            self.last_end = Some(LastEnd { process: process.pid(), end, status, usage });
            self.leaving.extend(self.process.take().and_then(Process::into_leaving));
            self.selected = None;
        }
    }

    /// Runs what is to be run at a stop that no command waits for.
    fn run_due_hooks(&mut self) {
        let Some(report) = self.hook_due.take() else { return };
        if hooks::after_stop(self, &report).goes_on
            && let Some(process) = &mut self.process
            && process.held().is_some()
        {
            // An error: it is ending, which comes next.
            let _ = process.resume(false);
            self.pass_on_news();
        }
    }

    /// Takes the process away while it makes steps: the session still attends to requests then.
    pub(super) fn take_process(&mut self) -> Option<Process> {
        self.process.take()
    }

    pub(super) fn put_process(&mut self, process: Process) {
        self.process = Some(process);
    }

    /// Takes in signals to godbg, without waiting.
    pub(super) fn notice_requests(&mut self) {
        // An error of poll(2) would be one of godbg's own; the command at hand goes on.
        if let Ok(wakeup) = self.poller.wait(Some(Instant::now()))
            && wakeup.request.is_some()
        {
            self.request = wakeup.request;
            self.requested = Instant::now();
        }
    }

    /// Runs something for a command that tells of the process's stop or end itself.
    pub(super) fn claim(&mut self, run: impl FnOnce(&mut Session)) {
        let before = std::mem::replace(&mut self.claimed, true);
        run(self);
        self.claimed = before;
    }

    /// Tells of the children that were only counted, once a second or `now`.
    pub(super) fn tell_folded(&mut self, now: bool) {
        let process = self.process.as_ref();
        if let Some(children) = self.forks.due(now, process.is_some_and(Process::has_terminal))
            && let Some(pid) = self.forks.process
        {
            self.tell(News::ForkedMore { process: pid, children });
        }
    }

    fn mind_the_leash(&mut self) {
        if self.leash_end().is_none_or(|end| Instant::now() < end) {
            return;
        }
        let Some(process) = &mut self.process else { return };
        let held = process.held_for().unwrap_or_default();
        let pid = process.pid();
        // In the background: the terminal stays with the person who has forgotten it.
        if process.resume(false).is_ok() {
            self.tell(News::LeashOver { process: pid, held_ms: held.as_millis() as u64 });
        }
        self.pass_on_news();
    }
}
