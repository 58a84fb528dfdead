//! Whether bytes hold one of some numbers of 32 bits, at any place: how entries name strings and each other. Knows no meaning of
//! them.
//!
//! Two tables, of the numbers' halves, sort nearly all places out, eight at a time. That is some 2 GB a second for a thousand
//! numbers as for one, where aho-corasick came to 75 MB on debug info: its searches for rare bytes find too many of them there.

use std::ops::Range;

/// How many places are looked at together.
const AT_ONCE: usize = 8;

/// Some numbers, to be found.
pub struct Offsets {
    /// Rising.
    all: Vec<u32>,
    /// For each 16 bits whether they are the low half of a number (1), and whether the high half (2).
    halves: Box<[u8; 1 << 16]>,
}

const LOW: u8 = 1;
const HIGH: u8 = 2;

impl Offsets {
    /// Of numbers that are sorted.
    pub fn new(all: Vec<u32>) -> Offsets {
        let mut halves = Box::new([0; 1 << 16]);
        for number in &all {
            halves[usize::from(*number as u16)] |= LOW;
            halves[(number >> 16) as usize] |= HIGH;
        }
        Offsets { all, halves }
    }

    /// Whether one of them stands somewhere in the bytes, little endian.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.next(bytes, 0).is_some()
    }

    /// Where they stand, rising; only in a part of the bytes.
    pub fn positions(&self, bytes: &[u8], part: Range<usize>) -> Vec<usize> {
        let part_bytes = bytes.get(part.start..part.end.saturating_add(3).min(bytes.len())).unwrap_or_default();
        let mut positions = Vec::new();
        let mut from = 0;
        while let Some(at) = self.next(part_bytes, from) {
            positions.push(part.start + at);
            from = at + 1;
        }
        positions
    }

    /// The first place from one on.
    fn next(&self, bytes: &[u8], mut from: usize) -> Option<usize> {
        if self.all.is_empty() {
            return None;
        }
        while let Some(chunk) = bytes.get(from..).and_then(|rest| rest.first_chunk::<{ AT_ONCE + 3 }>()) {
            let half = |at: usize| self.halves[usize::from(u16::from_le_bytes([chunk[at], chunk[at + 1]]))];
            let either = (0..AT_ONCE).fold(0, |either, at| either | (half(at) & LOW) & (half(at + 2) >> 1));
            if either != 0
                && let Some(at) = (0..AT_ONCE).find(|at| self.has(&chunk[*at..*at + 4]))
            {
                return Some(from + at);
            }
            from += AT_ONCE;
        }
        let rest = bytes.get(from..).unwrap_or_default();
        rest.windows(4).position(|window| self.has(window)).map(|at| from + at)
    }

    fn has(&self, bytes: &[u8]) -> bool {
        let &[one, two, three, four] = bytes else { return false };
        let number = u32::from_le_bytes([one, two, three, four]);
        self.halves[usize::from(number as u16)] & LOW != 0 && self.all.binary_search(&number).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_wherever_they_stand() {
        let offsets = Offsets::new(vec![0, 0x1234_5678, u32::MAX]);
        let mut bytes = vec![1u8; 40];
        assert!(!offsets.is_in(&bytes) && !offsets.is_in(&[]) && !offsets.is_in(&[0, 0, 0]));
        bytes[5..9].copy_from_slice(&0x1234_5678u32.to_le_bytes());
        bytes[36..].fill(0xff);
        assert!(offsets.is_in(&bytes) && offsets.is_in(&bytes[5..9]) && !offsets.is_in(&bytes[6..36]));
        assert_eq!(offsets.positions(&bytes, 0..40), [5, 36]);
        // Each place is in one part.
        assert_eq!(offsets.positions(&bytes, 0..6), [5]);
        assert_eq!(offsets.positions(&bytes, 6..36), [0usize; 0]);
        assert_eq!(offsets.positions(&bytes, 36..90), [36]);
        // The same end is not the same number.
        assert!(!offsets.is_in(&0x4321_5678u32.to_le_bytes()));
        assert!(!Offsets::new(Vec::new()).is_in(&[0; 8]));
    }
}
