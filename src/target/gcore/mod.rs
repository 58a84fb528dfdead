//! A core of the live process. While it is held only what cannot be had otherwise is taken: every thread's registers, and a
//! fork of the memory. It then runs on, and the file is written from the fork. Where no fork can be made, or where the person
//! holds the process anyway, it is read itself. Refuses to know file names.

mod copy;
mod elf;
mod filter;
pub(super) mod hold;
mod notes;
mod sink;
mod write;

use std::sync::Arc;
use std::time::Duration;

pub(super) use copy::CopyMark;
pub use write::{CoreFault, CoreWriter};

use self::copy::{Copy, forbids_fork};
use self::hold::Hold;
use self::notes::{ProcessImage, ThreadImage};
use super::process::{Phase, Process};
use super::thread::{State, Thread};
use super::{Error, Result};
use crate::addr::{Pid, Tid};
use crate::kernel::arch::{Registers, in_intels_places};
use crate::kernel::memory::Memory;
use crate::kernel::pagemap::Pagemap;
use crate::kernel::proc::{self, SyscallNow};
use crate::kernel::regions::{self, Region};

/// Memory that a fork does not copy (MADV_DONTFORK, MADV_WIPEONFORK) is read while the process is held: so much at most.
const MOST_UNFORKED: u64 = 32 << 20;

/// A mapping that a fork would not have, with its content.
struct Unforked {
    region: Region,
    bytes: Vec<u8>,
}

/// All that a core is written from. To be given back by [`Process::end_core`].
pub struct CoreImage {
    process: ProcessImage,
    threads: Vec<ThreadImage>,
    regions: Vec<Region>,
    unforked: Vec<Unforked>,
    /// What the memory is read from: a thread of the process, or the fork.
    source: Tid,
    memory: Arc<Memory>,
    pagemap: Pagemap,
    filter: u32,
    copy: Option<Copy>,
    /// The hold that lasts until the core is written, where there is no copy.
    hold: Option<Hold>,
    /// How long the process was held for this so far.
    held: Duration,
    why_held: Option<String>,
}

impl CoreImage {
    /// Whose core it is.
    pub fn process_id(&self) -> Pid {
        self.process.pid
    }

    /// How many threads it holds.
    pub fn threads(&self) -> usize {
        self.threads.len()
    }
}

/// How a core came about.
#[derive(Clone, Debug)]
pub struct CoreFacts {
    /// How long the process was held for it; `None` where the person holds it.
    pub held: Option<Duration>,
    /// Whether the memory was read from a fork.
    pub forked: bool,
    /// Why not, where it should have been.
    pub why_held: Option<String>,
}

impl Process {
    /// Takes what a core is written from. A process that runs is held for it, and runs again when this returns if a fork of
    /// it could be made. The thread that stopped first comes first.
    pub fn begin_core(&mut self) -> Result<CoreImage> {
        // What is slow to ask is asked before.
        let before = matches!(self.phase, Phase::Running).then(|| self.regions()).transpose()?;
        if before.is_some() {
            self.ensure_guard();
            self.find_gadgets();
        }
        let hold = self.take_hold()?;
        let threads = self.thread_images();
        let (mut copy, mut unforked, mut why_held) = (None, Vec::new(), None);
        if let Some(before) = &before {
            match self.copy_memory(before) {
                Ok((copied, rest)) => (copy, unforked) = (Some(copied), rest),
                Err(why) => why_held = Some(why),
            }
        }
        let (held, hold) = match hold {
            Some(hold) if copy.is_some() => (self.release(hold)?, None),
            hold => (Duration::ZERO, hold),
        };
        let image = self.image(threads, copy, unforked);
        match image {
            Ok(image) => Ok(CoreImage { hold, held, why_held, ..image }),
            Err(why) => {
                self.finish_core(hold)?;
                Err(Error::NoCore { pid: self.pid, why })
            }
        }
    }

    /// Gives back what [`Process::begin_core`] took: the fork is ended and taken in, or the process runs again.
    pub fn end_core(&mut self, image: CoreImage) -> Result<CoreFacts> {
        let CoreImage { copy, hold, held, why_held, .. } = image;
        let forked = copy.is_some();
        drop(copy);
        let by_person = !forked && hold.is_none();
        let more = self.finish_core(hold)?;
        Ok(CoreFacts { held: (!by_person).then_some(held + more), forked, why_held })
    }

    fn finish_core(&mut self, hold: Option<Hold>) -> Result<Duration> {
        let hold = match hold {
            None if self.has_copy() => self.take_hold()?,
            hold => hold,
        };
        self.drop_copy();
        hold.map_or(Ok(Duration::ZERO), |hold| self.release(hold))
    }

    fn image(
        &self,
        threads: Vec<ThreadImage>,
        copy: Option<Copy>,
        unforked: Vec<Unforked>,
    ) -> std::result::Result<CoreImage, String> {
        let said = |what: &'static str| move |error: std::io::Error| format!("cannot read its {what}: {error}");
        let live = self.live_tid();
        let source = copy.as_ref().map_or(live, Copy::tid);
        let source_pid = copy.as_ref().map_or(self.pid, |_| Pid(source.0));
        let mut regions = regions::of(source).map_err(said("mappings"))?;
        // A fork shows what it was not given as empty or not at all.
        regions.retain(|region| !unforked.iter().any(|known| known.region.mapping.start == region.mapping.start));
        regions.extend(unforked.iter().map(|known| known.region.clone()));
        regions.sort_by_key(|region| region.mapping.start);
        Ok(CoreImage {
            process: ProcessImage {
                pid: self.pid,
                ids: proc::ids(Pid(live.0)).map_err(said("status"))?,
                name: self.name.clone(),
                words: proc::command_line(Pid(source.0)).unwrap_or_default(),
                auxv: proc::auxv(Pid(source.0)).unwrap_or_default(),
            },
            threads,
            regions,
            unforked,
            source,
            memory: Arc::new(Memory::open(source_pid, source).map_err(said("memory"))?),
            pagemap: Pagemap::open(source).map_err(said("page map"))?,
            filter: proc::core_filter(Pid(source.0)).unwrap_or(DEFAULT_FILTER),
            copy,
            hold: None,
            held: Duration::ZERO,
            why_held: None,
        })
    }

    /// A thread that has memory still: a leader that has exited has none.
    fn live_tid(&self) -> Tid {
        let live = |thread: &Thread| thread.state != State::Zombie;
        self.threads.iter().find(|(_, thread)| live(thread)).map_or(self.pid.leader(), |(tid, _)| *tid)
    }

    fn regions(&self) -> Result<Vec<Region>> {
        regions::of(self.live_tid()).map_err(|_| Error::Ended(self.pid))
    }

    /// The registers of all threads, in front the one that stopped first, which a debugger shows.
    fn thread_images(&self) -> Vec<ThreadImage> {
        let front = if let Phase::Held { report, .. } = &self.phase { Some(report.thread) } else { None };
        let mut tids: Vec<Tid> = self.thread_numbers().into_iter().map(|(_, tid)| tid).collect();
        tids.sort_by_key(|tid| Some(*tid) != front);
        tids.into_iter().filter_map(|tid| self.thread_image(tid)).collect()
    }

    /// `None`: it has exited, or has been killed.
    fn thread_image(&self, tid: Tid) -> Option<ThreadImage> {
        let thread = self.threads.get(&tid)?;
        if !matches!(thread.state, State::Stopped(_)) {
            // It sleeps in the kernel and cannot be asked.
            let Ok(SyscallNow::In { number, args, sp, pc }) = proc::syscall_now(self.pid, tid) else { return None };
            let registers = Registers::asleep_in(number, args, sp, pc);
            let (float, extended) = (Vec::new(), Vec::new());
            return Some(ThreadImage { tid, registers, float, extended, signal: None, blocked: 0 });
        }
        let tracer = self.tracer;
        let signal = thread.signal_to_pass();
        Some(ThreadImage {
            tid,
            registers: tracer.registers(tid).ok()?,
            float: tracer.float_registers(tid).ok()?,
            // ENODEV: no XSAVE.
            extended: in_intels_places(tracer.extended_registers(tid).unwrap_or_default()),
            signal: signal.and_then(|signal| Some((signal, tracer.signal_info(tid).ok()?))),
            blocked: tracer.signal_mask(tid).unwrap_or(0),
        })
    }

    /// Forks the memory, and reads what the fork does not get. Why not, if it cannot be done.
    fn copy_memory(&mut self, before: &[Region]) -> std::result::Result<(Copy, Vec<Unforked>), String> {
        if let Some(why) = forbids_fork(before) {
            return Err(why.into());
        }
        let unforked: Vec<&Region> = before.iter().filter(|region| region.has(b"dc") || region.has(b"wf")).collect();
        let read: Vec<&Region> =
            unforked.into_iter().filter(|region| !region.has(b"io") && !region.has(b"dd")).collect();
        if read.iter().map(|region| region.length()).sum::<u64>() > MOST_UNFORKED {
            return Err("too much of its memory is not copied by a fork (MADV_DONTFORK)".into());
        }
        let unforked =
            read.into_iter().map(|region| Unforked { region: region.clone(), bytes: self.read_region(region) });
        let rest = unforked.collect();
        let copy = self.fork_copy().map_err(|error| error.to_string())?;
        Ok((copy, rest))
    }

    /// The content of a small mapping, zero where it cannot be read.
    fn read_region(&self, region: &Region) -> Vec<u8> {
        let mut bytes = vec![0; region.length() as usize];
        // An error is that of a process that ends now: the fork fails too then.
        let _ = self.read_memory_partly(region.mapping.start, &mut bytes);
        bytes
    }
}

/// What the kernel keeps where nobody has said otherwise (core(5)).
const DEFAULT_FILTER: u32 = 0x33;
