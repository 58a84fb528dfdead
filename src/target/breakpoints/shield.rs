//! What godbg lends to a process while it has breakpoints there: memory for copies of instructions, and a handler for SIGTRAP
//! that keeps the process alive should godbg be killed (`kernel::arch::shield`). Put there by system calls that the process
//! makes itself while it is held, taken away the same way. Decides nothing about breakpoints.

use std::time::{Duration, Instant};

use super::displaced::SLOT;
use crate::addr::{RuntimeAddr, Tid};
use crate::kernel::arch::shield as code;
use crate::kernel::{maps::Mappings, proc, wait};
use crate::target::process::Process;
use crate::target::{Error, Result, Why};

/// How long one lent area is: four pages for data, and code: the handler and some 2800 slots.
pub(in crate::target) const AREA: u64 = 48 * PAGE;

const PAGE: u64 = 4096;

/// How far an area may be from the instructions that are copied into it: what they count from the pc must be reached.
const REACH: u64 = 1 << 30;

/// How long threads may take to leave what was lent to the process.
const LEAVING: Duration = Duration::from_secs(5);

/// How long they run at first before it is looked where they are; twice as long each time, for on a busy machine it takes long
/// until a thread has a processor.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// rt_sigaction(2) flags: SA_SIGINFO, SA_RESTORER, and SA_ONSTACK, because a goroutine's stack has no room for a signal frame.
const FLAGS: u64 = 0x4 | 0x0400_0000 | 0x0800_0000;

/// An area of memory that was lent to the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::target) struct Area {
    pub base: RuntimeAddr,
    /// How many slots of it are taken.
    pub slots: u64,
}

impl Area {
    /// One whose slots are not to be used any more.
    pub fn full(base: RuntimeAddr) -> Area {
        Area { base, slots: AREA / SLOT as u64 }
    }

    /// Whether an area can be here: memory of no file, data first and code behind it.
    pub fn is_lent(base: RuntimeAddr, mappings: &Mappings) -> bool {
        let last = base.0.checked_add(AREA - 1).map(RuntimeAddr);
        let part = |addr, execute| {
            let mapping = mappings.find(addr)?;
            (mapping.name.is_none() && mapping.inode == 0 && mapping.execute == execute).then_some(mapping.end)
        };
        let code = RuntimeAddr(base.0.saturating_add(code::DATA_BELOW));
        let ends = (part(base, false), part(code, true), last);
        base.0.is_multiple_of(PAGE) && matches!(ends, (Some(_), Some(end), Some(last)) if last < end)
    }

    /// The data comes first, the handler behind it, then the slots.
    fn code(self) -> RuntimeAddr {
        RuntimeAddr(self.base.0 + code::DATA_BELOW)
    }

    fn first_slot(self) -> u64 {
        self.code().0 + (code::code().len() as u64).next_multiple_of(SLOT as u64)
    }

    fn next_slot(&mut self) -> Option<RuntimeAddr> {
        let slot = self.first_slot() + self.slots * SLOT as u64;
        (slot + SLOT as u64 <= self.base.0 + AREA).then(|| {
            self.slots += 1;
            RuntimeAddr(slot)
        })
    }

    fn reaches(self, addr: RuntimeAddr) -> bool {
        self.base.0.abs_diff(addr.0) < REACH
    }

    pub fn contains(self, addr: RuntimeAddr) -> bool {
        (self.base.0..self.base.0 + AREA).contains(&addr.0)
    }
}

/// What was lent to one process, the first area with the handler.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::target) struct Shield {
    pub areas: Vec<Area>,
    /// The program's own handler for SIGTRAP; 0 and 1 are none.
    pub old_handler: u64,
}

impl Shield {
    /// The area of the handler.
    pub fn home(&self) -> Area {
        self.areas[0]
    }

    pub fn handler(&self) -> RuntimeAddr {
        self.home().code()
    }

    pub fn contains(&self, addr: RuntimeAddr) -> bool {
        self.areas.iter().any(|area| area.contains(addr))
    }
}

impl super::Steering {
    /// Whether the program itself handles SIGTRAP, as far as is known without asking the kernel.
    pub(in crate::target) fn trap_is_caught(&self) -> Option<bool> {
        self.shield.as_ref().map(|shield| shield.old_handler > 1)
    }
}

impl Process {
    /// Lends the process the handler, and memory near `near`. The process is held. An error: it cannot be lent anything, and is
    /// as it was.
    pub(in crate::target) fn raise_shield(&mut self, near: RuntimeAddr) -> Result<()> {
        if self.steering.shield.is_some() {
            return Ok(());
        }
        if let Some(refusal) = &self.steering.no_shield {
            return Err(refusal.clone());
        }
        let raised = self.try_raise(near);
        if let Err(error) = &raised {
            self.steering.no_shield = Some(error.clone());
        }
        raised
    }

    fn try_raise(&mut self, near: RuntimeAddr) -> Result<()> {
        let tid = self.thread_for_calls()?;
        let area = self.lend(tid, near)?;
        self.steering.shield = Some(Shield { areas: vec![area], old_handler: 0 });
        self.put(area.code(), code::code())?;
        self.note_shield();
        self.protect(tid, area)?;
        let action = [area.code().0, FLAGS, area.code().0 + code::return_offset(), u64::MAX];
        self.put_words(RuntimeAddr(area.base.0 + code::NEW_ACTION), &action)?;
        let old = area.base.0 + code::OLD_ACTION;
        // First what there was, so that the handler never runs without knowing it.
        self.call(tid, libc_numbers::RT_SIGACTION, [SIGTRAP, 0, old, 8, 0, 0])?;
        let before = self.words::<4>(RuntimeAddr(old))?;
        self.put_words(RuntimeAddr(area.base.0 + code::OLD_HANDLER), &before[..1])?;
        if let Some(shield) = &mut self.steering.shield {
            shield.old_handler = before[0];
        }
        self.call(tid, libc_numbers::RT_SIGACTION, [SIGTRAP, area.base.0 + code::NEW_ACTION, 0, 8, 0, 0])?;
        Ok(())
    }

    /// A slot for a copy of the instruction at `near`; a further area is lent where none is in reach.
    pub(in crate::target) fn take_slot(&mut self, near: RuntimeAddr) -> Option<RuntimeAddr> {
        let shield = self.steering.shield.as_mut()?;
        let free = shield.areas.iter_mut().filter(|area| area.reaches(near)).find_map(Area::next_slot);
        if free.is_some() {
            return free;
        }
        let tid = self.thread_for_calls().ok()?;
        let mut area = self.lend(tid, near).ok()?;
        self.protect(tid, area).ok()?;
        let slot = area.next_slot();
        self.steering.shield.as_mut()?.areas.push(area);
        self.note_shield();
        slot
    }

    /// Takes everything back. The process is held. An error: a thread stands in what was lent, or the process is ending.
    pub(in crate::target) fn lower_shield(&mut self) -> Result<()> {
        let Some(shield) = self.steering.shield.clone() else { return Ok(()) };
        if let Some(tid) = self.thread_in_shield() {
            return Err(Error::InLentMemory { process: self.pid, thread: tid });
        }
        let tid = self.thread_for_calls()?;
        let home = shield.home().base.0;
        let now = home + code::NEW_ACTION;
        self.call(tid, libc_numbers::RT_SIGACTION, [SIGTRAP, 0, now, 8, 0, 0])?;
        // A program that has set a handler of its own meanwhile keeps that.
        if self.words::<1>(RuntimeAddr(now))? == [shield.handler().0] {
            self.call(tid, libc_numbers::RT_SIGACTION, [SIGTRAP, home + code::OLD_ACTION, 0, 8, 0, 0])?;
        }
        // The one with the handler last: by that the others are known as godbg's.
        for area in shield.areas.iter().rev() {
            self.call(tid, libc_numbers::MUNMAP, [area.base.0, AREA, 0, 0, 0, 0])?;
        }
        self.steering.shield = None;
        Ok(())
    }

    /// Lets the process run until no thread stands in what was lent, and holds it again. An error: one does all the same, or the
    /// process has ended.
    pub(in crate::target) fn leave_shield(&mut self, why: Why) -> Result<()> {
        let begin = Instant::now();
        let mut pause = FIRST_PAUSE;
        while let Some(tid) = self.thread_in_shield() {
            if begin.elapsed() > LEAVING {
                return Err(Error::InLentMemory { process: self.pid, thread: tid });
            }
            self.resume(false)?;
            let resumed = Instant::now();
            // An interrupt that is still due to a thread (one that reached a thread which had just stopped for something else)
            // is taken here. Were such a thread only interrupted again, it would stop where it stands each time.
            while resumed.elapsed() < pause {
                wait::until_beat();
                self.take_in(None);
            }
            self.interrupt(why)?;
            pause *= 2;
        }
        Ok(())
    }

    /// A thread that stands in what was lent, by the registers that the kernel shows of it.
    fn thread_in_shield(&self) -> Option<Tid> {
        let shield = self.steering.shield.as_ref()?;
        let stands = |tid: &Tid| self.tracer.registers(*tid).is_ok_and(|registers| shield.contains(registers.pc()));
        self.stopped_tids().into_iter().find(stands)
    }

    /// Writes the breakpoints' addresses where the handler looks for them.
    pub(in crate::target) fn write_table(&mut self) -> Result<()> {
        let Some(shield) = &self.steering.shield else { return Ok(()) };
        let at = RuntimeAddr(shield.home().base.0 + code::TABLE);
        let mut table: Vec<u64> = self
            .steering
            .sites
            .iter()
            // An int3 of the program's own stays: the handler must not wait for its end.
            .filter(|(_, site)| site.original != super::INT3)
            .map(|(addr, _)| addr.0)
            .take(code::MOST_SITES)
            .collect();
        table.push(0);
        self.put_words(at, &table)
    }

    fn lend(&mut self, tid: Tid, near: RuntimeAddr) -> Result<Area> {
        let mappings = self.mappings().map_err(|_| Error::Ended(self.pid))?;
        let hint = room_near(&mappings, near).ok_or(Error::NoRoom(near))?;
        const ANONYMOUS_PRIVATE: u64 = 0x22;
        const FIXED_NOREPLACE: u64 = 0x10_0000;
        const READ_WRITE: u64 = 3;
        let flags = ANONYMOUS_PRIVATE | FIXED_NOREPLACE;
        self.ensure_guard();
        self.note_coming(Some(hint));
        let base = self.call(tid, libc_numbers::MMAP, [hint.0, AREA, READ_WRITE, flags, u64::MAX, 0]);
        if base.is_err() {
            self.note_coming(None);
        }
        let base = base?;
        Ok(Area { base: RuntimeAddr(base), slots: 0 })
    }

    fn protect(&mut self, tid: Tid, area: Area) -> Result<()> {
        const READ_EXECUTE: u64 = 5;
        self.call(tid, libc_numbers::MPROTECT, [area.code().0, AREA - code::DATA_BELOW, READ_EXECUTE, 0, 0, 0])
            .map(drop)
    }

    /// A system call whose error is an error.
    fn call(&mut self, tid: Tid, number: u64, args: [u64; 6]) -> Result<u64> {
        let answer = self.call_system(tid, number, args)?;
        if (-4095..0).contains(&answer) {
            let errno = crate::kernel::Errno::from_raw(-answer as i32);
            return Err(Error::Request { what: "lend memory to", tid, errno });
        }
        Ok(answer as u64)
    }

    fn put(&self, addr: RuntimeAddr, bytes: &[u8]) -> Result<()> {
        let written = self.memory().ok().and_then(|memory| memory.write(addr, bytes).ok());
        if written == Some(bytes.len()) { Ok(()) } else { Err(self.lost_memory()) }
    }

    fn put_words(&self, addr: RuntimeAddr, words: &[u64]) -> Result<()> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(addr, &bytes)
    }

    fn words<const N: usize>(&self, addr: RuntimeAddr) -> Result<[u64; N]> {
        let mut words = [0; N];
        for (index, word) in words.iter_mut().enumerate() {
            let mut bytes = [0; 8];
            let at = RuntimeAddr(addr.0 + 8 * index as u64);
            self.read_memory(at, &mut bytes).map_err(|_| self.lost_memory())?;
            *word = u64::from_le_bytes(bytes);
        }
        Ok(words)
    }

    /// Memory that was just there is not: the process is ending.
    fn lost_memory(&self) -> Error {
        if proc::thread_count(self.pid).is_err() {
            return Error::Ended(self.pid);
        }
        Error::Request { what: "write the memory of", tid: self.pid.leader(), errno: crate::kernel::Errno::EIO }
    }
}

const SIGTRAP: u64 = 5;

/// System call numbers of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl).
mod libc_numbers {
    pub const MMAP: u64 = 9;
    pub const MPROTECT: u64 = 10;
    pub const MUNMAP: u64 = 11;
    pub const RT_SIGACTION: u64 = 13;
}

/// The free address nearest to `near` with room for an area, some pages away from what is mapped: the heap grows upwards and
/// stacks downwards.
fn room_near(mappings: &Mappings, near: RuntimeAddr) -> Option<RuntimeAddr> {
    const LOWEST: u64 = 0x1_0000;
    const HIGHEST: u64 = 0x7fff_ffff_f000 - AREA;
    const APART: u64 = 16 * PAGE;
    let mut best: Option<u64> = None;
    let mut consider = |addr: u64| {
        if addr.abs_diff(near.0) < REACH && best.is_none_or(|best| addr.abs_diff(near.0) < best.abs_diff(near.0)) {
            best = Some(addr);
        }
    };
    let mut free_from = LOWEST;
    let grows = |name: &Option<String>| matches!(name.as_deref(), Some("[heap]"));
    for mapping in mappings.iter() {
        let gap = free_from..mapping.start.0;
        if gap.end.saturating_sub(gap.start) >= AREA + 2 * APART {
            // Below a mapping, and above the one before it.
            consider((gap.end - APART - AREA) & !(PAGE - 1));
            consider((gap.start + APART + PAGE - 1) & !(PAGE - 1));
        }
        // What lies right above the heap is the heap's to be.
        free_from = mapping.end.0.saturating_add(if grows(&mapping.name) { REACH } else { 0 }).max(free_from);
    }
    if free_from < HIGHEST {
        consider(free_from + APART);
    }
    best.map(RuntimeAddr)
}
