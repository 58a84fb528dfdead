//! Searching the memory of a process for bytes: piece by piece through one buffer, as fast as it can be read. Holes are
//! skipped and told. Refuses to know what the bytes mean to the person.

use memchr::memmem::Finder;

use super::{Fault, Process};
use crate::addr::RuntimeAddr;

/// How much is read at once: what is read is searched while it is still in the processor's cache.
const PIECE: usize = 256 << 10;

/// The smallest page there is: memory can be unreadable in units of this.
const PAGE: u64 = 4096;

/// So many holes are kept: a hostile process can have millions.
pub const MOST_HOLES: usize = 1000;

/// Memory that could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hole {
    /// Its first byte.
    pub start: RuntimeAddr,
    /// How many bytes.
    pub length: u64,
}

/// A search under way: for one pattern, over as many ranges as one likes.
pub struct Search<'p> {
    finder: Finder<'p>,
    buffer: Vec<u8>,
    most: usize,
    /// Where the pattern was found, as the ranges come.
    pub hits: Vec<RuntimeAddr>,
    /// What could not be read, the neighbours joined; the first [`MOST_HOLES`] of them.
    pub holes: Vec<Hole>,
    /// How many bytes could not be read.
    pub unread: u64,
    /// How many bytes were read.
    pub read: u64,
}

impl<'p> Search<'p> {
    /// For bytes (at least one), until so many places are found.
    pub fn new(pattern: &'p [u8], most: usize) -> Search<'p> {
        let buffer = vec![0; PIECE + pattern.len()];
        Search { finder: Finder::new(pattern), buffer, most, hits: Vec::new(), holes: Vec::new(), unread: 0, read: 0 }
    }

    /// Whether as many places were found as are wanted.
    pub fn is_full(&self) -> bool {
        self.hits.len() >= self.most
    }
}

/// Where a search through one range stands. The range is given by its first and its last byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    next: u64,
    last: u64,
    /// How many bytes before `next` stand at the beginning of the buffer: a place may begin in them.
    carried: usize,
    done: bool,
}

impl Cursor {
    /// At the beginning of a range.
    pub fn new(first: RuntimeAddr, last: RuntimeAddr) -> Cursor {
        Cursor { next: first.0, last: last.0, carried: 0, done: first > last }
    }

    /// Whether the range has been searched to its end.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Goes on behind bytes that were read or skipped.
    fn advance(&mut self, bytes: u64) {
        match self.next.checked_add(bytes) {
            Some(next) if next <= self.last => self.next = next,
            _ => self.done = true,
        }
    }
}

impl Process {
    /// Searches the next piece of a range; to be called until the cursor is done or the search is full.
    pub fn search(&self, search: &mut Search<'_>, cursor: &mut Cursor) -> Result<(), Fault> {
        let left = usize::try_from(cursor.last - cursor.next).unwrap_or(usize::MAX).saturating_add(1);
        let end = cursor.carried + left.min(PIECE);
        let addr = RuntimeAddr(cursor.next);
        let got = self.read_memory_fast(addr, &mut search.buffer[cursor.carried..end])?;
        search.read += got as u64;
        search.look(addr.0 - cursor.carried as u64, cursor.carried + got);
        if cursor.carried + got < end {
            let bad = addr.0 + got as u64;
            // To the next page, or the end of the range.
            let hole = (PAGE - bad % PAGE).min((cursor.last - bad).saturating_add(1));
            search.note_hole(bad, hole);
            cursor.advance(got as u64 + hole);
            cursor.carried = 0;
            return Ok(());
        }
        cursor.advance(got as u64);
        // Places that begin in these bytes may end behind them.
        let kept = (search.finder.needle().len() - 1).min(end);
        search.buffer.copy_within(end - kept..end, 0);
        cursor.carried = kept;
        Ok(())
    }
}

impl Search<'_> {
    /// Notes every place in the first bytes of the buffer, those that overlap too.
    fn look(&mut self, addr: u64, length: usize) {
        let mut from = 0;
        while self.hits.len() < self.most
            && let Some(at) = self.finder.find(&self.buffer[from..length])
        {
            self.hits.push(RuntimeAddr(addr + (from + at) as u64));
            from += at + 1;
        }
    }

    /// Notes memory that is not searched because it cannot be read.
    pub fn note_hole(&mut self, start: u64, length: u64) {
        self.unread = self.unread.saturating_add(length);
        let is_room = self.holes.len() < MOST_HOLES;
        match self.holes.last_mut() {
            Some(last) if last.start.0.checked_add(last.length) == Some(start) => last.length += length,
            _ if is_room => self.holes.push(Hole { start: RuntimeAddr(start), length }),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_places_are_all_found() {
        let mut search = Search::new(b"aa", 3);
        search.buffer[..6].copy_from_slice(b"baaaab");
        search.look(0x1000, 6);
        assert_eq!(search.hits, [0x1001, 0x1002, 0x1003].map(RuntimeAddr));
        assert!(search.is_full());
    }

    #[test]
    fn a_cursor_ends_at_the_last_byte() {
        let mut cursor = Cursor::new(RuntimeAddr(u64::MAX - 1), RuntimeAddr(u64::MAX));
        cursor.advance(1);
        assert!(!cursor.is_done());
        cursor.advance(1);
        assert!(cursor.is_done());
        assert!(Cursor::new(RuntimeAddr(2), RuntimeAddr(1)).is_done());
    }

    #[test]
    fn neighbouring_holes_are_one() {
        let mut search = Search::new(b"x", 1);
        for (start, length) in [(0x1000, 0x1000), (0x2000, 0x1000), (0x5000, 0x1000)] {
            search.note_hole(start, length);
        }
        assert_eq!((search.holes.len(), search.holes[0].length, search.unread), (2, 0x2000, 0x3000));
    }
}
