//! Fuzz target: any bytes as machine code, from which the way to the caller is guessed.
#![no_main]

use godbg::symbols::unwind::{is_behind_call, is_signal_return, row_by_code};
use libfuzzer_sys::fuzz_target;

/// Where the code is.
const AT: u64 = 0x40_0000;

fuzz_target!(|data: &[u8]| {
    let Some((&at, code)) = data.split_first() else { return };
    let read = |addr: u64, buffer: &mut [u8]| {
        let from = addr.checked_sub(AT).and_then(|from| usize::try_from(from).ok()).filter(|from| *from <= code.len());
        let rest = from.map_or(&[][..], |from| &code[from..]);
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        length
    };
    for pc in [AT + u64::from(at), AT, u64::MAX, 0] {
        for start in [None, Some(AT), Some(pc), Some(u64::MAX)] {
            let _ = (row_by_code(pc, start, true, &read), row_by_code(pc, start, false, &read));
        }
        let _ = (is_behind_call(pc, &read), is_signal_return(pc, &read));
    }
});
