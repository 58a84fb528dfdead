//! Compressed sections of debug info, kept unpacked: unpacking those of a C library takes longer than all the rest of a listing of
//! stacks. Of large ones only what is read is checked. Knows no section's meaning.

use std::ops::Range;

use gimli::SectionId;

use super::super::blocks::{Blocks, checksum, sums};
use super::super::elf::Elf;
use super::super::{Bytes, Files, Section};

/// Changes whenever the layout does.
const MAGIC: &[u8; 8] = b"godbgun3";
/// Magic and a checksum of the blocks' checksums stand before the blocks, these behind them.
const HEAD: usize = 16;
/// What is smaller is unpacked as fast.
const SMALL: usize = 1 << 16;

/// Where the sections of one file are kept.
pub struct Kept<'a> {
    files: &'a dyn Files,
    key: u64,
}

/// What finds out whether a part of a section is as it was when it was unpacked.
pub struct Check(Blocks);

impl Check {
    /// Whether a part is as it was, of the section's own bytes.
    pub fn is_good(&self, part: Range<usize>) -> bool {
        self.0.get(part.start.saturating_add(HEAD)..part.end.saturating_add(HEAD)).is_some()
    }

    /// Whether a part that was read is damaged.
    pub fn is_damaged(&self) -> bool {
        self.0.is_damaged()
    }

    /// Checks what has not been read yet.
    pub fn check_all(&self) -> bool {
        self.0.check_all()
    }
}

impl<'a> Kept<'a> {
    /// By the build id, with what a file that lies about it would have otherwise; `None` without a build id.
    pub fn of(elf: &Elf, files: &'a dyn Files) -> Option<Kept<'a>> {
        let mut facts = elf.build_id()?;
        facts.extend_from_slice(&elf.bytes().len().to_le_bytes());
        facts.extend_from_slice(elf.section_headers());
        Some(Kept { files, key: checksum(&facts) })
    }

    /// A section that an earlier run has unpacked; with a check if its parts must be checked before they are read.
    pub fn find(&self, elf: &Elf, id: SectionId) -> Option<(Section, Option<Check>)> {
        let (address, length) = elf.packed(id.name()).filter(|(_, length)| *length >= SMALL)?;
        let bytes = self.files.remembered(&self.name(id))?;
        let check = check_of(&bytes, length)?;
        // These are large and are read unit by unit. The others are small, or read here and there.
        let by_parts = matches!(id, SectionId::DebugInfo | SectionId::DebugLine);
        if !by_parts && !check.check_all() {
            return None;
        }
        Some((Section::mapped(address, &bytes, HEAD..HEAD + length)?, by_parts.then_some(check)))
    }

    /// A section, unpacked now, and kept.
    pub fn unpack(&self, elf: &Elf, id: SectionId) -> Option<Section> {
        let section = elf.section(id.name())?;
        if section.len() >= SMALL {
            let sums = sums(&section);
            let head = [&MAGIC[..], &checksum(&sums).to_le_bytes()].concat();
            self.files.remember(&self.name(id), &[&head[..], &section[..], &sums[..]].concat());
        }
        Some(section)
    }

    fn name(&self, id: SectionId) -> String {
        format!("unpacked-{:016x}{}", self.key, id.name())
    }
}

fn check_of(bytes: &Bytes, length: usize) -> Option<Check> {
    let end = HEAD.checked_add(length)?;
    let blocks = Blocks::kept(bytes.clone(), HEAD..end)?;
    let all = blocks.bytes();
    let is_whole = all.starts_with(MAGIC) && all[MAGIC.len()..HEAD] == checksum(&all[end..]).to_le_bytes();
    is_whole.then_some(Check(blocks))
}
