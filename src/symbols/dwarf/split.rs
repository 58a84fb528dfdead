//! Split DWARF: the `.dwo` file or the `.dwp` package that holds what a skeleton unit stands for (DWARF 5, 7.3; GNU's for
//! DWARF 4). What is opened must have the same number as the skeleton.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use gimli::{DebugInfoOffset, DwoId, EndianSlice, LittleEndian, Unit};

use super::super::elf::Elf;
use super::sections::{Sections, Skeleton, Sources};
use super::{Dwarf, Loaded, Reader};

/// The sections of a `.dwo` joined with those of its program, and the skeleton unit.
pub fn dwarf_of<'a>(
    own: &'a Sections,
    skeleton: &'a Skeleton,
    mut split: gimli::Dwarf<Reader<'a>>,
) -> (gimli::Dwarf<Reader<'a>>, Option<Unit<Reader<'a>>>) {
    let parent = skeleton.parent.dwarf(skeleton.shared.as_ref());
    if skeleton.packaged {
        let empty = EndianSlice::new(&[][..], LittleEndian);
        let package = gimli::DwarfPackage::load(|id| Ok::<_, gimli::Error>(own.get(id)), empty);
        let found = package.and_then(|package| package.find_cu(DwoId(skeleton.id), &parent));
        split = found.ok().flatten().unwrap_or(split);
    } else {
        split.make_dwo(&parent);
    }
    let header = parent.unit_header(DebugInfoOffset(skeleton.unit));
    (split, header.and_then(|header| parent.unit(header)).ok())
}

/// Opens what a skeleton stands for; `None` if it cannot be found or is of another build.
pub fn open(loaded: &Loaded<'_>, unit: &Unit<Reader<'_>>, offset: usize) -> Option<Dwarf> {
    let id = unit.dwo_id?.0;
    let sources = loaded.sources;
    let name = loaded.dwarf.attr_string(unit, unit.dwo_name().ok()??).ok()?;
    let folder = unit.comp_dir.map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default();
    let path = Path::new(&folder).join(&*name.to_string_lossy());
    let beside = Path::new(&sources.path).parent().and_then(|folder| Some(folder.join(path.file_name()?)));
    let package = sources.package.get_or_init(|| {
        let path = PathBuf::from(format!("{}.dwp", sources.path));
        sections(sources, &path).or_else(|| sections(sources, &path.with_extension("").with_extension("dwp")))
    });
    let packaged = package.iter().map(|sections| (sections.clone(), true));
    let alone = [Some(path), beside].into_iter().flatten();
    let alone = alone.filter_map(|path| sections(sources, &path)).map(|sections| (sections, false));
    packaged.chain(alone).find_map(|(own, packaged)| {
        let skeleton =
            Skeleton { parent: sources.own.clone(), shared: sources.shared.clone(), unit: offset, id, packaged };
        let sources = Sources {
            own,
            shared: sources.shared.clone(),
            skeleton: Some(skeleton),
            files: sources.files.clone(),
            path: sources.path.clone(),
            package: OnceLock::new(),
        };
        let dwarf = Dwarf::new(sources, loaded.code().to_vec());
        dwarf.with(|loaded| loaded.has_split_unit()).then_some(dwarf)
    })
}

fn sections(sources: &Sources, path: &Path) -> Option<Sections> {
    let open = |bytes| Elf::read(bytes).ok().and_then(|elf| Sections::of_split(&elf));
    let files = Arc::clone(&sources.files);
    files.open(path).ok().and_then(open).or_else(|| files.open_outside(path).ok().and_then(open))
}
