//! The headers of a core file (elf(5)): which mapping begins where in the file, and more than 65535 of them (PN_XNUM). Pure.

use crate::addr::RuntimeAddr;
use crate::kernel::arch::ELF_MACHINE;
use crate::kernel::memory::PAGE;

/// A mapping in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub start: RuntimeAddr,
    pub end: RuntimeAddr,
    /// Whether the program may read, write, execute it.
    pub access: [bool; 3],
    /// How many of its bytes the file holds, from its start.
    pub kept: u64,
}

/// Where everything is in the file.
pub(super) struct Layout {
    /// The file header and the program headers.
    pub head: Vec<u8>,
    /// Where the notes begin.
    pub notes_at: u64,
    /// Where each segment's bytes begin.
    pub offsets: Vec<u64>,
    /// The section header that holds the number of segments where the file header cannot, and where it is.
    pub tail: Option<(u64, Vec<u8>)>,
    /// How long the file is.
    pub length: u64,
}

const HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;
const SECTION_HEADER: u64 = 64;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
/// `PN_XNUM`: the number is in the first section header.
const TOO_MANY: u64 = 0xffff;

/// Lays a core out: headers, notes, and each segment on a page boundary, in their order.
pub(super) fn layout(segments: &[Segment], notes: u64) -> Layout {
    let count = segments.len() as u64 + 1;
    let notes_at = HEADER + PROGRAM_HEADER * count;
    let mut at = (notes_at + notes).next_multiple_of(PAGE);
    let mut head = Vec::with_capacity(notes_at as usize);
    let mut offsets = Vec::with_capacity(segments.len());
    let mut headers = program_header(PT_NOTE, 0, [0, notes_at, 0, notes, 0, 4]);
    for segment in segments {
        let bits = [4, 2, 1].iter().zip(segment.access).map(|(bit, may)| if may { *bit } else { 0 }).sum();
        let length = segment.end.0 - segment.start.0;
        headers.extend(program_header(PT_LOAD, bits, [segment.start.0, at, 0, segment.kept, length, PAGE]));
        offsets.push(at);
        at += segment.kept.next_multiple_of(PAGE);
    }
    let tail = (count >= TOO_MANY).then(|| (at, section_header(count as u32)));
    head.extend(file_header(count, tail.as_ref().map(|(at, _)| *at)));
    head.extend(headers);
    let length = at + tail.as_ref().map_or(0, |(_, bytes)| bytes.len() as u64);
    Layout { head, notes_at, offsets, tail, length }
}

fn file_header(count: u64, section_at: Option<u64>) -> Vec<u8> {
    const ET_CORE: u16 = 4;
    let mut out = b"\x7fELF\x02\x01\x01".to_vec();
    out.resize(16, 0);
    let half = |out: &mut Vec<u8>, number: u16| out.extend(number.to_ne_bytes());
    half(&mut out, ET_CORE);
    half(&mut out, ELF_MACHINE);
    out.extend(1u32.to_ne_bytes());
    for word in [0, HEADER, section_at.unwrap_or(0)] {
        out.extend(word.to_ne_bytes());
    }
    out.extend(0u32.to_ne_bytes());
    let (sections, section_size) = if section_at.is_some() { (1, SECTION_HEADER) } else { (0, 0) };
    for number in [HEADER, PROGRAM_HEADER, count.min(TOO_MANY), section_size, sections, 0] {
        half(&mut out, number as u16);
    }
    out
}

/// `places`: address, offset in the file, length there, length in memory, alignment, in the order of the callers above.
fn program_header(kind: u32, access: u32, places: [u64; 6]) -> Vec<u8> {
    let [address, offset, physical, kept, length, align] = places;
    let mut out: Vec<u8> = [kind, access].iter().flat_map(|number| number.to_ne_bytes()).collect();
    for word in [offset, address, physical, kept, length, align] {
        out.extend(word.to_ne_bytes());
    }
    out
}

/// The null section header, whose `sh_info` is the number of program headers.
fn section_header(count: u32) -> Vec<u8> {
    const SH_SIZE: usize = 32;
    const SH_INFO: usize = 44;
    let mut out = vec![0; SECTION_HEADER as usize];
    out[SH_SIZE..SH_SIZE + 8].copy_from_slice(&1u64.to_ne_bytes());
    out[SH_INFO..SH_INFO + 4].copy_from_slice(&count.to_ne_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(start: u64, kept: u64) -> Segment {
        Segment { start: RuntimeAddr(start), end: RuntimeAddr(start + 0x2000), access: [true, false, true], kept }
    }

    #[test]
    fn segments_follow_each_other_on_page_boundaries() {
        let layout = layout(&[segment(0x1000, 0x2000), segment(0x4000, 0), segment(0x8000, 0x1000)], 100);
        assert_eq!(layout.offsets, [0x1000, 0x3000, 0x3000]);
        assert_eq!((layout.length, layout.notes_at), (0x4000, 64 + 4 * 56));
        assert_eq!(layout.head.len() as u64, layout.notes_at);
        assert_eq!(&layout.head[..4], b"\x7fELF");
        assert!(layout.tail.is_none());
        let first = &layout.head[64 + 56..];
        assert_eq!((first[0], first[4]), (1, 5));
    }

    #[test]
    fn more_segments_than_the_header_can_count_are_counted_behind() {
        let segments: Vec<Segment> = (0..70_000).map(|index| segment(index * 0x4000, 0)).collect();
        let layout = layout(&segments, 100);
        let (at, tail) = layout.tail.expect("a section header");
        assert_eq!(u32::from_ne_bytes(tail[44..48].try_into().expect("four bytes")), 70_001);
        assert_eq!(u16::from_ne_bytes(layout.head[56..58].try_into().expect("two bytes")), 0xffff);
        assert_eq!(u64::from_ne_bytes(layout.head[40..48].try_into().expect("eight bytes")), at);
        assert_eq!(layout.length, at + 64);
    }
}
