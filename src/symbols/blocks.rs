//! Bytes that were kept, in blocks that are each checked when they are first read: a look-up needs few of many. Finds damage,
//! not forgery: who can write the file is the folder's matter. Knows nothing of what they mean.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use twox_hash::XxHash3_64;

use super::Bytes;
use crate::parallel;

/// How long a block is; the last one may be shorter.
pub const BLOCK: usize = 1 << 16;
/// How long a block's checksum is.
const SUM: usize = 8;

const UNKNOWN: u8 = 0;
const GOOD: u8 = 1;

/// A head, blocks, and the blocks' checksums.
pub struct Blocks {
    bytes: Bytes,
    /// Where the blocks are.
    data: Range<usize>,
    /// What is known of each.
    states: Box<[AtomicU8]>,
    damaged: AtomicBool,
}

impl Blocks {
    /// Of bytes that were just made: nothing has to be checked.
    pub fn made(bytes: Bytes, data: Range<usize>) -> Blocks {
        Blocks::new(bytes, data, GOOD)
    }

    /// Of bytes that were kept; `None` if they are too short. The checksums must have been checked.
    pub fn kept(bytes: Bytes, data: Range<usize>) -> Option<Blocks> {
        let end = data.end.checked_add(data.len().div_ceil(BLOCK).checked_mul(SUM)?)?;
        (end == (*bytes).as_ref().len()).then(|| Blocks::new(bytes, data, UNKNOWN))
    }

    fn new(bytes: Bytes, data: Range<usize>, state: u8) -> Blocks {
        let states = (0..data.len().div_ceil(BLOCK)).map(|_| AtomicU8::new(state)).collect();
        Blocks { bytes, data, states, damaged: AtomicBool::new(false) }
    }

    /// All bytes, to be kept.
    pub fn bytes(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    /// Some of the bytes in blocks; `None` if there are none there, or if they are damaged.
    pub fn get(&self, part: Range<usize>) -> Option<&[u8]> {
        if part.start < self.data.start || part.end > self.data.end || part.start > part.end {
            return None;
        }
        let first = (part.start - self.data.start) / BLOCK;
        let end = (part.end - self.data.start).div_ceil(BLOCK);
        (first..end).all(|block| self.is_good(block)).then(|| &self.bytes()[part])
    }

    /// Checks what has not been read yet. True: nothing is damaged.
    pub fn check_all(&self) -> bool {
        let blocks: Vec<usize> = (0..self.states.len()).collect();
        parallel::map(&blocks, |block| self.is_good(*block));
        !self.is_damaged()
    }

    /// Whether something that was read is damaged.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    fn is_good(&self, block: usize) -> bool {
        let state = &self.states[block];
        if state.load(Ordering::Relaxed) == GOOD {
            return true;
        }
        let begin = self.data.start + block * BLOCK;
        let bytes = &self.bytes()[begin..(begin + BLOCK).min(self.data.end)];
        let at = self.data.end + block * SUM;
        let is_good = self.bytes()[at..at + SUM] == checksum(bytes).to_le_bytes();
        if is_good {
            state.store(GOOD, Ordering::Relaxed);
        } else {
            self.damaged.store(true, Ordering::Relaxed);
        }
        is_good
    }
}

/// The checksums of blocks, to be put behind them.
pub fn sums(data: &[u8]) -> Vec<u8> {
    data.chunks(BLOCK).flat_map(|block| checksum(block).to_le_bytes()).collect()
}

/// A number that most other bytes do not have.
pub fn checksum(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn each_block_is_checked_when_it_is_read() {
        let mut bytes = vec![7; 3 + 2 * BLOCK + 5];
        let end = bytes.len();
        bytes.extend(sums(&bytes[3..]));
        let kept = |bytes: &[u8]| Blocks::kept(Arc::new(bytes.to_vec()), 3..end).expect("whole");
        let good = kept(&bytes);
        assert_eq!(good.get(3..end), Some(&bytes[3..end]));
        assert!(good.check_all() && good.get(2..9).is_none() && good.get(3..end + 1).is_none());
        assert!(Blocks::kept(Arc::new(bytes[..bytes.len() - 1].to_vec()), 3..end).is_none());
        for at in [3, 3 + BLOCK, end - 1, end, bytes.len() - 1] {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let blocks = kept(&bad);
            let others = [3..9, 3 + BLOCK..9 + BLOCK, end - 1..end].map(|part| blocks.get(part).is_some());
            assert_eq!(others.iter().filter(|good| **good).count(), 2, "{at}");
            assert!(blocks.is_damaged() && !kept(&bad).check_all());
        }
    }
}
