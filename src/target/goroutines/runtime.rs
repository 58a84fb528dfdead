//! The Go runtime of a process: which file it is in, which release, and where its goroutines are listed. In stripped programs
//! that is read out of the code of `runtime.forEachGRace`, which begins with loading both. Reads no process memory.

use std::sync::Arc;

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

use super::layout::Layout;
use crate::addr::{LinkAddr, LoadBias, RuntimeAddr};
use crate::symbols::Module;
use crate::symbols::go::{BuildInfo, GoTables};
use crate::target::Modules;

/// A runtime.
#[derive(Clone, Debug)]
pub struct GoRuntime {
    module: Arc<Module>,
    bias: LoadBias,
    /// Where the fields of its structs are.
    pub layout: Layout,
    /// `runtime.allglen`: how many goroutines there are.
    pub count_at: RuntimeAddr,
    /// `runtime.allgptr`: the address of the array of their addresses.
    pub list_at: RuntimeAddr,
    /// How far from a thread's `fs_base` its goroutine's address is; `None` if that is not known.
    pub tls: Option<TlsSlot>,
    /// Whether there may be C beside it: a library is mapped, or threads do not keep their goroutine where Go alone has it.
    pub may_have_c: bool,
}

/// Where a thread keeps the address of its `g`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsSlot {
    /// So far from `fs_base`: -8 where there is no C.
    Offset(i64),
    /// As far as the word at this address says.
    At(RuntimeAddr),
}

/// Files with other names than the program's are looked at too, up to so many: Go may be a library of C.
const MOST_FILES: usize = 512;

impl GoRuntime {
    /// The runtime of a process; `None` if it has none, or one in which nothing is found.
    pub fn find(modules: &Modules) -> Option<GoRuntime> {
        // The kernel's own have no Go in them.
        let files = || modules.iter().filter(|loaded| !loaded.path().starts_with('['));
        files().take(MOST_FILES).find_map(|loaded| {
            let (module, bias) = loaded.module()?;
            let tables = module.go()?;
            let (count_at, list_at) = by_code(module, tables).or_else(|| by_symbols(module))?;
            let tls = tls_slot(module, tables, bias);
            let has_others = files().filter(|loaded| loaded.is_executable()).nth(1).is_some();
            Some(GoRuntime {
                module: module.clone(),
                bias,
                layout: Layout::of(module, tables.build()),
                count_at: bias.runtime(LinkAddr(count_at)),
                list_at: bias.runtime(LinkAddr(list_at)),
                tls,
                may_have_c: has_others || tls != Some(TlsSlot::Offset(-8)),
            })
        })
    }

    /// Its tables.
    pub fn tables(&self) -> Option<&GoTables> {
        self.module.go()
    }

    /// The file.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// How far the file was moved.
    pub fn bias(&self) -> LoadBias {
        self.bias
    }

    /// How it was built.
    pub fn build(&self) -> BuildInfo {
        self.tables().map(|tables| tables.build().clone()).unwrap_or_default()
    }

    /// The release's number, of one that is not known the newest.
    pub fn minor(&self) -> u32 {
        self.tables().and_then(|tables| tables.build().minor).unwrap_or(u32::MAX)
    }
}

/// The first two words that `runtime.forEachGRace` loads are `allglen` and `allgptr` (`atomicAllG`, runtime/proc.go).
fn by_code(module: &Module, tables: &GoTables) -> Option<(u64, u64)> {
    let mut loads = instructions(module, tables, "runtime.forEachGRace")?.into_iter().filter_map(|instruction| {
        let is_load = instruction.mnemonic() == Mnemonic::Mov && instruction.op1_kind() == OpKind::Memory;
        (is_load && instruction.is_ip_rel_memory_operand()).then(|| instruction.ip_rel_memory_address())
    });
    Some((loads.next()?, loads.next()?))
}

fn by_symbols(module: &Module) -> Option<(u64, u64)> {
    let start = |name: &str| module.symbols_named(name).first().map(|symbol| symbol.start.0);
    Some((start("runtime.allglen")?, start("runtime.allgptr")?))
}

/// How `runtime.morestack` finds its goroutine: `mov %fs:-8, %r`, or by way of a register that holds the offset.
fn tls_slot(module: &Module, tables: &GoTables, bias: LoadBias) -> Option<TlsSlot> {
    let code = instructions(module, tables, "runtime.morestack")?;
    let at = code.iter().position(|instruction| instruction.memory_segment() == Register::FS)?;
    let load = code[at];
    let displacement = load.memory_displacement64().cast_signed();
    if load.memory_base() == Register::None {
        return Some(TlsSlot::Offset(displacement));
    }
    let by = code[..at].iter().rev().find(|before| before.op0_register() == load.memory_base())?;
    match by.op1_kind() {
        OpKind::Immediate32to64 | OpKind::Immediate64 | OpKind::Immediate32 => {
            Some(TlsSlot::Offset(by.immediate(1).cast_signed().wrapping_add(displacement)))
        }
        OpKind::Memory if by.is_ip_rel_memory_operand() => {
            Some(TlsSlot::At(bias.runtime(LinkAddr(by.ip_rel_memory_address()))))
        }
        _ => None,
    }
}

/// A function's instructions, as far as they are needed.
fn instructions(module: &Module, tables: &GoTables, name: &str) -> Option<Vec<Instruction>> {
    const MOST: usize = 64;
    let (entry, end) = tables.extent_of(name)?;
    let length = end.0.checked_sub(entry.0)?.min(1024);
    let bytes = module.bytes_at(entry, length)?;
    Some(Decoder::with_ip(64, bytes, entry.0, DecoderOptions::NONE).into_iter().take(MOST).collect())
}
