//! Fuzz target: any bytes as an ELF file, and everything that can be asked of it.
#![no_main]

mod ask;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| ask::everything(data.to_vec()));
