//! Numbers and strings out of bytes that nobody has checked. Knows no format.

use memchr::memchr;

/// The little-endian number at an offset.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The little-endian number at an offset, signed.
pub(super) fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    u32_at(bytes, at).map(u32::cast_signed)
}

/// The little-endian number at an offset.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// The same as an offset itself.
pub(super) fn usize_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64_at(bytes, at)?).ok()
}

/// The string at an offset up to its NUL. No name of Go's is longer than this.
pub(super) fn str_at(bytes: &[u8], at: usize) -> Option<&str> {
    const LONGEST: usize = 16 << 10;
    let rest = bytes.get(at..)?;
    let rest = &rest[..rest.len().min(LONGEST)];
    std::str::from_utf8(&rest[..memchr(0, rest)?]).ok()
}

/// A number in 7 bits a byte, the lowest first, and the offset behind it; as `binary.Uvarint` of Go writes it.
#[inline]
pub(super) fn varint(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let first = *bytes.get(at)?;
    if first < 0x80 {
        return Some((u32::from(first), at + 1));
    }
    let (mut value, mut shift, mut at) = (u32::from(first & 0x7f), 7, at + 1);
    loop {
        let byte = *bytes.get(at)?;
        at += 1;
        value |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some((value, at));
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_strings_end_where_the_bytes_do() {
        let bytes = [1, 0, 0, 0, b'a', 0, 0xff, 0xff];
        assert_eq!((u32_at(&bytes, 0), u32_at(&bytes, 5), u64_at(&bytes, 1)), (Some(1), None, None));
        assert_eq!((str_at(&bytes, 4), str_at(&bytes, 6), str_at(&bytes, 9)), (Some("a"), None, None));
        assert_eq!((varint(&bytes, 0), varint(&bytes, 6)), (Some((1, 1)), None));
        assert_eq!(varint(&[0xac, 2], 0), Some((300, 2)));
        assert_eq!(varint(&[0xff; 16], 0), None);
    }
}
