//! Children that are followed: a process's new child is held at its first instruction and becomes a process of the session.
//! With several processes, each looks at its own threads only. Decides nothing about which process people mean.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::process::{Phase, Process};
use super::thread::State;
use super::{Birth, Leaving, News, Why};
use crate::addr::{Pid, Tid};
use crate::kernel::ptrace::Tracer;
use crate::kernel::wait::{self, Report, Stop};
use crate::kernel::{Errno, proc};

/// How long a child may take to its first stop, on a machine that gives it no processor.
const LONGEST: Duration = Duration::from_secs(10);

/// Which process stays with godbg when one makes a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FollowFork {
    /// The child is let go untraced.
    #[default]
    Parent,
    /// The parent is let go, and the child takes its place.
    Child,
    /// Both are held.
    Both,
}

/// A child that is to be followed and has not been seen at its first stop yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Newborn {
    /// The child.
    pub child: Pid,
    /// The thread that made it.
    pub thread: Tid,
    /// How.
    pub birth: Birth,
}

impl Process {
    /// Says whether the session has other processes: their threads are none of this one's business.
    pub fn set_company(&mut self, company: bool) {
        self.company = company;
    }

    /// The next child that is to be followed.
    pub fn next_newborn(&mut self) -> Option<Newborn> {
        self.newborns.pop_front()
    }

    /// Whether the process was stopped only for a child that is followed in its stead.
    /// Then, whether it had the terminal.
    pub fn was_stopped_to_follow(&mut self) -> Option<bool> {
        std::mem::take(&mut self.stopped_to_follow)
    }

    /// Takes note of a child: to be let go or to be followed.
    pub(super) fn note_child(&mut self, child: Pid, thread: Tid, birth: Birth) {
        if birth == Birth::Vfork {
            // The child runs in the same memory: no breakpoint may stand in it meanwhile.
            self.steering.vforks.insert(thread);
        }
        match self.rules.follow.get() {
            FollowFork::Parent => {
                self.strays.push(child);
                self.news.push_back(News::Forked { process: self.pid, thread, child, birth });
            }
            FollowFork::Child | FollowFork::Both => self.newborns.push_back(Newborn { child, thread, birth }),
        }
    }

    /// A thread of the running process has just made a child that is followed: all are stopped. True: that was so.
    pub(super) fn stop_to_follow(&mut self, tid: Tid, stop: Stop) -> bool {
        let Some(newborn) = self.newborns.back().copied().filter(|newborn| newborn.thread == tid) else { return false };
        if !matches!(stop, Stop::Fork | Stop::Vfork | Stop::Clone) {
            return false;
        }
        match self.rules.follow.get() {
            FollowFork::Both => {
                self.stop_for(tid, Why::Fork { child: newborn.child, birth: newborn.birth });
            }
            _ => {
                let had_terminal = self.has_terminal;
                self.halt(Why::Interrupt);
                self.stopped_to_follow = Some(had_terminal);
            }
        }
        true
    }

    /// Waits for a child's first stop, and makes it a process that is held there. `None`: it is no more.
    pub fn born(&self, newborn: &Newborn) -> Option<Process> {
        let (child, tid) = (newborn.child, newborn.child.leader());
        let begin = Instant::now();
        let _beating = self.metronome.start();
        let stop = loop {
            match wait::look_until_beat(tid) {
                Ok(Some(Report::Stopped(stop, _))) => break stop,
                Ok(Some(Report::Ended(..))) => {
                    // Its parent learns of it once it is taken.
                    let _ = wait::take_end(tid);
                    return None;
                }
                Ok(None) | Err(Errno::EINTR) if begin.elapsed() < LONGEST => {}
                _ => return None,
            }
        };
        self.steering.clean_child(self.pid, child, self.tracer, &self.metronome);
        let name = proc::thread_name(child, tid).unwrap_or_else(|_| self.name.clone());
        let (metronome, rules) = (self.metronome.clone(), self.rules.clone());
        let mut process = Process::new(child, self.origin, name, self.tracer, metronome, rules);
        process.terminal = self.terminal.clone();
        process.group = self.group;
        process.company = true;
        let why = Why::Born { parent: self.pid };
        process.add(tid, State::Stopped(stop));
        process.note_stop(tid, stop, process.origin_of(tid, stop), why);
        process.phase = Phase::Held { since: begin, report: process.report(why) };
        process.inherit_breakpoints(self);
        Some(process)
    }

    /// The child that its only thread waits for, having made it by vfork(2).
    pub fn awaited_child(&self) -> Option<Pid> {
        match self.threads.iter().next() {
            Some((tid, thread)) if self.threads.len() == 1 && thread.state == State::Stopped(Stop::Vfork) => {
                self.tracer.event_message(*tid).ok().map(|child| Pid(child as i32))
            }
            _ => None,
        }
    }

    /// Whether a pid is of this process or of a child that it still has to deal with.
    pub fn knows(&self, pid: Pid) -> bool {
        let newborn = self.newborns.iter().any(|newborn| newborn.child == pid);
        newborn || self.pid == pid || self.strays.contains(&pid) || self.copy.is_some_and(|copy| copy.pid == pid)
    }

    /// Takes in a thread that a signal named and that nobody told of. True: it is one of this process.
    pub fn take_in_stranger(&mut self, tid: Tid) -> bool {
        if self.threads.contains_key(&tid) {
            return true;
        }
        let ours = proc::is_thread_of(tid, self.pid) && self.ended().is_none();
        if ours {
            self.add(tid, State::Running);
            self.take_in(Some(tid));
        }
        ours
    }

    /// The next change of a running process's threads. Alone, it asks for any; else a held process's threads would be found
    /// again and again, and a followed child's first stop before its maker has told of it.
    pub(super) fn next_change(&mut self, to_look: &mut Option<VecDeque<Tid>>) -> Option<(Tid, Report)> {
        if !self.company && self.rules.follow.get() == FollowFork::Parent {
            return wait::look_any().ok().flatten();
        }
        let queue = to_look.get_or_insert_with(|| self.looked_at());
        while let Some(tid) = queue.pop_front() {
            match wait::look(tid) {
                Ok(Some(report)) => {
                    // There may be more of it.
                    queue.push_back(tid);
                    return Some((tid, report));
                }
                Ok(None) => {}
                // Another thread's exec has swept it away.
                Err(_) => drop(self.threads.remove(&tid)),
            }
        }
        self.release_strays();
        None
    }

    /// The threads to be looked at. Where the leader has ended, there may be others whose births nobody could tell any more:
    /// they keep its end from being seen.
    fn looked_at(&mut self) -> VecDeque<Tid> {
        if proc::thread_state(self.pid, self.pid.leader()) == Some('Z') {
            for tid in proc::tasks(self.pid).unwrap_or_default() {
                if !self.threads.contains_key(&tid) && wait::look(tid).is_ok() {
                    self.add(tid, State::Running);
                }
            }
        }
        let moving = |thread: &super::thread::Thread| !matches!(thread.state, State::Stopped(_));
        // The leader's end is seen only after the others'.
        let mut tids: Vec<Tid> =
            self.threads.iter().filter(|(_, thread)| moving(thread)).map(|(tid, _)| *tid).collect();
        tids.sort_by_key(|tid| *tid == self.pid.leader());
        tids.into()
    }
}

/// Children that nobody told of: the process that made them was killed in that moment. They are let go.
pub fn strangers(tracer: Tracer, process: Pid, is_known: impl Fn(Pid) -> bool) -> Option<Leaving> {
    let all = proc::processes().unwrap_or_default();
    let ours = |pid: &Pid| proc::tracer_of(pid.leader()).is_ok_and(|found| found == Some(tracer.tid()));
    let strangers: Vec<Tid> = all.into_iter().filter(|pid| !is_known(*pid) && ours(pid)).map(Pid::leader).collect();
    (!strangers.is_empty()).then(|| Leaving::new(process, strangers, tracer))
}
