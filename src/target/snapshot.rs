//! The short stop: the registers of threads and the used part of their stacks, copied in bulk, so that a process need not be
//! held while its stacks are walked. What is walked and named comes afterwards, by all processors.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::process::{Phase, Process};
use super::stacks::{
    End, FrameRegisters, HeldMemory, Limits, NamedStack, Namer, Stack, StackMemory, Unwinder, registers_of,
};
use super::thread::State;
use super::{Modules, Result};
use crate::addr::{Pid, RuntimeAddr, Tid};
use crate::kernel::arch::Registers;
use crate::kernel::maps::Mappings;
use crate::kernel::memory::Memory;
use crate::kernel::proc::{self, SyscallNow};

/// All copies together take at most about so much, where nobody has said how much of each stack is copied.
const BUDGET: u64 = 24 << 20;

/// At least and at most so much of each stack is copied then, bytes.
const LEAST: u64 = 4 << 10;
const MOST: u64 = 256 << 10;

/// Whatever is asked for, all copies together take no more.
const CEILING: u64 = 1 << 30;

/// What was copied of a process.
pub struct Snapshot {
    /// The process.
    pub pid: Pid,
    /// Its threads, by number.
    pub threads: Vec<ThreadCopy>,
    /// How long it was held for this; `None` where it was held already.
    pub held: Option<Duration>,
    mappings: Mappings,
    bytes: Vec<u8>,
    memory: Option<Rc<Memory>>,
}

/// What was copied of a thread.
#[derive(Clone, Debug)]
pub struct ThreadCopy {
    /// Its number.
    pub number: u32,
    /// Its tid.
    pub tid: Tid,
    /// Its registers, as far as they are known; `None`: it has ended, or sleeps where nothing can be asked.
    pub registers: Option<FrameRegisters>,
    /// Where its stack pointer is, and where the copy stands in the buffer.
    stack: (u64, usize, usize),
}

impl Process {
    /// Copies registers and stacks of these threads, or of all. A process that runs is held for it. `each`: how much of each stack;
    /// what seems good if `None`.
    pub fn snapshot(&mut self, wanted: Option<&[Tid]>, each: Option<u64>) -> Result<Snapshot> {
        // What is slow to ask is asked before.
        let running = matches!(self.phase, Phase::Running);
        let mappings = self.mappings().unwrap_or_default();
        let memory = self.memory().ok();
        let hold = self.take_hold()?;
        let mut snapshot = self.copy(wanted, each, mappings);
        snapshot.memory = memory;
        if let Some(hold) = hold {
            snapshot.held = Some(self.release(hold)?);
        }
        if running {
            // What was loaded just before the stop is known now.
            snapshot.mappings = self.mappings().unwrap_or(snapshot.mappings);
        }
        Ok(snapshot)
    }

    fn copy(&self, wanted: Option<&[Tid]>, each: Option<u64>, mappings: Mappings) -> Snapshot {
        let numbers = self.thread_numbers();
        let is_wanted = |tid: &Tid| wanted.is_none_or(|wanted| wanted.contains(tid));
        let mut threads: Vec<ThreadCopy> = numbers
            .into_iter()
            .filter(|(_, tid)| is_wanted(tid))
            .map(|(number, tid)| ThreadCopy { number, tid, registers: self.registers_now(tid), stack: (0, 0, 0) })
            .collect();
        let bytes = self.copy_stacks(&mut threads, each, &mappings);
        Snapshot { pid: self.pid, threads, held: None, mappings, bytes, memory: None }
    }

    /// The registers of a thread; of one that sleeps in the kernel those few that can be known.
    fn registers_now(&self, tid: Tid) -> Option<FrameRegisters> {
        if let Some(registers) = self.registers_at(tid) {
            return Some(registers_of(&registers));
        }
        if self.threads.get(&tid).is_none_or(|thread| thread.state == State::Zombie) {
            return None;
        }
        match proc::syscall_now(self.pid, tid) {
            Ok(SyscallNow::In { sp, pc, .. }) => Some(asleep(sp, pc)),
            _ => None,
        }
    }

    fn copy_stacks(&self, threads: &mut [ThreadCopy], each: Option<u64>, mappings: &Mappings) -> Vec<u8> {
        let count = threads.len().max(1) as u64;
        let each = each.unwrap_or_else(|| (BUDGET / count).clamp(LEAST, MOST)).min(CEILING / count);
        let mut total = 0;
        for thread in threads.iter_mut() {
            let Some(sp) = thread.registers.and_then(|registers| registers.sp()) else { continue };
            let Some(mapping) = mappings.find(RuntimeAddr(sp)) else { continue };
            let length = (mapping.end.0 - sp).min(each) as usize;
            thread.stack = (sp, total, length);
            total += length;
        }
        let mut bytes = vec![0; total];
        let mut first = 0;
        // What cannot be read of one stack ends that one's copy, not the others'.
        while first < threads.len() {
            let ranges: Vec<(RuntimeAddr, usize)> =
                threads[first..].iter().map(|thread| (RuntimeAddr(thread.stack.0), thread.stack.2)).collect();
            let begin = threads[first].stack.1;
            let got = self.read_many(&ranges, &mut bytes[begin..]).unwrap_or(0);
            let mut left = got;
            let stopped = threads[first..].iter().position(|thread| {
                let whole = thread.stack.2 <= left;
                left -= thread.stack.2.min(left);
                !whole
            });
            let Some(stopped) = stopped else { break };
            let before: usize = threads[first..first + stopped].iter().map(|thread| thread.stack.2).sum();
            threads[first + stopped].stack.2 = got.saturating_sub(before);
            first += stopped + 1;
            // The buffer's places stay as they were given.
            while threads.get(first).is_some_and(|thread| thread.stack.2 == 0) {
                first += 1;
            }
        }
        bytes
    }

    /// The stack of one thread of the held process, with the registers of each frame.
    pub fn stack_of(&self, tid: Tid, modules: &Modules, mappings: &Mappings, limits: Limits) -> Stack {
        let Some(registers) = self.registers_now(tid) else { return Stack { frames: Vec::new(), end: End::NoThread } };
        let memory = HeldMemory::of(self);
        Unwinder::new(modules, mappings, &memory).unwind(registers, limits)
    }
}

fn asleep(sp: RuntimeAddr, pc: RuntimeAddr) -> FrameRegisters {
    let registers = Registers::asleep_in(0, [0; 6], sp, pc);
    use crate::symbols::unwind::{RIP, RSP};
    FrameRegisters::default().with(RSP, registers.rsp).with(RIP, registers.rip)
}

impl Snapshot {
    /// The mappings at that time.
    pub fn mappings(&self) -> &Mappings {
        &self.mappings
    }

    /// The names of the threads, as long as they live; any characters.
    pub fn names(&self) -> Vec<Option<String>> {
        self.threads.iter().map(|thread| proc::thread_name(self.pid, thread.tid).ok()).collect()
    }

    /// Walks and names all stacks, by all processors. Equal stacks are one.
    pub fn stacks(&self, modules: &Modules, limits: Limits) -> Vec<Arc<NamedStack>> {
        let memory = self.memory.as_deref();
        let (threads, bytes, mappings) = (&self.threads[..], &self.bytes[..], &self.mappings);
        let next = AtomicUsize::new(0);
        let workers =
            std::thread::available_parallelism().map_or(1, usize::from).min(threads.len().div_ceil(16)).max(1);
        let work = || {
            let copied = CopiedMemory { mappings, memory, bytes, stack: (0, 0, 0).into() };
            let mut unwinder = Unwinder::new(modules, mappings, &copied);
            let mut names = Names { namer: Namer::new(modules, mappings), known: FxHashMap::default() };
            let mut own = Vec::new();
            loop {
                let begin = next.fetch_add(BATCH, Ordering::Relaxed);
                let batch = threads.get(begin..threads.len().min(begin + BATCH)).unwrap_or_default();
                if batch.is_empty() {
                    return own;
                }
                let stacks = batch.iter().map(|thread| {
                    copied.stack.set(thread.stack);
                    let unwound = thread.registers.map(|registers| unwinder.unwind(registers, limits));
                    names.of(&unwound.unwrap_or(Stack { frames: Vec::new(), end: End::NoThread }))
                });
                own.push((begin, stacks.collect()));
            }
        };
        let mut batches: Vec<(usize, Vec<Arc<NamedStack>>)> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
            let own = work();
            own.into_iter().chain(others.into_iter().flat_map(|other| other.join().unwrap_or_default())).collect()
        });
        batches.sort_unstable_by_key(|(begin, _)| *begin);
        batches.into_iter().flat_map(|(_, stacks)| stacks).collect()
    }
}

/// So many threads are taken at once by a processor.
const BATCH: usize = 64;

/// What makes two stacks equal: each frame's place, and the end.
type Key = (Vec<(RuntimeAddr, RuntimeAddr)>, End);

/// The names of stacks: each that there is only once.
struct Names<'a> {
    namer: Namer<'a>,
    known: FxHashMap<Key, Arc<NamedStack>>,
}

impl Names<'_> {
    fn of(&mut self, stack: &Stack) -> Arc<NamedStack> {
        let key = (stack.frames.iter().map(|frame| (frame.pc, frame.lookup)).collect(), stack.end);
        self.known.entry(key).or_insert_with(|| Arc::new(self.namer.name_all(stack))).clone()
    }
}

/// The copy of one thread's stack, and whatever of the process does not change while it runs.
struct CopiedMemory<'a> {
    mappings: &'a Mappings,
    memory: Option<&'a Memory>,
    bytes: &'a [u8],
    stack: std::cell::Cell<(u64, usize, usize)>,
}

impl StackMemory for CopiedMemory<'_> {
    fn read(&self, addr: RuntimeAddr, buffer: &mut [u8]) -> usize {
        let (start, place, length) = self.stack.get();
        if let Some(skip) = addr.0.checked_sub(start).filter(|skip| *skip < length as u64) {
            let there = &self.bytes[place + skip as usize..place + length];
            let count = there.len().min(buffer.len());
            buffer[..count].copy_from_slice(&there[..count]);
            return count;
        }
        let constant = self.mappings.find(addr).is_some_and(|mapping| !mapping.write && mapping.execute);
        match self.memory.filter(|_| constant) {
            Some(memory) => memory.read(addr, buffer).unwrap_or(0),
            None => 0,
        }
    }

    fn is_beyond(&self, addr: RuntimeAddr) -> bool {
        self.mappings.find(addr).is_some_and(|mapping| mapping.read)
    }
}
