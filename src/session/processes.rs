//! Several processes in one session: the current one, and others beside it that were followed from their births. Each keeps
//! its own threads, stop and selected thread. Knows no words of commands.

use std::time::Instant;

use super::seen::Seen;
use super::state::{LastEnd, Session};
use super::{Failure, RunState, hooks};
use crate::addr::{Pid, Tid};
use crate::target::{self, FollowFork, Leaving, Newborn, News, Origin, Process, Why};

/// A process of the session that is not the current one.
pub(super) struct Beside {
    number: u32,
    pub(super) process: Process,
    selected: Option<Tid>,
}

/// A process of the session, for listings.
pub struct ProcessFacts {
    /// Its number: counted from 1, never given twice while there is any.
    pub number: u32,
    /// Its pid.
    pub pid: Pid,
    /// Its name, any characters.
    pub name: String,
    /// Whether it is held.
    pub state: RunState,
    /// How many threads it has.
    pub threads: usize,
    /// Its executable, as the kernel knows it.
    pub program: Option<String>,
    /// Whether it is the one that commands work on.
    pub is_current: bool,
}

impl ProcessFacts {
    fn of(number: u32, process: &Process, is_current: bool) -> ProcessFacts {
        ProcessFacts {
            number,
            pid: process.pid(),
            name: process.name().to_owned(),
            state: state_of(process),
            threads: process.thread_numbers().len(),
            program: process.program(),
            is_current,
        }
    }
}

/// Whether a process is held.
pub(super) fn state_of(process: &Process) -> RunState {
    match process.held() {
        Some(_) => RunState::Stopped,
        None if process.is_job_stopped() => RunState::JobStopped,
        None => RunState::Running,
    }
}

impl Session {
    /// All processes of the session, by number.
    pub fn processes(&self) -> Vec<ProcessFacts> {
        let current = self.process.iter().map(|process| ProcessFacts::of(self.number, process, true));
        let beside = self.beside.iter().map(|beside| ProcessFacts::of(beside.number, &beside.process, false));
        let mut all: Vec<ProcessFacts> = current.chain(beside).collect();
        all.sort_unstable_by_key(|facts| facts.number);
        all
    }

    /// Makes the process with this number or pid the current one. Pids are far above the numbers that a session reaches.
    pub fn choose_process(&mut self, word: &str) -> Result<(), Failure> {
        let wanted = word.parse::<i32>().ok();
        let matches = |number: u32, pid: Pid| wanted.is_some_and(|wanted| number as i32 == wanted || pid.0 == wanted);
        if self.process.as_ref().is_some_and(|process| matches(self.number, process.pid())) {
            return Ok(());
        }
        let found = self.beside.iter().position(|beside| matches(beside.number, beside.process.pid()));
        let short: String = word.chars().take(40).collect();
        let missing = || Failure::hinted(format!("no process {short} in this session"), "processes lists them");
        self.swap_in(found.ok_or_else(missing)?);
        Ok(())
    }

    /// Gives the process that is about to become the only one its number.
    pub(super) fn begin_numbers(&mut self) {
        (self.number, self.last_process_number) = (1, 1);
    }

    fn next_process_number(&mut self) -> u32 {
        self.last_process_number += 1;
        self.last_process_number
    }

    /// Makes another process the current one. The one before goes beside it.
    fn swap_in(&mut self, index: usize) {
        let Beside { number, process, selected } = self.beside.remove(index);
        let before = self.process.replace(process);
        if let Some(process) = before {
            self.beside.push(Beside { number: self.number, process, selected: self.selected });
            self.beside.sort_unstable_by_key(|beside| beside.number);
        }
        (self.number, self.selected) = (number, selected);
        self.seen = Seen::default();
        self.note_company();
    }

    /// After the current process has gone: another one takes its place.
    pub(super) fn step_in(&mut self) {
        if self.process.is_none() && !self.beside.is_empty() {
            self.swap_in(0);
            if let Some(process) = &self.process {
                self.tell(News::Selected { process: process.pid(), number: self.number });
            }
        }
        self.note_company();
    }

    fn note_company(&mut self) {
        let company = !self.beside.is_empty();
        let beside = self.beside.iter_mut().map(|beside| &mut beside.process);
        self.process.iter_mut().chain(beside).for_each(|process| process.set_company(company));
    }

    /// All processes, the current one first.
    pub(super) fn each_process(&mut self) -> impl Iterator<Item = &mut Process> {
        self.process.iter_mut().chain(self.beside.iter_mut().map(|beside| &mut beside.process))
    }

    pub(super) fn each_process_ref(&self) -> impl Iterator<Item = &Process> {
        self.process.iter().chain(self.beside.iter().map(|beside| &beside.process))
    }

    /// When processes are to be looked at although no signal has come.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.each_process_ref().filter_map(Process::next_look).min()
    }

    /// Whether any process is held.
    pub(super) fn any_held(&self) -> bool {
        self.each_process_ref().any(|process| process.held().is_some())
    }

    /// Takes in what has happened to all processes. `hint`: the tid that SIGCHLD named.
    pub(super) fn take_in_changes(&mut self, hint: Option<Tid>) {
        let now = Instant::now();
        for process in self.each_process() {
            if hint.is_some() || process.next_look().is_some_and(|due| due <= now) {
                process.take_in(hint);
            }
        }
        if let Some(tid) = hint
            && !self.beside.is_empty()
        {
            // A thread whose birth nobody has told of: it joins its process.
            let _ = self.each_process().any(|process| process.take_in_stranger(tid));
        }
    }

    /// Passes on what the processes beside the current one have to tell. Where all run together, one that stops becomes the
    /// current one.
    pub(super) fn tell_beside(&mut self) {
        let together = self.settings.schedule_multiple;
        let waits = self.process.as_ref().is_some_and(|process| process.held().is_none());
        let mut stopped = None;
        for index in 0..self.beside.len() {
            while let Some(news) = self.beside[index].process.next_news() {
                let mut told = false;
                if let News::Stopped(report) = &news {
                    self.beside[index].selected = Some(report.thread);
                    if together && waits && stopped.is_none() {
                        (stopped, told) = (Some(index), self.claimed);
                    }
                    let process = &self.beside[index].process;
                    if !told && hooks::has_commands(process, report) {
                        told = hooks::is_silent(process, report);
                        self.hooks_due.push_back(report.clone());
                    }
                }
                if !told && !self.forks.folds(&news, false) {
                    self.tell(news);
                }
            }
        }
        if let Some(index) = stopped {
            self.awaited = Some(self.beside[index].process.pid());
            self.swap_in(index);
        }
        if together && self.process.as_ref().is_some_and(|process| process.held().is_some()) {
            self.hold_beside();
        }
    }

    /// Stops the other processes, where all run and stop together.
    pub(super) fn hold_beside(&mut self) {
        for beside in &mut self.beside {
            // An error: it has ended, which is told.
            let _ = beside.process.interrupt(Why::Interrupt);
        }
    }

    /// Lets the other processes run, where all run and stop together.
    pub(super) fn resume_beside(&mut self) {
        for beside in self.beside.iter_mut().filter(|beside| beside.process.held().is_some()) {
            // An error: it is ending, which is told.
            let _ = beside.process.resume(false);
        }
    }

    /// Makes the other processes that run take note of changed catchpoints, in a stop too short to notice.
    pub(super) fn renew_beside(&mut self) {
        for beside in self.beside.iter_mut().filter(|beside| beside.process.held().is_none()) {
            // An error: it has ended, which is told.
            let held = beside.process.interrupt(Why::Interrupt);
            if held.is_ok_and(|report| report.also.is_empty()) {
                let _ = beside.process.resume(false);
            }
        }
        self.pass_on_news();
    }

    /// Makes a change to one of the other processes, which is held for it if it runs. A signal that arrives in that moment and
    /// would have stopped the process does so.
    pub(super) fn briefly_beside(&mut self, index: usize, change: impl FnOnce(&mut Process)) {
        let process = &mut self.beside[index].process;
        let ran = process.held().is_none();
        // An error: it has ended, which is told.
        let Ok(report) = process.interrupt(Why::Interrupt) else { return };
        change(process);
        if ran && report.also.is_empty() {
            let _ = process.resume(false);
        } else if ran {
            self.tell(News::Stopped(report));
        }
    }

    /// Makes this process the current one, if it is one of the session's.
    pub(super) fn make_current(&mut self, pid: Pid) {
        if let Some(index) = self.beside.iter().position(|beside| beside.process.pid() == pid) {
            self.swap_in(index);
        }
    }

    /// A process whose only thread waits for a child that is held would wait for ever.
    pub(super) fn check_vfork(&self) -> Result<(), Failure> {
        let Some(process) = &self.process else { return Ok(()) };
        let Some(child) = process.awaited_child() else { return Ok(()) };
        let held = self.beside.iter().find(|beside| beside.process.pid() == child && beside.process.held().is_some());
        match held {
            Some(beside) if !self.settings.schedule_multiple => Err(Failure::hinted(
                format!("process {} waits for its child {child} (vfork), which is held", process.pid()),
                format!("process {} continue; or set schedule-multiple on", beside.number),
            )),
            _ => Ok(()),
        }
    }

    /// Makes processes of the children that are followed.
    pub(super) fn follow_newborns(&mut self) {
        loop {
            if let Some(newborn) = self.process.as_mut().and_then(Process::next_newborn) {
                self.follow(None, newborn);
                continue;
            }
            let found = self.beside.iter_mut().enumerate();
            let mut found = found.filter_map(|(index, beside)| Some((index, beside.process.next_newborn()?)));
            let Some((index, newborn)) = found.next() else { return };
            drop(found);
            self.follow(Some(index), newborn);
        }
    }

    /// Follows one child of the current process, or of one beside it.
    fn follow(&mut self, beside: Option<usize>, newborn: Newborn) {
        let parent = match beside {
            None => self.process.as_mut(),
            Some(index) => Some(&mut self.beside[index].process),
        };
        let Some(parent) = parent else { return };
        let (pid, stopped) = (parent.pid(), parent.was_stopped_to_follow());
        let Some(child) = parent.born(&newborn) else {
            if let Some(foreground) = stopped {
                // An error: it is ending as well.
                let _ = parent.resume(foreground);
            }
            return;
        };
        let instead = self.rules.follow.get() == FollowFork::Child;
        let number = self.next_process_number();
        let Newborn { thread, birth, .. } = newborn;
        self.tell(News::Followed { process: pid, thread, child: child.pid(), birth, number, instead });
        if instead {
            self.follow_instead(beside, number, child, stopped);
        } else {
            let selected = Some(child.pid().leader());
            self.beside.push(Beside { number, process: child, selected });
        }
        self.note_company();
    }

    /// Puts a child in its parent's place, and lets the parent go. `stopped`: the parent ran until then, and whether it had
    /// the terminal.
    fn follow_instead(&mut self, beside: Option<usize>, number: u32, mut child: Process, stopped: Option<bool>) {
        let pid = child.pid();
        if let Some(foreground) = stopped {
            // First of all: a vfork's parent may have to wait for it. An error: it is ending, which is told.
            let _ = child.resume(foreground);
        }
        let parent = match beside {
            None => {
                (self.number, self.selected) = (number, Some(pid.leader()));
                self.seen = Seen::default();
                self.process.replace(child)
            }
            Some(index) => {
                let slot = &mut self.beside[index];
                (slot.number, slot.selected) = (number, Some(pid.leader()));
                Some(std::mem::replace(&mut slot.process, child))
            }
        };
        let Some(mut parent) = parent else { return };
        if self.awaited == Some(parent.pid()) {
            self.awaited = Some(pid);
        }
        // An error: it has ended meanwhile.
        if let Ok(released) = parent.detach() {
            self.leaving.extend(released.leaving);
        }
        while let Some(news) = parent.next_news() {
            if !matches!(news, News::Stopped(_)) {
                self.tell(news);
            }
        }
        self.leaving.extend(parent.into_leaving());
    }

    /// Takes leave of processes that have ended.
    pub(super) fn bury(&mut self) {
        let mut gone = Vec::new();
        if let Some(process) = &self.process
            && let Some((end, status, usage)) = process.ended()
        {
            self.last_end = Some(LastEnd { process: process.pid(), end, status, usage });
            self.selected = None;
            gone.extend(self.process.take());
        }
        let (ended, live) =
            std::mem::take(&mut self.beside).into_iter().partition(|beside| beside.process.ended().is_some());
        self.beside = live;
        let ended: Vec<Beside> = ended;
        gone.extend(ended.into_iter().map(|beside| beside.process));
        if gone.is_empty() {
            return;
        }
        let follows = self.rules.follow.get() != FollowFork::Parent;
        for process in gone {
            let pid = process.pid();
            self.leaving.extend(process.into_leaving());
            if follows {
                let left = &self.leaving;
                let known = |child| {
                    self.each_process_ref().any(|one| one.knows(child)) || left.iter().any(|one| one.has(child))
                };
                self.leaving.extend(target::strangers(self.tracer, pid, known));
            }
        }
        self.step_in();
    }

    /// Lets every attached process go and ends every started one. For every way out.
    pub fn let_go(&mut self) {
        self.fetching.stop();
        loop {
            // Children before those who made them: a vfork's parent waits for its child.
            let highest = (0..self.beside.len()).max_by_key(|index| self.beside[*index].number);
            if let Some(index) =
                highest.filter(|index| self.process.is_none() || self.beside[*index].number > self.number)
            {
                self.swap_in(index);
            }
            let Some(process) = self.process.as_ref() else { return };
            let pid = process.pid();
            let done = match process.origin() {
                Origin::Attached => self.detach_current().map(|released| {
                    self.tell(News::Detached { process: pid, held_ms: released.held.as_millis() as u64 });
                }),
                Origin::Started => self.kill_current().map(|end| self.tell(News::Ended { process: pid, end })),
            };
            if done.is_err() && self.process.as_ref().is_some_and(|process| process.pid() == pid) {
                // Only a process that has ended, or sleeps in the kernel, comes here: the kernel lets it go with the tracer.
                self.process = None;
            }
        }
    }

    pub(super) fn let_go_after_panic(&mut self) {
        self.let_go();
    }

    /// Lets what is held too long run by itself.
    pub(super) fn mind_the_leash(&mut self) {
        if self.leash_end().is_none_or(|end| Instant::now() < end) {
            return;
        }
        self.seen = self.process.as_ref().map_or_else(Seen::default, |process| Seen::of(process, self.selected));
        let mut news = Vec::new();
        for process in self.each_process().filter(|process| process.held().is_some()) {
            let held = process.held_for().unwrap_or_default();
            // In the background: the terminal stays with the person who has forgotten it.
            if process.resume(false).is_ok() {
                news.push(News::LeashOver { process: process.pid(), held_ms: held.as_millis() as u64 });
            }
        }
        news.into_iter().for_each(|news| self.tell(news));
        self.pass_on_news();
    }

    /// Attends to what could not be let go at once.
    pub(super) fn attend_leaving(&mut self) {
        let news: Vec<News> = self.leaving.iter_mut().flat_map(Leaving::attend).collect();
        self.leaving.retain(|leaving| !leaving.is_done());
        news.into_iter().for_each(|event| self.tell(event));
    }

    /// Passes on what the current process has to tell.
    pub(super) fn tell_current(&mut self) {
        while let Some(news) = self.process.as_mut().and_then(Process::next_news) {
            let Some(process) = &self.process else { return };
            let mut told = self.claimed && matches!(news, News::Stopped(_) | News::Ended { .. });
            if let News::Stopped(report) = &news {
                self.selected = Some(report.thread);
                if !told && hooks::has_commands(process, report) {
                    told = hooks::is_silent(process, report);
                    self.hooks_due.push_back(report.clone());
                }
            }
            let has_terminal = process.has_terminal();
            if told || self.forks.folds(&news, has_terminal) {
                continue;
            }
            let news = match news {
                News::Stopped(report) => News::Stopped(self.described(report)),
                news => news,
            };
            self.outbox.post(news.into());
        }
    }
}
