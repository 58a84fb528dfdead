//! Where the fields of the runtime's structs are (`g`, `m` and `gobuf` of runtime/runtime2.go, amd64): a table by release,
//! each row of which the tests compare with DWARF; DWARF itself for what is no release.

use crate::symbols::Module;
use crate::symbols::go::BuildInfo;
use crate::symbols::go::types::{StructLayout, structs};

/// Offsets, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// `g.syscallsp`; `syscallpc` follows.
    pub syscall_sp: u64,
    /// `g.syscallbp`, since Go 1.23.
    pub syscall_bp: Option<u64>,
    /// `g.atomicstatus`; `goid` is 8 behind it.
    pub status: u64,
    /// `g.goid`.
    pub id: u64,
    /// `g.waitsince`.
    pub wait_since: u64,
    /// `g.waitreason`.
    pub wait_reason: u64,
    /// `g.parentGoid`, since Go 1.21.
    pub parent: Option<u64>,
    /// `g.gopc`.
    pub creator_pc: u64,
    /// `g.startpc`.
    pub start_pc: u64,
    /// `g.labels`.
    pub labels: u64,
    /// `g.sched.bp`.
    pub sched_bp: u64,
    /// `m.procid`.
    pub m_procid: u64,
    /// `m.curg`.
    pub m_curg: u64,
}

/// `g.stack.hi`; `lo` is at 0. The same in all releases, as are the next four.
pub const STACK_HI: u64 = 8;
/// `g.m`.
pub const G_M: u64 = 48;
/// `g.sched.sp`.
pub const SCHED_SP: u64 = 56;
/// `g.sched.pc`.
pub const SCHED_PC: u64 = 64;

impl Layout {
    /// Of the runtime in a program: by its release, by its DWARF where it is none, else as in the nearest release.
    pub fn of(module: &Module, build: &BuildInfo) -> Layout {
        let is_release = build.minor.filter(|_| is_plain(&build.version));
        let known = is_release.and_then(Layout::of_release);
        known.or_else(|| Layout::by_dwarf(module)).unwrap_or_else(|| Layout::nearest(build.minor.unwrap_or(NEWEST)))
    }

    /// Of a release that is known.
    pub fn of_release(minor: u32) -> Option<Layout> {
        (OLDEST..=NEWEST).contains(&minor).then(|| Layout::nearest(minor))
    }

    fn nearest(minor: u32) -> Layout {
        let minor = minor.clamp(OLDEST, NEWEST);
        // 1.21 threw out what the old tracer kept, 1.23 added `syscallbp`, 1.25 took `gobuf.ret` out, 1.26 added `secret`.
        let base = if (23..25).contains(&minor) { 8 } else { 0 };
        let syscall_sp = if minor >= 25 { 104 } else { 112 };
        let tail = match minor {
            ..=20 => 296,
            21 | 22 | 25 => 280,
            _ => 288,
        };
        Layout {
            syscall_sp,
            syscall_bp: (minor >= 23).then_some(syscall_sp + 16),
            status: 144 + base,
            id: 152 + base,
            wait_since: 168 + base,
            wait_reason: 176 + base,
            parent: (minor >= 21).then_some(tail - 8),
            creator_pc: tail,
            start_pc: tail + 16,
            labels: tail + 64,
            sched_bp: if minor >= 25 { 96 } else { 104 },
            m_procid: if minor >= 25 { 64 } else { 72 },
            m_curg: if minor >= 25 { 184 } else { 192 },
        }
    }

    /// By the program's own DWARF.
    pub fn by_dwarf(module: &Module) -> Option<Layout> {
        let found = structs(module, &["runtime.g", "runtime.m", "runtime.gobuf"]);
        let (g, m, gobuf) = (found.get("runtime.g")?, found.get("runtime.m")?, found.get("runtime.gobuf")?);
        let fixed =
            [(field(g, "stack"), 0), (field(g, "m"), G_M), (field(g, "sched"), SCHED_SP), (field(gobuf, "pc"), 8)];
        let is_known = fixed.into_iter().all(|(found, wanted)| found == Some(wanted));
        is_known.then_some(())?;
        Some(Layout {
            syscall_sp: field(g, "syscallsp")?,
            syscall_bp: field(g, "syscallbp"),
            status: field(g, "atomicstatus")?,
            id: field(g, "goid")?,
            wait_since: field(g, "waitsince")?,
            wait_reason: field(g, "waitreason")?,
            parent: field(g, "parentGoid"),
            creator_pc: field(g, "gopc")?,
            start_pc: field(g, "startpc")?,
            labels: field(g, "labels")?,
            sched_bp: SCHED_SP + field(gobuf, "bp")?,
            m_procid: field(m, "procid")?,
            m_curg: field(m, "curg")?,
        })
    }

    /// How much of a `g` is looked at, bytes.
    pub fn g_size(&self) -> usize {
        let ends = [self.labels, self.start_pc, self.creator_pc, self.parent.unwrap_or(0)];
        ends.into_iter().max().unwrap_or(0) as usize + 8
    }

    /// How much of an `m` is looked at, bytes.
    pub fn m_size(&self) -> usize {
        self.m_procid.max(self.m_curg) as usize + 8
    }
}

/// A `g` has less than 600 bytes. What a hostile file says is no reason to read, or to make room for, more than that.
const LARGEST_OFFSET: u64 = 4096;

/// Where a field is, if that can be.
fn field(layout: &StructLayout, name: &str) -> Option<u64> {
    layout.fields.get(name).copied().filter(|offset| *offset <= LARGEST_OFFSET)
}

const OLDEST: u32 = 19;
const NEWEST: u32 = 27;

/// Whether a version is that of a release without experiments: `go1.27.3`.
fn is_plain(version: &str) -> bool {
    version.strip_prefix("go1.").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_far_behind_its_struct_is_none() {
        let fields = [("goid", 152), ("curg", LARGEST_OFFSET + 1), ("procid", u64::MAX - 7)];
        let fields = fields.into_iter().map(|(name, offset)| (name.to_owned(), offset)).collect();
        let layout = StructLayout { size: u64::MAX, fields };
        let found = ["goid", "curg", "procid", "gone"].map(|name| field(&layout, name));
        assert_eq!(found, [Some(152), None, None, None]);
    }

    #[test]
    fn experiments_are_no_releases() {
        assert!(is_plain("go1.27.3") && is_plain("go1.19"));
        assert!(!is_plain("go1.27.3-X:greenteagc") && !is_plain("devel go1.28-abc") && !is_plain("go1.28rc1"));
        assert_eq!((Layout::of_release(18), Layout::of_release(28)), (None, None));
    }
}
