//! Writing a core piece by piece, so that whoever writes it can look after other things in between. What is zero or was never
//! touched is a hole in the file. Memory may change while it is read, and pages may be gone: they are left out and counted.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::CoreImage;
use super::elf::{Layout, Segment, layout};
use super::filter::{Amount, amount};
use super::notes::notes;
use super::sink::{PIECE, Sink, write_pages};
use crate::addr::RuntimeAddr;
use crate::kernel::Errno;
use crate::kernel::memory::{Memory, PAGE};
use crate::kernel::regions::{MappedFile, Region};

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
    /// What the file behind it has data for, from here on.
    Data(MappedFile, RuntimeAddr),
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
    sink: Sink,
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
        let (memory, is_fork) = (Arc::clone(&image.memory), image.copy.is_some());
        let sink = Sink::new(&file, Arc::new(move |addr, buffer: &mut [u8]| read(&memory, is_fork, addr, buffer)))?;
        Ok(CoreWriter { image, file, layout, segments, current: 0, ranges: Vec::new(), sink, done: 0, unread: 0 })
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
            Some((segment, Rest::Present(at) | Rest::All(at) | Rest::Data(_, at))) => at.0 - segment.start.0,
            _ => 0,
        };
        (begun + within, self.layout.length)
    }

    /// Bytes of memory that were to be kept and could not be read; known once all is written.
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
                self.unread = self.sink.finish()?;
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
                let (from, bytes) = (self.layout.offsets[self.current], &self.image.unforked[*index].bytes);
                write_pages(&self.file, bytes, from)?;
                *rest = Rest::Done;
            }
            Rest::Present(at) if *at < end => {
                let (mut ranges, walked) = self.image.pagemap.next_present(*at, end).map_err(|_| CoreFault::Gone)?;
                ranges.reverse();
                self.ranges = ranges;
                *at = walked;
            }
            Rest::Data(file, at) if *at < end => {
                let found = file.next_data(at.0, end.0)?;
                self.ranges.extend(found.map(|(from, to)| (pages_down(from), to.next_multiple_of(PAGE).min(end.0))));
                *at = found.map_or(end, |(_, to)| RuntimeAddr(to.next_multiple_of(PAGE)));
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
            let length = ((to - at) as usize).min(PIECE);
            self.sink.write(RuntimeAddr(at), length, offset + (at - start))?;
            at += length as u64;
        }
        self.done += to - from;
        Ok(())
    }
}

/// Fills the buffer: how many bytes, whole pages. 0: the first page cannot be read.
fn read(memory: &Memory, is_fork: bool, addr: RuntimeAddr, buffer: &mut [u8]) -> Result<usize, CoreFault> {
    let gone = |_: Errno| CoreFault::Gone;
    // process_vm_readv(2) pins pages, and a pin of a page that a fork shares gives the fork a copy of its own (mm/gup.c,
    // gup_must_unshare): the whole of the memory twice.
    let got = if is_fork { 0 } else { memory.read_fast(addr, buffer).map_err(gone)? };
    // By the file also what the program itself may not read.
    let got = if got == 0 { memory.read(addr, buffer).map_err(gone)? } else { got };
    Ok(pages_down(got as u64) as usize)
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
    let known = image.unforked.iter().position(|known| known.region.mapping.start == start);
    let (kept, rest) = match (amount(region, image.filter, all), known) {
        (Amount::Present, None) if region.length() >= GIANT => {
            (last_present(image, start, end)? - start.0, Rest::Present(start))
        }
        (Amount::Nothing, _) => (0, Rest::Done),
        (Amount::Present | Amount::Whole, Some(index)) => (region.length(), Rest::Known(index)),
        (Amount::Present, None) => (region.length(), Rest::Present(start)),
        (Amount::Whole, None) => (region.length(), whole(image, region)),
        (Amount::ElfHeader, _) => {
            let mut magic = [0; 4];
            let is_elf = image.memory.read(start, &mut magic).is_ok_and(|got| got == 4) && magic == *b"\x7fELF";
            (if is_elf { PAGE } else { 0 }, Rest::All(start))
        }
    };
    out.push((Segment { start, end, access, kept }, rest));
    Ok(())
}

/// Without the right to open its file a shared mapping is read with its holes.
fn whole(image: &CoreImage, region: &Region) -> Rest {
    let start = region.mapping.start;
    let file = region.mapping.shared.then(|| MappedFile::open(image.source, &region.mapping).ok()).flatten();
    file.map_or(Rest::All(start), |file| Rest::Data(file, start))
}

fn pages_down(addr: u64) -> u64 {
    addr / PAGE * PAGE
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
