//! Everything that can be asked of a file: no answer may panic, hang or take memory out of proportion.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use godbg::addr::LinkAddr;
use godbg::symbols::{Bytes, Files, Module};

/// No other file is there.
struct NoFiles;

impl Files for NoFiles {
    fn open(&self, _path: &Path) -> io::Result<Bytes> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Asks.
pub fn everything(bytes: Vec<u8>) {
    let Ok(module) = Module::read("fuzzed", Arc::new(bytes), Arc::new(NoFiles)) else { return };
    let _ = ControlFlow::<()>::Continue(());
    for addr in (0..64).map(|step| 0x40_1000 + 0x40 * step).chain([0, 1, u64::MAX, i64::MAX as u64]).map(LinkAddr) {
        let _ = (module.symbol_at(addr), module.frames_at(addr));
    }
    let _ = module.symbols_named("main");
}
