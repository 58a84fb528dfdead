//! The container: sections, segments, build id, and links to other files. Knows no symbols and no DWARF.

use std::io::Read;

use object::elf::{PF_X, PT_LOAD};
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{CompressionFormat, LittleEndian, Object, ObjectSection};

use super::{Bytes, Result, Section, Segment, SymbolError};
use crate::addr::LinkAddr;

/// The headers of a file, parsed: 64 bits, little endian (System V ABI, ELF-64).
pub type Headers<'a> = ElfFile64<'a, LittleEndian>;

/// A packed section may be unpacked to at most this many times its size, and a little more. Deflate cannot reach more
/// than 1032.
const MOST_GAIN: usize = 4096;

/// One ELF file.
#[derive(Clone)]
pub struct Elf {
    bytes: Bytes,
}

impl Elf {
    /// Checks that its headers are usable.
    pub fn read(bytes: Bytes) -> Result<Elf> {
        Headers::parse((*bytes).as_ref()).map_err(|error| SymbolError::NotElf(error.to_string()))?;
        Ok(Elf { bytes })
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    /// The same, to be kept.
    pub fn shared(&self) -> &Bytes {
        &self.bytes
    }

    /// Its headers; `None` only if the file has changed since.
    pub fn headers(&self) -> Option<Headers<'_>> {
        Headers::parse(self.bytes()).ok()
    }

    /// What the loader maps, by rising address, and which of it is code.
    pub fn segments(&self) -> Vec<(Segment, bool)> {
        let Some(headers) = self.headers() else { return Vec::new() };
        let endian = LittleEndian;
        let loads = headers.elf_program_headers().iter().filter(|header| header.p_type(endian) == PT_LOAD);
        let segment = |header: &object::elf::ProgramHeader64<LittleEndian>| {
            let (start, size) = (header.p_vaddr(endian), header.p_memsz(endian));
            let segment = Segment {
                start: LinkAddr(start),
                end: LinkAddr(start.saturating_add(size)),
                file_offset: header.p_offset(endian),
                file_size: header.p_filesz(endian),
            };
            (segment, header.p_flags(endian) & PF_X == PF_X)
        };
        let mut segments: Vec<_> = loads.map(segment).collect();
        segments.sort_by_key(|(segment, _)| segment.start);
        segments
    }

    /// A section by its name, unpacked; `None` if there is none, it has no bytes in the file, or it cannot be read.
    pub fn section(&self, name: &str) -> Option<Section> {
        let headers = self.headers()?;
        let section = headers.section_by_name(name)?;
        if section.kind() == object::SectionKind::UninitializedData {
            return None;
        }
        let address = LinkAddr(section.address());
        let packed = section.compressed_file_range().ok()?;
        let begin = usize::try_from(packed.offset).ok()?;
        let range = begin..begin.checked_add(usize::try_from(packed.compressed_size).ok()?)?;
        if packed.format == CompressionFormat::None {
            return Section::mapped(address, &self.bytes, range);
        }
        let bytes = unpack(packed.format, self.bytes().get(range)?, packed.uncompressed_size)?;
        Some(Section::unpacked(address, bytes))
    }

    /// Where a compressed section is linked to, and how long it says that it is unpacked; `None` if it is not compressed.
    pub fn packed(&self, name: &str) -> Option<(LinkAddr, usize)> {
        let headers = self.headers()?;
        let section = headers.section_by_name(name)?;
        let packed = section.compressed_file_range().ok().filter(|packed| packed.format != CompressionFormat::None)?;
        Some((LinkAddr(section.address()), usize::try_from(packed.uncompressed_size).ok()?))
    }

    /// Whether there is a section of that name with bytes in the file.
    pub fn has_section(&self, name: &str) -> bool {
        let headers = self.headers();
        let section = headers.as_ref().and_then(|headers| headers.section_by_name(name));
        section.is_some_and(|section| section.file_range().is_some_and(|(_, size)| size > 0))
    }

    /// The bytes of a section that a table of sections gives by number.
    pub fn section_by_index(&self, index: usize) -> Option<Section> {
        let headers = self.headers()?;
        let section = headers.section_by_index(object::SectionIndex(index)).ok()?;
        let (offset, size) = section.file_range()?;
        let begin = usize::try_from(offset).ok()?;
        Section::mapped(
            LinkAddr(section.address()),
            &self.bytes,
            begin..begin.checked_add(usize::try_from(size).ok()?)?,
        )
    }

    /// The bytes of its table of sections, none if it has none: two builds of one source differ there.
    pub fn section_headers(&self) -> &[u8] {
        let table = self.bytes().get(0x28..0x30).and_then(|offset| offset.try_into().ok()).map(u64::from_le_bytes);
        let begin = table.and_then(|begin| usize::try_from(begin).ok()).unwrap_or(usize::MAX);
        let rest = self.bytes().get(begin..).unwrap_or_default();
        &rest[..rest.len().min(1 << 16)]
    }

    /// The note that names this build (NT_GNU_BUILD_ID).
    pub fn build_id(&self) -> Option<Vec<u8>> {
        let id = self.headers()?.build_id().ok()??.to_vec();
        (2..=64).contains(&id.len()).then_some(id)
    }

    /// The file name and CRC of separate debug info (`.gnu_debuglink`).
    pub fn debug_link(&self) -> Option<(Vec<u8>, u32)> {
        let headers = self.headers()?;
        let (name, crc) = headers.gnu_debuglink().ok()??;
        Some((name.to_vec(), crc))
    }

    /// The path and build id of the file that holds what several files' debug info has in common (`.gnu_debugaltlink`).
    pub fn alt_link(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let headers = self.headers()?;
        let (name, id) = headers.gnu_debugaltlink().ok()??;
        Some((name.to_vec(), id.to_vec()))
    }
}

/// Unpacks a section, whose size the file claims; a false claim costs no memory.
fn unpack(format: CompressionFormat, packed: &[u8], claimed: u64) -> Option<Vec<u8>> {
    let claimed = usize::try_from(claimed).ok()?;
    if claimed > packed.len().checked_mul(MOST_GAIN)?.checked_add(1 << 16)? {
        return None;
    }
    let mut bytes = Vec::with_capacity(claimed.min(packed.len().saturating_mul(16)));
    let limit = claimed as u64;
    match format {
        CompressionFormat::Zlib => flate2::read::ZlibDecoder::new(packed).take(limit).read_to_end(&mut bytes),
        CompressionFormat::Zstandard => {
            ruzstd::decoding::StreamingDecoder::new(packed).ok()?.take(limit).read_to_end(&mut bytes)
        }
        _ => return None,
    }
    .ok()?;
    (bytes.len() == claimed).then_some(bytes)
}
