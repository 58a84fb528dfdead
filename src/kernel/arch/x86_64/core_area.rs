//! The XSAVE area as core files have it. A processor decides where in the area its components lie (CPUID leaf 0xd), and a core
//! does not tell where that was: debuggers take Intel's places, and newer ones guess others by the length. Makes no request.

use std::arch::x86_64::__cpuid_count;

/// A component's number, its place and its length on Intel's processors (SDM volume 1, 13.5, and what CPUID says there): AVX,
/// BNDREGS, BNDCSR, opmask, ZMM_Hi256, Hi16_ZMM, PKRU.
const INTEL: [(u32, usize, usize); 7] =
    [(2, 576, 256), (3, 960, 64), (4, 1024, 64), (5, 1088, 64), (6, 1152, 512), (7, 1664, 1024), (9, 2688, 8)];

/// The legacy region and the header, which are at the beginning everywhere.
const BEGINNING: usize = 576;

/// Where the kernel says which components the area has (`USER_XSTATE_XCR0_WORD`, arch/x86/include/asm/user.h).
const COMPONENTS: usize = 464;

/// An area that the kernel has filled, with its components in Intel's places. One with components of which this knows nothing
/// stays as it is.
pub fn in_intels_places(area: Vec<u8>) -> Vec<u8> {
    let here = |component| {
        let leaf = __cpuid_count(0xd, component);
        (leaf.ebx as usize, leaf.eax as usize)
    };
    moved(area, here)
}

/// `here`: where this machine has a component, and how long it is.
fn moved(area: Vec<u8>, here: impl Fn(u32) -> (usize, usize)) -> Vec<u8> {
    let Some(bytes) = area.get(COMPONENTS..COMPONENTS + 8) else { return area };
    let there = bytes.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
    let named = INTEL.iter().fold(0b11, |all, (component, ..)| all | 1 << component);
    let present = || INTEL.iter().filter(|(component, ..)| there >> component & 1 == 1);
    if there & !named != 0 || area.len() < BEGINNING {
        return area;
    }
    let mut out = vec![0; present().map(|(_, at, length)| at + length).max().unwrap_or(BEGINNING)];
    out[..BEGINNING].copy_from_slice(&area[..BEGINNING]);
    for (component, at, length) in present() {
        let (from, here) = here(*component);
        if let Some(bytes) = area.get(from..from + here.min(*length)) {
            out[*at..at + bytes.len()].copy_from_slice(bytes);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(components: u64, length: usize) -> Vec<u8> {
        let mut area: Vec<u8> = (0..length).map(|at| at as u8).collect();
        area[COMPONENTS..COMPONENTS + 8].copy_from_slice(&components.to_le_bytes());
        area
    }

    #[test]
    fn components_move_to_intels_places() {
        // AMD's: no room for BNDREGS and BNDCSR.
        let amd = |component| match component {
            2 => (576, 256),
            5 => (832, 64),
            6 => (896, 512),
            7 => (1408, 1024),
            _ => (0, 0),
        };
        let before = area(0xe7, 2432);
        let after = moved(before.clone(), amd);
        assert_eq!(after.len(), 2688);
        assert_eq!(after[..832], before[..832]);
        assert_eq!(after[1088..1152], before[832..896]);
        assert_eq!(after[1152..1664], before[896..1408]);
        assert_eq!(after[1664..], before[1408..]);
    }

    #[test]
    fn what_is_not_known_or_is_in_place_stays() {
        let intel = |component| {
            INTEL.iter().find(|(known, ..)| *known == component).map_or((0, 0), |(_, at, length)| (*at, *length))
        };
        let gap_is_zero = moved(area(0x7, 832), intel);
        assert_eq!(gap_is_zero, area(0x7, 832));
        let tiles = area(0x6_02e7, 11_008);
        assert_eq!(moved(tiles.clone(), intel), tiles);
        assert_eq!(moved(vec![1; 100], intel), vec![1; 100]);
    }
}
