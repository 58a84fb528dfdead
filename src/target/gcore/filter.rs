//! Which parts of memory a core holds: core(5)'s rules on `/proc/PID/coredump_filter`, as the kernel's vma_dump_size
//! (fs/coredump.c) applies them. Pure. DAX mappings cannot be told from others by /proc and count as files.

use crate::kernel::regions::Region;

/// The bits of `coredump_filter`.
mod bit {
    pub const ANONYMOUS_PRIVATE: u32 = 1 << 0;
    pub const ANONYMOUS_SHARED: u32 = 1 << 1;
    pub const FILE_PRIVATE: u32 = 1 << 2;
    pub const FILE_SHARED: u32 = 1 << 3;
    pub const ELF_HEADERS: u32 = 1 << 4;
    pub const HUGETLB_PRIVATE: u32 = 1 << 5;
    pub const HUGETLB_SHARED: u32 = 1 << 6;
}

/// What of a mapping is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Amount {
    /// The mapping is named, with no bytes.
    Nothing,
    /// Its first page, if that is the head of an ELF file: a debugger finds the build id there.
    ElfHeader,
    /// The pages that are in memory or swapped out; the others are zero.
    Present,
    /// All of it, read through its file.
    Whole,
}

/// What of a mapping is kept. `all`: whatever the process wishes, but for what cannot be read.
pub(super) fn amount(region: &Region, filter: u32, all: bool) -> Amount {
    let mapping = &region.mapping;
    let name = mapping.name.as_deref().unwrap_or_default();
    // The kernel's own data page and old entry page are nobody's memory; the vDSO is code that stacks run through.
    if name.starts_with("[vvar") || name == "[vsyscall]" {
        return Amount::Nothing;
    }
    if name == "[vdso]" {
        return Amount::Whole;
    }
    if region.has(b"io") || (region.has(b"dd") && !all) {
        return Amount::Nothing;
    }
    let has_file = mapping.inode != 0;
    let whole = if has_file || mapping.shared { Amount::Whole } else { Amount::Present };
    let wanted = |bit: u32| all || filter & bit != 0;
    let kept = if region.has(b"ht") {
        wanted(if mapping.shared { bit::HUGETLB_SHARED } else { bit::HUGETLB_PRIVATE })
    } else if mapping.shared {
        // A file without a name left is memory that processes share (shmem_zero_setup, memfd_create).
        wanted(if name.ends_with(" (deleted)") || !has_file { bit::ANONYMOUS_SHARED } else { bit::FILE_SHARED })
    } else {
        (region.has_own_pages && wanted(bit::ANONYMOUS_PRIVATE)) || (has_file && wanted(bit::FILE_PRIVATE))
    };
    if kept {
        whole
    } else if has_file && !mapping.shared && mapping.file_offset == 0 && mapping.read && wanted(bit::ELF_HEADERS) {
        Amount::ElfHeader
    } else {
        Amount::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::regions;

    /// The kernel's default.
    const DEFAULT: u32 = 0x33;

    fn region(line: &str, own: bool, flags: &str) -> Region {
        let text = format!("{line}\nAnonymous: {} kB\nVmFlags: {flags}\n", if own { 4 } else { 0 });
        regions::parse(text.as_bytes()).expect("a region").remove(0)
    }

    #[test]
    fn each_kind_follows_its_bit() {
        let heap = "1000-2000 rw-p 00000000 00:00 0 [heap]";
        let text = "1000-2000 r-xp 00001000 fe:00 5 /bin/a";
        let head = "1000-2000 r--p 00000000 fe:00 5 /bin/a";
        let memfd = "1000-2000 rw-s 00000000 00:01 5 /memfd:x (deleted)";
        let shared = "1000-2000 rw-s 00000000 fe:00 5 /tmp/x";
        let huge = "1000-2000 rw-p 00000000 00:0f 5 /anon_hugepage (deleted)";
        for (line, own, flags, filter, expected) in [
            (heap, true, "", DEFAULT, Amount::Present),
            (heap, true, "", DEFAULT & !1, Amount::Nothing),
            (heap, false, "", DEFAULT, Amount::Nothing),
            (heap, true, "dd", DEFAULT, Amount::Nothing),
            (heap, true, "io", DEFAULT, Amount::Nothing),
            (text, false, "", DEFAULT, Amount::Nothing),
            (text, true, "", DEFAULT, Amount::Whole),
            (text, false, "", DEFAULT | 4, Amount::Whole),
            (head, false, "", DEFAULT, Amount::ElfHeader),
            (head, false, "", DEFAULT & !0x10, Amount::Nothing),
            (memfd, false, "", DEFAULT, Amount::Whole),
            (memfd, false, "", DEFAULT & !2, Amount::Nothing),
            (shared, false, "", DEFAULT, Amount::Nothing),
            (shared, false, "", DEFAULT | 8, Amount::Whole),
            (huge, true, "ht", DEFAULT, Amount::Whole),
            (huge, true, "ht", DEFAULT & !0x20, Amount::Nothing),
            ("1000-2000 r--p 00000000 00:00 0 [vvar]", false, "dd io", !0, Amount::Nothing),
            ("1000-2000 r--p 00000000 00:00 0 [vvar_vclock]", false, "", !0, Amount::Nothing),
            ("1000-2000 r-xp 00000000 00:00 0 [vdso]", false, "", 0, Amount::Whole),
        ] {
            assert_eq!(amount(&region(line, own, flags), filter, false), expected, "{line} {flags} {filter:#x}");
        }
        assert_eq!(amount(&region(heap, true, "dd"), 0, true), Amount::Present);
        assert_eq!(amount(&region(text, false, ""), 0, true), Amount::Whole);
        assert_eq!(amount(&region(heap, true, "io"), 0, true), Amount::Nothing);
    }
}
