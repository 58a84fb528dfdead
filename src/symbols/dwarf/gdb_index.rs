//! `.gdb_index`: which unit has the code at an address, as gdb, gold or lld have noted it (gdb manual, "Index Section Format";
//! versions 7 to 9). Reads no units: whoever asks compares the answer with the unit's own ranges.
//!
//! Its names are not read. Who made it, and whether calls that were inlined count there, stands nowhere in it, so that all
//! other units would have to be searched all the same.

/// How many bytes an entry of the list of units has: offset and length.
const UNIT: usize = 16;
/// How many bytes an entry of the address area has: begin, end, number of a unit.
const AREA: usize = 20;
/// Up to so many bytes between functions of one unit are padding.
const PADDING: u64 = 16;

/// What units cover: begin, end, unit; those of one unit that touch as one. `unit_at` finds a unit by where it begins in
/// `.debug_info`. Empty if the section is of another version, cut off or missing.
pub fn ranges(section: &[u8], unit_at: impl Fn(usize) -> Option<usize>) -> Vec<(u64, u64, u32)> {
    let Some((units, area)) = tables(section) else { return Vec::new() };
    let unit = |entry: &[u8]| Some(unit_at(usize::try_from(long(entry, 0)?).ok()?)? as u32);
    let units: Vec<Option<u32>> = units.chunks_exact(UNIT).map(unit).collect();
    let mut ranges: Vec<(u64, u64, u32)> = Vec::new();
    for entry in area.chunks_exact(AREA) {
        let (Some(begin), Some(end), Some(number)) = (long(entry, 0), long(entry, 8), short(entry, 16)) else { break };
        let Some(unit) = units.get(number as usize).copied().flatten().filter(|_| begin < end) else { continue };
        match ranges.last_mut() {
            Some(last) if last.2 == unit && last.1 <= begin && begin - last.1 < PADDING => last.1 = end,
            _ => ranges.push((begin, end, unit)),
        }
    }
    ranges
}

/// The list of units and the address area.
fn tables(section: &[u8]) -> Option<(&[u8], &[u8])> {
    if !(7..=9).contains(&short(section, 0)?) {
        return None;
    }
    let offset = |at: usize| Some(short(section, at)? as usize);
    // Units, type units, addresses, names: each ends where the next begins.
    Some((section.get(offset(4)?..offset(8)?)?, section.get(offset(12)?..offset(16)?)?))
}

fn short(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two units, no type unit, three entries of addresses.
    fn sample(version: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [version, 24, 56, 56, 116, 116] {
            bytes.extend(word.to_le_bytes());
        }
        for long in [0u64, 100, 100, 50] {
            bytes.extend(long.to_le_bytes());
        }
        for (begin, end, unit) in [(0x1000u64, 0x1010u64, 0u32), (0x1018, 0x1030, 0), (0x1030, 0x1040, 1)] {
            bytes.extend(begin.to_le_bytes());
            bytes.extend(end.to_le_bytes());
            bytes.extend(unit.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn addresses_are_those_of_the_units_listed() {
        let unit_at = |offset: usize| [0, 100].iter().position(|begin| *begin == offset);
        for version in 7..=9 {
            assert_eq!(ranges(&sample(version), unit_at), [(0x1000, 0x1030, 0), (0x1030, 0x1040, 1)]);
        }
        for version in [0, 6, 10, u32::MAX] {
            assert_eq!(ranges(&sample(version), unit_at), []);
        }
        // A unit that is not there has no addresses.
        assert_eq!(ranges(&sample(7), |offset| (offset == 100).then_some(7)), [(0x1030, 0x1040, 7)]);
        assert_eq!(ranges(&sample(7), |_| None), []);
    }

    #[test]
    fn damaged_sections_are_survived() {
        let good = sample(8);
        for length in 0..good.len() {
            ranges(&good[..length], Some);
        }
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                ranges(&bad, Some);
            }
        }
    }
}
