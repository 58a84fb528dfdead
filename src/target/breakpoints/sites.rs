//! The addresses at which the program's text is changed while threads run: which byte belongs there, and where the copy of
//! its instruction is. Only bookkeeping; writes nothing.

use std::collections::BTreeMap;

use super::displaced::Displaced;
use crate::addr::RuntimeAddr;

/// The breakpoint instruction, int3.
pub(in crate::target) const INT3: u8 = 0xcc;

/// One address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::target) struct Site {
    /// The program's own byte.
    pub original: u8,
    /// Whether int3 is in its place now.
    pub armed: bool,
    /// The copy of the instruction, by which threads pass; `None` if there can be none, or if it was not made yet.
    pub copy: Option<Displaced>,
    /// Whether a copy has been tried.
    pub tried: bool,
}

/// All of them.
#[derive(Default, Debug)]
pub(in crate::target) struct Sites {
    by_addr: BTreeMap<u64, Site>,
    /// Copies that are not used any more, but in which a thread may still stand.
    retired: Vec<Displaced>,
}

impl Site {
    /// The instruction may be another now.
    fn forget_copy(&mut self) -> Option<Displaced> {
        self.tried = false;
        self.copy.take()
    }
}

impl Sites {
    pub fn is_empty(&self) -> bool {
        self.by_addr.is_empty()
    }

    pub fn get(&self, addr: RuntimeAddr) -> Option<&Site> {
        self.by_addr.get(&addr.0)
    }

    pub fn get_mut(&mut self, addr: RuntimeAddr) -> Option<&mut Site> {
        self.by_addr.get_mut(&addr.0)
    }

    pub fn insert(&mut self, addr: RuntimeAddr, original: u8) {
        self.by_addr.insert(addr.0, Site { original, armed: false, copy: None, tried: false });
    }

    pub fn remove(&mut self, addr: RuntimeAddr) {
        let removed = self.by_addr.remove(&addr.0);
        self.retired.extend(removed.and_then(|site| site.copy));
    }

    pub fn clear(&mut self) {
        self.by_addr.clear();
        self.retired.clear();
    }

    pub fn iter(&self) -> impl Iterator<Item = (RuntimeAddr, &Site)> {
        self.by_addr.iter().map(|(addr, site)| (RuntimeAddr(*addr), site))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (RuntimeAddr, &mut Site)> {
        self.by_addr.iter_mut().map(|(addr, site)| (RuntimeAddr(*addr), site))
    }

    /// Whether int3 was in memory somewhere.
    pub fn any_armed(&self) -> bool {
        self.by_addr.values().any(|site| site.armed)
    }

    /// The copy in which an address lies.
    pub fn copy_at(&self, pc: RuntimeAddr) -> Option<&Displaced> {
        let used = self.by_addr.values().filter_map(|site| site.copy.as_ref());
        used.chain(&self.retired).find(|copy| copy.true_place(pc).is_some())
    }

    /// Puts the program's own bytes over int3s in what was read from `addr` on.
    pub fn hide(&self, addr: RuntimeAddr, bytes: &mut [u8]) {
        for (at, site) in self.within(addr, bytes.len()) {
            if site.armed && bytes[at] == INT3 {
                bytes[at] = site.original;
            }
        }
    }

    /// What to write where `bytes` are to go to `addr`: int3s stay, and the new bytes are the program's own from then on.
    /// `None`: no site is touched.
    pub fn keep(&mut self, addr: RuntimeAddr, bytes: &[u8]) -> Option<Vec<u8>> {
        let end = addr.0.checked_add(bytes.len() as u64)?;
        let mut patched = None;
        for (at, site) in self.by_addr.range_mut(addr.0..end) {
            let index = (at - addr.0) as usize;
            site.original = bytes[index];
            self.retired.extend(site.forget_copy());
            if site.armed {
                patched.get_or_insert_with(|| bytes.to_vec())[index] = INT3;
            }
        }
        // A copy also holds bytes behind its own address.
        for (_, site) in self.by_addr.range_mut(addr.0.saturating_sub(15)..addr.0) {
            self.retired.extend(site.forget_copy());
        }
        patched
    }

    fn within(&self, addr: RuntimeAddr, length: usize) -> impl Iterator<Item = (usize, &Site)> {
        let end = addr.0.saturating_add(length as u64);
        self.by_addr.range(addr.0..end).map(move |(at, site)| ((at - addr.0) as usize, site))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_show_the_programs_bytes_and_writes_keep_the_breakpoint() {
        let mut sites = Sites::default();
        sites.insert(RuntimeAddr(10), 0x55);
        let mut read = [INT3; 4];
        sites.hide(RuntimeAddr(8), &mut read);
        assert_eq!(read, [INT3; 4], "not armed: what is there is the program's");
        sites.get_mut(RuntimeAddr(10)).expect("a site").armed = true;
        sites.hide(RuntimeAddr(8), &mut read);
        assert_eq!(read, [INT3, INT3, 0x55, INT3]);
        assert_eq!(sites.keep(RuntimeAddr(8), &[1, 2, 3, 4]), Some(vec![1, 2, INT3, 4]));
        assert_eq!(sites.get(RuntimeAddr(10)).map(|site| site.original), Some(3));
        assert_eq!(sites.keep(RuntimeAddr(11), &[1]), None);
    }
}
