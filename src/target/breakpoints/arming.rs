//! Puts breakpoints into the process when its threads are about to run and takes them out when they stand still; the debug
//! registers of each thread; and setting, changing and removing what people have set. Says nothing about hits.

use super::displaced::{SLOT, displace};
use super::journal::MOST_SITES;
use super::sites::INT3;
use super::watch::DebugRegisters;
use super::{Breakpoint, Goal, Kind, NewBreakpoint};
use crate::addr::{RuntimeAddr, Tid};
use crate::target::process::Process;
use crate::target::thread::State;
use crate::target::{Error, News, Result};

/// The longest instruction, Intel SDM volume 2, 2.3.11.
const LONGEST_INSTRUCTION: usize = 15;

impl Process {
    /// What people have set.
    pub fn breakpoints(&self) -> &[Breakpoint] {
        &self.steering.breakpoints
    }

    /// The breakpoint in the text at an address that is in force, the one with the lowest number.
    pub fn breakpoint_at(&self, addr: RuntimeAddr) -> Option<&Breakpoint> {
        let here =
            |one: &&Breakpoint| one.enabled && one.addresses.contains(&addr) && !matches!(one.kind, Kind::Watch(_));
        self.steering.breakpoints.iter().find(here)
    }

    /// Sets one. The process is held.
    pub fn add_breakpoint(&mut self, number: u32, new: NewBreakpoint) -> Result<()> {
        if !matches!(new.kind, Kind::Watch(_)) {
            self.check_text(&new.addresses)?;
        } else {
            new.addresses.iter().try_for_each(|addr| self.check_watched(*addr, new.length))?;
        }
        let software = self.steering.breakpoints.iter().filter(|one| one.kind == Kind::Software);
        let places = software.map(|one| one.addresses.len()).sum::<usize>() + new.addresses.len();
        // One place is kept for the breakpoint by which libraries are followed.
        if new.kind == Kind::Software && places >= MOST_SITES {
            return Err(Error::TooManyBreakpoints(MOST_SITES));
        }
        let mut breakpoint = new.numbered(number);
        breakpoint.value = self.watched_value(&breakpoint);
        self.steering.breakpoints.push(breakpoint);
        self.follow_libraries();
        let done = self.apply_breakpoints();
        if done.is_err() {
            self.steering.breakpoints.retain(|one| one.number != number);
        }
        done
    }

    /// Gives a followed child, which is held, the breakpoints of the process that made it, under their numbers: each process
    /// counts its own hits. Those of one thread stay with that thread.
    pub(in crate::target) fn inherit_breakpoints(&mut self, parent: &Process) {
        let ours = parent.steering.breakpoints.iter().filter(|one| one.thread.is_none());
        self.steering.breakpoints = ours.map(|one| Breakpoint { hits: 0, ..one.clone() }).collect();
        self.steering.variables = parent.steering.variables.clone();
        self.steering.borrows = crate::kernel::proc::shares_memory(parent.pid, self.pid);
        if !self.steering.borrows && !self.steering.breakpoints.is_empty() {
            // It wants no more registers than its parent has.
            let _ = self.apply_breakpoints();
        }
    }

    /// Changes one. Where the change cannot be made (debug registers have run out) it stays as it was.
    pub fn change_breakpoint(&mut self, number: u32, change: impl FnOnce(&mut Breakpoint)) -> Result<()> {
        let found = self.steering.breakpoints.iter_mut().find(|one| one.number == number);
        let Some(breakpoint) = found else { return Err(Error::NoBreakpoint(number)) };
        let before = breakpoint.clone();
        change(breakpoint);
        let done = self.apply_breakpoints();
        if done.is_err()
            && let Some(breakpoint) = self.steering.breakpoints.iter_mut().find(|one| one.number == number)
        {
            *breakpoint = before;
        }
        done
    }

    /// Removes one.
    pub fn remove_breakpoint(&mut self, number: u32) -> Result<()> {
        let before = self.steering.breakpoints.len();
        self.steering.breakpoints.retain(|one| one.number != number);
        if self.steering.breakpoints.len() == before {
            return Err(Error::NoBreakpoint(number));
        }
        self.follow_libraries();
        self.apply_breakpoints()
    }

    /// Lends conditions the session's convenience variables, as they are now.
    pub fn lend_variables(&mut self, variables: crate::target::expr::Variables) {
        self.steering.variables = variables;
    }

    /// Asks for a stop where a step is to end.
    pub fn set_goals(&mut self, goals: Vec<Goal>) {
        self.steering.goals = goals;
        self.steering.stale = true;
    }

    /// Asks for a stop at places that a person has named.
    pub fn run_to(&mut self, goals: Vec<Goal>) -> Result<()> {
        let addresses: Vec<RuntimeAddr> = goals.iter().map(|goal| goal.addr).collect();
        self.check_text(&addresses)?;
        self.set_goals(goals);
        Ok(())
    }

    pub(super) fn apply_breakpoints(&mut self) -> Result<()> {
        let debug = DebugRegisters::for_all(&self.steering.breakpoints).map_err(Error::NoDebugRegister)?;
        if debug != self.steering.debug {
            self.steering.debug = debug;
            self.steering.debug_generation += 1;
        }
        self.steering.stale = true;
        Ok(())
    }

    /// A breakpoint can only stand in memory that is executed.
    fn check_text(&self, addresses: &[RuntimeAddr]) -> Result<()> {
        let mappings = self.mappings().map_err(|_| Error::Ended(self.pid))?;
        let check = |addr: RuntimeAddr| match mappings.find(addr) {
            None => Err(Error::NotText { addr, why: "nothing is mapped there".into() }),
            Some(mapping) if !mapping.execute => {
                let name = mapping.name.as_deref().unwrap_or("the memory");
                Err(Error::NotText { addr, why: format!("{name} there is not executable") })
            }
            Some(mapping) if mapping.name.as_deref() == Some("[vsyscall]") => {
                Err(Error::NotText { addr, why: "the kernel executes [vsyscall] itself".into() })
            }
            Some(_) => Ok(()),
        };
        addresses.iter().try_for_each(|addr| check(*addr))
    }

    /// Bytes that are not mapped never change: nobody means them.
    fn check_watched(&self, start: RuntimeAddr, length: u64) -> Result<()> {
        let mappings = self.mappings().map_err(|_| Error::Ended(self.pid))?;
        let last = start.0.checked_add(length.saturating_sub(1));
        for addr in [Some(start.0), last] {
            match addr.map(RuntimeAddr) {
                Some(addr) if mappings.find(addr).is_some() => {}
                addr => return Err(Error::NotWatchable(addr.unwrap_or(start))),
            }
        }
        Ok(())
    }

    /// What a watchpoint's bytes are now, as far as 8 bytes can hold it.
    pub(super) fn watched_value(&self, breakpoint: &Breakpoint) -> Option<u64> {
        let (Kind::Watch(_), Some(addr)) = (breakpoint.kind, breakpoint.address()) else { return None };
        let mut bytes = [0; 8];
        let length = breakpoint.length.min(8) as usize;
        self.read_memory(addr, &mut bytes[..length]).ok()?;
        Some(u64::from_le_bytes(bytes))
    }

    /// Makes the list of sites what breakpoints and goals want. The process is held and its text is its own.
    fn refresh_sites(&mut self) {
        self.steering.stale = false;
        let steering = &self.steering;
        let set = steering.breakpoints.iter().filter(|one| one.enabled && one.kind == Kind::Software);
        let mut wanted: Vec<RuntimeAddr> = set.flat_map(|one| one.addresses.iter().copied()).collect();
        wanted.extend(steering.goals.iter().map(|goal| goal.addr));
        wanted.extend(steering.libraries);
        wanted.sort_unstable();
        wanted.dedup();
        let unwanted: Vec<RuntimeAddr> =
            steering.sites.iter().map(|(addr, _)| addr).filter(|addr| wanted.binary_search(addr).is_err()).collect();
        unwanted.into_iter().for_each(|addr| self.steering.sites.remove(addr));
        for addr in wanted {
            if self.steering.sites.get(addr).is_some() {
                continue;
            }
            let mut byte = [0];
            match self.read_memory(addr, &mut byte) {
                Ok(()) => self.steering.sites.insert(addr, byte[0]),
                Err(fault) => self.lose_breakpoints_at(addr, &fault.to_string()),
            }
        }
        let steps = self.steering.debug_generation > 0;
        if !self.steering.sites.is_empty() || steps {
            let near = self.steering.sites.iter().next().map(|(addr, _)| addr);
            let near = near.or_else(|| self.any_pc()).unwrap_or(RuntimeAddr(0));
            // Without it a breakpoint works as well, but slower, and less safely should godbg be killed.
            if let Err(error) = self.raise_shield(near)
                && self.steering.note_unshielded()
            {
                self.news.push_back(News::Unshielded { process: self.pid, why: error.to_string() });
            }
        }
        self.make_copies();
        // The handler's table and the journal come before the first int3.
        let told = self.write_table();
        self.note_sites();
        if told.is_err() {
            self.steering.stale = true;
        }
    }

    /// Makes a copy of each instruction that is to be passed, where that can be done.
    fn make_copies(&mut self) {
        let untried: Vec<RuntimeAddr> =
            self.steering.sites.iter().filter(|(_, site)| !site.tried).map(|(addr, _)| addr).collect();
        for addr in untried {
            let copy = self.make_copy(addr);
            if let Some(site) = self.steering.sites.get_mut(addr) {
                (site.copy, site.tried) = (copy, true);
            }
        }
    }

    fn make_copy(&mut self, addr: RuntimeAddr) -> Option<super::displaced::Displaced> {
        let mut bytes = [0; LONGEST_INSTRUCTION];
        let length = self.read_memory_partly(addr, &mut bytes).ok()?;
        // Tried on a slot that is not there, so that none is taken for what cannot be copied.
        displace(&bytes[..length], addr, RuntimeAddr(addr.0 & !(SLOT as u64 - 1)))?;
        let slot = self.take_slot(addr)?;
        let mut copy = displace(&bytes[..length], addr, slot)?;
        copy.code.resize(SLOT, 0x90);
        let written = self.memory().ok()?.write(slot, &copy.code).ok()?;
        (written == SLOT).then_some(copy)
    }

    /// Puts every breakpoint in. The process is held, and its threads are about to run.
    pub(in crate::target) fn arm(&mut self) {
        if self.steering.borrows {
            return;
        }
        if self.steering.stale {
            self.refresh_sites();
        }
        if self.steering.sites.is_empty() || self.steering.retired || !self.steering.vforks.is_empty() {
            return;
        }
        let Ok(memory) = self.memory() else { return };
        let mut lost = Vec::new();
        for (addr, site) in self.steering.sites.iter_mut() {
            match memory.write(addr, &[INT3]) {
                Ok(1) => site.armed = true,
                _ => lost.push(addr),
            }
        }
        for addr in lost {
            self.lose_breakpoints_at(addr, "nothing is mapped there any more");
        }
    }

    /// Takes every breakpoint out. Threads may run: a byte is written at once.
    pub(in crate::target) fn disarm(&mut self) {
        if !self.steering.sites.any_armed() {
            return;
        }
        let Ok(memory) = self.memory() else { return };
        for (addr, site) in self.steering.sites.iter_mut().filter(|(_, site)| site.armed) {
            let mut byte = [0];
            match memory.read(addr, &mut byte) {
                // ESRCH and unmapped pages: there is nothing left to be restored.
                Ok(1) if byte[0] == INT3 => drop(memory.write(addr, &[site.original])),
                // The program has written something else there, and that stays.
                Ok(1) => site.original = byte[0],
                _ => {}
            }
            site.armed = false;
        }
    }

    /// What was set at an address that is no more.
    fn lose_breakpoints_at(&mut self, addr: RuntimeAddr, why: &str) {
        self.steering.sites.remove(addr);
        self.steering.goals.retain(|goal| goal.addr != addr);
        self.steering.libraries = self.steering.libraries.filter(|at| *at != addr);
        for breakpoint in &mut self.steering.breakpoints {
            if breakpoint.addresses.contains(&addr) && breakpoint.kind == Kind::Software {
                breakpoint.addresses.retain(|at| *at != addr);
                if !breakpoint.addresses.is_empty() {
                    continue;
                }
                let (process, number, why) = (self.pid, breakpoint.number, why.to_owned());
                self.news.push_back(News::BreakpointLost { process, number, why });
            }
        }
    }

    /// Gives a stopped thread the debug registers that all are to have.
    pub(in crate::target) fn sync_debug(&mut self, tid: Tid) {
        let generation = self.steering.debug_generation;
        let Some(thread) = self.threads.get_mut(&tid) else { return };
        if thread.debug_generation == generation {
            return;
        }
        thread.debug_generation = generation;
        let registers = self.steering.debug;
        // ESRCH: it was killed. Off first, so that no address is watched in another's way.
        let tracer = self.tracer;
        let mut done = tracer.set_debug_register(tid, 7, 0);
        for (index, slot) in registers.0.iter().enumerate() {
            done = done.and_then(|()| tracer.set_debug_register(tid, index, slot.map_or(0, |watched| watched.addr.0)));
        }
        done = done.and_then(|()| tracer.set_debug_register(tid, 7, registers.control()));
        if (done == Err(crate::kernel::Errno::EINVAL) || done == Err(crate::kernel::Errno::ENOSPC))
            && let Some(number) = registers.met(0xf).first().copied()
        {
            let why = "the processor or the kernel refuses that address".to_owned();
            self.news.push_back(News::BreakpointLost { process: self.pid, number, why });
        }
    }

    /// Takes away all that godbg has put into the process. It is held.
    pub(in crate::target) fn clear_steering(&mut self) {
        self.disarm();
        self.steering.breakpoints.clear();
        self.steering.goals.clear();
        if self.steering.debug_generation > 0 {
            self.steering.debug = DebugRegisters::default();
            self.steering.debug_generation += 1;
            let stopped: Vec<Tid> = self.stopped_tids();
            stopped.into_iter().for_each(|tid| self.sync_debug(tid));
        }
        // An error: the process is ending, or every thread of it sleeps in the kernel. The handler does no harm then, and
        // what is written down stays for `godbg repair`.
        if self.lower_shield().is_ok() {
            self.drop_guard();
        }
        self.steering.sites.clear();
    }

    pub(in crate::target) fn stopped_tids(&self) -> Vec<Tid> {
        let stopped = self.threads.iter().filter(|(_, thread)| matches!(thread.state, State::Stopped(_)));
        stopped.map(|(tid, _)| *tid).collect()
    }

    fn any_pc(&self) -> Option<RuntimeAddr> {
        let tid = self.thread_for_calls().ok()?;
        self.tracer.registers(tid).ok().map(|registers| registers.pc())
    }
}

impl super::Steering {
    /// Whether it has not been told yet that the process has no shield.
    fn note_unshielded(&mut self) -> bool {
        !std::mem::replace(&mut self.told_unshielded, true)
    }
}
