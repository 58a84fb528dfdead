//! The short stop: the registers of threads and the used part of their stacks, copied in bulk, so that a process need not be
//! held while its stacks are walked. What is walked and named comes afterwards, by all processors.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::goroutines::{GoRuntime, GoThread, ParkedGoroutine};
use super::process::{Phase, Process};
use super::stacks::{
    End, FrameRegisters, GoStep, HeldMemory, Limits, NamedStack, Namer, Stack, StackMemory, Unwinder, registers_of,
};
use super::thread::State;
use super::{Modules, Result};
use crate::addr::{Pid, RuntimeAddr, Tid};
use crate::kernel::arch::Registers;
use crate::kernel::maps::{Mapping, Mappings};
use crate::kernel::memory::Memory;
use crate::kernel::proc::{self, SyscallNow};
use crate::kernel::room;
use crate::parallel;

/// All copies together take at most about so much, where nobody has said how much of each stack is copied.
const BUDGET: u64 = 16 << 20;

/// At least and at most so much of each stack is copied then, bytes.
const LEAST: u64 = 4 << 10;
const MOST: u64 = 64 << 10;

/// Whatever is asked for, all copies together take no more.
const CEILING: u64 = 1 << 30;

/// So much of each stack is made room for before it is known what is used, bytes: threads that wait have less.
const LIKELY: u64 = 2 << 10;

/// No more than this is made room for then.
const LARGEST_ROOM: u64 = 64 << 20;

/// How much of each of so many stacks is copied, bytes.
fn each_of(asked_for: Option<u64>, count: u64) -> u64 {
    let count = count.max(1);
    asked_for.unwrap_or_else(|| (BUDGET / count).clamp(LEAST, MOST)).min(CEILING / count)
}

/// Memory for the stacks of so many threads, which is there before these are held.
pub fn room_for_stacks(count: usize, each: Option<u64>) -> Vec<u8> {
    let likely = each_of(each, count as u64).min(LIKELY);
    let size = (count as u64).saturating_mul(likely).min(LARGEST_ROOM) as usize;
    let mut room = room::prepared(size);
    room.resize(size, 0);
    room
}

/// The same for all threads of a process that is not attached.
pub fn room_for(pid: Pid, each: Option<u64>) -> Vec<u8> {
    // An error: attaching says what it is.
    room_for_stacks(proc::tasks(pid).map_or(0, |tasks| tasks.len()), each)
}

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
    /// The copy of its stack, and of others that it has left for a signal's handler.
    pieces: Pieces,
    /// Where its thread control block is, which its C library puts above the stack: what is used lies below. 0: not known.
    control_block: u64,
    /// What Go's runtime knows of it.
    go: Option<GoThread>,
}

/// A copied piece of memory: its address, where it stands in the buffer, and its length.
#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    start: u64,
    place: usize,
    length: usize,
}

/// Most threads have one.
type Pieces = Vec<Piece>;

/// A thread has at most so many: each but the first for a signal's handler that runs on a stack of its own.
const MOST_PIECES: usize = 4;

impl Process {
    /// Copies registers and stacks of these threads, or of all. A process that runs is held for it. `each`: how much of each stack;
    /// what seems good if `None`. `go`: its Go runtime, if there is one.
    pub fn snapshot(&mut self, wanted: Option<&[Tid]>, each: Option<u64>, go: Option<&GoRuntime>) -> Result<Snapshot> {
        // What is slow to ask is asked before.
        let mappings = self.mappings().unwrap_or_default();
        let room = room_for_stacks(wanted.map_or(self.threads.len(), <[Tid]>::len), each);
        self.snapshot_with(mappings, wanted, each, go, room)
    }

    /// The same, with mappings that were read and memory that was found before the process was attached to.
    pub fn snapshot_with(
        &mut self,
        mappings: Mappings,
        wanted: Option<&[Tid]>,
        each: Option<u64>,
        go: Option<&GoRuntime>,
        room: Vec<u8>,
    ) -> Result<Snapshot> {
        let running = matches!(self.phase, Phase::Running);
        let memory = self.memory().ok();
        let hold = self.take_hold()?;
        let mut snapshot = self.copy(wanted, each, mappings, go, room);
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

    /// Copies registers and stacks of these threads of the held process.
    pub(super) fn copy_of(&self, wanted: &[Tid], mappings: Mappings, go: &GoRuntime, memory: Rc<Memory>) -> Snapshot {
        let snapshot = self.copy(Some(wanted), None, mappings, Some(go), Vec::new());
        Snapshot { memory: Some(memory), ..snapshot }
    }

    /// `room`: memory that may be used.
    fn copy(
        &self,
        wanted: Option<&[Tid]>,
        each: Option<u64>,
        mappings: Mappings,
        go: Option<&GoRuntime>,
        room: Vec<u8>,
    ) -> Snapshot {
        let numbers = self.thread_numbers();
        let wanted: Option<FxHashSet<Tid>> = wanted.map(|wanted| wanted.iter().copied().collect());
        let is_wanted = |tid: &Tid| wanted.as_ref().is_none_or(|wanted| wanted.contains(tid));
        let mut threads: Vec<ThreadCopy> = numbers
            .into_iter()
            .filter(|(_, tid)| is_wanted(tid))
            .map(|(number, tid)| {
                let (registers, control_block) = self.registers_now(tid).unzip();
                let control_block = control_block.unwrap_or(0);
                ThreadCopy { number, tid, registers, pieces: Pieces::new(), control_block, go: None }
            })
            .collect();
        if let Some(go) = go {
            let tids: Vec<Tid> = threads.iter().map(|thread| thread.tid).collect();
            threads.iter_mut().zip(self.go_threads(go, &tids)).for_each(|(thread, known)| thread.go = known);
        }
        let bytes = self.copy_stacks(&mut threads, each, &mappings, room);
        Snapshot { pid: self.pid, threads, held: None, mappings, bytes, memory: None }
    }

    /// The registers of a thread and its `fs_base`; of one that sleeps in the kernel those few that can be known, and 0.
    fn registers_now(&self, tid: Tid) -> Option<(FrameRegisters, u64)> {
        if let Some(registers) = self.registers_at(tid) {
            return Some((registers_of(&registers), registers.fs_base));
        }
        if self.threads.get(&tid).is_none_or(|thread| thread.state == State::Zombie) {
            return None;
        }
        match proc::syscall_now(self.pid, tid) {
            Ok(SyscallNow::In { sp, pc, .. }) => Some((asleep(sp, pc), 0)),
            _ => None,
        }
    }

    fn copy_stacks(
        &self,
        threads: &mut [ThreadCopy],
        each: Option<u64>,
        mappings: &Mappings,
        mut bytes: Vec<u8>,
    ) -> Vec<u8> {
        let each = each_of(each, threads.len() as u64);
        let mut end = 0;
        let sp = |thread: &ThreadCopy| thread.registers.and_then(|registers| registers.sp());
        let mut wanted: Vec<(usize, u64)> =
            threads.iter().enumerate().filter_map(|(index, thread)| Some((index, sp(thread)?))).collect();
        // Go leaves a thread's stack for its goroutine's and comes back to it.
        let others =
            threads.iter().enumerate().filter_map(|(index, thread)| Some((index, thread.registers?, thread.go?)));
        for (index, registers, go) in others.collect::<Vec<_>>() {
            let on_goroutine = registers.sp().is_some_and(|sp| go.holds(sp));
            if !on_goroutine && go.lo != 0 && go.hi.checked_sub(go.lo).is_some_and(|size| size <= each) {
                // Where it left its stack the runtime has not always noted (vDSO, signals).
                wanted.push((index, go.lo));
            } else if !on_goroutine && go.holds(go.sp) {
                wanted.push((index, go.sp));
            } else if on_goroutine && go.calls_c && go.system_sp != 0 {
                wanted.push((index, go.system_sp));
            }
        }
        for _ in 0..MOST_PIECES {
            let mut pieces: Vec<(usize, Piece)> = Vec::with_capacity(wanted.len());
            for (index, start) in wanted.drain(..) {
                let Some(mapping) = mappings.find(RuntimeAddr(start)).filter(|mapping| mapping.read) else { continue };
                let length = (used_end(start, threads[index].control_block, mapping) - start).min(each) as usize;
                pieces.push((index, Piece { start, place: end, length }));
                end += length;
            }
            if end > bytes.capacity() && threads.iter().all(|thread| thread.pieces.is_empty()) {
                // Pages that are found when they are needed: nothing is in the room yet that would have to be moved.
                bytes = vec![0; end];
            }
            bytes.resize(end.max(bytes.len()), 0);
            self.copy_pieces(&mut pieces, &mut bytes);
            for (index, piece) in pieces {
                threads[index].pieces.push(piece);
                let copied = &bytes[piece.place..piece.place + piece.length];
                let is_new = |sp: &u64| threads[index].pieces.iter().all(|piece| !piece.holds(*sp));
                wanted.extend(interrupted_stacks(copied).filter(is_new).take(MOST_PIECES).map(|sp| (index, sp)));
            }
            if wanted.is_empty() {
                break;
            }
        }
        bytes.truncate(end);
        bytes
    }

    /// Copies them. What cannot be read of one ends that one, not the others.
    fn copy_pieces(&self, pieces: &mut [(usize, Piece)], bytes: &mut [u8]) {
        let mut first = 0;
        while first < pieces.len() {
            let left = &pieces[first..];
            let ranges: Vec<(RuntimeAddr, usize)> =
                left.iter().map(|(_, piece)| (RuntimeAddr(piece.start), piece.length)).collect();
            let mut got = self.read_many(&ranges, &mut bytes[left[0].1.place..]).unwrap_or(0);
            let whole = left.iter().take_while(|(_, piece)| {
                let whole = piece.length <= got;
                got -= piece.length.min(got) * usize::from(whole);
                whole
            });
            first += whole.count();
            if let Some((_, cut)) = pieces.get_mut(first) {
                cut.length = got;
                first += 1;
            }
        }
    }

    /// The stack of one thread of the held process, with the registers of each frame.
    pub fn stack_of(&self, tid: Tid, modules: &Modules, mappings: &Mappings, limits: Limits) -> Stack {
        let Some((registers, _)) = self.registers_now(tid) else {
            return Stack { frames: Vec::new(), end: End::NoThread };
        };
        let memory = HeldMemory::of(self);
        let Some(go) = modules.go_runtime() else {
            return Unwinder::new(modules, mappings, &memory).unwind(registers, limits);
        };
        let step = GoStep::default();
        step.begin(self.go_threads(go, &[tid]).pop().flatten());
        Unwinder::new(modules, mappings, &memory).with_step(&step).unwind(registers, limits)
    }

    /// The stack of a goroutine that is on no thread.
    pub fn stack_of_parked(
        &self,
        goroutine: &ParkedGoroutine,
        modules: &Modules,
        mappings: &Mappings,
        limits: Limits,
    ) -> Stack {
        let (memory, step) = (HeldMemory::of(self), GoStep::default());
        let mut unwinder = Unwinder::new(modules, mappings, &memory).with_step(&step);
        unwinder.unwind_from(goroutine.registers, goroutine.is_new, limits)
    }

    /// Where a goroutine of the held process goes on; `addr`: its `g`. `None`: there is none such any more.
    pub fn parked(&self, go: &GoRuntime, addr: u64, id: u64) -> Option<ParkedGoroutine> {
        // An error is that of a process that has ended.
        go.parked(&*self.memory().ok()?, addr, id)
    }

    /// What Go's runtime knows of these threads of the held process.
    pub fn go_threads(&self, go: &GoRuntime, tids: &[Tid]) -> Vec<Option<GoThread>> {
        let bases: Vec<Option<u64>> =
            tids.iter().map(|tid| self.registers_at(*tid).map(|registers| registers.fs_base)).collect();
        match self.memory() {
            Ok(memory) => go.threads(&memory, &bases),
            // It has ended: nothing is known of its threads.
            Err(_) => vec![None; tids.len()],
        }
    }
}

impl Piece {
    fn holds(&self, addr: u64) -> bool {
        addr.checked_sub(self.start).is_some_and(|offset| offset < self.length as u64)
    }
}

/// Where the used part of a stack ends at the latest. glibc (nptl/allocatestack.c), musl and bionic put a thread's control block,
/// `%fs:0`, at the top of its stack, and guard pages need not be between it and the next thread's. On another stack that was
/// made for a thread it is no part of what is used either. The first thread's stack has its own mapping, and what starts a program
/// without a C library may have put the block among its first frames.
fn used_end(start: u64, control_block: u64, mapping: &Mapping) -> u64 {
    let is_first = mapping.name.as_deref() == Some("[stack]");
    if control_block > start && !is_first { control_block.min(mapping.end.0) } else { mapping.end.0 }
}

/// The stack pointers that the kernel has saved for signal handlers, in a copied stack: `struct sigcontext_64`
/// (arch/x86/include/uapi/asm/sigcontext.h) has rsp, rip, eflags and then cs, gs, fs, ss as 16 bits each, which in 64-bit code
/// are 0x33, 0, 0, 0x2b. What only looks like one costs a copy.
fn interrupted_stacks(copied: &[u8]) -> impl Iterator<Item = u64> + '_ {
    const SEGMENTS: [u8; 8] = 0x002b_0000_0000_0033u64.to_le_bytes();
    let word = |at: usize| copied.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    memchr::memmem::find_iter(copied, &SEGMENTS).filter_map(move |at| word(at.checked_sub(24)?))
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

    /// Walks all stacks by all processors, drops the copies, and names the stacks: equal ones are one. Beside each stands its
    /// thread's name (any characters), if that lives still.
    pub fn stacks(&mut self, modules: &Modules, limits: Limits) -> Vec<(Option<String>, Arc<NamedStack>)> {
        let bytes = std::mem::take(&mut self.bytes);
        let (threads, mappings, pid) = (&self.threads[..], &self.mappings, self.pid);
        let walk = Walk { threads, mappings, modules, bytes: &bytes, memory: self.memory.as_deref(), limits };
        let workers = parallel::processors().min(threads.len().div_ceil(16)).max(1);
        let next = AtomicUsize::new(0);
        let (walked, names) = std::thread::scope(|scope| {
            let names = (workers > 1).then(|| scope.spawn(|| names_of(pid, threads)));
            let others: Vec<_> = (1..workers).map(|_| scope.spawn(|| walk.some(&next))).collect();
            let own = walk.some(&next);
            let others = others.into_iter().filter_map(|other| other.join().ok());
            (std::iter::once(own).chain(others).collect::<Vec<_>>(), names.and_then(|names| names.join().ok()))
        });
        // The copies are much, and symbols are too: never both at once.
        drop(bytes);
        let mut namer = Namer::new(modules, mappings);
        let mut known: FxHashMap<Key, Arc<NamedStack>> = FxHashMap::default();
        let mut stacks: Vec<(usize, Arc<NamedStack>)> = Vec::with_capacity(threads.len());
        for Walked { unique, of_threads } in walked {
            let named: Vec<Arc<NamedStack>> = unique
                .iter()
                .map(|stack| known.entry(key(stack)).or_insert_with(|| Arc::new(namer.name_all(stack))).clone())
                .collect();
            stacks.extend(of_threads.into_iter().map(|(thread, which)| (thread, named[which].clone())));
        }
        stacks.sort_unstable_by_key(|(thread, _)| *thread);
        let names = names.unwrap_or_else(|| names_of(pid, threads));
        names.into_iter().zip(stacks).map(|(name, (_, stack))| (name, stack)).collect()
    }
}

/// What stacks are walked from.
struct Walk<'a> {
    threads: &'a [ThreadCopy],
    mappings: &'a Mappings,
    modules: &'a Modules,
    bytes: &'a [u8],
    memory: Option<&'a Memory>,
    limits: Limits,
}

/// Stacks that one processor has walked: each that there is only once, and which one each thread has.
#[derive(Default)]
struct Walked {
    unique: Vec<Stack>,
    of_threads: Vec<(usize, usize)>,
}

impl Walk<'_> {
    /// Takes threads until there are none left.
    fn some(&self, next: &AtomicUsize) -> Walked {
        let copied =
            CopiedMemory { mappings: self.mappings, memory: self.memory, bytes: self.bytes, pieces: Cell::new(&[]) };
        let step = GoStep::default();
        let mut unwinder = Unwinder::new(self.modules, self.mappings, &copied);
        if self.modules.go_runtime().is_some() {
            unwinder = unwinder.with_step(&step);
        }
        let (mut walked, mut known) = (Walked::default(), FxHashMap::default());
        loop {
            let begin = next.fetch_add(BATCH, Ordering::Relaxed);
            let batch = self.threads.get(begin..self.threads.len().min(begin + BATCH)).unwrap_or_default();
            if batch.is_empty() {
                return walked;
            }
            for (index, thread) in batch.iter().enumerate() {
                copied.pieces.set(&thread.pieces);
                step.begin(thread.go);
                let stack = thread.registers.map(|registers| unwinder.unwind(registers, self.limits));
                let stack = stack.unwrap_or(Stack { frames: Vec::new(), end: End::NoThread });
                let which = *known.entry(key(&stack)).or_insert_with(|| {
                    walked.unique.push(stack);
                    walked.unique.len() - 1
                });
                walked.of_threads.push((begin + index, which));
            }
        }
    }
}

fn names_of(pid: Pid, threads: &[ThreadCopy]) -> Vec<Option<String>> {
    proc::thread_names(pid, threads.iter().map(|thread| thread.tid))
}

/// So many threads are taken at once by a processor.
const BATCH: usize = 64;

/// What makes two stacks equal: each frame's place, and the end.
type Key = (Vec<(RuntimeAddr, RuntimeAddr)>, End);

fn key(stack: &Stack) -> Key {
    (stack.frames.iter().map(|frame| (frame.pc, frame.lookup)).collect(), stack.end)
}

/// The copy of one thread's stack, and whatever of the process does not change while it runs.
struct CopiedMemory<'a> {
    mappings: &'a Mappings,
    memory: Option<&'a Memory>,
    bytes: &'a [u8],
    pieces: Cell<&'a [Piece]>,
}

impl StackMemory for CopiedMemory<'_> {
    fn read(&self, addr: RuntimeAddr, buffer: &mut [u8]) -> usize {
        if let Some(piece) = self.pieces.get().iter().find(|piece| piece.holds(addr.0)) {
            let skip = (addr.0 - piece.start) as usize;
            let there = &self.bytes[piece.place + skip..piece.place + piece.length];
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
