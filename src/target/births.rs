//! Births, executed programs and ends: which threads and children there are. Refuses to decide what becomes of a child
//! that is followed.

use super::process::{Phase, Process};
use super::thread::{State, Thread};
use super::{Birth, News};
use crate::addr::{Pid, Tid};
use crate::kernel::wait::{self, End, Report, Stop, Usage};
use crate::kernel::{Errno, proc};

impl Process {
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

    /// A tid that nobody told of has stopped: a new thread of ours, which joins, or a child, which is let go.
    pub(super) fn adopt(&mut self, tid: Tid, stop: Stop) -> bool {
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

    /// After an exec only the caller is left, under the leader's tid.
    pub(super) fn note_exec(&mut self, leader: Tid) {
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
}
