//! The names of a file: kept by an earlier run or built, and asked for. What was kept and is damaged is made anew.

use std::sync::atomic::Ordering;

use super::super::blocks::checksum;
use super::super::index::Index;
use super::Module;

/// Names of smaller files are read faster than kept ones are.
const SMALL: usize = 1 << 18;

impl Module {
    /// The names, built if need be; may take seconds for a large file. Does no harm if it is done by another thread before it
    /// is needed.
    pub fn prepare_names(&self) {
        self.index();
    }

    /// Whether [`Module::prepare_names`] has work to do that a later session need not do again. Says so once.
    pub fn wants_names_prepared(&self) -> bool {
        let wants = || self.go().is_none() && self.key().is_some() && self.known_index().is_none();
        !self.prepared.load(Ordering::Relaxed) && wants() && !self.prepared.swap(true, Ordering::Relaxed)
    }

    /// The names, if they are there without being built.
    fn known_index(&self) -> Option<&Index> {
        self.index.get().or_else(|| self.remembered_index())
    }

    pub(super) fn index(&self) -> &Index {
        if let Some(index) = self.remembered_index() {
            return index;
        }
        self.index.get_or_init(|| {
            let key = self.key();
            let index = Index::build(self.whole_dwarf(), self.symbols(), key.unwrap_or(0));
            if let Some(key) = key {
                index.remember(&*self.files, &key_name(key));
            }
            index
        })
    }

    /// The names that an earlier run has kept. They are asked for once.
    fn remembered_index(&self) -> Option<&Index> {
        let ask = || {
            let key = self.key()?;
            let index = Index::remembered(&*self.files, &key_name(key), key)?;
            // Debug info that has not been needed is not unpacked for this: it asks when it is.
            if let Some(Some(debug)) = self.dwarf.get()
                && let Some(ranges) = index.ranges()
            {
                debug.dwarf.know_ranges(ranges);
            }
            Some(index)
        };
        // One that was found to be damaged is made anew.
        let kept = self.remembered.get_or_init(ask).as_ref().filter(|index| !index.is_damaged());
        kept.or_else(|| self.index.get())
    }

    /// Asks the names, if they are there without being built: again, if the answer may lack something.
    pub(super) fn ask_known_index<T>(&self, ask: impl Fn(&Index) -> T) -> Option<T> {
        loop {
            let index = self.known_index()?;
            let answer = ask(index);
            if !index.is_damaged() {
                return Some(answer);
            }
        }
    }

    /// Asks the names, built if need be.
    pub(super) fn ask_index<T>(&self, ask: impl Fn(&Index) -> T) -> T {
        loop {
            let index = self.index();
            let answer = ask(index);
            if !index.is_damaged() {
                return answer;
            }
        }
    }

    /// What the kept names are found by: the build id with what a file that lies about it would have otherwise; `None`
    /// without a build id, and for files that are read faster than a cache is.
    fn key(&self) -> Option<u64> {
        let mut facts = self.elf.build_id()?;
        let debug = self.separate().debug.as_ref();
        for elf in [Some(&self.elf), debug.map(|debug| &debug.elf)].into_iter().flatten() {
            facts.extend_from_slice(&elf.bytes().len().to_le_bytes());
            facts.extend_from_slice(elf.section_headers());
        }
        let size = debug.map_or(self.elf.bytes().len(), |debug| debug.elf.bytes().len());
        (size >= SMALL).then(|| checksum(&facts))
    }
}

fn key_name(key: u64) -> String {
    format!("names-{key:016x}")
}
