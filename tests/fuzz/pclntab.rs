//! Fuzz target: any bytes as Go's table of functions and lines, in an otherwise well-formed program.
#![no_main]

mod ask;
mod elf_file;

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static BUILD_INFO: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = std::env::var_os("GODBG_FUZZ_SECTIONS").map(PathBuf::from).unwrap_or_default();
    fs::read(folder.join(".go.buildinfo")).unwrap_or_default()
});

fuzz_target!(|data: &[u8]| {
    ask::everything(elf_file::build(&[(".gopclntab", data), (".go.buildinfo", &BUILD_INFO)]));
});
