//! The labels of goroutines (runtime/pprof/label.go, `labelMap`): since Go 1.24 a list of pairs, before that a map. Read while
//! the process may run: the runtime never changes a set of labels that it has given out.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::addr::RuntimeAddr;
use crate::kernel::memory::Memory;

/// One goroutine's labels, by key.
pub type Labels = Arc<BTreeMap<String, String>>;

/// So many labels, and so long ones, are read.
const MOST: u64 = 256;
const LONGEST: u64 = 4096;

/// Reads sets of labels, each once.
pub(super) struct LabelReader<'a> {
    pub(super) memory: &'a Memory,
    /// The release's number.
    pub(super) minor: u32,
    pub(super) known: FxHashMap<u64, Option<Labels>>,
}

impl LabelReader<'_> {
    /// The labels at an address; `None` if there are none.
    pub(super) fn read(&mut self, at: u64) -> Option<Labels> {
        if at == 0 {
            return None;
        }
        if let Some(known) = self.known.get(&at) {
            return known.clone();
        }
        let read = if self.minor >= 24 { self.list(at) } else { self.map(at) };
        let labels = read.filter(|labels| !labels.is_empty()).map(Arc::new);
        self.known.insert(at, labels.clone());
        labels
    }

    /// A slice of pairs of strings.
    fn list(&self, at: u64) -> Option<BTreeMap<String, String>> {
        let (data, count) = (self.word(at)?, self.word(at.checked_add(8)?)?);
        (0..count.min(MOST)).map(|index| self.pair(data.checked_add(32 * index)?)).collect()
    }

    fn pair(&self, at: u64) -> Option<(String, String)> {
        Some((self.string(at)?, self.string(at.checked_add(16)?)?))
    }

    /// Go's map before 1.24 (runtime/map.go, `hmap` and `bmap`): buckets of eight pairs behind eight hash bytes, and chains of
    /// more. While it grows the old buckets count too; a map of labels is whole when it is given out, but may have stopped there.
    fn map(&self, at: u64) -> Option<BTreeMap<String, String>> {
        let map = self.word(at)?;
        let mut labels = BTreeMap::new();
        if map == 0 || self.word(map)? == 0 {
            return Some(labels);
        }
        let shift = u32::from(self.bytes(map.checked_add(9)?, 1)?[0]).min(8);
        let (buckets, old) = (self.word(map.checked_add(16)?)?, self.word(map.checked_add(24)?)?);
        let halves = [(buckets, 1u64 << shift), (old, (1u64 << shift) / 2)];
        for (start, count) in halves.into_iter().filter(|(start, _)| *start != 0) {
            for index in 0..count.max(1) {
                self.bucket(start.checked_add(index.checked_mul(BUCKET)?)?, &mut labels)?;
            }
        }
        Some(labels)
    }

    fn bucket(&self, mut at: u64, labels: &mut BTreeMap<String, String>) -> Option<()> {
        for _ in 0..MOST {
            if at == 0 || labels.len() as u64 >= MOST {
                break;
            }
            let bytes = self.bytes(at, BUCKET)?;
            for slot in (0..8).filter(|slot| bytes[*slot] >= LEAST_HASH) {
                let slot = slot as u64;
                let (key, value) = (self.string(at + 8 + 16 * slot)?, self.string(at + 8 + 128 + 16 * slot)?);
                labels.insert(key, value);
            }
            at = self.word(at.checked_add(BUCKET - 8)?)?;
        }
        Some(())
    }

    /// A Go string.
    fn string(&self, at: u64) -> Option<String> {
        let (data, length) = (self.word(at)?, self.word(at.checked_add(8)?)?);
        let bytes = self.bytes(data, length.min(LONGEST))?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn word(&self, at: u64) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(at, 8)?.try_into().ok()?))
    }

    fn bytes(&self, at: u64, length: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        (self.memory.read_fast(RuntimeAddr(at), &mut bytes).ok()? == bytes.len()).then_some(bytes)
    }
}

/// Eight hash bytes, eight keys and eight values of 16 bytes, and the next bucket's address.
const BUCKET: u64 = 8 + 8 * 32 + 8;
/// Lower hash bytes mark slots that are empty or moved (`minTopHash`).
const LEAST_HASH: u8 = 5;
