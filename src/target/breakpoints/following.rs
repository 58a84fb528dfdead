//! Breakpoints that name functions and lines follow the files that a process maps: they are looked up again when the dynamic
//! linker has mapped or unmapped some, and after an exec. Knows no symbols: whoever does lends a [`Locate`].

use std::fmt::Debug;

use super::watch::DebugRegisters;
use super::{Kind, NewBreakpoint};
use crate::addr::{Pid, RuntimeAddr};
use crate::kernel::maps::Mappings;
use crate::target::News;
use crate::target::process::Process;

/// Finds what a breakpoint's location names, without any thread's registers.
pub trait Locate: Debug {
    /// Every address that a location means now; none if nothing that is mapped has it.
    fn addresses(&self, process: Pid, mappings: &Mappings, location: &str) -> Vec<RuntimeAddr>;

    /// The function that the dynamic linker calls before and after it has changed its list of files: `r_brk` of `struct r_debug`
    /// (link.h), by its name in the linker's own symbols. `None`: there is no such linker.
    fn linker_hook(&self, process: Pid, mappings: &Mappings) -> Option<RuntimeAddr>;
}

impl Process {
    /// Wants to be told of files that are mapped, as long as a breakpoint follows them.
    pub(super) fn follow_libraries(&mut self) {
        let wants = self.steering.breakpoints.iter().any(|one| one.follows);
        if wants == self.steering.libraries.is_some() {
            return;
        }
        let locate = self.rules.locate.borrow().clone().filter(|_| wants);
        let hook = locate.and_then(|locate| locate.linker_hook(self.pid, &self.mappings().ok()?));
        self.steering.stale |= self.steering.libraries != hook;
        self.steering.libraries = hook;
    }

    /// Looks up again what follows files. Whether any address has changed; what is lost or found is told.
    pub(in crate::target) fn relocate_following(&mut self) -> bool {
        self.relocate(true)
    }

    /// After an exec: everything that can be found in the new program. Nothing is told of what is not found.
    pub(super) fn relocate_all(&mut self) {
        self.relocate(false);
        self.follow_libraries();
    }

    /// What a new breakpoint of another process, whose mappings these are, is in this one. `None`: it is not meant here. Addresses
    /// hold as long as the same files are mapped there: in children until they execute a program. After that what has a name is
    /// looked up, unless an expression goes with it: the addresses in that are the other process's.
    pub fn counterpart(&self, new: &NewBreakpoint, theirs: &Mappings) -> Option<NewBreakpoint> {
        let mappings = self.mappings().ok()?;
        if matches!(new.kind, Kind::Watch(_)) || new.thread.is_some() {
            return None;
        }
        let place = |mappings: &Mappings, addr: RuntimeAddr| {
            let mapping = mappings.find(addr)?;
            Some((mapping.name.clone(), mapping.inode, mapping.file_offset + (addr.0 - mapping.start.0)))
        };
        if new.addresses.iter().all(|addr| place(&mappings, *addr) == place(theirs, *addr)) {
            return Some(new.clone());
        }
        let locate = self.rules.locate.borrow().clone()?;
        if !new.follows || new.condition.is_some() || new.trace.is_some() {
            return None;
        }
        let addresses = locate.addresses(self.pid, &mappings, &new.location);
        (!addresses.is_empty()).then(|| NewBreakpoint { addresses, ..new.clone() })
    }

    fn relocate(&mut self, only_following: bool) -> bool {
        let Some(locate) = self.rules.locate.borrow().clone() else { return false };
        let Ok(mappings) = self.mappings() else { return false };
        let mut changed = false;
        for index in 0..self.steering.breakpoints.len() {
            let one = &self.steering.breakpoints[index];
            if !one.follows && (only_following || !one.addresses.is_empty()) {
                continue;
            }
            let found = locate.addresses(self.pid, &mappings, &one.location);
            if found == one.addresses {
                continue;
            }
            changed = true;
            let (process, number, places) = (self.pid, one.number, found.len());
            if only_following {
                self.news.push_back(match places {
                    0 => {
                        let why = "its file was unmapped; it waits for it".to_owned();
                        News::BreakpointLost { process, number, why }
                    }
                    _ => News::BreakpointFound { process, number, places },
                });
            }
            self.steering.breakpoints[index].addresses = found;
        }
        if changed {
            self.steering.stale = true;
            // With too few debug registers the old ones stay.
            if let Ok(debug) = DebugRegisters::for_all(&self.steering.breakpoints)
                && debug != self.steering.debug
            {
                self.steering.debug = debug;
                self.steering.debug_generation += 1;
            }
        }
        changed
    }
}
