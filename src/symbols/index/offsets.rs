//! Whether bytes hold one of some numbers of 32 bits, at any place: how entries name strings and each other. Knows no meaning of
//! them.
//!
//! A set of bits sorts nearly all places out. That is some 1 GB a second for a thousand numbers as for one, where
//! aho-corasick came to 75 MB on debug info: its searches for rare bytes find too many of them there.

use std::ops::Range;

/// The set has a bit for each end of 16 bits that a number may have.
const WORDS: usize = 1 << (16 - 6);

/// Some numbers, to be found.
pub struct Offsets {
    /// Rising.
    all: Vec<u32>,
    /// Which ends of 16 bits they have.
    ends: Box<[u64; WORDS]>,
}

impl Offsets {
    /// Of numbers that are sorted.
    pub fn new(all: Vec<u32>) -> Offsets {
        let mut ends = Box::new([0; WORDS]);
        for number in &all {
            let (word, bit) = place(*number);
            ends[word] |= bit;
        }
        Offsets { all, ends }
    }

    /// Whether one of them stands somewhere in the bytes, little endian.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        !self.all.is_empty() && bytes.windows(4).any(|window| self.has(window))
    }

    /// Where they stand, rising; only in a part of the bytes.
    pub fn positions(&self, bytes: &[u8], part: Range<usize>) -> Vec<usize> {
        let part_bytes = bytes.get(part.start..part.end.saturating_add(3).min(bytes.len())).unwrap_or_default();
        let windows = part_bytes.windows(4).enumerate();
        windows.filter(|(_, window)| self.has(window)).map(|(at, _)| part.start + at).collect()
    }

    fn has(&self, bytes: &[u8]) -> bool {
        let &[one, two, three, four] = bytes else { return false };
        let number = u32::from_le_bytes([one, two, three, four]);
        let (word, bit) = place(number);
        self.ends[word] & bit != 0 && self.all.binary_search(&number).is_ok()
    }
}

/// Where in the set the bit of a number is.
fn place(number: u32) -> (usize, u64) {
    ((number as usize >> 6) % WORDS, 1 << (number & 63))
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
