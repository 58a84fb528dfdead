//! `/proc/PID/smaps`: each mapping with what the kernel says of its pages and flags. Slower than maps: the kernel walks all
//! page tables for it. Refuses to decide what is worth keeping.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};

use super::maps::{Mapping, Mappings};
use crate::addr::Tid;

/// A hostile target can have many mappings: what is read of the list is bounded.
const LONGEST: u64 = 512 << 20;

/// A mapping and its facts (proc_pid_smaps(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The mapping.
    pub mapping: Mapping,
    /// Whether some of its pages are its own and no file's: it has been written to.
    pub has_own_pages: bool,
    /// `VmFlags:`, two letters each, as [`Region::has`] asks for them.
    flags: Vec<[u8; 2]>,
}

impl Region {
    /// A mapping of which nothing more is known.
    pub fn plain(mapping: Mapping) -> Region {
        Region { mapping, has_own_pages: false, flags: Vec::new() }
    }

    /// Whether the mapping has a flag of `VmFlags:`: `dd` (not to be dumped), `io`, `ht` (huge pages of hugetlbfs), `dc` (not
    /// copied by fork), `wf` (wiped by fork), `um`, `uw`, `ui` (userfaultfd).
    pub fn has(&self, flag: &[u8; 2]) -> bool {
        self.flags.contains(flag)
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.mapping.end.0 - self.mapping.start.0
    }
}

/// All mappings of the process that a thread belongs to, by rising address.
pub fn of(tid: Tid) -> io::Result<Vec<Region>> {
    parse(BufReader::with_capacity(1 << 16, fs::File::open(format!("/proc/{tid}/smaps"))?.take(LONGEST)))
}

/// The text of an smaps file.
pub(crate) fn parse(mut reader: impl BufRead) -> io::Result<Vec<Region>> {
    let mut regions: Vec<Region> = Vec::new();
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        // Attributes begin with a capital letter, mappings with a hexadecimal digit of the kernel's small ones.
        match (line.first().is_some_and(u8::is_ascii_uppercase), regions.last_mut()) {
            (true, Some(region)) => note(region, &line),
            (true, None) => {}
            (false, _) => regions.extend(Mappings::parse(&line)?.iter().cloned().map(Region::plain)),
        }
        line.clear();
    }
    Ok(regions)
}

fn note(region: &mut Region, line: &[u8]) {
    let line = String::from_utf8_lossy(line);
    let Some((name, rest)) = line.split_once(':') else { return };
    match name {
        "Anonymous" | "Swap" => {
            region.has_own_pages |= rest.split_ascii_whitespace().next().is_some_and(|amount| amount != "0");
        }
        "VmFlags" => {
            let flags = rest.split_ascii_whitespace().filter_map(|flag| flag.as_bytes().try_into().ok());
            region.flags = flags.collect();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_taken_from_their_lines() {
        let text = "1000-3000 rw-p 00000000 fe:00 24 /usr/bin/a b\nSize: 8 kB\nAnonymous:   4 kB\nSwap: 0 kB\n\
                    VmFlags: rd wr dd io \n5000-6000 r--s 00001000 00:00 0 \nAnonymous: 0 kB\nVmFlags: rd sh\n";
        let regions = parse(text.as_bytes()).expect("two mappings");
        assert_eq!(regions.len(), 2);
        assert!(regions[0].has_own_pages && regions[0].has(b"dd") && regions[0].has(b"io"));
        assert_eq!(regions[0].mapping.name.as_deref(), Some("/usr/bin/a b"));
        assert_eq!(regions[0].length(), 0x2000);
        assert!(!regions[1].has_own_pages && !regions[1].has(b"dd") && regions[1].mapping.shared);
    }

    #[test]
    fn own_mappings_are_those_of_maps() {
        let regions = of(super::super::own::tid()).expect("own smaps");
        let stack = regions.iter().find(|region| region.mapping.name.as_deref() == Some("[stack]"));
        assert!(stack.is_some_and(|stack| stack.has_own_pages && stack.has(b"gd")));
    }
}
