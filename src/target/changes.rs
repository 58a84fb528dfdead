//! What happens to a process on its own is taken in here: stops, ends, an exec that nobody told of. Never blocks; refuses to
//! wait for a person.

use std::time::{Duration, Instant};

use super::decide::{self, Action};
use super::process::{Origin, Phase, Process};
use super::thread::State;
use super::{News, Why};
use crate::addr::Tid;
use crate::kernel::Errno;
use crate::kernel::signal::{Signal, SignalOrigin};
use crate::kernel::wait::{self, Report, Stop};

/// How long changes are taken in before the tracer thread looks at its other duties again.
const LONGEST_ROUND: Duration = Duration::from_millis(20);

/// How many changes of tracees are taken in before the tracer thread looks at its other duties again.
const MOST_CHANGES: usize = 4096;

/// When all tracees are looked at, which costs by their number.
#[derive(Debug, Default)]
pub(super) struct Walks {
    /// When the last one has found nothing more.
    last: Option<Instant>,
    /// When the next one is due, if one was put off.
    pub due: Option<Instant>,
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

impl Process {
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
            let passed = self.steering.passed;
            self.take_change(tid, report);
            if self.steering.passed > passed {
                self.chase(tid);
            }
        }
        if !matches!(self.phase, Phase::Running) {
            return;
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
        for taken in 0..MOST_CHANGES {
            let called = taken > Walks::FEW && self.rules.is_called();
            // A hit that no copy helps past holds all threads, and others may be waiting already: commands come in between.
            if !matches!(self.phase, Phase::Running) || now.elapsed() > LONGEST_ROUND || called {
                break;
            }
            match self.next_change(&mut to_look) {
                Some((tid, report)) => self.take_change(tid, report),
                None => return self.walks.note(now),
            }
        }
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        self.walks.due = Some(now);
    }

    /// A thread that has met a breakpoint and was let on tends to meet it again soon. It is waited for by waitid(2) itself, for
    /// a beat: the two then share one processor, and wake each other for half of what a descriptor costs. Others are
    /// looked at in between. A command that waits comes before the next hit.
    fn chase(&mut self, tid: Tid) {
        const LONGEST: Duration = Duration::from_millis(10);
        /// Where there are many threads the others are looked at after so many hits.
        const OTHERS: u64 = 64;
        let begin = Instant::now();
        let metronome = self.metronome.clone();
        let _beating = metronome.start();
        while begin.elapsed() < LONGEST && matches!(self.phase, Phase::Running) && !self.rules.is_called() {
            let Ok(Some(report)) = wait::look_until_beat(tid) else { return };
            let passed = self.steering.passed;
            self.take_change(tid, report);
            if self.steering.passed == passed {
                return;
            }
            let alone = self.threads.len() == 1 || self.steering.alone.is_some();
            let few = self.threads.len() <= Walks::FEW;
            if !alone && (few || self.steering.passed.is_multiple_of(OTHERS)) {
                let mut to_look = None;
                for _ in 0..Walks::FEW {
                    match self.next_change(&mut to_look) {
                        Some((other, report)) if matches!(self.phase, Phase::Running) => {
                            self.take_change(other, report)
                        }
                        _ => break,
                    }
                }
            }
        }
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
                    self.bring_one_home(tid);
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
        if stop == Stop::Signal(Signal::TRAP) && self.steering.is_active() && self.steer_trap(tid) {
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

    /// A thread that was stopped in an endless wait is to wait on: the program must not see that it was held. Done when it
    /// stops, not when it goes on, so that it holds however godbg ends.
    pub(super) fn mend_call(&self, tid: Tid, stop: Stop) {
        if matches!(stop, Stop::Interrupt | Stop::Group(_)) {
            // ESRCH: it has been killed.
            let _ = self.tracer.mend_interrupted_call(tid);
        }
    }
}
