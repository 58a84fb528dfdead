//! Which pages of a process hold something: the PAGEMAP_SCAN ioctl of Linux 6.7, and `/proc/PID/pagemap` read entry by entry
//! before that (proc_pid_pagemap(5), PAGEMAP_SCAN(2const)). Reads no memory.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::libc;

use super::memory::PAGE;
use crate::addr::{RuntimeAddr, Tid};

/// The pagemap of one process.
pub struct Pagemap {
    file: File,
    scans: bool,
}

/// `struct pm_scan_arg` (include/uapi/linux/fs.h).
#[repr(C)]
#[derive(Default)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::c_ulong = 0xc060_6610;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
/// The zero page, which reads of untouched memory are given.
const PAGE_IS_PFNZERO: u64 = 1 << 5;

/// How many ranges one request answers.
const MOST_RANGES: usize = 1024;

/// How many entries are read at once where there is no PAGEMAP_SCAN.
const MOST_ENTRIES: usize = 64 << 10;

impl Pagemap {
    /// Opens it, by any thread of the process.
    pub fn open(tid: Tid) -> io::Result<Pagemap> {
        let file = File::open(format!("/proc/{tid}/pagemap"))?;
        // A kernel that does not know the request says ENOTTY, whatever is asked.
        let asked = scan(&file, 0, PAGE, &mut [PageRegion::default()]);
        Ok(Pagemap { file, scans: asked.is_ok() })
    }

    /// The next ranges within `start..end` whose pages are in memory or swapped out, by rising address, and how far was
    /// looked: the caller asks again from there.
    pub fn next_present(&self, start: RuntimeAddr, end: RuntimeAddr) -> io::Result<(Vec<(u64, u64)>, RuntimeAddr)> {
        let (mut ranges, walked) = if self.scans {
            let mut found = [PageRegion::default(); MOST_RANGES];
            let (count, walked) = scan(&self.file, start.0, end.0, &mut found)?;
            (found[..count].iter().map(|range| (range.start, range.end)).collect(), walked)
        } else {
            self.read_entries(start.0, end.0)?
        };
        ranges.dedup_by(|next, last| {
            let touches = last.1 == next.0;
            if touches {
                last.1 = next.1;
            }
            touches
        });
        Ok((ranges, RuntimeAddr(walked.max(start.0 + PAGE).min(end.0))))
    }

    fn read_entries(&self, start: u64, end: u64) -> io::Result<(Vec<(u64, u64)>, u64)> {
        let count = ((end - start) / PAGE).min(MOST_ENTRIES as u64) as usize;
        let mut bytes = vec![0u8; count * 8];
        self.file.read_exact_at(&mut bytes, start / PAGE * 8)?;
        let entries = bytes.as_chunks::<8>().0.iter().map(|entry| u64::from_ne_bytes(*entry));
        // Bit 63: present, 62: swapped out.
        let held = entries.enumerate().filter(|(_, entry)| entry >> 62 != 0);
        let pages = held.map(|(index, _)| start + index as u64 * PAGE).map(|page| (page, page + PAGE));
        Ok((pages.collect(), start + count as u64 * PAGE))
    }
}

/// How many ranges were found, and where the walk ended.
fn scan(file: &File, start: u64, end: u64, found: &mut [PageRegion]) -> io::Result<(usize, u64)> {
    let mut arg = ScanArg {
        size: std::mem::size_of::<ScanArg>() as u64,
        start,
        end,
        vec: found.as_mut_ptr() as u64,
        vec_len: found.len() as u64,
        category_inverted: PAGE_IS_PFNZERO,
        category_mask: PAGE_IS_PFNZERO,
        category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        return_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        ..ScanArg::default()
    };
    // SAFETY: the kernel writes the argument itself and at most `vec_len` regions; both are live and writable.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), PAGEMAP_SCAN, &raw mut arg) };
    let count = Errno::result(answer)? as usize;
    // A walk that the full vector ended says where; one that came to the end says the end.
    Ok((count, if arg.walk_end == 0 { end } else { arg.walk_end }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::own;

    /// Four untouched pages around a written one, in a mapping of its own.
    fn five_pages() -> (*mut u8, u64) {
        let length = 5 * PAGE as usize;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping; nothing else is touched.
        let memory =
            unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        assert_ne!(memory, libc::MAP_FAILED);
        // SAFETY: within that mapping.
        unsafe {
            libc::madvise(memory, length, libc::MADV_NOHUGEPAGE);
            *memory.cast::<u8>().add(2 * PAGE as usize) = 1;
        }
        (memory.cast(), memory as u64)
    }

    #[test]
    fn the_written_page_is_found_either_way() {
        let (memory, start) = five_pages();
        // SAFETY: a read of the first page, which maps the zero page there.
        assert_eq!(unsafe { memory.read_volatile() }, 0);
        let mut pagemap = Pagemap::open(own::tid()).expect("own pagemap");
        let end = RuntimeAddr(start + 5 * PAGE);
        let written = (start + 2 * PAGE, start + 3 * PAGE);
        if pagemap.scans {
            let found = pagemap.next_present(RuntimeAddr(start), end).expect("a scan");
            assert_eq!(found, (vec![written], end));
        }
        pagemap.scans = false;
        let (ranges, walked) = pagemap.next_present(RuntimeAddr(start), end).expect("entries");
        assert!(ranges.contains(&written) && walked == end, "{ranges:x?}");
    }
}
