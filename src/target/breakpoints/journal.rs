//! What godbg has changed in a process, written down while it is changed, and undoing it in godbg's place: by the guardian
//! that waits for godbg's end, by `godbg repair`, or by the next `attach`. The journal is memory that outlives godbg
//! (`kernel::journal`). Refuses to undo anything in a process that is not the one that was written down.

use std::env;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::aftermath;
use super::shield::{AREA, Area, Shield};
use super::sites::INT3;
use crate::addr::{Pid, RuntimeAddr};
use crate::kernel::arch::shield;
use crate::kernel::guardian::{self, Leash};
use crate::kernel::journal::{Journal, WORDS};
use crate::kernel::maps::Mappings;
use crate::kernel::memory::Memory;
use crate::kernel::metronome::Metronome;
use crate::kernel::ptrace::Tracer;
use crate::kernel::{proc, wait};
use crate::target::process::{Origin, Process};
use crate::target::{Error, Result, Why};

/// The words of a journal.
const MAGIC: usize = 0;
const PID: usize = 1;
const STARTED: usize = 2;
const AREAS: usize = 3;
const FIRST_AREA: usize = 4;
/// An area that is about to be lent, or 0.
const COMING: usize = 31;
const SITES: usize = 32;
const FIRST_SITE: usize = 33;

const MOST_AREAS: usize = COMING - FIRST_AREA;

/// From here on the words are `aftermath`'s.
pub(super) const FIRST_FREE: usize = FIRST_SITE + 2 * MOST_SITES;

/// How many breakpoints in the text there can be.
pub(in crate::target) const MOST_SITES: usize = 2000;
const _: () = assert!(FIRST_FREE + aftermath::LENGTH <= WORDS && MOST_SITES <= crate::kernel::arch::shield::MOST_SITES);

/// `GODBG` and the version of the layout.
const VALID: u64 = u64::from_le_bytes(*b"GODBG\0\0\x02");

/// How long a repair tries again: the tracer may still be dying, and a thread may need long to leave what was lent.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is written down of one process, and the guardian that waits beside it.
pub(in crate::target) struct Guard {
    pub(super) journal: Journal,
    leash: Option<Leash>,
}

/// What a repair did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repaired {
    /// The process.
    pub process: Pid,
    /// How many breakpoints were written down.
    pub breakpoints: usize,
}

/// Where journals lie: one file for each process that godbg has changed, in the XDG state folder.
pub fn journal_folder() -> PathBuf {
    let state = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".local/state"));
    state.or_else(home).unwrap_or_else(env::temp_dir).join("godbg/changed")
}

/// The journal of a process as it runs now: pids are given again, start times are not.
fn path_of(pid: Pid) -> Result<PathBuf> {
    let stat = proc::thread_stat(pid, pid.leader()).map_err(|_| Error::Missing(pid))?;
    Ok(journal_folder().join(format!("{pid}-{}", stat.started)))
}

impl Process {
    /// Has a guardian wait for godbg's end, from the first time on. Before the process is held, where it runs.
    pub(in crate::target) fn ensure_guard(&mut self) {
        // What godbg started ends with it.
        if self.origin == Origin::Started || self.has_guard() || self.steering.no_guard.is_some() {
            return;
        }
        match Guard::start(self.pid) {
            Ok(guard) => self.steering.guard = Some(guard),
            Err(error) => self.steering.no_guard = Some(error.to_string()),
        }
    }

    /// Whether somebody would undo what godbg does.
    pub(in crate::target) fn has_guard(&self) -> bool {
        self.steering.guard.is_some()
    }

    /// Writes down where memory is about to be lent.
    pub(in crate::target) fn note_coming(&self, area: Option<RuntimeAddr>) {
        if let Some(guard) = &self.steering.guard {
            guard.journal.set(COMING, area.map_or(0, |area| area.0));
        }
    }

    /// Writes down what was lent to the process.
    pub(in crate::target) fn note_shield(&mut self) {
        let Some(shield) = &self.steering.shield else { return };
        if let Some(guard) = &self.steering.guard {
            for (index, area) in shield.areas.iter().take(MOST_AREAS).enumerate() {
                guard.journal.set(FIRST_AREA + index, area.base.0);
            }
            guard.journal.set(AREAS, shield.areas.len().min(MOST_AREAS) as u64);
            guard.journal.set(COMING, 0);
        } else if let Some(why) = &self.steering.no_guard {
            let why = format!("no guardian can be started ({why})");
            self.news.push_back(crate::target::News::Unshielded { process: self.pid, why });
        }
    }

    /// Writes down the bytes that belong where breakpoints are about to be.
    pub(in crate::target) fn note_sites(&mut self) {
        let Some(guard) = &self.steering.guard else { return };
        let sites: Vec<(RuntimeAddr, u8)> =
            self.steering.sites.iter().map(|(addr, site)| (addr, site.original)).take(MOST_SITES).collect();
        // The list grows before its length does, and shrinks after it: what is within the length always holds. No int3 is in
        // memory meanwhile.
        guard.journal.set(SITES, 0);
        for (index, (addr, original)) in sites.iter().enumerate() {
            guard.journal.set(FIRST_SITE + 2 * index, addr.0);
            guard.journal.set(FIRST_SITE + 2 * index + 1, u64::from(*original));
        }
        guard.journal.set(SITES, sites.len() as u64);
    }

    /// Nothing of godbg's is left in the process: the guardian may go.
    pub(in crate::target) fn drop_guard(&mut self) {
        if let Some(guard) = self.steering.guard.take() {
            // Should the file stay, it is found to be of a process that needs nothing.
            let _ = guard.journal.remove();
            if let Some(leash) = guard.leash {
                leash.release();
            }
        }
    }

    /// Takes over what another godbg has left in this process, which is held: what it lent, and its breakpoints, which are
    /// never armed again. [`Process::clear_steering`] then takes all away.
    fn take_over(&mut self, journal: Journal) {
        // A file is anybody's word: only what can have been lent is taken back.
        let mappings = self.mappings().unwrap_or_default();
        let bases = lent(&journal, self.pid, &mappings);
        let areas: Vec<Area> = bases.into_iter().map(|base| Area::full(RuntimeAddr(base))).collect();
        self.steering.shield = (!areas.is_empty()).then_some(Shield { areas, old_handler: 0 });
        for (addr, original) in sites_of(&journal) {
            self.steering.sites.insert(addr, original);
        }
        self.steering.retired = true;
        self.steering.debug_generation = 1;
        self.steering.guard = Some(Guard { journal, leash: None });
        self.bring_all_home();
    }

    /// Undoes what a journal says, in a process that is held. Whatever comes of it the process can go on being used.
    fn undo(&mut self, journal: Journal) -> Result<()> {
        if has_handler(&journal, self.pid) {
            restore_text(&*self.memory().map_err(|_| Error::Ended(self.pid))?, &journal);
        }
        let copy = self.mend_caller(&journal);
        self.take_over(journal);
        let left = self.leave_shield(Why::Attach);
        self.end_left_copy(copy);
        left?;
        self.clear_steering();
        self.steering = super::Steering::default();
        Ok(())
    }

    /// Undoes what an earlier godbg has left in this process, which was just attached to. True: there was something.
    pub(in crate::target) fn undo_leftovers(&mut self) -> Result<bool> {
        let Ok(path) = path_of(self.pid) else { return Ok(false) };
        let Ok(journal) = Journal::open(&path) else { return Ok(false) };
        if !is_of(&journal, self.pid) {
            return Ok(false);
        }
        self.undo(journal).map(|()| true)
    }
}

impl Guard {
    fn start(pid: Pid) -> io::Result<Guard> {
        let stat = proc::thread_stat(pid, pid.leader())?;
        let folder = journal_folder();
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let path = path_of(pid).map_err(io::Error::other)?;
        // No journal is ever without a guardian, who takes it away: not even if godbg is killed right here.
        let (journal, file) = Journal::create(&path)?;
        let leash = guardian::start(&path, file.try_clone()?)?;
        journal.put_in_place(&file)?;
        journal.set(PID, pid.0 as u64);
        journal.set(STARTED, stat.started);
        journal.set(MAGIC, VALID);
        Ok(Guard { journal, leash: Some(leash) })
    }
}

/// Whether a journal is of this process, and tells of something in it. After an exec nothing of godbg's is left there.
fn is_of(journal: &Journal, pid: Pid) -> bool {
    let started = proc::thread_stat(pid, pid.leader()).map(|stat| stat.started);
    journal.get(MAGIC) == VALID
        && journal.get(PID) == pid.0 as u64
        && started.is_ok_and(|started| started == journal.get(STARTED))
        && (has_handler(journal, pid) || journal.get(COMING) != 0 || aftermath::tells_of_something(journal))
}

/// What is lent to a process: what was noted, and what was about to be noted if it is there.
fn lent(journal: &Journal, pid: Pid, mappings: &Mappings) -> Vec<u64> {
    let count = if has_handler(journal, pid) { journal.get(AREAS).min(MOST_AREAS as u64) as usize } else { 0 };
    let bases = (0..count).map(|index| journal.get(FIRST_AREA + index));
    let mut bases: Vec<u64> = bases.filter(|base| Area::is_lent(RuntimeAddr(*base), mappings)).collect();
    let coming = journal.get(COMING);
    if coming != 0 && !bases.contains(&coming) && is_one_piece(mappings, coming) {
        bases.push(coming);
    }
    bases
}

/// Whether just an area's length is mapped at an address, anonymous and apart from all else.
fn is_one_piece(mappings: &Mappings, base: u64) -> bool {
    let Some(last) = base.checked_add(AREA) else { return false };
    let mut end = base;
    while let Some(mapping) = mappings.find(RuntimeAddr(end)) {
        if mapping.start.0 != end || mapping.name.is_some() || mapping.shared || end >= last {
            return false;
        }
        end = mapping.end.0;
    }
    end == last
}

fn has_handler(journal: &Journal, pid: Pid) -> bool {
    let tids = proc::tasks(pid).unwrap_or_default();
    let Some(memory) = tids.into_iter().find_map(|tid| Memory::open(pid, tid).ok()) else { return false };
    let mut bytes = vec![0; shield::code().len()];
    let at = RuntimeAddr(journal.get(FIRST_AREA).wrapping_add(shield::DATA_BELOW));
    memory.read(at, &mut bytes) == Ok(bytes.len()) && bytes == shield::code()
}

fn sites_of(journal: &Journal) -> Vec<(RuntimeAddr, u8)> {
    let count = journal.get(SITES).min(MOST_SITES as u64) as usize;
    let site = |index| (journal.get(FIRST_SITE + 2 * index), journal.get(FIRST_SITE + 2 * index + 1));
    (0..count).map(site).map(|(addr, original)| (RuntimeAddr(addr), original as u8)).collect()
}

/// Puts the program's own bytes where int3 still stands. Needs no ptrace, and so can be done at once.
fn restore_text(memory: &Memory, journal: &Journal) {
    for (addr, original) in sites_of(journal) {
        let mut byte = [0];
        // What cannot be read is not mapped any more.
        if memory.read(addr, &mut byte) == Ok(1) && byte[0] == INT3 {
            let _ = memory.write(addr, &[original]);
        }
    }
}

/// Undoes what a killed godbg has left in a process. `None`: it left nothing.
pub fn repair(pid: Pid, tracer: Tracer, metronome: Rc<Metronome>) -> Result<Option<Repaired>> {
    let path = path_of(pid)?;
    let Ok(journal) = Journal::open(&path) else { return Ok(None) };
    if !is_of(&journal, pid) {
        return Ok(None);
    }
    // Nothing is touched before it is attached: another godbg may be at work in it.
    let breakpoints = if has_handler(&journal, pid) { sites_of(&journal).len() } else { 0 };
    drop(journal);
    let begin = Instant::now();
    loop {
        // Attaching finds what was left, and undoes it.
        match crate::target::attach(pid, tracer, metronome.clone(), Rc::default()) {
            Ok((mut process, _)) => {
                process.detach()?;
                return Ok(Some(Repaired { process: pid, breakpoints }));
            }
            Err(Error::Traced { .. } | Error::InLentMemory { .. }) if begin.elapsed() < PATIENCE => wait::until_beat(),
            Err(error) => return Err(error),
        }
    }
}

/// What the guardian does when godbg has ended: repairs what the journal that it has inherited says. The process may have
/// ended too. Where a later godbg was faster, what stands at `path` is that one's journal, and the breakpoints are its own.
pub fn guard(path: &Path, tracer: Tracer, metronome: Rc<Metronome>) -> Result<Option<Repaired>> {
    let journal = Journal::inherited(path).map_err(|error| Error::NoJournal(error.to_string()))?;
    if !journal.is_in_place() {
        return Ok(None);
    }
    let pid = Pid(journal.get(PID) as i32);
    if !is_of(&journal, pid) {
        // Nobody needs it any more. Should it stay, it is found to be of a process that needs nothing.
        let _ = journal.remove();
        return Ok(None);
    }
    // At once, before the kernel lets the threads go: who traces them is dying.
    if has_handler(&journal, pid)
        && let Ok(memory) = Memory::open(pid, pid.leader())
    {
        restore_text(&memory, &journal);
    }
    drop(journal);
    repair(pid, tracer, metronome)
}
