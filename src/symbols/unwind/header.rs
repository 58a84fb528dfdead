//! The binary search of `.eh_frame_hdr` (LSB 5.0 Core, 10.6.2). Of the encodings only the one that linkers write is known;
//! no entry is read.

/// Version 1; the section's address relative to the field, the count as 4 bytes, the table relative to the header, all signed
/// words of 4 bytes (DW_EH_PE_pcrel|sdata4, udata4, datarel|sdata4).
const FORM: [u8; 4] = [1, 0x1b, 0x03, 0x3b];

/// Before the table: the form, the section's address, the count.
const HEAD: usize = 12;

/// Where an entry begins, and where its description is.
const ROW: usize = 8;

/// The address of the entry that covers `addr`, if one does. `None`: this header cannot be searched.
pub(super) fn entry_before(header: &[u8], header_at: u64, addr: u64) -> Option<u64> {
    if header.get(..4)? != FORM {
        return None;
    }
    let word = |at: usize| Some(i32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?));
    let count = usize::try_from(word(8)?.cast_unsigned()).ok()?.min((header.len().saturating_sub(HEAD)) / ROW);
    let row = |row: usize| -> Option<(u64, u64)> {
        let at = HEAD + row * ROW;
        let address = |offset: i32| header_at.wrapping_add_signed(offset.into());
        Some((address(word(at)?), address(word(at + 4)?)))
    };
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        match row(middle)?.0 <= addr {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    // An address before the first is covered by none; the first will say so itself.
    Some(row(low.saturating_sub(1))?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entry_that_begins_before_is_found() {
        let mut header = Vec::from(FORM);
        header.extend([0; 4]);
        header.extend(3u32.to_le_bytes());
        for (begin, entry) in [(-0x100i32, 0x10i32), (0x20, 0x30), (0x40, 0x50)] {
            header.extend(begin.to_le_bytes());
            header.extend(entry.to_le_bytes());
        }
        let find = |addr| entry_before(&header, 0x1000, addr);
        for (addr, entry) in [(0, 0x1010), (0xf00, 0x1010), (0x101f, 0x1010), (0x1020, 0x1030), (0x2000, 0x1050)] {
            assert_eq!(find(addr), Some(entry), "{addr:#x}");
        }
        // A count that is not true, no table, another form.
        header[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(entry_before(&header, 0x1000, 0x2000), Some(0x1050));
        assert_eq!(entry_before(&header[..HEAD], 0x1000, 0x2000), None);
        header[3] = 0xff;
        assert_eq!(entry_before(&header, 0x1000, 0x2000), None);
    }
}
