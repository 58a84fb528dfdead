//! `/proc/PID/maps` as a sorted list of mappings, and which one an address falls into. Opens none of the files.

use std::fs;
use std::io::{self, Cursor, Read};

use procfs::FromBufRead;
use procfs::process::{MMPermissions, MMapPath, MemoryMaps};

use crate::addr::{Pid, RuntimeAddr};

/// A hostile target can have millions of mappings: what is read of the list is bounded.
const LONGEST: u64 = 64 << 20;

/// One mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its first address.
    pub start: RuntimeAddr,
    /// The address after its last byte.
    pub end: RuntimeAddr,
    /// Whether the program may read it.
    pub read: bool,
    /// Whether the program may write it.
    pub write: bool,
    /// Whether the program may execute it.
    pub execute: bool,
    /// Whether changes reach the file and other processes.
    pub shared: bool,
    /// The inode of its file, 0 if there is none.
    pub inode: u64,
    /// Where in its file it begins.
    pub file_offset: u64,
    /// The file's path or the kernel's name in brackets; `None` for an anonymous mapping.
    pub name: Option<String>,
}

/// All mappings of a process at one moment, by rising address.
#[derive(Clone, Debug, Default)]
pub struct Mappings(Vec<Mapping>);

impl Mappings {
    /// Reads them. Permission is that of PTRACE_MODE_READ; an empty list is a process without memory.
    pub fn of(pid: Pid) -> io::Result<Mappings> {
        let mut bytes = Vec::new();
        fs::File::open(format!("/proc/{pid}/maps"))?.take(LONGEST).read_to_end(&mut bytes)?;
        Mappings::parse(&bytes)
    }

    /// The text of a maps file; a line that is cut off at its end is left out.
    pub fn parse(bytes: &[u8]) -> io::Result<Mappings> {
        let text = String::from_utf8_lossy(bytes);
        let whole_lines = text.rfind('\n').map_or("", |end| &text[..end + 1]);
        let maps = MemoryMaps::from_buf_read(Cursor::new(whole_lines.as_bytes()))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        Ok(Mappings(maps.0.into_iter().map(Mapping::from).collect()))
    }

    /// All of them, by rising address.
    pub fn iter(&self) -> std::slice::Iter<'_, Mapping> {
        self.0.iter()
    }

    /// Whether there are none: a kernel thread, or a process whose memory is gone.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The mapping that holds an address.
    pub fn find(&self, addr: RuntimeAddr) -> Option<&Mapping> {
        let after = self.0.partition_point(|mapping| mapping.start <= addr);
        self.0.get(after.checked_sub(1)?).filter(|mapping| addr < mapping.end)
    }

    /// The lowest address at which the file (or kernel object) of a mapping is mapped: what offsets are counted from.
    pub fn base_of(&self, mapping: &Mapping) -> RuntimeAddr {
        let same = |other: &&Mapping| other.name.is_some() && other.name == mapping.name;
        self.0.iter().find(same).map_or(mapping.start, |first| first.start)
    }
}

impl From<procfs::process::MemoryMap> for Mapping {
    fn from(map: procfs::process::MemoryMap) -> Mapping {
        let name = match map.pathname {
            MMapPath::Path(path) => Some(path.to_string_lossy().into_owned()),
            MMapPath::Anonymous => None,
            MMapPath::Heap => Some("[heap]".into()),
            MMapPath::Stack => Some("[stack]".into()),
            MMapPath::TStack(tid) => Some(format!("[stack:{tid}]")),
            MMapPath::Vdso => Some("[vdso]".into()),
            MMapPath::Vvar => Some("[vvar]".into()),
            MMapPath::Vsyscall => Some("[vsyscall]".into()),
            MMapPath::Rollup => Some("[rollup]".into()),
            MMapPath::Vsys(key) => Some(format!("/SYSV{key:08x}")),
            // The parser takes the brackets away: `[vvar_vclock]`, `[anon:name]`.
            MMapPath::Other(name) => Some(format!("[{name}]")),
        };
        Mapping {
            start: RuntimeAddr(map.address.0),
            end: RuntimeAddr(map.address.1),
            read: map.perms.contains(MMPermissions::READ),
            write: map.perms.contains(MMPermissions::WRITE),
            execute: map.perms.contains(MMPermissions::EXECUTE),
            shared: map.perms.contains(MMPermissions::SHARED),
            inode: map.inode,
            file_offset: map.offset,
            name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_code_is_found_in_own_file() {
        let maps = Mappings::of(Pid(std::process::id() as i32)).expect("own maps");
        let here = RuntimeAddr(own_code_is_found_in_own_file as *const () as u64);
        let mapping = maps.find(here).expect("code is mapped");
        let exe = std::env::current_exe().expect("an executable");
        assert_eq!(mapping.name.as_deref(), exe.to_str());
        assert!(maps.base_of(mapping) <= mapping.start);
        assert_eq!(maps.find(RuntimeAddr(1)), None);
        assert_eq!(maps.find(RuntimeAddr(u64::MAX)), None);
    }
}
