//! Finds the separate debug info of a file: by its build id, by `.gnu_debuglink`, and what that shares with others
//! (`.gnu_debugaltlink`), in the places that gdb looks in (gdb manual, Separate Debug Files). Trusts only files that fit.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::elf::Elf;
use super::{Bytes, Files, LinkAddr, Section};

/// Debug info in a file of its own.
pub struct DebugFile {
    /// Where it was found.
    pub path: String,
    /// The file.
    pub elf: Elf,
}

/// What was looked for in vain: a path and why it does not serve; `None`: nothing is there.
pub type Missed = Vec<(String, Option<String>)>;

/// The separate debug info of `elf`, whose path is `path`.
pub fn find(elf: &Elf, path: &Path, files: &dyn Files, missed: &mut Missed) -> Option<DebugFile> {
    let folders = files.debug_folders();
    if let Some(id) = elf.build_id() {
        let name = by_build_id(&id);
        for folder in &folders {
            let is_it = |bytes: &Bytes| fits_build_id(bytes, &id);
            if let Some(found) = look(&folder.join(&name), files, is_it, "is of another build", missed) {
                return Some(found);
            }
        }
    }
    by_link(elf, path, files, &folders, missed).or_else(|| fetched(&elf.build_id()?, files, missed))
}

/// By `.gnu_debuglink`.
fn by_link(elf: &Elf, path: &Path, files: &dyn Files, folders: &[PathBuf], missed: &mut Missed) -> Option<DebugFile> {
    let (name, crc) = elf.debug_link()?;
    let name = String::from_utf8_lossy(&name).into_owned();
    if name.is_empty() || name.contains('/') {
        missed.push((name, Some("a .gnu_debuglink names no file".into())));
        return None;
    }
    let own = path.parent().unwrap_or(Path::new("/"));
    let mut places = vec![own.join(&name), own.join(".debug").join(&name)];
    let below = own.strip_prefix("/").unwrap_or(own);
    places.extend(folders.iter().map(|folder| folder.join(below).join(&name)));
    let is_it = |bytes: &Bytes| crc32((**bytes).as_ref()) == crc;
    places
        .into_iter()
        .filter(|place| place != path)
        .find_map(|place| look(&place, files, is_it, "has another checksum", missed))
}

/// The file that holds what the debug info of `elf` shares with others.
pub fn find_shared(elf: &Elf, path: &Path, files: &dyn Files, missed: &mut Missed) -> Option<DebugFile> {
    let (name, id) = elf.alt_link()?;
    let name = String::from_utf8_lossy(&name).into_owned();
    let mut places = vec![path.parent().unwrap_or(Path::new("/")).join(&name)];
    if (2..=64).contains(&id.len()) {
        places.extend(files.debug_folders().iter().map(|folder| folder.join(by_build_id(&id))));
    }
    let is_it = |bytes: &Bytes| fits_build_id(bytes, &id);
    let here = places.into_iter().find_map(|place| look(&place, files, is_it, "is of another build", missed));
    here.or_else(|| fetched(&id, files, missed))
}

/// What was fetched from a debuginfod server at some time. That it was not is nothing to tell; an empty file says that no
/// server had it.
fn fetched(id: &[u8], files: &dyn Files, missed: &mut Missed) -> Option<DebugFile> {
    let place = files.debuginfod_cache()?.join(hex(id)).join("debuginfo");
    let bytes = files.open_outside(&place).ok().filter(|bytes| !(**bytes).as_ref().is_empty())?;
    let path = place.to_string_lossy().into_owned();
    if !fits_build_id(&bytes, id) {
        missed.push((path, Some("is of another build".into())));
        return None;
    }
    Some(DebugFile { path, elf: Elf::read(bytes).ok()? })
}

/// The symbol table of MiniDebugInfo: an ELF file, packed by xz (`.gnu_debugdata`).
pub fn mini(elf: &Elf) -> Option<Elf> {
    /// Unpacked it is no larger, and xz needs no more memory (KiB) to unpack it.
    const MOST: u64 = 256 << 20;
    const MEMORY: u32 = 128 << 10;
    let packed = elf.section(".gnu_debugdata")?;
    let most = MOST.min((packed.len() as u64).saturating_mul(256).saturating_add(1 << 16));
    let mut bytes = Vec::new();
    lzma_rust2::XzReader::new_mem_limit(&packed[..], false, MEMORY).take(most).read_to_end(&mut bytes).ok()?;
    let section = Section::unpacked(LinkAddr(0), bytes);
    Elf::read(std::sync::Arc::new(Whole(section))).ok()
}

struct Whole(Section);

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Opens a place in the module's own tree, then in the debugger's.
fn look(
    place: &Path,
    files: &dyn Files,
    is_it: impl Fn(&Bytes) -> bool,
    why_not: &str,
    missed: &mut Missed,
) -> Option<DebugFile> {
    let mut why = None;
    for open in [files.open(place), files.open_outside(place)] {
        match open {
            Ok(bytes) if is_it(&bytes) => {
                if let Ok(elf) = Elf::read(bytes) {
                    return Some(DebugFile { path: place.to_string_lossy().into_owned(), elf });
                }
            }
            Ok(_) => why = Some(why_not.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => why = Some(error.to_string()),
        }
    }
    missed.push((place.to_string_lossy().into_owned(), why));
    None
}

fn fits_build_id(bytes: &Bytes, id: &[u8]) -> bool {
    Elf::read(bytes.clone()).ok().and_then(|elf| elf.build_id()).is_some_and(|own| own == id)
}

/// Whether a file is an ELF file of the build with this id, in hexadecimal digits.
pub fn is_of_build(bytes: &Bytes, build_id: &str) -> bool {
    Elf::read(bytes.clone()).ok().and_then(|elf| elf.build_id()).is_some_and(|own| hex(&own) == build_id)
}

fn by_build_id(id: &[u8]) -> PathBuf {
    let digits = hex(id);
    Path::new(".build-id").join(&digits[..2]).join(format!("{}.debug", &digits[2..]))
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The checksum of `.gnu_debuglink`, that of zlib.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
