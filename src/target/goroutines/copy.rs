//! What is copied of all goroutines while a process stands still: their `g`s and the used part of their stacks, by few calls
//! and all processors. Names nothing and walks nothing: that comes afterwards.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::GoroutineFault;
use super::layout::{G_M, Layout, SCHED_PC, SCHED_SP, STACK_HI};
use super::runtime::GoRuntime;
use crate::addr::{RuntimeAddr, Tid};
use crate::kernel::maps::Mappings;
use crate::kernel::memory::Memory;
use crate::target::process::Process;
use crate::target::stacks::{FrameRegisters, registers_of};

/// A `g` as far as it is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawG {
    /// Where it is.
    pub addr: u64,
    /// The stack's lowest address.
    pub lo: u64,
    /// The address behind the stack.
    pub hi: u64,
    /// The `m` that runs it, 0 if none does.
    pub m: u64,
    /// Where it goes on: pc, sp and bp, in a system call those of its caller.
    pub pc: u64,
    /// Its stack pointer.
    pub sp: u64,
    /// Its frame pointer, 0 if it is not known.
    pub bp: u64,
    /// `atomicstatus` without the collector's bit.
    pub status: u32,
    /// `waitreason`.
    pub reason: u8,
    /// `goid`.
    pub id: u64,
    /// `waitsince`, of CLOCK_MONOTONIC in nanoseconds; 0 if the runtime has not noted it.
    pub since: u64,
    /// `parentGoid`, 0 if it is not known.
    pub parent: u64,
    /// `gopc`.
    pub creator_pc: u64,
    /// `startpc`.
    pub start_pc: u64,
    /// `labels`.
    pub labels: u64,
    /// Where its stack stands in the copy, and how much of it there is.
    piece: (usize, u32),
    /// Whether it goes on at exactly `pc`, which is not behind a call.
    pub is_exact: bool,
}

/// `_Gscan` of runtime/runtime2.go: the collector looks at it; the status is the rest.
const SCAN: u32 = 0x1000;
/// `_Gdead` and, since 1.26, `_Gdeadextra`; `_Gidle` has never been one.
const DEAD: [u32; 3] = [0, 6, 11];
/// `_Grunning`.
pub(super) const RUNNING: u32 = 2;

impl RawG {
    fn read(bytes: &[u8], addr: u64, layout: &Layout) -> Option<RawG> {
        let word = |at: u64| Some(u64::from_le_bytes(bytes.get(at as usize..at as usize + 8)?.try_into().ok()?));
        let status = u32::from_le_bytes(bytes.get(layout.status as usize..)?.get(..4)?.try_into().ok()?) & !SCAN;
        let (syscall_sp, syscall_pc) = (word(layout.syscall_sp)?, word(layout.syscall_sp + 8)?);
        let (pc, sp, bp) = match syscall_sp {
            0 => (word(SCHED_PC)?, word(SCHED_SP)?, word(layout.sched_bp)?),
            sp => (syscall_pc, sp, layout.syscall_bp.and_then(word).unwrap_or(0)),
        };
        Some(RawG {
            addr,
            lo: word(0)?,
            hi: word(STACK_HI)?,
            m: word(G_M)?,
            pc,
            sp,
            bp,
            status,
            reason: *bytes.get(layout.wait_reason as usize)?,
            id: word(layout.id)?,
            since: word(layout.wait_since)?,
            parent: layout.parent.and_then(word).unwrap_or(0),
            creator_pc: word(layout.creator_pc)?,
            start_pc: word(layout.start_pc)?,
            labels: word(layout.labels)?,
            piece: (0, 0),
            is_exact: false,
        })
    }

    fn is_alive(&self) -> bool {
        !DEAD.contains(&self.status) && self.id != 0
    }
}

/// All goroutines of a process at one moment.
pub struct GoroutineCopy {
    /// The living ones, in no order.
    pub gs: Vec<RawG>,
    /// The threads of those `m`s that have a goroutine.
    pub threads: FxHashMap<u64, Tid>,
    /// How long the process was held for it; `None`: it was held already.
    pub held: Option<Duration>,
    /// Its mappings.
    pub mappings: Mappings,
    /// How many could not be read.
    pub unreadable: usize,
    stacks: Vec<u8>,
}

/// More goroutines than this are not looked at.
const MOST: u64 = 16 << 20;

impl GoroutineCopy {
    /// The copied part of a goroutine's stack, from its stack pointer on.
    pub fn stack(&self, g: &RawG) -> &[u8] {
        let (start, length) = g.piece;
        self.stacks.get(start..start + length as usize).unwrap_or_default()
    }
}

impl Process {
    /// Copies all goroutines with at most so much of each stack. A process that runs is held for it.
    pub fn copy_goroutines(&mut self, runtime: &GoRuntime, each: usize) -> Result<GoroutineCopy, GoroutineFault> {
        let running = self.held().is_none();
        let memory = self.memory()?;
        let mappings = self.mappings()?;
        // Entries of the list are never taken out and never moved: those that are there now are there in the stop.
        let mut list = if running { read_list(&memory, runtime, 0) } else { Vec::new() };
        let mut runs = Runs::of(&list, runtime.layout.g_size());
        let hold = self.take_hold()?;
        let more = read_list(&memory, runtime, list.len());
        if !more.is_empty() {
            list.extend(more);
            runs = Runs::of(&list, runtime.layout.g_size());
        }
        let mut gs = read_gs(&memory, &runs, &runtime.layout);
        let unreadable = list.len() - gs.len().min(list.len());
        gs.retain(RawG::is_alive);
        let threads = read_threads(&memory, &gs, &runtime.layout);
        for g in gs.iter_mut().filter(|g| g.status == RUNNING) {
            let registers = threads.get(&g.m).and_then(|tid| self.registers_at(*tid)).map(|found| registers_of(&found));
            g.stand_at(registers);
        }
        let stacks = read_stacks(&memory, &mut gs, each);
        let held = hold.map(|hold| self.release(hold)).transpose()?;
        Ok(GoroutineCopy { gs, threads, held, mappings, unreadable, stacks })
    }
}

impl RawG {
    /// A running one goes on where its thread stands, unless that is on another stack just now.
    fn stand_at(&mut self, registers: Option<FrameRegisters>) {
        let Some((pc, sp)) = registers.and_then(|registers| Some((registers.pc()?, registers.sp()?))) else { return };
        if (self.lo..self.hi).contains(&sp) {
            (self.pc, self.sp, self.is_exact) = (pc, sp, true);
            self.bp = registers.and_then(|registers| registers.get(crate::symbols::unwind::RBP)).unwrap_or(0);
        }
    }
}

fn word(memory: &Memory, at: RuntimeAddr) -> Option<u64> {
    let mut bytes = [0; 8];
    (memory.read_fast(at, &mut bytes) == Ok(8)).then(|| u64::from_le_bytes(bytes))
}

/// The addresses of the `g`s from an index on.
fn read_list(memory: &Memory, runtime: &GoRuntime, from: usize) -> Vec<u64> {
    let count = word(memory, runtime.count_at).unwrap_or(0).min(MOST);
    let (Some(list), Some(count)) = (word(memory, runtime.list_at), count.checked_sub(from as u64)) else {
        return Vec::new();
    };
    let mut bytes = vec![0; count as usize * 8];
    let got = memory.read_fast(RuntimeAddr(list.wrapping_add(from as u64 * 8)), &mut bytes).unwrap_or(0);
    let words = bytes[..got].chunks_exact(8);
    words.map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default())).collect()
}

/// Stretches of memory in which `g`s lie close together, in few pieces and not too large ones.
struct Runs {
    /// The addresses, rising.
    sorted: Vec<u64>,
    /// From which to which of them, and how long the stretch is.
    runs: Vec<(usize, usize, usize)>,
    size: usize,
}

/// So far apart they are read together: `g`s of a size class of their own lie side by side.
const NEAR: u64 = 256;
/// So much is read at once.
const CHUNK: usize = 256 << 10;

impl Runs {
    fn of(list: &[u64], size: usize) -> Runs {
        let mut sorted = list.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut runs: Vec<(usize, usize, usize)> = Vec::new();
        for (index, addr) in sorted.iter().enumerate() {
            if let Some((first, last, length)) = runs.last_mut() {
                let end = sorted[*first].saturating_add(*length as u64);
                let wanted = addr.saturating_sub(sorted[*first]) as usize;
                if *addr <= end.saturating_add(NEAR) && wanted < CHUNK - size {
                    (*last, *length) = (index + 1, wanted + size);
                    continue;
                }
            }
            runs.push((index, index + 1, size));
        }
        Runs { sorted, runs, size }
    }
}

fn read_gs(memory: &Memory, runs: &Runs, layout: &Layout) -> Vec<RawG> {
    let total: usize = runs.runs.iter().map(|(_, _, length)| length).sum();
    let parts = split(&runs.runs, total, |run| run.2);
    let work = |part: &[(usize, usize, usize)]| {
        let mut gs = Vec::with_capacity(part.iter().map(|(first, last, _)| last - first).sum());
        let mut buffer = vec![0; CHUNK];
        let mut rest = part;
        while !rest.is_empty() {
            let mut length = 0;
            let count =
                rest.iter().take_while(|run| (length + run.2 <= CHUNK).then(|| length += run.2).is_some()).count();
            let (batch, next) = rest.split_at(count.max(1));
            rest = next;
            let ranges: Vec<(RuntimeAddr, usize)> =
                batch.iter().map(|run| (RuntimeAddr(runs.sorted[run.0]), run.2.min(CHUNK))).collect();
            let mut place = 0;
            for (run, got) in batch.iter().zip(read_all(memory, &ranges, &mut buffer)) {
                for addr in &runs.sorted[run.0..run.1] {
                    let at = (addr - runs.sorted[run.0]) as usize;
                    let bytes = buffer.get(place + at..place + (at + runs.size).min(got));
                    gs.extend(bytes.and_then(|bytes| RawG::read(bytes, *addr, layout)));
                }
                place += run.2;
            }
        }
        gs
    };
    in_parallel(parts, work)
}

/// Reads ranges into a buffer one behind the other; how much of each was read. What cannot be read leaves the others alone.
fn read_all(memory: &Memory, ranges: &[(RuntimeAddr, usize)], buffer: &mut [u8]) -> Vec<usize> {
    let mut got = Vec::with_capacity(ranges.len());
    let mut place = 0;
    while got.len() < ranges.len() {
        let rest = &ranges[got.len()..];
        let wanted: usize = rest.iter().map(|(_, length)| length).sum();
        let mut read = memory.read_many(rest, &mut buffer[place..place + wanted]).unwrap_or(0);
        for (_, length) in rest {
            let here = read.min(*length);
            (read, place) = (read - here, place + length);
            got.push(here);
            if here < *length {
                break;
            }
        }
    }
    got
}

/// The tids of the `m`s that have a goroutine.
fn read_threads(memory: &Memory, gs: &[RawG], layout: &Layout) -> FxHashMap<u64, Tid> {
    let mut ms: Vec<u64> = gs.iter().map(|g| g.m).filter(|m| *m != 0).collect();
    ms.sort_unstable();
    ms.dedup();
    let size = layout.m_size();
    let ranges: Vec<(RuntimeAddr, usize)> = ms.iter().map(|m| (RuntimeAddr(*m), size)).collect();
    let mut buffer = vec![0; size * ranges.len()];
    let got = read_all(memory, &ranges, &mut buffer);
    let tid = |bytes: &[u8]| {
        let at = layout.m_procid as usize;
        let word = u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?);
        i32::try_from(word).ok().filter(|tid| *tid > 0).map(Tid)
    };
    let found = ms.iter().zip(buffer.chunks(size.max(1))).zip(got).filter(|(_, got)| *got == size);
    found.filter_map(|((m, bytes), _)| Some((*m, tid(bytes)?))).collect()
}

/// No more than this of all stacks together.
const MOST_BYTES: usize = 80 << 20;

fn read_stacks(memory: &Memory, gs: &mut [RawG], each: usize) -> Vec<u8> {
    let each = each.min((MOST_BYTES / gs.len().max(1)).max(512));
    let mut total = 0;
    for g in gs.iter_mut() {
        let used = if (g.lo..g.hi).contains(&g.sp) { (g.hi - g.sp).min(each as u64) as usize } else { 0 };
        g.piece = (total, used as u32);
        total += used;
    }
    let mut stacks = vec![0; total];
    let mut parts = Vec::new();
    let mut rest = &mut stacks[..];
    for part in split_mut(gs, total, |g| g.piece.1 as usize) {
        let length = part.iter().map(|g| g.piece.1 as usize).sum();
        let (own, others) = rest.split_at_mut(length);
        parts.push((part, own));
        rest = others;
    }
    in_parallel(parts, |(part, own)| {
        let mut place = 0;
        for batch in part.chunks_mut(1024) {
            let ranges: Vec<(RuntimeAddr, usize)> =
                batch.iter().map(|g| (RuntimeAddr(g.sp), g.piece.1 as usize)).collect();
            let length: usize = ranges.iter().map(|(_, length)| length).sum();
            let got = read_all(memory, &ranges, &mut own[place..place + length]);
            batch.iter_mut().zip(got).for_each(|(g, got)| g.piece.1 = got as u32);
            place += length;
        }
        Vec::<()>::new()
    });
    stacks
}

/// Halves (or as many parts as there are processors) of about the same size; small work stays in one.
fn split<T>(items: &[T], total: usize, size: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut parts, mut rest) = (Vec::new(), items);
    for length in lengths(items, total, size) {
        let (part, others) = rest.split_at(length);
        parts.push(part);
        rest = others;
    }
    parts
}

fn split_mut<T>(items: &mut [T], total: usize, size: impl Fn(&T) -> usize) -> Vec<&mut [T]> {
    let lengths = lengths(items, total, size);
    let (mut parts, mut rest) = (Vec::new(), items);
    for length in lengths {
        let (part, others) = rest.split_at_mut(length);
        parts.push(part);
        rest = others;
    }
    parts
}

fn lengths<T>(items: &[T], total: usize, size: impl Fn(&T) -> usize) -> Vec<usize> {
    const SMALL: usize = 1 << 20;
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let goal = (total / workers).max(SMALL);
    let (mut lengths, mut count, mut sum) = (Vec::new(), 0, 0);
    for item in items {
        (count, sum) = (count + 1, sum + size(item));
        if sum >= goal {
            lengths.push(count);
            (count, sum) = (0, 0);
        }
    }
    lengths.push(count);
    lengths
}

/// Does each part by a thread of its own, the first by this one, and puts the answers one behind the other.
pub(super) fn in_parallel<P: Send, T: Send>(parts: Vec<P>, work: impl Fn(P) -> Vec<T> + Sync) -> Vec<T> {
    let work = &work;
    std::thread::scope(|scope| {
        let mut parts = parts.into_iter();
        let first = parts.next();
        let others: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        let mut all = first.map(work).unwrap_or_default();
        for other in others {
            all.extend(other.join().unwrap_or_default());
        }
        all
    })
}
