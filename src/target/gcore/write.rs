//! Writing a core piece by piece, so that whoever writes it can look after other things in between. What is zero or was never
//! touched is a hole in the file. Memory may change while it is read, and pages may be gone: they are left out and counted.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::CoreImage;
use super::elf::{Layout, Segment, layout};
use super::filter::{Amount, amount};
use super::notes::notes;
use crate::addr::RuntimeAddr;
use crate::kernel::Errno;
use crate::kernel::memory::PAGE;
use crate::kernel::regions::Region;

/// How much is read and written at once.
const PIECE: usize = 1 << 20;

/// How much one [`CoreWriter::step`] writes at most.
const STEP: u64 = 32 << 20;

/// Mappings of this size and more, such as a sanitiser's shadow memory, end in the file where their last page does.
const GIANT: u64 = 64 << 30;

/// Why a core could not be written.
#[derive(Debug, thiserror::Error)]
pub enum CoreFault {
    /// The file.
    #[error("{0}")]
    File(#[from] io::Error),
    /// The memory is gone.
    #[error("the memory is gone: what it was read from has been ended")]
    Gone,
}

/// What is left of a segment to be written.
enum Rest {
    /// Nothing.
    Done,
    /// Bytes that were read before.
    Known(usize),
    /// What the page map says is there, from here on.
    Present(RuntimeAddr),
    /// Everything, from here on.
    All(RuntimeAddr),
}

/// A core that is being written.
pub struct CoreWriter<'a> {
    image: &'a CoreImage,
    file: File,
    layout: Layout,
    segments: Vec<(Segment, Rest)>,
    /// The first segment that is not done.
    current: usize,
    /// Ranges of it that are to be written next, the last first.
    ranges: Vec<(u64, u64)>,
    buffer: Vec<u8>,
    done: u64,
    unread: u64,
}

impl<'a> CoreWriter<'a> {
    /// Lays the file out and writes all but the memory. `all`: mappings that the process does not want dumped as well.
    pub fn new(image: &'a CoreImage, file: File, all: bool) -> Result<CoreWriter<'a>, CoreFault> {
        let mut segments = Vec::with_capacity(image.regions.len());
        for region in &image.regions {
            add_segments(image, region, all, &mut segments)?;
        }
        let notes = notes(&image.process, &image.threads, &image.regions);
        let headers: Vec<Segment> = segments.iter().map(|(segment, _)| segment.clone()).collect();
        let layout = layout(&headers, notes.len() as u64);
        file.write_all_at(&layout.head, 0)?;
        file.write_all_at(&notes, layout.notes_at)?;
        if let Some((at, bytes)) = &layout.tail {
            file.write_all_at(bytes, *at)?;
        }
        let (ranges, buffer) = (Vec::new(), vec![0; PIECE]);
        Ok(CoreWriter { image, file, layout, segments, current: 0, ranges, buffer, done: 0, unread: 0 })
    }

    /// How long the file is.
    pub fn length(&self) -> u64 {
        self.layout.length
    }

    /// How many segments it has.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// How far the writing is, and how far it goes, in bytes of the file.
    pub fn progress(&self) -> (u64, u64) {
        let begun = self.layout.offsets.get(self.current).copied().unwrap_or(self.layout.length);
        let within = match self.segments.get(self.current) {
            Some((segment, Rest::Present(at) | Rest::All(at))) => at.0 - segment.start.0,
            _ => 0,
        };
        (begun + within, self.layout.length)
    }

    /// Bytes of memory that were to be kept and could not be read.
    pub fn unread(&self) -> u64 {
        self.unread
    }

    /// Writes the next part. False: the core is complete.
    pub fn step(&mut self) -> Result<bool, CoreFault> {
        let end = self.done + STEP;
        while self.done < end {
            if let Some((from, to)) = self.ranges.pop() {
                let now = to.min(from + (end - self.done).next_multiple_of(PAGE));
                if now < to {
                    self.ranges.push((now, to));
                }
                self.write_range(from, now)?;
            } else if !self.find_ranges()? {
                self.file.set_len(self.layout.length)?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Finds what is to be written next. False: nothing is left.
    fn find_ranges(&mut self) -> Result<bool, CoreFault> {
        let Some((segment, rest)) = self.segments.get_mut(self.current) else { return Ok(false) };
        let end = RuntimeAddr(segment.start.0 + segment.kept);
        match rest {
            Rest::Known(index) => {
                let (from, bytes) = (self.layout.offsets[self.current], &self.image.unforked[*index].1);
                write_pages(&self.file, bytes, from)?;
                *rest = Rest::Done;
            }
            Rest::Present(at) if *at < end => {
                let (mut ranges, walked) = self.image.pagemap.next_present(*at, end).map_err(|_| CoreFault::Gone)?;
                ranges.reverse();
                self.ranges = ranges;
                *at = walked;
            }
            Rest::All(at) if *at < end => {
                let next = RuntimeAddr(end.0.min(at.0 + STEP));
                self.ranges = vec![(at.0, next.0)];
                *at = next;
            }
            _ => self.current += 1,
        }
        Ok(true)
    }

    /// Writes a range of the current segment.
    fn write_range(&mut self, from: u64, to: u64) -> Result<(), CoreFault> {
        let offset = self.layout.offsets[self.current];
        let start = self.segments[self.current].0.start.0;
        let mut at = from;
        while at < to {
            let wanted = ((to - at) as usize).min(PIECE);
            let got = self.read(RuntimeAddr(at), wanted)?;
            write_pages(&self.file, &self.buffer[..got], offset + (at - start))?;
            if got == 0 {
                self.unread += PAGE;
            }
            at += (got as u64).max(PAGE);
        }
        self.done += to - from;
        Ok(())
    }

    /// Reads into the buffer: how many bytes, whole pages. 0: the first page cannot be read.
    fn read(&mut self, addr: RuntimeAddr, wanted: usize) -> Result<usize, CoreFault> {
        let buffer = &mut self.buffer[..wanted];
        let gone = |_: Errno| CoreFault::Gone;
        let got = match self.image.memory.read_fast(addr, buffer).map_err(gone)? {
            // What the program itself may not read.
            0 => self.image.memory.read(addr, buffer).map_err(gone)?,
            got => got,
        };
        Ok(got / PAGE as usize * PAGE as usize)
    }
}

/// Writes whole pages, leaving holes for those that are zero.
fn write_pages(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    static ZERO: [u8; PAGE as usize] = [0; PAGE as usize];
    let mut pages = bytes.chunks(PAGE as usize).enumerate().peekable();
    while let Some((first, page)) = pages.next() {
        if *page == ZERO[..page.len()] {
            continue;
        }
        let mut end = first * PAGE as usize + page.len();
        while let Some((_, page)) = pages.next_if(|(_, page)| **page != ZERO[..page.len()]) {
            end += page.len();
        }
        let begin = first * PAGE as usize;
        file.write_all_at(&bytes[begin..end], offset + begin as u64)?;
    }
    Ok(())
}

/// What a mapping becomes in the file.
fn add_segments(
    image: &CoreImage,
    region: &Region,
    all: bool,
    out: &mut Vec<(Segment, Rest)>,
) -> Result<(), CoreFault> {
    let mapping = &region.mapping;
    let (start, end) = (mapping.start, mapping.end);
    let access = [mapping.read, mapping.write, mapping.execute];
    let known = image.unforked.iter().position(|(known, _)| known.mapping.start == start);
    let (kept, rest) = match (amount(region, image.filter, all), known) {
        (Amount::Present, None) if region.length() >= GIANT => {
            (last_present(image, start, end)? - start.0, Rest::Present(start))
        }
        (Amount::Nothing, _) => (0, Rest::Done),
        (Amount::Present | Amount::Whole, Some(index)) => (region.length(), Rest::Known(index)),
        (Amount::Present, None) => (region.length(), Rest::Present(start)),
        (Amount::Whole, None) => (region.length(), Rest::All(start)),
        (Amount::ElfHeader, _) => {
            let mut magic = [0; 4];
            let is_elf = image.memory.read(start, &mut magic).is_ok_and(|got| got == 4) && magic == *b"\x7fELF";
            (if is_elf { PAGE } else { 0 }, Rest::All(start))
        }
    };
    out.push((Segment { start, end, access, kept }, rest));
    Ok(())
}

/// Where the last page of a mapping that is there ends.
fn last_present(image: &CoreImage, start: RuntimeAddr, end: RuntimeAddr) -> Result<u64, CoreFault> {
    let (mut at, mut last) = (start, start.0);
    while at < end {
        let (ranges, walked) = image.pagemap.next_present(at, end).map_err(|_| CoreFault::Gone)?;
        last = ranges.last().map_or(last, |range| range.1);
        at = walked;
    }
    Ok(last)
}
