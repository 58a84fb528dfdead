//! What is told of a stop: which thread, why, and what else is to be known. Refuses to know how it is shown.

use super::process::{Phase, Process};
use super::thread::{State, Thread};
use super::{LateThread, News, StopReport, ThreadSignal, Why};
use crate::addr::Tid;
use crate::kernel::proc;

impl Process {
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
        report.place = self.place_of(tid).map(Box::new);
        report.also.retain(|other| other.thread != tid);
        self.phase = Phase::Held { since, report: report.clone() };
        Some(report)
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

    /// What was met together with the breakpoint that is told, that one first.
    pub(super) fn met_with(&self, number: u32) -> Vec<u32> {
        let together = &self.steering.together;
        if together.first() == Some(&number) { together.clone() } else { vec![number] }
    }

    /// The breakpoints or the catchpoint that a stop is of, and what is to be run at each; nothing where nothing is.
    pub fn commands_at(&self, why: &Why) -> Vec<(u32, Vec<String>)> {
        let (Why::Breakpoint { number } | Why::Watchpoint { number, .. } | Why::Catch { catchpoint: number, .. }) =
            *why
        else {
            return Vec::new();
        };
        let of = |number: &u32| Some((*number, self.commands_of(*number)?));
        let all: Vec<(u32, Vec<String>)> = self.met_with(number).iter().filter_map(of).collect();
        if all.iter().any(|(_, commands)| !commands.is_empty()) { all } else { Vec::new() }
    }

    /// What is to be run at one, which may have gone with the stop.
    fn commands_of(&self, number: u32) -> Option<Vec<String>> {
        let gone = self.parted.iter().find(|(parted, _)| *parted == number).map(|(_, commands)| commands.clone());
        let there = || self.breakpoints().iter().find(|one| one.number == number).map(|one| one.commands.clone());
        let caught = || self.rules.catches.list().into_iter().find(|one| one.number == number).map(|one| one.commands);
        gone.or_else(there).or_else(caught)
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
}
