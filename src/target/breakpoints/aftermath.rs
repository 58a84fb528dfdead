//! What is written down of a system call that a thread makes for godbg, and of the copy that a core is written from; and, once
//! godbg was killed in the middle of it, putting the thread back and ending the copy. Makes no call itself.

use super::journal::FIRST_FREE;
use crate::addr::{Pid, RuntimeAddr, Tid};
use crate::kernel::arch::{self, GENERAL, Registers};
use crate::kernel::journal::Journal;
use crate::kernel::proc;
use crate::kernel::wait::Stop;
use crate::target::inject::Saved;
use crate::target::landing::{Landing, Stay};
use crate::target::process::Process;
use crate::target::thread::State;

/// The words, counted from [`FIRST_FREE`]. The first is 1 while the others hold.
const HOLDS: usize = FIRST_FREE;
const TID: usize = FIRST_FREE + 1;
const NUMBER: usize = FIRST_FREE + 2;
const MASK: usize = FIRST_FREE + 3;
const SEQUENCE_AT: usize = FIRST_FREE + 4;
const SEQUENCE: usize = FIRST_FREE + 5;
const CALL: usize = FIRST_FREE + 6;
const SP: usize = FIRST_FREE + 7;
/// 0: the thread does not stay.
const STAY: usize = FIRST_FREE + 8;
const WORD: usize = FIRST_FREE + 9;
const REGISTERS: usize = FIRST_FREE + 10;
/// The pid of a copy, or 0.
const COPY: usize = REGISTERS + GENERAL.len();

/// How many words these are.
pub(super) const LENGTH: usize = COPY + 1 - FIRST_FREE;

/// A call that a thread is about to make.
pub(in crate::target) struct CallNote {
    pub tid: Tid,
    pub number: u64,
    pub saved: Saved,
    pub landing: Landing,
}

impl CallNote {
    fn write(&self, journal: &Journal) {
        let (sequence_at, sequence) = self.saved.sequence.unwrap_or((RuntimeAddr(0), [0; 8]));
        let stay = self.landing.stay.unwrap_or(Stay { at: RuntimeAddr(0), word: [0; 8] });
        for (index, word) in [
            (TID, self.tid.0 as u64),
            (NUMBER, self.number),
            (MASK, self.saved.mask),
            (SEQUENCE_AT, sequence_at.0),
            (SEQUENCE, u64::from_le_bytes(sequence)),
            (CALL, self.landing.call.0),
            (SP, self.landing.sp.0),
            (STAY, stay.at.0),
            (WORD, u64::from_le_bytes(stay.word)),
        ] {
            journal.set(index, word);
        }
        for (index, word) in self.saved.registers.words().iter().enumerate() {
            journal.set(REGISTERS + index, *word);
        }
        journal.set(HOLDS, 1);
    }

    fn read(journal: &Journal) -> Option<CallNote> {
        if journal.get(HOLDS) != 1 {
            return None;
        }
        let addr = |index| Some(RuntimeAddr(journal.get(index))).filter(|addr| addr.0 != 0);
        let bytes = |index| journal.get(index).to_le_bytes();
        Some(CallNote {
            tid: Tid(journal.get(TID) as i32),
            number: journal.get(NUMBER),
            saved: Saved {
                registers: Registers::from_words(std::array::from_fn(|index| journal.get(REGISTERS + index))),
                mask: journal.get(MASK),
                sequence: addr(SEQUENCE_AT).map(|at| (at, bytes(SEQUENCE))),
                owed: None,
            },
            landing: Landing {
                call: RuntimeAddr(journal.get(CALL)),
                sp: RuntimeAddr(journal.get(SP)),
                stay: addr(STAY).map(|at| Stay { at, word: bytes(WORD) }),
            },
        })
    }
}

/// Whether there is a call or a copy that could have to be undone.
pub(super) fn tells_of_something(journal: &Journal) -> bool {
    journal.get(HOLDS) == 1 || journal.get(COPY) != 0
}

/// A copy that was left: its pid, and the one by which the process itself knows it.
pub(super) struct LeftCopy {
    pid: Pid,
    inner: i32,
}

impl Process {
    /// Writes down what a thread has, before any of it is changed for a call.
    pub(in crate::target) fn note_call(&self, note: &CallNote) {
        if let Some(guard) = &self.steering.guard {
            note.write(&guard.journal);
        }
    }

    /// The thread has everything back.
    pub(in crate::target) fn note_call_over(&self) {
        if let Some(guard) = &self.steering.guard {
            guard.journal.set(HOLDS, 0);
        }
    }

    /// Writes down that there is a copy of the process, or none any more.
    pub(in crate::target) fn note_copy(&self, copy: Option<Pid>) {
        if let Some(guard) = &self.steering.guard {
            guard.journal.set(COPY, copy.map_or(0, |copy| copy.0 as u64));
        }
    }

    /// Puts back the thread that made a call for a godbg that was killed meanwhile. The process is held. The copy that
    /// godbg had made of it, if any.
    pub(super) fn mend_caller(&mut self, journal: &Journal) -> Option<LeftCopy> {
        let mut forked = None;
        if let Some(note) = CallNote::read(journal) {
            self.leave_own_call(note.tid);
            // An error: it has ended. Elsewhere it runs on by itself: it was put back already, or it had no place to stay.
            if let Some(registers) = self.tracer.registers(note.tid).ok().filter(|now| note.landing.holds(now)) {
                let made = registers.pc() != note.landing.call && note.number == arch::quiet_fork().0;
                forked = made.then_some(registers.call_result());
                // ESRCH: it was killed.
                let _ = self.put_back(note.tid, &note.saved, &note.landing);
                self.mend_call(note.tid, Stop::Interrupt);
            } else if note.landing.stay.is_some_and(|stay| self.holds_word(note.landing.sp, stay.at)) {
                self.clear_stay(&note.landing);
            }
            journal.set(HOLDS, 0);
        }
        let noted = journal.get(COPY) as i32;
        let is_it = |(pid, inner): &(Pid, i32)| pid.0 == noted || Some(i64::from(*inner)) == forked;
        let found = proc::quiet_children(self.pid).into_iter().find(is_it);
        found.map(|(pid, inner)| LeftCopy { pid, inner })
    }

    /// A thread that was seized in the middle of the clone that it makes for godbg stands within the call: what that returns is
    /// not in its registers yet, and would be written over those that are put back.
    fn leave_own_call(&mut self, tid: Tid) {
        let is_within = |stop: Stop| matches!(stop, Stop::Clone | Stop::Fork | Stop::Vfork | Stop::VforkDone);
        if matches!(self.state_of(tid), Some(State::Stopped(stop)) if is_within(stop)) {
            // An error: it has ended.
            let _ = self.settle(tid);
        }
    }

    fn holds_word(&self, at: RuntimeAddr, word: RuntimeAddr) -> bool {
        let mut bytes = [0; 8];
        self.read_memory(at, &mut bytes).is_ok() && bytes == word.0.to_le_bytes()
    }

    /// Ends a copy that was left. The process is held, and is written about in a journal.
    pub(super) fn end_left_copy(&mut self, copy: Option<LeftCopy>) {
        if let Some(LeftCopy { pid, inner }) = copy {
            self.end_left(pid, inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let (journal, _) = Journal::create(&folder.path().join("journal")).expect("a journal");
        assert!(CallNote::read(&journal).is_none() && !tells_of_something(&journal));
        let registers = Registers { r15: 1, rip: 2, gs: 3, ..Registers::default() };
        let sequence = Some((RuntimeAddr(4), [5; 8]));
        let stay = Some(Stay { at: RuntimeAddr(6), word: [7; 8] });
        let landing = Landing { call: RuntimeAddr(8), sp: RuntimeAddr(9), stay };
        let saved = Saved { registers, mask: 10, sequence, owed: None };
        CallNote { tid: Tid(11), number: 12, saved, landing }.write(&journal);
        let note = CallNote::read(&journal).expect("a note");
        assert_eq!((note.tid, note.number, note.landing), (Tid(11), 12, landing));
        assert_eq!(note.saved.registers.words(), registers.words());
        assert_eq!((note.saved.mask, note.saved.sequence), (10, sequence));
        assert!(tells_of_something(&journal));
    }
}
