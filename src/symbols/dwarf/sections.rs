//! The sections of debug info as gimli takes them: of a program, of a `.dwo`, of the file that several share. Reads none of
//! their contents.

use std::sync::{Arc, OnceLock};

use gimli::{EndianSlice, LittleEndian, SectionId};

use super::super::elf::Elf;
use super::super::{Files, Section, parallel};
use super::Reader;
use super::unpacked::Kept;

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

/// The debug sections of one file. Cheap to clone.
#[derive(Clone)]
pub struct Sections(Arc<Inside>);

struct Inside {
    sections: Vec<(SectionId, Section)>,
    gdb_index: Option<Section>,
}

impl Sections {
    /// Those of a program or of separate debug info; `None` without `.debug_info`. `files` keep what is unpacked.
    pub fn of(elf: &Elf, files: &dyn Files) -> Option<Sections> {
        let kept = Kept::of(elf, files);
        Sections::load(elf, |id| match &kept {
            Some(kept) => kept.section(elf, id.name()),
            None => elf.section(id.name()),
        })
    }

    /// Those of a `.dwo` or `.dwp`.
    pub fn of_split(elf: &Elf) -> Option<Sections> {
        Sections::load(elf, |id| match id {
            SectionId::DebugCuIndex | SectionId::DebugTuIndex => elf.section(id.name()),
            id => elf.section(id.dwo_name()?),
        })
    }

    fn load(elf: &Elf, section: impl Fn(SectionId) -> Option<Section> + Sync) -> Option<Sections> {
        // Compressed sections are unpacked here, several at a time.
        let read = |id: &SectionId| Some((*id, section(*id)?));
        let sections: Vec<_> = parallel::map(IDS, read).into_iter().flatten().collect();
        let has_info = sections.iter().any(|(id, section)| *id == SectionId::DebugInfo && !section.is_empty());
        has_info.then(|| Sections(Arc::new(Inside { sections, gdb_index: elf.section(".gdb_index") })))
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
