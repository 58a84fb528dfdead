//! Fuzz target: a well-formed ELF file, one of whose sections is the input. The first byte says which; the others are
//! those of a real program (see `scripts/fuzz`, which lays them into the folder `GODBG_FUZZ_SECTIONS`), or absent.
#![no_main]

mod ask;
mod elf_file;

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

/// What can be replaced. The order is that of the first byte of an input: append only.
const NAMES: &[&str] = &[
    ".symtab",
    ".strtab",
    ".eh_frame",
    ".eh_frame_hdr",
    ".debug_frame",
    ".debug_info",
    ".debug_abbrev",
    ".debug_line",
    ".debug_str",
    ".debug_line_str",
    ".debug_str_offsets",
    ".debug_addr",
    ".debug_ranges",
    ".debug_rnglists",
    ".debug_loc",
    ".debug_loclists",
    ".debug_aranges",
    ".debug_names",
    ".gdb_index",
    ".debug_types",
    ".gnu_debugdata",
    ".gnu_debuglink",
    ".gnu_debugaltlink",
    ".note.gnu.build-id",
    ".gopclntab",
    ".go.buildinfo",
    ".go.module",
    ".dynsym",
    ".dynstr",
    ".plt",
    ".rela.plt",
];

static REAL: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(|| {
    let folder = std::env::var_os("GODBG_FUZZ_SECTIONS").map(PathBuf::from).unwrap_or_default();
    NAMES.iter().map(|name| (*name, fs::read(folder.join(name)).unwrap_or_default())).collect()
});

fuzz_target!(|data: &[u8]| {
    let Some((&which, data)) = data.split_first() else { return };
    let which = usize::from(which) % NAMES.len();
    let mut sections: Vec<(&str, &[u8])> = REAL.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    sections[which].1 = data;
    sections.retain(|(_, bytes)| !bytes.is_empty());
    ask::everything(elf_file::build(&sections));
});
