//! What is copied of all goroutines while a process stands still: their `g`s and the used part of their stacks, by few calls
//! and all processors. Names nothing and walks nothing: that comes afterwards.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::layout::Layout;
use super::raw::{Piece, RUNNING, RawG, SYSCALL};
use super::runtime::GoRuntime;
use super::{Depth, GoroutineFault};
use crate::addr::{Pid, RuntimeAddr, Tid};
use crate::kernel::maps::Mappings;
use crate::kernel::memory::{Memory, PAGE};
use crate::kernel::room;
use crate::parallel;
use crate::target::process::Process;
use crate::target::snapshot::Snapshot;
use crate::target::stacks::registers_of;

/// All goroutines of a process at one moment.
pub struct GoroutineCopy {
    /// The living ones, in no order, by reader.
    gs: Vec<Vec<RawG>>,
    /// The threads of those `m`s that have a goroutine.
    pub threads: FxHashMap<u64, Tid>,
    /// How long the process was held for it; `None`: it was held already.
    pub held: Option<Duration>,
    /// Its mappings.
    pub mappings: Mappings,
    /// How many could not be read.
    pub unreadable: usize,
    /// How many live, those included that were not asked for.
    pub total: usize,
    /// By reader.
    stacks: Vec<Vec<u8>>,
}

/// More goroutines than this are not looked at.
const MOST: u64 = 16 << 20;

impl GoroutineCopy {
    /// The living ones, in no order.
    pub fn gs(&self) -> impl Iterator<Item = &RawG> {
        self.gs.iter().flatten()
    }

    /// The copied part of a goroutine's stack, from its stack pointer on.
    pub fn stack(&self, g: &RawG) -> &[u8] {
        let Piece { start, length, reader } = g.piece;
        let stacks = self.stacks.get(reader as usize);
        stacks.and_then(|stacks| stacks.get(start..start + length as usize)).unwrap_or_default()
    }
}

impl Process {
    /// Copies goroutines as deep as is asked for, and with them the threads that know more of theirs than the runtime does. A
    /// process that runs is held for it.
    pub fn copy_goroutines(
        &mut self,
        runtime: &GoRuntime,
        depth: Depth,
        ahead: Option<Ahead>,
    ) -> Result<(GoroutineCopy, Snapshot), GoroutineFault> {
        let running = self.held().is_none();
        let memory = self.memory()?;
        let mappings = self.mappings()?;
        let looks_ahead = running || depth.only.is_some();
        let ahead = ahead.or_else(|| looks_ahead.then(|| Ahead::by(&memory, runtime, depth)));
        let Ahead { mut list, total, mut runs, rooms } = ahead.unwrap_or_default();
        let hold = self.take_hold()?;
        let more = if depth.only.is_none() { read_list(&memory, runtime, list.len()) } else { Vec::new() };
        if !more.is_empty() {
            list.extend(more);
            runs = Runs::of(&list, runtime.layout.g_size());
        }
        let each = depth.bytes.min((MOST_BYTES / list.len().max(1)).max(512));
        let mut parts = read_all_gs(&memory, &runs, &runtime.layout, each, rooms);
        let threads =
            read_threads(&memory, parts.iter().flat_map(|part| part.gs.iter().chain(&part.running)), &runtime.layout);
        let mut away = Vec::new();
        let mut scratch = vec![0; CHUNK.max(each)];
        for (number, part) in (0..).zip(&mut parts) {
            away.extend(self.stand_at_threads(part, &threads, runtime, depth.only_user));
            let running = std::mem::take(&mut part.running);
            part.read_stacks(&memory, number, each, running, &mut scratch);
        }
        let away = self.copy_of(&away, mappings.clone(), runtime, memory);
        let held = hold.map(|hold| self.release(hold)).transpose()?;
        let unreadable = list.len().saturating_sub(parts.iter().map(|part| part.readable).sum());
        if let Some(id) = depth.only {
            // Another may have its place by now.
            parts.iter_mut().for_each(|part| part.gs.retain(|g| g.id == id));
        }
        let total = total.unwrap_or_else(|| parts.iter().map(|part| part.gs.len()).sum());
        let (gs, stacks) = parts.into_iter().map(|part| (part.gs, part.stacks)).unzip();
        Ok((GoroutineCopy { gs, threads, held, mappings, unreadable, total, stacks }, away))
    }

    /// Running goroutines go on where their threads stand; the threads that are not on their goroutines' stacks.
    fn stand_at_threads(
        &self,
        part: &mut Part,
        threads: &FxHashMap<u64, Tid>,
        runtime: &GoRuntime,
        only_user: bool,
    ) -> Vec<Tid> {
        // In a list it is enough which function of Go has called C or the kernel.
        let tells_more = |g: &&mut RawG| g.m != 0 && (g.status != SYSCALL || !only_user);
        let on_threads = part.running.iter_mut().chain(part.gs.iter_mut().filter(tells_more)).take(MOST_ON_THREADS);
        let is_away = |g: &mut RawG| {
            let tid = *threads.get(&g.m)?;
            let registers = self.registers_at(tid).map(|found| registers_of(&found));
            (!g.stand_at(registers, runtime)).then_some(tid)
        };
        on_threads.filter_map(is_away).collect()
    }
}

/// What is found before a process is held. Entries of the runtime's list are never taken out and never moved: those that are
/// there before are there in the stop. So is memory for what they say.
#[derive(Default)]
pub struct Ahead {
    list: Vec<u64>,
    /// How many goroutines live, where only one is asked for.
    total: Option<usize>,
    runs: Runs,
    rooms: Vec<Part>,
}

impl Ahead {
    /// Of a process that is not attached; `None`: its memory cannot be read.
    pub fn of(pid: Pid, runtime: &GoRuntime, depth: Depth) -> Option<Ahead> {
        Some(Ahead::by(&Memory::open(pid, pid.leader()).ok()?, runtime, depth))
    }

    fn by(memory: &Memory, runtime: &GoRuntime, depth: Depth) -> Ahead {
        let (list, total) = match depth.only {
            Some(id) => addresses_of(memory, runtime, id),
            None => (read_list(memory, runtime, 0), None),
        };
        let runs = Runs::of(&list, runtime.layout.g_size());
        let rooms = rooms(&runs, depth.bytes);
        Ahead { list, total, runs, rooms }
    }
}

/// Of more goroutines than this that are on threads it is enough what the runtime has noted.
const MOST_ON_THREADS: usize = 1024;

/// The address of the living goroutine of a number, and how many live. The process may run: where a `g` is never changes.
fn addresses_of(memory: &Memory, runtime: &GoRuntime, id: u64) -> (Vec<u64>, Option<usize>) {
    let runs = Runs::of(&read_list(memory, runtime, 0), runtime.layout.g_size());
    let parts = read_all_gs(memory, &runs, &runtime.layout, 0, Vec::new());
    let living = || parts.iter().flat_map(|part| part.gs.iter().chain(&part.running));
    (living().filter(|g| g.id == id).map(|g| g.addr).collect(), Some(living().count()))
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
#[derive(Default)]
struct Runs {
    /// The addresses, rising.
    sorted: Vec<u64>,
    runs: Vec<Run>,
    size: usize,
}

/// From which to which of the addresses, and how long the stretch is.
type Run = (usize, usize, usize);

/// So far apart they are read together: `g`s of a size class of their own lie side by side.
const NEAR: u64 = 256;
/// So much is read at once.
const CHUNK: usize = 256 << 10;

impl Runs {
    fn of(list: &[u64], size: usize) -> Runs {
        let mut sorted = list.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut runs: Vec<Run> = Vec::new();
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

impl Runs {
    /// As many parts as there are processors.
    fn parts(&self) -> Vec<&[Run]> {
        parallel::split(&self.runs, self.runs.iter().map(|run| run.2).sum(), |run| run.2)
    }
}

/// What one reader has read.
#[derive(Default)]
struct Part {
    gs: Vec<RawG>,
    /// Those whose stacks are read when their threads have said where they stand.
    running: Vec<RawG>,
    stacks: Vec<u8>,
    /// How many `g`s could be read, dead ones too.
    readable: usize,
}

/// So much of a stack is mostly in use, bytes.
const USUAL: usize = 400;

/// Empty parts whose memory is there already.
fn rooms(runs: &Runs, each: usize) -> Vec<Part> {
    parallel::concat(runs.parts(), |part: &[Run]| {
        let count: usize = part.iter().map(|run| run.1 - run.0).sum();
        let stacks = room::prepared(usize::min(count * each.min(USUAL), MOST_BYTES));
        vec![Part { gs: room::prepared(count), stacks, ..Part::default() }]
    })
}

/// Reads the `g`s, and the stacks of those that stand still.
fn read_all_gs(memory: &Memory, runs: &Runs, layout: &Layout, each: usize, rooms: Vec<Part>) -> Vec<Part> {
    let rooms = rooms.into_iter().chain(std::iter::repeat_with(Part::default));
    let parts = (0..).zip(runs.parts()).zip(rooms).collect();
    parallel::concat(parts, |((number, runs_of_part), mut room): ((u32, &[Run]), Part)| {
        let mut scratch = vec![0; CHUNK.max(each)];
        let mut rest = runs_of_part;
        while !rest.is_empty() {
            let mut length = 0;
            let fits = |run: &&Run| (length + run.2 <= CHUNK).then(|| length += run.2).is_some();
            let count = rest.iter().take_while(fits).count();
            let (batch, next) = rest.split_at(count.max(1));
            rest = next;
            let mut gs = read_gs(memory, runs, batch, layout, &mut scratch);
            room.readable += gs.len();
            gs.retain(RawG::is_alive);
            room.running.extend(gs.extract_if(.., |g| g.status == RUNNING));
            room.read_stacks(memory, number, each, gs, &mut scratch);
        }
        vec![room]
    })
}

fn read_gs(memory: &Memory, runs: &Runs, batch: &[Run], layout: &Layout, buffer: &mut [u8]) -> Vec<RawG> {
    let ranges: Vec<(RuntimeAddr, usize)> =
        batch.iter().map(|run| (RuntimeAddr(runs.sorted[run.0]), run.2.min(CHUNK))).collect();
    let mut gs = Vec::with_capacity(batch.iter().map(|run| run.1 - run.0).sum());
    let mut place = 0;
    for (run, got) in batch.iter().zip(read_all(memory, &ranges, buffer)) {
        for addr in &runs.sorted[run.0..run.1] {
            let at = (addr - runs.sorted[run.0]) as usize;
            let bytes = buffer.get(place + at..place + (at + runs.size).min(got));
            gs.extend(bytes.and_then(|bytes| RawG::read(bytes, *addr, layout)));
        }
        place += run.2;
    }
    gs
}

/// A stretch of a stack: its address, its length, and which goroutine's it is.
type Stretch = (u64, u32, usize);

/// The first stretches that lie in one page, and the length from the first's beginning to the last's end. The kernel looks
/// every range's page up by itself, so that one range of a page with two small stacks takes half the time of two.
fn same_page(sorted: &[Stretch]) -> (&[Stretch], usize) {
    let Some((start, length, _)) = sorted.first() else { return (sorted, 0) };
    let mut end = start + u64::from(*length);
    let is_near = |(at, length, _): &&Stretch| {
        let last = at + u64::from(*length);
        let is_same = (last - 1) / PAGE == start / PAGE;
        end = if is_same { end.max(last) } else { end };
        is_same
    };
    let more = sorted[1..].iter().take_while(is_near).count();
    (&sorted[..more + 1], (end - start) as usize)
}

impl Part {
    /// Adds goroutines with at most so much of their stacks. They are read by rising address into a small buffer, of which
    /// what lies between stacks is not kept.
    fn read_stacks(&mut self, memory: &Memory, reader: u32, each: usize, mut gs: Vec<RawG>, scratch: &mut [u8]) {
        let used = |g: &RawG| if (g.lo..g.hi).contains(&g.sp) { (g.hi - g.sp).min(each as u64) as u32 } else { 0 };
        let stretches = gs.iter().enumerate().map(|(index, g)| (g.sp, used(g), index));
        let mut stretches: Vec<Stretch> = stretches.filter(|stretch| stretch.1 > 0).collect();
        stretches.sort_unstable();
        let mut rest = &stretches[..];
        while !rest.is_empty() {
            let (mut ranges, mut groups, mut length) = (Vec::new(), Vec::new(), 0);
            while !rest.is_empty() {
                let (group, group_length) = same_page(rest);
                if length + group_length > scratch.len() {
                    break;
                }
                ranges.push((RuntimeAddr(group[0].0), group_length));
                groups.push((group, length));
                length += group_length;
                rest = &rest[group.len()..];
            }
            let got = read_all(memory, &ranges, &mut scratch[..length]);
            for ((group, place), got) in groups.into_iter().zip(got) {
                for (at, used, index) in group {
                    let from = (at - group[0].0) as usize;
                    let bytes = &scratch[place + from.min(got)..place + (from + *used as usize).min(got)];
                    gs[*index].piece = Piece { start: self.stacks.len(), length: bytes.len() as u32, reader };
                    self.stacks.extend_from_slice(bytes);
                }
            }
            if ranges.is_empty() {
                break;
            }
        }
        self.gs.append(&mut gs);
    }
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
fn read_threads<'g>(memory: &Memory, gs: impl Iterator<Item = &'g RawG>, layout: &Layout) -> FxHashMap<u64, Tid> {
    let mut ms: Vec<u64> = gs.map(|g| g.m).filter(|m| *m != 0).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_of_one_page_are_one_range() {
        let sorted = [(0x1700, 0x100, 0), (0x1f00, 0x100, 1), (0x2f80, 0x100, 2), (0x3000, 0x80, 3), (0x3040, 0x20, 4)];
        assert_eq!(same_page(&sorted), (&sorted[..2], 0x900));
        // One that goes on in the next page takes nothing with it, not even what it covers.
        assert_eq!(same_page(&sorted[2..]), (&sorted[2..3], 0x100));
        assert_eq!(same_page(&sorted[3..]), (&sorted[3..], 0x80));
        assert_eq!(same_page(&[]), (&[][..], 0));
    }
}
