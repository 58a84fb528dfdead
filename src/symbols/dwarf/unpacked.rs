//! Compressed sections of debug info, kept unpacked: unpacking those of a C library takes longer than all the rest of a listing of
//! stacks. Knows no section's meaning.

use super::super::elf::Elf;
use super::super::index::checksum;
use super::super::{Bytes, Files, Section};

/// Changes whenever the layout does.
const MAGIC: &[u8; 8] = b"godbgun1";
/// Magic and checksum stand before the bytes.
const HEAD: usize = 16;
/// What is smaller is unpacked as fast.
const SMALL: usize = 1 << 16;

/// Where the sections of one file are kept.
pub struct Kept<'a> {
    files: &'a dyn Files,
    key: u64,
}

impl<'a> Kept<'a> {
    /// By the build id, with what a file that lies about it would have otherwise; `None` without a build id.
    pub fn of(elf: &Elf, files: &'a dyn Files) -> Option<Kept<'a>> {
        let mut facts = elf.build_id()?;
        facts.extend_from_slice(&elf.bytes().len().to_le_bytes());
        facts.extend_from_slice(elf.section_headers());
        Some(Kept { files, key: checksum(&facts) })
    }

    /// A section, unpacked by an earlier run or now.
    pub fn section(&self, elf: &Elf, name: &str) -> Option<Section> {
        let Some((address, length)) = elf.packed(name).filter(|(_, length)| *length >= SMALL) else {
            return elf.section(name);
        };
        let kept = format!("unpacked-{:016x}{name}", self.key);
        if let Some(bytes) = self.files.remembered(&kept).filter(|bytes| is_good(bytes, length)) {
            return Section::mapped(address, &bytes, HEAD..HEAD + length);
        }
        let section = elf.section(name)?;
        let head = [&MAGIC[..], &checksum(&section).to_le_bytes()].concat();
        self.files.remember(&kept, &[&head[..], &section[..]].concat());
        Some(section)
    }
}

fn is_good(bytes: &Bytes, length: usize) -> bool {
    let bytes = (**bytes).as_ref();
    let is_whole = bytes.starts_with(MAGIC) && bytes.len() == HEAD + length;
    is_whole && bytes[MAGIC.len()..HEAD] == checksum(&bytes[HEAD..]).to_le_bytes()
}
