//! A file as it lies in memory: bytes and pointers by address, with the loader's relocations. Knows no Go.

use memchr::memmem::Finder;
use object::{Object, ObjectSection, RelocationTarget};
use rustc_hash::FxHashMap;

use super::super::{Bytes, Section, Segment};
use super::read::u64_at;
use crate::addr::LinkAddr;

/// The mapped parts of one file.
pub(super) struct Image<'a> {
    bytes: &'a Bytes,
    segments: &'a [Segment],
    /// What the loader writes where: of a position-independent file whose pointers are relative (R_X86_64_RELATIVE).
    relocations: FxHashMap<u64, u64>,
}

/// The most relocations that are kept.
const MOST_RELOCATIONS: usize = 8 << 20;

impl<'a> Image<'a> {
    /// Reads the relocations of a file that has any.
    pub(super) fn new(bytes: &'a Bytes, segments: &'a [Segment], file: &object::File<'_>) -> Image<'a> {
        let relative = |(at, relocation): (u64, object::Relocation)| {
            let is_relative = relocation.target() == RelocationTarget::Absolute;
            is_relative.then(|| (at, relocation.addend().cast_unsigned()))
        };
        let relocations = file.dynamic_relocations().into_iter().flatten().take(MOST_RELOCATIONS);
        Image { bytes, segments, relocations: relocations.filter_map(relative).collect() }
    }

    fn all(&self) -> &'a [u8] {
        (**self.bytes).as_ref()
    }

    fn segment(&self, addr: u64) -> Option<&Segment> {
        self.segments.iter().find(|segment| (segment.start.0..segment.end.0).contains(&addr))
    }

    /// Whether the loader maps something there.
    pub(super) fn is_mapped(&self, addr: u64) -> bool {
        self.segment(addr).is_some()
    }

    /// Bytes of the file by their address.
    pub(super) fn bytes_at(&self, addr: u64, length: u64) -> Option<&'a [u8]> {
        let segment = self.segment(addr)?;
        let offset = addr - segment.start.0;
        let end = offset.checked_add(length).filter(|end| *end <= segment.file_size)?;
        let (begin, end) = (segment.file_offset.checked_add(offset)?, segment.file_offset.checked_add(end)?);
        self.all().get(usize::try_from(begin).ok()?..usize::try_from(end).ok()?)
    }

    /// From an address to the end of what is mapped of the file there.
    pub(super) fn rest(&self, addr: u64) -> Option<Section> {
        let segment = self.segment(addr)?;
        let offset = addr - segment.start.0;
        let begin = usize::try_from(segment.file_offset.checked_add(offset)?).ok()?;
        let length = usize::try_from(segment.file_size.checked_sub(offset)?).ok()?;
        let end = begin.checked_add(length)?.min(self.all().len());
        Section::mapped(LinkAddr(addr), self.bytes, begin..end)
    }

    /// The pointer at an address, as the loader leaves it.
    pub(super) fn pointer(&self, addr: u64) -> Option<u64> {
        self.relocations.get(&addr).copied().or_else(|| u64_at(self.bytes_at(addr, 8)?, 0))
    }

    /// Where pointers to an address are.
    pub(super) fn pointers_to(&self, target: u64) -> impl Iterator<Item = u64> {
        let wanted = target.to_le_bytes();
        let mut relocated: Vec<u64> =
            self.relocations.iter().filter(|(_, value)| **value == target).map(|(at, _)| *at).collect();
        relocated.sort_unstable();
        relocated.into_iter().chain(self.find(wanted).filter(|at| at % 8 == 0))
    }

    /// Where eight bytes stand in what is mapped of the file.
    pub(super) fn find(&self, wanted: [u8; 8]) -> impl Iterator<Item = u64> {
        let found = move |segment: &'a Segment| {
            let bytes = self.bytes_at(segment.start.0, segment.file_size).unwrap_or_default();
            let finder = Finder::new(&wanted).into_owned();
            let mut at = 0;
            std::iter::from_fn(move || {
                let found = at + finder.find(bytes.get(at..)?)?;
                at = found + 1;
                Some(segment.start.0 + found as u64)
            })
        };
        self.segments.iter().flat_map(found)
    }
}

/// A section's address and size.
pub(super) fn section_range(file: &object::File<'_>, name: &str) -> Option<(u64, u64)> {
    let section = file.section_by_name(name)?;
    Some((section.address(), section.size()))
}
