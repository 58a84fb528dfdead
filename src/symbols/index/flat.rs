//! The names as one run of bytes, so that they can be kept in a file and mapped back. Every read is checked: bytes that are
//! damaged or forged give wrong names at worst, and mostly none.
//!
//! A header; then tables of names (sorted by kind and name), places, last parts (sorted by hash), files, source files (sorted
//! by path), their units, and what each unit covers; then all text.
//! Numbers are little endian.

use std::sync::Arc;

use super::super::pattern::last_part;
use super::super::{Bytes, NameKind};
use super::{Named, Place, Units};

/// Changes whenever the layout or the meaning does.
const MAGIC: &[u8; 8] = b"godbgix4";
const HEADER: usize = 64;
const NAME: usize = 28;
const PLACE: usize = 16;
const LAST: usize = 8;
const FILE: usize = 8;
const SOURCE: usize = 16;
const UNIT: usize = 4;
const RANGE: usize = 24;
/// How long an entry of each table is, in the order of the tables.
const ENTRIES: [usize; 7] = [NAME, PLACE, LAST, FILE, SOURCE, UNIT, RANGE];
const NONE: u32 = u32::MAX;

/// The names of a file.
pub struct Flat {
    bytes: Bytes,
    /// How many entries each table has.
    counts: [usize; ENTRIES.len()],
}

/// A source file.
pub struct Source<'a> {
    pub path: &'a str,
    first: usize,
    count: usize,
}

/// One name.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    pub name: &'a str,
    pub kind: NameKind,
    pub file: Option<&'a str>,
    pub line: u32,
    first: usize,
    count: usize,
}

impl Flat {
    /// Of names and source files that are sorted and each there once.
    pub fn build(names: &[Named], units: &Units, key: u64) -> Flat {
        let mut text = Vec::new();
        let mut files: rustc_hash::FxHashMap<Arc<str>, u32> = rustc_hash::FxHashMap::default();
        let (mut name_table, mut places, mut file_table) = (Vec::new(), Vec::new(), Vec::new());
        let mut lasts: Vec<(u32, u32)> = Vec::new();
        let mut counts = [0u32; ENTRIES.len()];
        for named in names {
            // All offsets are numbers of 32 bits.
            if text.len() + named.name.len() > NONE as usize >> 1 || places.len() / PLACE > NONE as usize >> 5 {
                break;
            }
            let file = named.file.as_ref().map_or(NONE, |file| {
                *files.entry(file.clone()).or_insert_with(|| {
                    file_table.extend_from_slice(&(text.len() as u32).to_le_bytes());
                    file_table.extend_from_slice(&(file.len() as u32).to_le_bytes());
                    text.extend_from_slice(file.as_bytes());
                    counts[3] += 1;
                    counts[3] - 1
                })
            });
            if named.kind == NameKind::Function {
                lasts.push((hash(&last_part(&named.name)), counts[0]));
            }
            let fields = [
                text.len() as u32,
                named.name.len() as u32,
                counts[1],
                named.places.len() as u32,
                named.kind as u32,
                file,
                named.line,
            ];
            fields.iter().for_each(|field| name_table.extend_from_slice(&field.to_le_bytes()));
            text.extend_from_slice(named.name.as_bytes());
            for place in &named.places {
                let size = u32::try_from(place.size).unwrap_or(u32::MAX >> 1).min(u32::MAX >> 1);
                places.extend_from_slice(&place.addr.to_le_bytes());
                places.extend_from_slice(&size.to_le_bytes());
                places.extend_from_slice(&u32::from(place.inlined).to_le_bytes());
            }
            counts[0] += 1;
            counts[1] += named.places.len() as u32;
        }
        lasts.sort_unstable();
        counts[2] = lasts.len() as u32;
        let (mut sources, mut source_units, mut ranges) = (Vec::new(), Vec::new(), Vec::new());
        for (path, units) in &units.files {
            if text.len() + path.len() > NONE as usize {
                break;
            }
            let fields = [text.len() as u32, path.len() as u32, counts[5], units.len() as u32];
            fields.iter().for_each(|field| sources.extend_from_slice(&field.to_le_bytes()));
            units.iter().for_each(|unit| source_units.extend_from_slice(&unit.to_le_bytes()));
            text.extend_from_slice(path.as_bytes());
            counts[4] += 1;
            counts[5] += units.len() as u32;
        }
        for (begin, end, unit) in &units.ranges {
            [*begin, *end, u64::from(*unit)].iter().for_each(|field| ranges.extend_from_slice(&field.to_le_bytes()));
            counts[6] += 1;
        }
        let mut bytes = vec![0; HEADER];
        bytes.extend(name_table);
        bytes.extend(places);
        for (hash, name) in lasts {
            bytes.extend_from_slice(&hash.to_le_bytes());
            bytes.extend_from_slice(&name.to_le_bytes());
        }
        for table in [file_table, sources, source_units, ranges, text] {
            bytes.extend(table);
        }
        bytes[..8].copy_from_slice(MAGIC);
        bytes[16..24].copy_from_slice(&key.to_le_bytes());
        for (at, count) in counts.iter().enumerate() {
            bytes[24 + at * 4..28 + at * 4].copy_from_slice(&count.to_le_bytes());
        }
        let sum = checksum(&bytes[16..]);
        bytes[8..16].copy_from_slice(&sum.to_le_bytes());
        Flat { bytes: Arc::new(bytes), counts: counts.map(|count| count as usize) }
    }

    /// Of bytes that were kept; `None` if they are damaged, of another layout or of another file.
    pub fn read(bytes: Bytes, key: u64) -> Option<Flat> {
        let all = (*bytes).as_ref();
        let word = |at: usize| Some(u64::from_le_bytes(all.get(at..at + 8)?.try_into().ok()?));
        if !all.starts_with(MAGIC) || word(16)? != key || all.len() < HEADER || word(8)? != checksum(&all[16..]) {
            return None;
        }
        let mut counts = [0; ENTRIES.len()];
        for (at, count) in counts.iter_mut().enumerate() {
            *count = number(all, 24 + at * 4)? as usize;
        }
        let flat = Flat { counts, bytes: bytes.clone() };
        (flat.table(ENTRIES.len()) <= all.len()).then_some(flat)
    }

    /// All of it, to be kept.
    pub fn bytes(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.counts[0]
    }

    /// A name by number.
    pub fn get(&self, number: usize) -> Option<Entry<'_>> {
        if number >= self.counts[0] {
            return None;
        }
        let field = |at: usize| self::number(self.bytes(), HEADER + number * NAME + at * 4);
        let kind = match field(4)? {
            0 => NameKind::Function,
            1 => NameKind::Variable,
            _ => NameKind::Type,
        };
        let file = field(5)? as usize;
        let at = self.table(3) + file.saturating_mul(FILE);
        let file = (file < self.counts[3])
            .then(|| self.string(self::number(self.bytes(), at)?, self::number(self.bytes(), at + 4)?))
            .flatten();
        Some(Entry {
            name: self.string(field(0)?, field(1)?)?,
            kind,
            file,
            line: field(6)?,
            first: field(2)? as usize,
            count: field(3)? as usize,
        })
    }

    /// Where a name's code or data is.
    pub fn places(&self, entry: &Entry<'_>) -> impl Iterator<Item = Place> {
        let end = entry.first.saturating_add(entry.count).min(self.counts[1]);
        let table = self.table(1);
        let bytes = self.bytes().get(table + entry.first.min(end) * PLACE..table + end * PLACE).unwrap_or_default();
        bytes.chunks_exact(PLACE).filter_map(|place| {
            Some(Place {
                addr: u64::from_le_bytes(place.get(..8)?.try_into().ok()?),
                size: u64::from(number(place, 8)?),
                inlined: number(place, 12)? != 0,
            })
        })
    }

    /// The functions whose last part may be `last`: by its hash.
    pub fn with_last_part(&self, last: &str) -> impl Iterator<Item = usize> {
        let wanted = hash(last);
        let bytes = self.entries(2);
        let at = |index: usize| number(bytes, index * LAST);
        let (mut low, mut high) = (0, self.counts[2]);
        while low < high {
            let middle = low + (high - low) / 2;
            if at(middle).unwrap_or(u32::MAX) < wanted { low = middle + 1 } else { high = middle }
        }
        let hits = (low..self.counts[2]).take_while(move |index| at(*index) == Some(wanted));
        hits.filter_map(move |index| Some(number(bytes, index * LAST + 4)? as usize))
    }

    /// The source files, by rising path.
    pub fn sources(&self) -> impl Iterator<Item = Source<'_>> {
        self.entries(4).chunks_exact(SOURCE).filter_map(|source| {
            Some(Source {
                path: self.string(number(source, 0)?, number(source, 4)?)?,
                first: number(source, 8)? as usize,
                count: number(source, 12)? as usize,
            })
        })
    }

    /// The units that name a source file.
    pub fn units<'a>(&'a self, source: &Source<'_>) -> impl Iterator<Item = usize> + use<'a> {
        let units = self.entries(5).chunks_exact(UNIT).skip(source.first).take(source.count);
        units.filter_map(|unit| Some(number(unit, 0)? as usize))
    }

    /// What units cover: begin, end, number.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64, u32)> {
        self.entries(6).chunks_exact(RANGE).filter_map(|range| {
            let begin = u64::from_le_bytes(range.get(..8)?.try_into().ok()?);
            Some((begin, u64::from_le_bytes(range.get(8..16)?.try_into().ok()?), number(range, 16)?))
        })
    }

    /// Where a table begins; behind the last one stands the text.
    fn table(&self, which: usize) -> usize {
        // Counts have 32 bits and entries are short.
        HEADER + ENTRIES.iter().zip(self.counts).take(which).map(|(size, count)| size * count).sum::<usize>()
    }

    fn entries(&self, which: usize) -> &[u8] {
        self.bytes().get(self.table(which)..self.table(which + 1)).unwrap_or_default()
    }

    fn string(&self, offset: u32, length: u32) -> Option<&str> {
        let begin = self.table(ENTRIES.len()).checked_add(offset as usize)?;
        std::str::from_utf8(self.bytes().get(begin..begin.checked_add(length as usize)?)?).ok()
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// FNV-1a, 32 bits.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Finds damage, not forgery: who can write the file is the folder's matter.
pub fn checksum(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut lanes = [bytes.len() as u64, 1, 2, 3];
    let chunks = bytes.chunks_exact(32);
    let mut last = [0; 32];
    last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    for chunk in chunks.chain([&last[..]]) {
        for (lane, word) in lanes.iter_mut().zip(chunk.chunks_exact(8)) {
            // The chunk's words are whole.
            let word = word.try_into().map_or(0, u64::from_le_bytes);
            *lane = (lane.rotate_left(27) ^ word).wrapping_mul(FACTOR);
        }
    }
    lanes.iter().fold(0, |sum, lane| (sum.rotate_left(17) ^ lane ^ (lane >> 31)).wrapping_mul(FACTOR))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Flat {
        let named = |name: &str, kind, addr| Named {
            name: name.into(),
            kind,
            file: Some("/a.c".into()),
            line: 7,
            places: vec![Place { addr, size: 16, inlined: false }],
        };
        let names = [
            named("a::f", NameKind::Function, 1),
            named("f", NameKind::Function, 2),
            named("v", NameKind::Variable, 3),
        ];
        let files = vec![("/a.c".into(), vec![0, 2]), ("/b.c".into(), vec![1])];
        Flat::build(&names, &Units { files, ranges: vec![(1, 17, 0), (17, 40, 2)] }, 42)
    }

    #[test]
    fn names_come_back_as_they_were() {
        let built = sample();
        let flat = Flat::read(built.bytes.clone(), 42).expect("good bytes");
        let with_f: Vec<&str> =
            flat.with_last_part("f").filter_map(|at| flat.get(at)).map(|entry| entry.name).collect();
        assert_eq!(with_f, ["a::f", "f"]);
        let entry = flat.get(2).expect("three names");
        assert_eq!((entry.name, entry.kind, entry.file, entry.line), ("v", NameKind::Variable, Some("/a.c"), 7));
        assert_eq!(flat.places(&entry).collect::<Vec<_>>(), [Place { addr: 3, size: 16, inlined: false }]);
        let sources: Vec<_> =
            flat.sources().map(|source| (source.path, flat.units(&source).collect::<Vec<_>>())).collect();
        assert_eq!(sources, [("/a.c", vec![0, 2]), ("/b.c", vec![1])]);
        assert_eq!(flat.ranges().collect::<Vec<_>>(), [(1, 17, 0), (17, 40, 2)]);
        assert_eq!((flat.len(), flat.get(3).is_none(), flat.with_last_part("v").count()), (3, true, 0));
    }

    #[test]
    fn damage_is_noticed_and_forgery_survived() {
        let good = sample().bytes().to_vec();
        assert!(Flat::read(Arc::new(good.clone()), 43).is_none());
        for length in 0..good.len() {
            assert!(Flat::read(Arc::new(good[..length].to_vec()), 42).is_none(), "{length}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            assert!(Flat::read(Arc::new(bad.clone()), 42).is_none(), "{at}");
            let sum = checksum(&bad[16..]);
            bad[8..16].copy_from_slice(&sum.to_le_bytes());
            let Some(flat) = Flat::read(Arc::new(bad), 42) else { continue };
            for number in 0..flat.len().min(100) {
                let _ = flat.get(number).map(|entry| flat.places(&entry).count());
            }
            let _ = flat.with_last_part("f").count();
            let _ = flat.sources().map(|source| flat.units(&source).count()).sum::<usize>() + flat.ranges().count();
        }
    }
}
