//! Fuzz target: any bytes as the names of a program that an earlier run has kept, with checksums and a key that fit: what
//! damages a file is noticed by these, who forges one makes them fit.
#![no_main]

mod ask;
mod elf_file;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use godbg::symbols::{Bytes, Files, Module};
use libfuzzer_sys::fuzz_target;

/// Names of a smaller program are not kept.
const PROGRAM_SIZE: usize = 1 << 20;
/// Magic, checksum, and key are the same in all inputs.
const HEAD: usize = 24;
/// How long the header is, where in it the length of what follows is, and how long a block is (`src/symbols/index/flat.rs`).
const HEADER: usize = 64;
const LENGTH: usize = 56;
const BLOCK: usize = 1 << 16;

/// A program with names, and the bytes that are kept of it, without the blocks' checksums.
struct Real {
    program: Bytes,
    kept: Vec<u8>,
}

static REAL: LazyLock<Real> = LazyLock::new(|| {
    let program: Bytes = Arc::new(program());
    let files = Arc::new(Kept::default());
    module(&program, files.clone()).prepare_names();
    let kept = files.lock().clone().expect("the names of a large program with a build id are kept");
    // What follows the blocks are their checksums.
    let length = u64::from_le_bytes(kept[LENGTH..HEADER].try_into().expect("eight bytes"));
    let bare = kept[..HEADER + length as usize].to_vec();
    assert!(sealed(&bare, &kept) == kept, "checksums are made otherwise now");
    Real { program, kept: bare }
});

/// What is kept: at first nothing.
#[derive(Default)]
struct Kept(Mutex<Option<Vec<u8>>>);

impl Kept {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files for Kept {
    fn open(&self, _: &Path) -> std::io::Result<Bytes> {
        Err(std::io::ErrorKind::NotFound.into())
    }

    fn remembered(&self, _: &str) -> Option<Bytes> {
        Some(Arc::new(self.lock().clone()?))
    }

    fn remember(&self, _: &str, bytes: &[u8]) {
        *self.lock() = Some(bytes.to_vec());
    }
}

fn module(program: &Bytes, files: Arc<Kept>) -> Module {
    Module::read("fuzzed", program.clone(), files).expect("a good file")
}

/// The sections of the seed program, in a file that is large enough and has a build id.
fn program() -> Vec<u8> {
    let folder = std::env::var_os("GODBG_FUZZ_SECTIONS").map(PathBuf::from).unwrap_or_default();
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    // Go's tables would be asked instead.
    files.retain(|path| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with(".go")));
    let read = |path: &PathBuf| Some((path.file_name()?.to_str()?.to_owned(), fs::read(path).ok()?));
    let mut sections: Vec<(String, Vec<u8>)> = files.iter().filter_map(read).collect();
    sections.retain(|(name, _)| name != ".note.gnu.build-id");
    // Name's size, contents' size, NT_GNU_BUILD_ID; name and contents.
    let mut note = Vec::new();
    [4u32, 8, 3].iter().for_each(|word| note.extend(word.to_le_bytes()));
    note.extend(b"GNU\0fuzzed!!");
    sections.push((".note.gnu.build-id".into(), note));
    sections.push((".padding".into(), vec![0; PROGRAM_SIZE]));
    let sections: Vec<(&str, &[u8])> = sections.iter().map(|(name, bytes)| (&**name, &**bytes)).collect();
    elf_file::build(&sections)
}

/// An input with the head of a good file, and the checksums that it needs (`src/symbols/index/flat.rs`).
fn sealed(data: &[u8], good: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    bytes.resize(bytes.len().max(HEADER), 0);
    bytes[..HEAD].copy_from_slice(&good[..HEAD]);
    let end = bytes.len();
    bytes[LENGTH..HEADER].copy_from_slice(&((end - HEADER) as u64).to_le_bytes());
    let sums: Vec<u8> = bytes[HEADER..].chunks(BLOCK).flat_map(|block| checksum(block).to_le_bytes()).collect();
    bytes.extend(sums);
    let sum = checksum(&[&bytes[16..HEADER], &bytes[end..]].concat());
    bytes[8..16].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn checksum(bytes: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(bytes)
}

fuzz_target!(
    init: {
        // A seed that is always of the present layout: what is kept of the program.
        if let Some(folder) = std::env::var_os("GODBG_FUZZ_SEEDS") {
            let folder = PathBuf::from(folder).join("cache");
            fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join("real"), &REAL.kept)).expect("a seed");
        }
    },
    |data: &[u8]| {
        let files = Arc::new(Kept(Mutex::new(Some(sealed(data, &REAL.kept)))));
        let module = module(&REAL.program, files);
        // What is not believed is made anew, which other targets do often enough.
        if !module.wants_names_prepared() {
            ask::all_of(&module);
        }
    }
);
