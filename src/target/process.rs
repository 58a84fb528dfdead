//! A traced process: its threads, whether it is held, and what it has to tell. All-stop: either every thread runs or
//! none does. What happens on its own is taken in by [`Process::take_in`]; stopping, attaching and letting go are in
//! files of their own. Refuses to wait for a person.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::breakpoints::Steering;
use super::decide::{self, Action};
use super::follow::Newborn;
use super::gcore::CopyMark;
use super::landing::Gadgets;
use super::thread::{State, StoppedThread, Thread};
use super::{Birth, Error, LateThread, News, Result, Rules, StopReport, ThreadSignal, Why};
use crate::addr::{Pid, Tid};
use crate::kernel::memory::Memory;
use crate::kernel::metronome::Metronome;
use crate::kernel::own::Terminal;
use crate::kernel::ptrace::Tracer;
use crate::kernel::signal::SignalOrigin;
use crate::kernel::wait::{self, End, Report, Stop, Usage};
use crate::kernel::{Errno, proc};

/// Where a process came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// It ran before godbg came, and is let go in the end.
    Attached,
    /// godbg started it, and ends it in the end.
    Started,
}

/// Whether the process is held, runs, or is no more.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    Running,
    Held { since: Instant, report: StopReport },
    Ended { end: End, status: u32, usage: Usage },
}

/// How many changes of tracees are taken in before the tracer thread looks at its other duties again.
const MOST_CHANGES: usize = 4096;

/// A process under godbg's control. Dropping it lets it go, as well as can be done.
pub struct Process {
    pub(super) pid: Pid,
    pub(super) origin: Origin,
    pub(super) name: String,
    pub(super) tracer: Tracer,
    pub(super) metronome: Rc<Metronome>,
    /// What the session's person has decided for all processes.
    pub(super) rules: Rc<Rules>,
    pub(super) threads: BTreeMap<Tid, Thread>,
    pub(super) phase: Phase,
    /// Children that were born traced and must be let go when their first stop comes.
    pub(super) strays: Vec<Pid>,
    pub(super) news: VecDeque<News>,
    /// The terminal that the program gets while it runs in the foreground.
    pub(super) terminal: Option<Arc<Terminal>>,
    pub(super) has_terminal: bool,
    /// The process group that gets the terminal: its own, or that of the process whose child it is.
    pub(super) group: Pid,
    /// Children that are to be followed.
    pub(super) newborns: VecDeque<Newborn>,
    /// Whether it was stopped only for a child that is followed in its stead, and then whether it had the terminal.
    pub(super) stopped_to_follow: Option<bool>,
    /// Whether the session has other processes.
    pub(super) company: bool,
    /// The copy of its memory that a core is being written from.
    pub(super) copy: Option<CopyMark>,
    /// Where it has the instructions that calls for godbg need, once that has been asked for.
    pub(super) gadgets: Cell<Option<Gadgets>>,
    /// Breakpoints and what they need.
    pub(super) steering: Steering,
    /// What threads met while all were being stopped, and nobody has been told yet.
    pub(super) unreported: VecDeque<(Tid, Why)>,
    /// Its memory, once it has been asked for.
    pub(super) memory: RefCell<Option<Rc<Memory>>>,
    next_number: u32,
    walks: Walks,
    released: bool,
}

/// When all tracees are looked at, which costs by their number.
#[derive(Debug, Default)]
struct Walks {
    /// When the last one has found nothing more.
    last: Option<Instant>,
    /// When the next one is due, if one was put off.
    due: Option<Instant>,
}

impl Walks {
    /// So many threads are looked at in less time than it takes to decide.
    const FEW: usize = 16;

    /// How far apart walks over many are.
    const APART: Duration = Duration::from_millis(1);

    /// Whether it is too early for another.
    fn put_off(&mut self, now: Instant, threads: usize) -> bool {
        let next = self.last.map(|last| last + Self::APART).filter(|next| threads > Self::FEW && now < *next);
        self.due = next;
        next.is_some()
    }

    fn note(&mut self, now: Instant) {
        self.last = Some(now);
        self.due = None;
    }
}

/// How a resumed process goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resumed {
    /// Its threads run.
    Runs,
    /// Job control keeps it stopped: only SIGCONT starts it.
    StaysStopped,
}

impl Process {
    pub(super) fn new(
        pid: Pid,
        origin: Origin,
        name: String,
        tracer: Tracer,
        metronome: Rc<Metronome>,
        rules: Rc<Rules>,
    ) -> Process {
        Process {
            pid,
            origin,
            name,
            tracer,
            metronome,
            rules,
            threads: BTreeMap::new(),
            phase: Phase::Running,
            strays: Vec::new(),
            news: VecDeque::new(),
            terminal: None,
            has_terminal: false,
            group: pid,
            newborns: VecDeque::new(),
            stopped_to_follow: None,
            company: false,
            copy: None,
            steering: Steering::default(),
            unreported: VecDeque::new(),
            gadgets: Cell::new(None),
            memory: RefCell::new(None),
            next_number: 1,
            walks: Walks::default(),
            released: false,
        }
    }

    /// Its pid.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// A number for a breakpoint or catchpoint.
    pub fn next_breakpoint_number(&mut self) -> u32 {
        self.rules.next_number()
    }

    /// The name it had when it was attached to or started. From the target: any characters.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it came from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The tid of the thread that traces it.
    pub fn tracer(&self) -> Tid {
        self.tracer.tid()
    }

    /// Since when it has been held, and why; `None` while it runs.
    pub fn held(&self) -> Option<(Instant, &StopReport)> {
        match &self.phase {
            Phase::Held { since, report } => Some((*since, report)),
            _ => None,
        }
    }

    /// Whether the program has the terminal now.
    pub fn has_terminal(&self) -> bool {
        self.has_terminal
    }

    /// How it ended: the end, the wait status and its resource usage.
    pub fn ended(&self) -> Option<(End, u32, Usage)> {
        match self.phase {
            Phase::Ended { end, status, usage } => Some((end, status, usage)),
            _ => None,
        }
    }

    /// Whether job control keeps it stopped at this moment.
    pub fn is_job_stopped(&self) -> bool {
        self.threads.values().any(|thread| matches!(thread.state, State::Listening(_) | State::Stopped(Stop::Group(_))))
    }

    /// The next thing it has to tell.
    pub fn next_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// When [`Process::take_in`] should be called again although no signal has come.
    pub fn next_look(&self) -> Option<Instant> {
        self.walks.due
    }

    /// A thread that stands still (the preferred one if it does), its wait status, and the process's resource usage, as the
    /// kernel says them now. No usage where the stop had to be taken (an exec by a thread that was not the leader).
    pub fn wait_status(&self, preferred: Tid) -> Result<(Tid, u32, Option<Usage>)> {
        let stands = |tid: &Tid| matches!(self.threads.get(tid).map(|thread| thread.state), Some(State::Stopped(_)));
        let mut standing = std::iter::once(&preferred).chain(self.threads.keys()).filter(|tid| stands(tid));
        let tid = *standing.next().ok_or(Error::Ended(self.pid))?;
        match wait::usage(tid) {
            Ok(Some((Report::Stopped(_, status) | Report::Ended(_, status), usage))) => Ok((tid, status, Some(usage))),
            Ok(None) => Ok((tid, wait::EXEC_STATUS, None)),
            Err(Errno::ECHILD) => Err(Error::Ended(self.pid)),
            Err(errno) => Err(Error::Request { what: "ask the status of", tid, errno }),
        }
    }

    /// Whether at least one of its threads stands still; not so while all sleep in the kernel.
    pub fn has_stopped_thread(&self) -> bool {
        self.threads.values().any(|thread| matches!(thread.state, State::Stopped(_)))
    }

    /// A thread that stands still, for what only stopped threads have.
    pub fn stopped_thread(&self, tid: Tid) -> Option<StoppedThread<'_>> {
        let thread = self.threads.get(&tid)?;
        matches!(thread.state, State::Stopped(_)).then_some(StoppedThread {
            tracer: self.tracer,
            tid,
            process: std::marker::PhantomData,
        })
    }

    /// Lets all threads run. `foreground`: a program that godbg started gets the terminal, unless job control keeps it
    /// stopped. What a thread has met already and nobody was told of is told instead.
    pub fn resume(&mut self, foreground: bool) -> Result<Resumed> {
        if self.report_next() {
            return Ok(Resumed::Runs);
        }
        self.renew_options();
        let stays = self.is_job_stopped();
        if foreground
            && !stays
            && !self.has_terminal
            && let Some(terminal) = &self.terminal
        {
            self.has_terminal = terminal.give_to(self.group).is_ok();
        }
        self.prepare_to_run()?;
        self.phase = Phase::Running;
        let tids: Vec<Tid> = match self.steering.alone {
            Some(tid) => vec![tid],
            None => self.threads.keys().copied().collect(),
        };
        for tid in tids {
            // ESRCH: it was killed meanwhile, and its end will be reported.
            if let Err(errno) = self.let_on(tid)
                && errno != Errno::ESRCH
            {
                return Err(Error::Request { what: "resume", tid, errno });
            }
        }
        Ok(if stays { Resumed::StaysStopped } else { Resumed::Runs })
    }

    /// Lets one thread of the held process run, with its signal.
    pub(super) fn let_on(&mut self, tid: Tid) -> std::result::Result<(), Errno> {
        let Some(thread) = self.threads.get_mut(&tid) else { return Ok(()) };
        match thread.state {
            State::Stopped(Stop::Group(signal)) => {
                thread.state = State::Listening(signal);
                self.tracer.listen(tid)
            }
            State::Stopped(_) => {
                let (at_entry, inside) = (thread.is_at_entry(), thread.is_inside_call());
                let signal = self.signal_for(tid, false);
                self.threads.entry(tid).and_modify(|thread| thread.state = State::Running);
                self.sync_debug(tid);
                // Inside a call registers are not the program's alone: changed ones would change or lose the call.
                if !inside {
                    self.leave_site(tid, signal.is_some());
                }
                // The return from a call is seen too where its entry was.
                if at_entry { self.tracer.cont_to_syscall(tid, signal) } else { self.go_on(tid, signal) }
            }
            // A late thread answers its interrupt when it wakes, and is let on then.
            State::Stopping { late: true } => {
                thread.state = State::Running;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes the terminal back from a program that runs: a person is about to type.
    pub fn reclaim_terminal(&mut self) {
        self.take_terminal_back(true);
    }

    /// Takes in what has happened: stops, ends, births. `hint`: the tid that SIGCHLD named. Never blocks.
    pub fn take_in(&mut self, hint: Option<Tid>) {
        self.walks.due = None;
        match self.phase {
            Phase::Running => self.take_in_running(hint),
            Phase::Held { .. } => self.take_in_held(),
            Phase::Ended { .. } => {}
        }
    }

    /// The thread that the signal names is asked first: one look-up instead of a walk over all. The kernel keeps one SIGCHLD
    /// at a time, so that some stops have none of their own: a walk finds them, soon but not each time.
    fn take_in_running(&mut self, hint: Option<Tid>) {
        if let Some(tid) = hint.filter(|tid| self.threads.contains_key(tid))
            && let Ok(Some(report)) = wait::look(tid)
        {
            self.take_change(tid, report);
        }
        if let Some(tid) = self.steering.alone {
            // The others stand still and would be found again and again.
            if let Ok(Some(report)) = wait::look(tid) {
                self.take_change(tid, report);
            }
            return;
        }
        let now = Instant::now();
        if self.walks.put_off(now, self.threads.len()) {
            return;
        }
        let mut to_look = None;
        for _ in 0..MOST_CHANGES {
            if !matches!(self.phase, Phase::Running) {
                return;
            }
            match self.next_change(&mut to_look) {
                Some((tid, report)) => self.take_change(tid, report),
                None => return self.walks.note(now),
            }
        }
        self.walks.due = Some(now);
    }

    fn take_change(&mut self, tid: Tid, report: Report) {
        match report {
            Report::Ended(..) => self.note_end(tid),
            Report::Stopped(stop, _) => self.note_running_stop(tid, stop),
        }
    }

    /// While it is held nothing stops any more but late threads and children. Stopped threads end only with all of the
    /// process, or by a late thread's exec, so that one of them tells for all whether they live.
    fn take_in_held(&mut self) {
        self.pass_by_deadly_exits();
        let witness = self.threads.iter().find(|(_, thread)| matches!(thread.state, State::Stopped(_)));
        let lives = witness.is_some_and(|(tid, _)| matches!(wait::look(*tid), Ok(Some(Report::Stopped(..)))));
        if !lives {
            self.take_dead();
        }
        self.note_missed_exec();
        let late: Vec<Tid> = self.threads.iter().filter(|(_, thread)| thread.is_late()).map(|(tid, _)| *tid).collect();
        for tid in late {
            match wait::look(tid) {
                Ok(Some(Report::Ended(..))) => self.note_end(tid),
                Ok(Some(Report::Stopped(stop, _))) => {
                    self.note_stop(tid, stop, self.origin_of(tid, stop), Why::Interrupt);
                    self.mend_call(tid, stop);
                    self.news.push_back(News::Joined { process: self.pid, thread: tid });
                }
                Ok(None) => {}
                // Another thread's exec has swept it away.
                Err(_) => self.threads.retain(|known, _| *known != tid),
            }
        }
        if !lives && !matches!(self.phase, Phase::Ended { .. }) {
            self.look_at_leader();
        }
        self.release_strays();
    }

    /// Takes the ends of threads that were killed while they stood still.
    pub(super) fn take_dead(&mut self) {
        let stopped = self.threads.iter().filter(|(_, thread)| matches!(thread.state, State::Stopped(_)));
        let mut tids: Vec<Tid> = stopped.map(|(tid, _)| *tid).collect();
        // The leader's end is reported last.
        tids.sort_by_key(|tid| *tid == self.pid.leader());
        for tid in tids {
            if matches!(wait::look(tid), Ok(Some(Report::Ended(..)))) {
                self.note_end(tid);
            }
        }
    }

    /// A thread that executes a program takes over the leader's tid while the others are waited for or held.
    pub(super) fn note_missed_exec(&mut self) {
        let leader = self.pid.leader();
        let known = self.threads.get(&leader).is_some_and(|thread| thread.state == State::Stopped(Stop::Exec));
        if !known && matches!(wait::look(leader), Ok(Some(Report::Stopped(Stop::Exec, _)))) {
            self.add(leader, State::Stopped(Stop::Exec));
            self.note_stop(leader, Stop::Exec, None, Why::Exec);
        }
    }

    /// The leader's end, which can be seen only once all others' have been taken.
    fn look_at_leader(&mut self) {
        if let Ok(Some(Report::Ended(..))) = wait::look(self.pid.leader()) {
            self.note_end(self.pid.leader());
        }
    }

    /// A thread of the running process has stopped by itself.
    fn note_running_stop(&mut self, tid: Tid, stop: Stop) {
        if !self.threads.contains_key(&tid) && !self.adopt(tid, stop) {
            return;
        }
        let listening = self.threads.get(&tid).is_some_and(|thread| matches!(thread.state, State::Listening(_)));
        let origin = self.origin_of(tid, stop);
        self.note_stop(tid, stop, origin, Why::Interrupt);
        self.mend_call(tid, stop);
        if let Some(why) = self.take_caught(tid) {
            return self.stop_for(tid, why);
        }
        if self.steering.is_active() {
            if self.steer(tid, stop) {
                return;
            }
            self.sync_debug(tid);
        }
        if self.stop_to_follow(tid, stop) {
            return;
        }
        let started = self.origin == Origin::Started;
        let request = match decide::after_stop(stop, origin, started, listening, &self.rules.signals) {
            Action::Report(why) => return self.stop_for(tid, why),
            Action::Resume => self.go_on(tid, None),
            Action::Pass(signal) => self.go_on(tid, Some(signal)),
            Action::Listen => self.tracer.listen(tid),
        };
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.state = if let Stop::Group(signal) = stop { State::Listening(signal) } else { State::Running };
        }
        // ESRCH: it was killed since, and its end comes next. If it stands there all the same, the stop was one that must be
        // taken before it can be let on: looking at it for ever would be a loop.
        if request == Err(Errno::ESRCH) && matches!(wait::look(tid), Ok(Some(Report::Stopped(..)))) {
            let _ = wait::take_stop(tid).and_then(|_| self.go_on(tid, None));
        }
        self.release_strays();
    }

    /// Stops every thread because of what one of them met, and tells it.
    pub(super) fn stop_for(&mut self, tid: Tid, why: Why) {
        self.halt(Why::Interrupt);
        if let Some(report) = self.report_of(tid, why) {
            self.news.push_back(News::Stopped(report));
        }
    }

    /// Makes what one thread has met the reason for which the process is held. `None`: it is held no more.
    pub(super) fn report_of(&mut self, tid: Tid, why: Why) -> Option<StopReport> {
        let thread = self.threads.get_mut(&tid)?;
        thread.why = why;
        thread.int3 = thread.int3.map(|_| true);
        let Phase::Held { since, .. } = self.phase else { return None };
        let mut report = self.report(Why::Interrupt);
        report.sender_name = self.sender_name(&why);
        report.thread = tid;
        report.why = why;
        report.number = self.threads.get(&tid).map_or(report.number, |thread| thread.number);
        report.place = self.place_of(tid);
        report.also.retain(|other| other.thread != tid);
        self.phase = Phase::Held { since, report: report.clone() };
        Some(report)
    }

    /// Who sent the signal that a thread stopped for.
    pub(super) fn origin_of(&self, tid: Tid, stop: Stop) -> Option<SignalOrigin> {
        matches!(stop, Stop::Signal(_)).then(|| self.tracer.signal_origin(tid).ok()).flatten()
    }

    /// Records a stop, with the births and the exec that it tells of.
    pub(super) fn note_stop(&mut self, tid: Tid, stop: Stop, origin: Option<SignalOrigin>, asked: Why) {
        let started = self.origin == Origin::Started;
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.state = State::Stopped(stop);
            thread.why = decide::why_stopped(stop, origin, started, asked, &self.rules.signals);
            thread.for_godbg = decide::is_for_godbg(stop, origin, started);
            thread.order = None;
            if matches!(stop, Stop::Interrupt | Stop::Group(_) | Stop::Signal(_)) {
                // These come outside of calls: a return that was not to be seen has passed.
                thread.call = None;
            }
            thread.int3 = decide::is_int3(stop, origin).then_some(false);
        }
        if let Some(signal) = decide::is_told(stop, origin, started, &self.rules.signals) {
            self.tell_signal(tid, signal, origin);
        }
        match stop {
            Stop::Exec => self.note_exec(tid),
            stop => self.note_birth_event(tid, stop),
        }
        if let Some(why) = self.caught(tid, stop, origin) {
            self.unreported.push_back((tid, why));
        }
    }

    /// Takes in the child or thread that a stop tells of, if it tells of one.
    pub(super) fn note_birth_event(&mut self, tid: Tid, stop: Stop) {
        match stop {
            Stop::Clone => self.note_birth(tid, Birth::Clone),
            Stop::Fork => self.note_birth(tid, Birth::Fork),
            Stop::Vfork => self.note_birth(tid, Birth::Vfork),
            Stop::VforkDone => self.note_vfork_over(tid),
            _ => {}
        }
    }

    /// A thread that was stopped in an endless wait is to wait on: the program must not see that it was held. Done when it
    /// stops, not when it goes on, so that it holds however godbg ends.
    pub(super) fn mend_call(&self, tid: Tid, stop: Stop) {
        if matches!(stop, Stop::Interrupt | Stop::Group(_)) {
            // ESRCH: it has been killed.
            let _ = self.tracer.mend_interrupted_call(tid);
        }
    }

    fn note_birth(&mut self, parent: Tid, birth: Birth) {
        let Ok(message) = self.tracer.event_message(parent) else { return };
        let child = Tid(message as i32);
        if birth == Birth::Clone && self.is_ours(child) {
            self.add(child, State::Stopping { late: false });
            return;
        }
        // A child that has been let go already, or a thread that has died already, is only news.
        if birth == Birth::Clone && proc::process_of(child).is_err() {
            return;
        }
        self.note_child(Pid(message as i32), parent, birth);
    }

    /// After an exec only the caller is left, under the leader's tid.
    fn note_exec(&mut self, leader: Tid) {
        let mut former = self.tracer.event_message(leader);
        if former == Err(Errno::ESRCH) {
            // Not the leader called: requests are refused until the stop is taken.
            let _ = wait::take_stop(leader);
            former = self.tracer.event_message(leader);
        }
        let former = former.map_or(leader, |message| Tid(message as i32));
        self.threads.retain(|tid, _| *tid == leader);
        self.forget_memory();
        self.forget_text();
        self.gadgets.set(None);
        if let Ok(name) = proc::thread_name(self.pid, leader) {
            self.name = name;
        }
        let program = proc::executable(self.pid).ok().map(|path| path.to_string_lossy().into_owned());
        self.news.push_back(News::Executed { process: self.pid, former_thread: former, program });
    }

    /// Takes the end of a thread; the leader's is the process's.
    pub(super) fn note_end(&mut self, tid: Tid) {
        self.threads.remove(&tid);
        self.note_vfork_over(tid);
        self.strays.retain(|stray| stray.leader() != tid);
        if tid != self.pid.leader() {
            // Nothing is to be done if it is gone already.
            let _ = wait::take_end(tid);
            self.note_alone_ended(tid);
        } else if let Ok(Some((Report::Ended(end, status), usage))) = wait::take_end_with_usage(tid) {
            self.finish(end, status, usage);
        }
    }

    fn finish(&mut self, end: End, status: u32, usage: Usage) {
        self.take_terminal_back(false);
        self.phase = Phase::Ended { end, status, usage };
        self.drop_guard();
        self.threads.clear();
        self.news.push_back(News::Ended { process: self.pid, end });
        self.release_strays();
    }

    /// A tid that nobody told of has stopped: a new thread of ours, which joins, or a child, which is let go.
    fn adopt(&mut self, tid: Tid, stop: Stop) -> bool {
        if self.is_ours(tid) {
            self.add(tid, State::Running);
            return true;
        }
        // It must never run.
        if self.copy.is_some_and(|copy| copy.pid.leader() == tid) {
            return false;
        }
        let signal = if let Stop::Signal(signal) = stop { Some(signal) } else { None };
        self.steering.clean_child(self.pid, Pid(tid.0), self.tracer, &self.metronome);
        let _ = self.tracer.detach(tid, signal);
        self.strays.retain(|stray| stray.leader() != tid);
        false
    }

    fn is_ours(&self, tid: Tid) -> bool {
        proc::is_thread_of(tid, self.pid)
    }

    pub(super) fn add(&mut self, tid: Tid, state: State) {
        let number = self.next_number;
        if let std::collections::btree_map::Entry::Vacant(entry) = self.threads.entry(tid) {
            entry.insert(Thread::new(number, state));
            self.next_number += 1;
        }
    }

    /// Lets go of the children that have reached their first stop.
    pub(super) fn release_strays(&mut self) {
        let (tracer, parent, metronome, steering) = (self.tracer, self.pid, &self.metronome, &self.steering);
        self.strays.retain(|child| match wait::look(child.leader()) {
            Ok(None) => true,
            Ok(Some(Report::Stopped(..))) => {
                steering.clean_child(parent, *child, tracer, metronome);
                // ESRCH: it was killed in the meantime, and its parent learns of it once the end is taken.
                matches!(tracer.detach(child.leader(), None), Err(Errno::ESRCH))
            }
            Ok(Some(Report::Ended(..))) => {
                let _ = wait::take_end(child.leader());
                false
            }
            // Not a tracee: it has been let go already.
            Err(_) => false,
        });
    }

    /// Threads that were asked to stop and sleep in the kernel.
    pub(super) fn late_threads(&self) -> Vec<LateThread> {
        let late = self.threads.iter().filter(|(_, thread)| thread.is_late());
        late.map(|(tid, _)| LateThread {
            thread: *tid,
            state: proc::thread_state(self.pid, *tid),
            wait_channel: proc::wait_channel(self.pid, *tid),
        })
        .collect()
    }

    /// The report of a stop that was asked for.
    pub(super) fn report(&self, why: Why) -> StopReport {
        let mut thread = self.pid.leader();
        if !matches!(self.threads.get(&thread).map(|thread| thread.state), Some(State::Stopped(_))) {
            let stopped = |(_, thread): &(&Tid, &Thread)| matches!(thread.state, State::Stopped(_));
            thread = self.threads.iter().find(stopped).map_or(thread, |(tid, _)| *tid);
        }
        let own_why = self.threads.get(&thread).map_or(why, |found| found.why);
        let signals = self.threads.iter().filter_map(|(tid, thread)| match thread.why {
            Why::Signal { signal, .. } => Some(ThreadSignal { thread: *tid, signal }),
            _ => None,
        });
        StopReport {
            process: self.pid,
            thread,
            number: self.threads.get(&thread).map_or(1, |thread| thread.number),
            why: if matches!(own_why, Why::JobControl { .. }) { own_why } else { why },
            place: None,
            sender_name: None,
            also: signals.collect(),
            late: self.late_threads(),
        }
    }

    pub(super) fn take_terminal_back(&mut self, keep: bool) {
        if self.has_terminal
            && let Some(terminal) = &self.terminal
        {
            // A terminal that is gone cannot be taken back; its hangup ends godbg.
            let _ = terminal.take_back(keep);
        }
        self.has_terminal = false;
    }

    pub(super) fn mark_released(&mut self) {
        self.released = true;
    }

    /// How long ago it was stopped.
    pub fn held_for(&self) -> Option<Duration> {
        self.held().map(|(since, _)| since.elapsed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.released && self.ended().is_none() {
            // The last resort, for a panic: what godbg started ends with it, and all else runs on.
            match self.origin {
                Origin::Attached => drop(self.detach()),
                Origin::Started => drop(self.kill()),
            }
        }
    }
}
