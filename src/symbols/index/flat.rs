//! The names as one run of bytes, so that they can be kept in a file and mapped back. Every read is checked: forged bytes give
//! wrong names at worst, damaged ones none, and that is noticed.
//!
//! A header (magic, checksum, key, counts, length of what follows); then, in blocks, tables of names (sorted by kind and name),
//! places, last parts (sorted by hash), files, source files (sorted by path), their units, and what each unit covers; then all
//! text. The blocks' checksums come last. The header's checksum is of what follows it there, and of those checksums. Numbers are
//! little endian.

use std::sync::Arc;

use super::super::blocks::{Blocks, checksum, sums};
use super::super::pattern::last_part;
use super::super::{Bytes, NameKind};
use super::{Named, Place, Units};

/// Changes whenever the layout or the meaning does.
const MAGIC: &[u8; 8] = b"godbgix6";
const HEADER: usize = 64;
/// Where in the header the length of what follows is.
const LENGTH: usize = 56;
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
    blocks: Blocks,
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
        let end = bytes.len();
        bytes[LENGTH..HEADER].copy_from_slice(&(end - HEADER).to_le_bytes());
        bytes.extend(sums(&bytes[HEADER..]));
        let sum = head_checksum(&bytes, end);
        bytes[8..16].copy_from_slice(&sum.to_le_bytes());
        Flat { blocks: Blocks::made(Arc::new(bytes), HEADER..end), counts: counts.map(|count| count as usize) }
    }

    /// Of bytes that were kept; `None` if they are of another layout or of another file, or damaged where that is seen at once.
    pub fn read(bytes: Bytes, key: u64) -> Option<Flat> {
        let all = (*bytes).as_ref();
        let word = |at: usize| Some(u64::from_le_bytes(all.get(at..at + 8)?.try_into().ok()?));
        if !all.starts_with(MAGIC) || word(16)? != key {
            return None;
        }
        let end = HEADER.checked_add(usize::try_from(word(LENGTH)?).ok()?).filter(|end| *end <= all.len())?;
        if word(8)? != head_checksum(all, end) {
            return None;
        }
        let mut counts = [0; ENTRIES.len()];
        for (at, count) in counts.iter_mut().enumerate() {
            *count = number(all, 24 + at * 4)? as usize;
        }
        let flat = Flat { counts, blocks: Blocks::kept(bytes.clone(), HEADER..end)? };
        (flat.table(ENTRIES.len()) <= end).then_some(flat)
    }

    /// All of it, to be kept.
    pub fn bytes(&self) -> &[u8] {
        self.blocks.bytes()
    }

    /// Whether something that was read is damaged, so that the answers lack it.
    pub fn is_damaged(&self) -> bool {
        self.blocks.is_damaged()
    }

    /// Reads all of it. True: nothing is damaged.
    pub fn check_all(&self) -> bool {
        self.blocks.check_all()
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
        let begin = HEADER + number * NAME;
        let entry = self.blocks.get(begin..begin + NAME)?;
        let field = |at: usize| self::number(entry, at * 4);
        let kind = match field(4)? {
            0 => NameKind::Function,
            1 => NameKind::Variable,
            _ => NameKind::Type,
        };
        let file = field(5)? as usize;
        let at = self.table(3) + file.saturating_mul(FILE);
        let file = (file < self.counts[3])
            .then(|| {
                let entry = self.blocks.get(at..at + FILE)?;
                self.string(self::number(entry, 0)?, self::number(entry, 4)?)
            })
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
        let bytes = self.blocks.get(table + entry.first.min(end) * PLACE..table + end * PLACE).unwrap_or_default();
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
        let table = self.table(2);
        let entry = move |index: usize| {
            let begin = table + index * LAST;
            let entry = self.blocks.get(begin..begin + LAST)?;
            Some((number(entry, 0)?, number(entry, 4)? as usize))
        };
        let (mut low, mut high) = (0, self.counts[2]);
        while low < high {
            let middle = low + (high - low) / 2;
            if entry(middle).is_some_and(|(hash, _)| hash < wanted) { low = middle + 1 } else { high = middle }
        }
        let hits = (low..self.counts[2]).map_while(entry);
        hits.take_while(move |(hash, _)| *hash == wanted).map(|(_, name)| name)
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
        self.blocks.get(self.table(which)..self.table(which + 1)).unwrap_or_default()
    }

    fn string(&self, offset: u32, length: u32) -> Option<&str> {
        let begin = self.table(ENTRIES.len()).checked_add(offset as usize)?;
        std::str::from_utf8(self.blocks.get(begin..begin.checked_add(length as usize)?)?).ok()
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// FNV-1a, 32 bits.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Of all that the blocks' own checksums say nothing of.
fn head_checksum(all: &[u8], end: usize) -> u64 {
    checksum(&[&all[16..HEADER], &all[end..]].concat())
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
        let flat = Flat::read(Arc::new(built.bytes().to_vec()), 42).expect("good bytes");
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

    /// Asks for everything.
    fn read_all(flat: &Flat) {
        for number in 0..flat.len().min(100) {
            let _ = flat.get(number).map(|entry| flat.places(&entry).count());
        }
        let _ = flat.with_last_part("f").count();
        let _ = flat.sources().map(|source| flat.units(&source).count()).sum::<usize>() + flat.ranges().count();
    }

    #[test]
    fn damage_is_noticed_and_forgery_survived() {
        let good = sample().bytes().to_vec();
        let end = HEADER + u64::from_le_bytes(good[LENGTH..HEADER].try_into().expect("8 bytes")) as usize;
        assert!(Flat::read(Arc::new(good.clone()), 43).is_none());
        for length in 0..good.len() {
            assert!(Flat::read(Arc::new(good[..length].to_vec()), 42).is_none(), "{length}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            match Flat::read(Arc::new(bad.clone()), 42) {
                None => assert!(!(HEADER..end).contains(&at), "{at}"),
                Some(flat) => {
                    read_all(&flat);
                    assert!(flat.is_damaged() && !flat.check_all(), "{at}");
                }
            }
            bad.truncate(end);
            bad.extend(sums(&bad[HEADER..]));
            let sum = head_checksum(&bad, end);
            bad[8..16].copy_from_slice(&sum.to_le_bytes());
            if let Some(flat) = Flat::read(Arc::new(bad), 42) {
                read_all(&flat);
            }
        }
    }
}
