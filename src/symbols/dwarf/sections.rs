//! The sections of debug info as gimli takes them: of a program, of a `.dwo`, of the file that several share. Reads none of
//! their contents.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use gimli::{EndianSlice, LittleEndian, SectionId};

use super::super::elf::Elf;
use super::super::{Files, Section};
use super::Reader;
use super::unpacked::{Check, Kept};
use crate::parallel;

/// What is read, the largest first: sections are unpacked side by side. Not where values are (`.debug_loc`, `.debug_loclists`), which
/// is large and not asked for.
const IDS: &[SectionId] = &[
    SectionId::DebugInfo,
    SectionId::DebugStr,
    SectionId::DebugLine,
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugAranges,
    SectionId::DebugLineStr,
    SectionId::DebugNames,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugStrOffsets,
    SectionId::DebugTypes,
    SectionId::DebugCuIndex,
    SectionId::DebugTuIndex,
];

/// Sections that are together smaller are unpacked sooner than a thread is started, bytes.
const SMALL: usize = 1 << 19;

/// The debug sections of one file. Cheap to clone.
#[derive(Clone)]
pub struct Sections(Arc<Inside>);

struct Inside {
    sections: Vec<(SectionId, Section)>,
    /// Those of which each part is checked before it is read.
    checks: Vec<(SectionId, Check)>,
    gdb_index: Option<Section>,
}

impl Sections {
    /// Those of a program or of separate debug info; `None` without `.debug_info`. `files` keep what is unpacked; `anew`: what they
    /// have kept is damaged.
    pub fn of(elf: &Elf, files: &dyn Files, anew: bool) -> Option<Sections> {
        let kept = Kept::of(elf, files);
        let find = |id| kept.as_ref().filter(|_| !anew)?.find(elf, id);
        let unpack = |id: SectionId| match &kept {
            Some(kept) => kept.unpack(elf, id),
            None => elf.section(id.name()),
        };
        Sections::load(elf, |id| Some(id.name()), find, unpack)
    }

    /// Whether a part of a section may be read: false if it was kept and is damaged.
    pub fn is_good(&self, id: SectionId, part: Range<usize>) -> bool {
        let mut checks = self.0.checks.iter().filter(|(one, _)| *one == id);
        checks.all(|(_, check)| check.is_good(part.clone()))
    }

    /// Whether something that was asked for is damaged.
    pub fn is_damaged(&self) -> bool {
        self.0.checks.iter().any(|(_, check)| check.is_damaged())
    }

    /// Checks what has not been read yet. False: something is damaged.
    pub fn check_all(&self) -> bool {
        self.0.checks.iter().all(|(_, check)| check.check_all())
    }

    /// Those of a `.dwo` or `.dwp`.
    pub fn of_split(elf: &Elf) -> Option<Sections> {
        let name = |id: SectionId| match id {
            SectionId::DebugCuIndex | SectionId::DebugTuIndex => Some(id.name()),
            id => id.dwo_name(),
        };
        Sections::load(elf, name, |_| None, |id| elf.section(name(id)?))
    }

    fn load(
        elf: &Elf,
        name: impl Fn(SectionId) -> Option<&'static str>,
        find: impl Fn(SectionId) -> Option<(Section, Option<Check>)>,
        unpack: impl Fn(SectionId) -> Option<Section> + Sync,
    ) -> Option<Sections> {
        let (mut sections, mut checks, mut packed, mut length) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for id in IDS.iter().copied() {
            let Some(name) = name(id) else { continue };
            if let Some((_, unpacked)) = elf.packed(name) {
                if let Some((section, check)) = find(id) {
                    sections.push((id, section));
                    checks.extend(check.map(|check| (id, check)));
                } else {
                    packed.push(id);
                    length += unpacked;
                }
            } else if let Some(section) = elf.section(name) {
                sections.push((id, section));
            }
        }
        let read = |id: &SectionId| Some((*id, unpack(*id)?));
        let unpacked: Vec<_> =
            if length < SMALL { packed.iter().map(read).collect() } else { parallel::map(&packed, read) };
        sections.extend(unpacked.into_iter().flatten());
        let has_info = sections.iter().any(|(id, section)| *id == SectionId::DebugInfo && !section.is_empty());
        has_info.then(|| Sections(Arc::new(Inside { sections, checks, gdb_index: elf.section(".gdb_index") })))
    }

    /// `.gdb_index`, which is none of DWARF's; empty if it is not there.
    pub fn gdb_index(&self) -> &[u8] {
        self.0.gdb_index.as_deref().unwrap_or_default()
    }

    /// One of them; empty if it is not there.
    pub fn get(&self, id: SectionId) -> Reader<'_> {
        let section = self.0.sections.iter().find(|(one, _)| *one == id);
        EndianSlice::new(section.map_or(&[], |(_, section)| section), LittleEndian)
    }

    /// As gimli's sections, with those of the file that is shared with others.
    pub fn dwarf<'a>(&'a self, shared: Option<&'a Sections>) -> gimli::Dwarf<Reader<'a>> {
        let nothing = || EndianSlice::new(&[][..], LittleEndian);
        let load = |sections: &'a Sections| gimli::Dwarf::load(|id| Ok::<_, ()>(sections.get(id)));
        let empty = || gimli::Dwarf::load(|_| Ok::<_, gimli::Error>(nothing())).unwrap_or_default();
        let mut dwarf = load(self).unwrap_or_else(|()| empty());
        if let Some(shared) = shared {
            dwarf.set_sup(load(shared).unwrap_or_else(|()| empty()));
        }
        dwarf
    }
}

/// Where the debug info of a file is, and how to find more.
pub struct Sources {
    /// Its own sections.
    pub own: Sections,
    /// What it shares with other files (`.gnu_debugaltlink`).
    pub shared: Option<Sections>,
    /// The unit of another file that this file belongs to, if it is a `.dwo`.
    pub skeleton: Option<Skeleton>,
    /// What opens `.dwo` files.
    pub files: Arc<dyn Files>,
    /// The path of the program: beside it may lie a `.dwp`.
    pub path: String,
    /// The sections of that package, once it has been looked for.
    pub package: OnceLock<Option<Sections>>,
}

/// The unit in a program that stands for one in a `.dwo`.
pub struct Skeleton {
    /// The sections of the program.
    pub parent: Sections,
    /// What the program shares with other files.
    pub shared: Option<Sections>,
    /// Where the unit begins in `.debug_info`.
    pub unit: usize,
    /// The number that both units have.
    pub id: u64,
    /// Whether the sections are those of a package of many.
    pub packaged: bool,
}
