//! The notes of a core file (elf(5), include/uapi/linux/elfcore.h): each thread's registers, what the process is, where its
//! files are mapped. Pure: from facts to bytes.

use crate::addr::{Pid, Tid};
use crate::kernel::arch::Registers;
use crate::kernel::memory::PAGE;
use crate::kernel::proc::Ids;
use crate::kernel::ptrace::SignalInfo;
use crate::kernel::regions::Region;
use crate::kernel::signal::Signal;

/// Types of notes (include/uapi/linux/elf.h).
mod kind {
    pub const PRSTATUS: u32 = 1;
    pub const FPREGSET: u32 = 2;
    pub const PRPSINFO: u32 = 3;
    pub const AUXV: u32 = 6;
    pub const X86_XSTATE: u32 = 0x202;
    pub const SIGINFO: u32 = 0x5349_4749;
    pub const FILE: u32 = 0x4649_4c45;
}

/// What is taken of one thread while it is held.
pub(super) struct ThreadImage {
    pub tid: Tid,
    pub registers: Registers,
    /// FXSAVE's layout; empty where the thread cannot be asked.
    pub float: Vec<u8>,
    /// XSAVE's; empty likewise, or where the processor has none.
    pub extended: Vec<u8>,
    /// The signal that it is about to be given.
    pub signal: Option<(Signal, SignalInfo)>,
    /// The signals that it blocks.
    pub blocked: u64,
}

/// What the notes say of the process.
pub(super) struct ProcessImage {
    pub pid: Pid,
    pub ids: Ids,
    pub name: String,
    /// The words of its command line.
    pub words: Vec<String>,
    pub auxv: Vec<u8>,
}

/// All notes, in the kernel's order: the first thread's status, the process's, and then the others.
pub(super) fn notes(process: &ProcessImage, threads: &[ThreadImage], regions: &[Region]) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, thread) in threads.iter().enumerate() {
        let floats = !thread.float.is_empty();
        add(&mut out, "CORE", kind::PRSTATUS, &prstatus(process, thread, floats));
        if index == 0 {
            add(&mut out, "CORE", kind::PRPSINFO, &prpsinfo(process));
        }
        if let Some((_, info)) = &thread.signal {
            let bytes: Vec<u8> = info.0.iter().flat_map(|word| word.to_ne_bytes()).collect();
            add(&mut out, "CORE", kind::SIGINFO, &bytes);
        } else if index == 0 {
            add(&mut out, "CORE", kind::SIGINFO, &[0; 128]);
        }
        if index == 0 {
            add(&mut out, "CORE", kind::AUXV, &process.auxv);
            add(&mut out, "CORE", kind::FILE, &files(regions));
        }
        if floats {
            add(&mut out, "CORE", kind::FPREGSET, &thread.float);
        }
        if !thread.extended.is_empty() {
            add(&mut out, "LINUX", kind::X86_XSTATE, &thread.extended);
        }
    }
    out
}

/// A note: lengths, type, name and content, each part padded to four bytes.
fn add(out: &mut Vec<u8>, name: &str, kind: u32, content: &[u8]) {
    for number in [name.len() as u32 + 1, content.len() as u32, kind] {
        out.extend(number.to_ne_bytes());
    }
    for part in [[name.as_bytes(), b"\0"].concat().as_slice(), content] {
        out.extend(part);
        out.resize(out.len().next_multiple_of(4), 0);
    }
}

/// Bytes at the offsets of a C structure.
struct Fields(Vec<u8>);

impl Fields {
    fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        self.0[at..at + N].copy_from_slice(&bytes);
    }

    /// A string of at most `most` bytes and a NUL.
    fn put_text(&mut self, at: usize, text: &str, most: usize) {
        let text = &text.as_bytes()[..text.len().min(most)];
        self.0[at..at + text.len()].copy_from_slice(text);
    }
}

/// `struct elf_prstatus` of x86-64. Times are left out: they say nothing that a debugger shows.
fn prstatus(process: &ProcessImage, thread: &ThreadImage, floats: bool) -> Vec<u8> {
    const LENGTH: usize = 336;
    const REGISTERS: usize = 112;
    let mut fields = Fields(vec![0; LENGTH]);
    if let Some((signal, info)) = &thread.signal {
        // si_signo, si_code, si_errno: siginfo_t has the last two the other way round.
        fields.put(0, signal.0.to_ne_bytes());
        fields.put(4, (info.0[1] as i32).to_ne_bytes());
        fields.put(8, ((info.0[0] >> 32) as i32).to_ne_bytes());
        fields.put(12, (signal.0 as i16).to_ne_bytes());
    }
    fields.put(24, thread.blocked.to_ne_bytes());
    for (index, id) in [thread.tid.0, process.ids.parent, process.ids.group, process.ids.session].iter().enumerate() {
        fields.put(32 + 4 * index, id.to_ne_bytes());
    }
    for (index, word) in thread.registers.words().iter().enumerate() {
        fields.put(REGISTERS + 8 * index, word.to_ne_bytes());
    }
    fields.put(REGISTERS + 27 * 8, i32::from(floats).to_ne_bytes());
    fields.0
}

/// `struct elf_prpsinfo` of x86-64.
fn prpsinfo(process: &ProcessImage) -> Vec<u8> {
    const LENGTH: usize = 136;
    let ids = &process.ids;
    let mut fields = Fields(vec![0; LENGTH]);
    fields.put(0, [0, b'R', 0, ids.nice as u8]);
    fields.put(8, ids.flags.to_ne_bytes());
    fields.put(16, ids.uid.to_ne_bytes());
    fields.put(20, ids.gid.to_ne_bytes());
    for (index, id) in [process.pid.0, ids.parent, ids.group, ids.session].iter().enumerate() {
        fields.put(24 + 4 * index, id.to_ne_bytes());
    }
    fields.put_text(40, &process.name, 15);
    fields.put_text(56, &process.words.join(" "), 79);
    fields.0
}

/// NT_FILE (fs/binfmt_elf.c, fill_files_note): how many, the page size, where each is, and their names.
fn files(regions: &[Region]) -> Vec<u8> {
    let files: Vec<_> = regions.iter().map(|region| &region.mapping).filter(|mapping| mapping.inode != 0).collect();
    let places = files.iter().flat_map(|file| [file.start.0, file.end.0, file.file_offset / PAGE]);
    let words = [files.len() as u64, PAGE].into_iter().chain(places);
    let mut out: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
    for file in &files {
        out.extend(file.name.as_deref().unwrap_or_default().as_bytes());
        out.push(0);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process() -> ProcessImage {
        let ids = Ids { parent: 2, group: 3, session: 4, flags: 0, nice: -1, uid: 5, gid: 6 };
        let words = vec!["name".into(), "x".repeat(100)];
        ProcessImage { pid: Pid(1), ids, name: "a name of far too many bytes".into(), words, auxv: vec![0; 16] }
    }

    #[test]
    fn structures_have_the_kernels_length_and_places() {
        let mut info = SignalInfo([0; 16]);
        info.0[0] = 11 | 7 << 32;
        info.0[1] = 2;
        let registers = Registers { r15: 15, gs: 26, ..Registers::default() };
        let signal = Some((Signal::SEGV, info));
        let thread =
            ThreadImage { tid: Tid(9), registers, float: vec![1; 512], extended: Vec::new(), signal, blocked: 8 };
        let status = prstatus(&process(), &thread, true);
        let int = |at: usize| i32::from_ne_bytes(status[at..at + 4].try_into().expect("four bytes"));
        assert_eq!([int(0), int(4), int(8), int(12), int(24), int(32), int(36), int(328)], [11, 2, 7, 11, 8, 9, 2, 1]);
        assert_eq!((status[112], status[112 + 26 * 8], status.len()), (15, 26, 336));
        let info = prpsinfo(&process());
        assert_eq!((&info[40..56], &info[56..62], info[135]), (&b"a name of far t\0"[..], &b"name x"[..], 0));
        let notes = notes(&process(), &[thread], &[]);
        assert_eq!(notes.len() % 4, 0);
        assert_eq!(&notes[..20], [5, 0, 0, 0, 80, 1, 0, 0, 1, 0, 0, 0, b'C', b'O', b'R', b'E', 0, 0, 0, 0]);
    }
}
