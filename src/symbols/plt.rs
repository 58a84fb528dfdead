//! The stubs through which calls leave a file, named after what they call, as objdump and gdb name them (`puts@plt`). Knows
//! the x86-64 psABI's stubs and nothing else of code.

use std::collections::HashMap;

use object::elf::{R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT};
use object::{Object, ObjectSymbol, ObjectSymbolTable, RelocationFlags, RelocationTarget};

use super::elf::Elf;

/// A file with more is not linked by a linker.
const MOST: usize = 1 << 20;

/// The stubs of a file: begin, end, name.
pub fn stubs(elf: &Elf) -> Vec<(u64, u64, String)> {
    let Some(names) = slots(elf) else { return Vec::new() };
    let mut stubs = Vec::new();
    for (section, size) in [(".plt.sec", 16), (".plt.got", 0), (".plt.bnd", 0), (".plt", 16)] {
        let Some(code) = elf.section(section) else { continue };
        // `.plt.got` has 8 bytes a stub, or 16 with endbr64 in front.
        let size = match size {
            0 if code.starts_with(&[0xf3, 0x0f, 0x1e, 0xfa]) => 16,
            0 => 8,
            size => size,
        };
        for (number, stub) in code.chunks_exact(size).enumerate().take(MOST) {
            let start = code.address.0.wrapping_add((number * size) as u64);
            if let Some(name) = jumps_through(start, stub).and_then(|slot| names.get(&slot)) {
                stubs.push((start, start.saturating_add(size as u64), format!("{name}@plt")));
            }
        }
    }
    stubs
}

/// The slot that `jmp *slot(%rip)` takes its target from, after endbr64 and a bnd prefix if they are there.
fn jumps_through(start: u64, stub: &[u8]) -> Option<u64> {
    let mut at = if stub.starts_with(&[0xf3, 0x0f, 0x1e, 0xfa]) { 4 } else { 0 };
    at += usize::from(stub.get(at) == Some(&0xf2));
    let jump = stub.get(at..at + 6)?;
    let distance = i32::from_le_bytes(jump.strip_prefix(&[0xff, 0x25])?.try_into().ok()?);
    Some(start.wrapping_add(at as u64 + 6).wrapping_add_signed(i64::from(distance)))
}

/// Which function the loader puts into each slot.
fn slots(elf: &Elf) -> Option<HashMap<u64, String>> {
    let headers = elf.headers()?;
    let symbols = headers.dynamic_symbol_table()?;
    let mut slots = HashMap::new();
    for (slot, relocation) in headers.dynamic_relocations()?.take(MOST) {
        let RelocationFlags::Elf { r_type } = relocation.flags() else { continue };
        let RelocationTarget::Symbol(index) = relocation.target() else { continue };
        if r_type != R_X86_64_JUMP_SLOT && r_type != R_X86_64_GLOB_DAT {
            continue;
        }
        let name = symbols.symbol_by_index(index).ok().and_then(|symbol| symbol.name().ok().map(str::to_owned));
        slots.extend(name.filter(|name| !name.is_empty()).map(|name| (slot, name)));
    }
    Some(slots)
}
