//! Everything that can be asked of a file: no answer may panic, hang or take memory out of proportion.

use std::ops::ControlFlow;
use std::sync::Arc;

use godbg::addr::{LinkAddr, LoadBias};
use godbg::symbols::unwind::{FrameRegisters, Scratch};
use godbg::symbols::{Module, NameKind, NamePattern, NoFiles};

/// Names are shown to a visitor that has enough after so many.
const NAMES: usize = 300;

/// Asks a file, if it is one.
#[allow(dead_code)] // Not by all targets.
pub fn everything(bytes: Vec<u8>) {
    if let Ok(module) = Module::read("fuzzed", Arc::new(bytes), Arc::new(NoFiles)) {
        all_of(&module);
    }
}

/// Asks a module.
pub fn all_of(module: &Module) {
    let _ = module.facts();
    let code = module.segments().first().map_or(0x40_1000, |segment| segment.start.0);
    let edges = [0, 1, u64::MAX, i64::MAX as u64];
    let addresses = (0..48u64).map(|step| code.wrapping_add(0x25 * step)).chain(edges).map(LinkAddr);
    let mut scratch = Scratch::default();
    for addr in addresses {
        let _ = (module.symbol_at(addr), module.frames_at(addr));
        unwind(module, addr, &mut scratch);
        if let Some(go) = module.go() {
            let _ = go.stack_rule(addr);
        }
    }
    let mut names = Vec::new();
    for kind in [NameKind::Function, NameKind::Variable, NameKind::Type] {
        let mut shown = 0;
        module.names(kind, &mut |entry| {
            shown += 1;
            if names.len() < 8 {
                names.push(entry.name.to_owned());
            }
            if shown < NAMES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
    }
    for name in names.iter().map(String::as_str).chain(["main", "work", "twice"]) {
        let _ = (module.symbols_named(name), module.functions(&NamePattern::name(name)));
    }
    let sources = module.sources();
    for file in sources.iter().take(4).map(|file| &**file).chain(["seed.c"]) {
        let _ = (module.line_places(file, 1), module.line_places(file, 8), module.line_places(file, u32::MAX));
    }
    let _ = module.line_rows(LinkAddr(code)..LinkAddr(code.saturating_add(0x1000)));
}

/// The rule at an address, carried out on made-up registers and memory.
fn unwind(module: &Module, addr: LinkAddr, scratch: &mut Scratch) {
    let Some(row) = module.unwind_tables().row_at(addr, scratch) else { return };
    let registers = (0..17).fold(FrameRegisters::default(), |registers, number| {
        registers.with(number, 0x7fff_0000_0000 + 0x100 * u64::from(number))
    });
    let word = |addr: u64| (addr % 3 != 0).then(|| addr.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let _ = row.caller(&registers, LoadBias(0x1000), &word);
}
