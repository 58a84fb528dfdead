//! What the runtime knows of threads: the goroutine of each and where its stack was left, by few reads for all. Walks nothing.

use super::layout::{G_M, Layout, SCHED_PC, SCHED_SP, STACK_HI};
use super::runtime::{GoRuntime, TlsSlot};
use crate::addr::RuntimeAddr;
use crate::kernel::memory::Memory;
use crate::symbols::unwind::{RBP, RIP, RSP};
use crate::target::stacks::FrameRegisters;

/// A thread of a Go program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GoThread {
    /// The number of its goroutine; `None`: it has none, or is about to look for one.
    pub id: Option<u64>,
    /// The address of the goroutine's `g`, 0 if it has none.
    pub addr: u64,
    /// The goroutine's stack.
    pub lo: u64,
    /// The address behind it.
    pub hi: u64,
    /// Where the goroutine goes on; means something only while the thread is not on its stack.
    pub pc: u64,
    /// Its stack pointer then.
    pub sp: u64,
    /// Its frame pointer then.
    pub bp: u64,
    /// Where the thread's own stack was left (`m.g0.sched.sp`).
    pub system_sp: u64,
    /// Whether the program may have C in it.
    pub calls_c: bool,
}

impl GoThread {
    /// Whether an address is on the goroutine's stack.
    pub fn holds(&self, addr: u64) -> bool {
        (self.lo..self.hi).contains(&addr)
    }
}

impl GoRuntime {
    /// Of threads with these `fs_base`s, `None` where one is not known. The process must stand still.
    pub fn threads(&self, memory: &Memory, bases: &[Option<u64>]) -> Vec<Option<GoThread>> {
        let none = || vec![None; bases.len()];
        let offset = match self.tls {
            Some(TlsSlot::Offset(offset)) => offset,
            Some(TlsSlot::At(addr)) => match words(memory, &[addr.0], 8).pop().flatten() {
                Some(found) => found.at(0).cast_signed(),
                None => return none(),
            },
            None => return none(),
        };
        let (layout, calls_c) = (&self.layout, self.may_have_c);
        let slots: Vec<u64> =
            bases.iter().map(|base| base.map_or(0, |base| base.wrapping_add_signed(offset))).collect();
        let current: Vec<u64> = firsts(&words(memory, &slots, 8));
        let gs = words(memory, &current, g_size(layout));
        let ms: Vec<u64> = gs.iter().map(|g| g.as_ref().map_or(0, |g| g.at(G_M))).collect();
        let ms = words(memory, &ms, layout.m_size());
        // `m.g0` is the first field.
        let system: Vec<u64> = firsts(&ms);
        let own: Vec<u64> = ms.iter().map(|m| m.as_ref().map_or(0, |m| m.at(layout.m_curg))).collect();
        let system = words(memory, &system, g_size(layout));
        let own = own.iter().copied().zip(words(memory, &own, g_size(layout)));
        own.zip(system)
            .map(|((addr, own), system)| Some(GoThread { calls_c, ..thread(layout, addr, own, &system?) }))
            .collect()
    }
}

/// Where a goroutine goes on that is on no thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParkedGoroutine {
    /// Its number.
    pub id: u64,
    /// `rip`, `rsp` and `rbp`, as the runtime has noted them (`g.sched`).
    pub registers: FrameRegisters,
    /// Whether it stands at the very beginning of its function: it has not begun.
    pub is_new: bool,
}

impl GoRuntime {
    /// The goroutine whose `g` is at an address; `None`: it cannot be read, or is another one by now.
    pub fn parked(&self, memory: &Memory, addr: u64, id: u64) -> Option<ParkedGoroutine> {
        let g = words(memory, &[addr], g_size(&self.layout)).pop()??;
        if g.at(self.layout.id) != id {
            return None;
        }
        let (pc, sp, bp) = (g.at(SCHED_PC), g.at(SCHED_SP), g.at(self.layout.sched_bp));
        let link = self.bias().link(RuntimeAddr(pc));
        let is_new = self.tables()?.stack_rule(link).is_some_and(|rule| rule.entry == link);
        let registers = FrameRegisters::default().with(RIP, pc).with(RSP, sp).with(RBP, bp);
        Some(ParkedGoroutine { id, registers, is_new })
    }
}

fn thread(layout: &Layout, addr: u64, own: Option<Words>, system: &Words) -> GoThread {
    let system_sp = system.at(SCHED_SP);
    let Some(own) = own else { return GoThread { system_sp, ..GoThread::default() } };
    GoThread {
        id: Some(own.at(layout.id)).filter(|id| *id != 0),
        addr,
        lo: own.at(0),
        hi: own.at(STACK_HI),
        pc: own.at(SCHED_PC),
        sp: own.at(SCHED_SP),
        bp: own.at(layout.sched_bp),
        system_sp,
        calls_c: false,
    }
}

fn g_size(layout: &Layout) -> usize {
    (layout.id.max(layout.sched_bp).max(G_M) + 8) as usize
}

/// A piece of memory.
struct Words(Vec<u8>);

impl Words {
    /// The word at an offset, which must be within it.
    fn at(&self, offset: u64) -> u64 {
        let bytes = self.0.get(offset as usize..offset as usize + 8);
        bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
    }
}

fn firsts(all: &[Option<Words>]) -> Vec<u64> {
    all.iter().map(|words| words.as_ref().map_or(0, |words| words.at(0))).collect()
}

/// Pieces of one size; `None` of address 0 and of what cannot be read.
fn words(memory: &Memory, addrs: &[u64], size: usize) -> Vec<Option<Words>> {
    let wanted: Vec<(RuntimeAddr, usize)> =
        addrs.iter().filter(|addr| **addr != 0).map(|addr| (RuntimeAddr(*addr), size)).collect();
    let mut buffer = vec![0; wanted.len() * size];
    let mut got = vec![false; wanted.len()];
    let mut first = 0;
    while first < wanted.len() {
        let read = memory.read_many(&wanted[first..], &mut buffer[first * size..]).unwrap_or(0) / size;
        got[first..(first + read).min(wanted.len())].fill(true);
        // The one behind cannot be read.
        first += read + 1;
    }
    let mut found = buffer.chunks(size.max(1)).zip(got).map(|(bytes, got)| got.then(|| Words(bytes.to_vec())));
    addrs.iter().map(|addr| if *addr == 0 { None } else { found.next().flatten() }).collect()
}
