//! What every thread does at this moment, from its registers where it stands still and from /proc where it runs. Never
//! stops anything.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::process::{Phase, Process};
use super::syscalls::Syscall;
use super::thread::{State, Thread};
use super::{Signal, Why};
use crate::addr::{Pid, RuntimeAddr, Tid};
use crate::kernel::maps::Mappings;
use crate::kernel::proc::{self, SyscallNow};
use crate::kernel::wait::Stop;

/// An address by the file or kernel object that is mapped there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Place {
    /// The address.
    pub pc: RuntimeAddr,
    /// The mapping's path or name.
    pub module: Option<String>,
    /// How far it is from the lowest mapping of that file.
    pub module_offset: Option<u64>,
    /// What is known of the address by symbols, where somebody has looked.
    #[serde(flatten)]
    pub code: Box<CodePlace>,
}

/// An address by symbols and source. Everything is unknown until somebody looks it up.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, JsonSchema)]
pub struct CodePlace {
    /// The innermost function there, inlined or not.
    pub function: Option<String>,
    /// The symbol that covers it.
    pub symbol: Option<String>,
    /// How far it is behind the symbol's beginning.
    pub offset: Option<u64>,
    /// The source file, as the compiler names it.
    pub file: Option<String>,
    /// The line in it, counted from 1.
    pub line: Option<u32>,
    /// The text of that line, where the file can be read and it is of interest.
    pub source: Option<String>,
}

/// One thread at one moment.
#[derive(Clone, Debug)]
pub struct ThreadFacts {
    /// Its number.
    pub number: u32,
    /// Its tid.
    pub tid: Tid,
    /// top's state letter; `None`: it is gone.
    pub state: Option<char>,
    /// Its name, any characters.
    pub name: String,
    /// Why it stands still, if it does.
    pub why: Option<Why>,
    /// The signal that it gets when it goes on.
    pub pending: Option<Signal>,
    /// Whether it was asked to stop and has not.
    pub late: bool,
    /// The system call that it is in.
    pub syscall: Option<Syscall>,
    /// Where it is.
    pub place: Option<Place>,
}

impl Process {
    /// The tids and numbers of its threads, by number.
    pub fn thread_numbers(&self) -> Vec<(u32, Tid)> {
        let mut numbers: Vec<(u32, Tid)> = self.threads.iter().map(|(tid, thread)| (thread.number, *tid)).collect();
        numbers.sort_unstable();
        numbers
    }

    /// How many threads are in each state letter. One read of /proc for each.
    pub fn states(&self) -> BTreeMap<char, usize> {
        let mut states = BTreeMap::new();
        for tid in self.threads.keys() {
            if let Some(state) = proc::thread_state(self.pid, *tid) {
                *states.entry(letter(state)).or_insert(0) += 1;
            }
        }
        states
    }

    /// All threads, by number.
    pub fn thread_facts(&self) -> Vec<ThreadFacts> {
        let maps = self.mappings().unwrap_or_default();
        let mut facts: Vec<ThreadFacts> =
            self.threads.iter().map(|(tid, thread)| self.facts_of(*tid, thread, &maps)).collect();
        facts.sort_unstable_by_key(|facts| facts.number);
        facts
    }

    /// A thread's number and facts by its tid.
    pub fn facts_of_thread(&self, tid: Tid) -> Option<ThreadFacts> {
        let thread = self.threads.get(&tid)?;
        Some(self.facts_of(tid, thread, &self.mappings().unwrap_or_default()))
    }

    /// Where a stopped thread stands.
    pub(super) fn place_of(&self, tid: Tid) -> Option<Place> {
        let registers = self.stopped_thread(tid)?.registers().ok()?;
        Some(place(registers.pc(), &self.mappings().unwrap_or_default()))
    }

    /// The executable, as the kernel knows it, through whichever thread still has one.
    pub fn program(&self) -> Option<String> {
        self.threads.keys().find_map(|tid| super::describe(Pid(tid.0)))
    }

    fn facts_of(&self, tid: Tid, thread: &Thread, maps: &Mappings) -> ThreadFacts {
        let stat = proc::thread_stat(self.pid, tid).ok();
        let is_dead = stat.as_ref().is_none_or(|stat| letter(stat.state) == 'Z');
        let (syscall, pc) = if is_dead { (None, None) } else { self.doing(tid) };
        let why = match thread.state {
            State::Stopped(_) if matches!(self.phase, Phase::Held { .. }) => Some(thread.why),
            State::Listening(signal) => Some(Why::JobControl { signal }),
            _ => None,
        };
        ThreadFacts {
            number: thread.number,
            tid,
            state: stat.as_ref().map(|stat| letter(stat.state)),
            name: stat.map(|stat| stat.name).unwrap_or_default(),
            why,
            pending: self.signal_for(tid, false),
            late: thread.is_late(),
            syscall,
            place: pc.map(|pc| place(pc, maps)),
        }
    }

    /// The system call and program counter of a thread.
    fn doing(&self, tid: Tid) -> (Option<Syscall>, Option<RuntimeAddr>) {
        if let Some(stopped) = self.stopped_thread(tid) {
            let Ok(registers) = stopped.registers() else { return (None, None) };
            // After an exec the registers still name execve, but its arguments went with the old program.
            let is_new = self.threads.get(&tid).is_some_and(|thread| thread.state == State::Stopped(Stop::Exec));
            let call = registers.syscall().filter(|_| !is_new);
            return (call.map(|(number, args)| Syscall::new(number, args)), Some(registers.pc()));
        }
        match proc::syscall_now(self.pid, tid) {
            Ok(SyscallNow::In { number, args, pc, .. }) => (Some(Syscall::new(number, args)), Some(pc)),
            Ok(SyscallNow::Elsewhere { pc }) => (None, Some(pc)),
            Ok(SyscallNow::Running) | Err(_) => (None, None),
        }
    }
}

/// top's letters: both kinds of stop are `T`, and a thread that is being taken away is as good as a zombie.
fn letter(state: char) -> char {
    match state {
        't' => 'T',
        'X' => 'Z',
        state => state,
    }
}

fn place(pc: RuntimeAddr, maps: &Mappings) -> Place {
    let mapping = maps.find(pc);
    Place {
        pc,
        module: mapping.and_then(|mapping| mapping.name.clone()),
        module_offset: mapping.filter(|mapping| mapping.name.is_some()).map(|mapping| pc.0 - maps.base_of(mapping).0),
        code: Box::default(),
    }
}
