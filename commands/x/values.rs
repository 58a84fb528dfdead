//! Bytes as the values that `x` shows: numbers in any base, addresses, characters, floating-point numbers, strings. Reads no
//! memory.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::RuntimeAddr;
use crate::session::locations::{Locations, Place};
use crate::session::numbers::{Format, escape, octal};
use crate::target::expr::{Type, Value as Number};

/// A value for scripts.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Value {
    /// `x u o t z c`.
    Unsigned(u64),
    /// `d`.
    Signed(i64),
    /// `f`; null where it is no number.
    Float(f64),
    /// `a`.
    Address(Place),
    /// `s`.
    Text {
        /// The characters; what is none is U+FFFD.
        text: String,
        /// How many bytes it takes, its end included.
        length: usize,
        /// Whether its end was not reached.
        truncated: bool,
    },
}

/// The unsigned number in little-endian bytes, at most eight.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A number of so many bytes with its sign.
fn signed(value: u64, size: usize) -> i64 {
    let unused = 64 - 8 * size as u32;
    (value << unused) as i64 >> unused
}

/// The value for scripts and as people read it. In memory hexadecimal and binary numbers have all their digits, and addresses
/// their places.
pub(super) fn value(letter: char, bytes: &[u8], locations: &Locations) -> (Value, String) {
    let (bits, size) = (number(bytes), bytes.len());
    let format = Format::of(letter).unwrap_or(Format::Hex);
    let text = match format {
        Format::Hex => Format::PaddedHex.show(bits, size as u8),
        Format::Binary => format!("{bits:0width$b}", width = 8 * size),
        format => format.show(bits, size as u8),
    };
    match format {
        Format::Decimal => (Value::Signed(signed(bits, size)), text),
        Format::Address => {
            let words = locations.words(RuntimeAddr(bits)).map(|words| format!(" <{words}>"));
            (Value::Address(locations.place_or_bare(RuntimeAddr(bits))), text + &words.unwrap_or_default())
        }
        Format::Float if size == 4 => (Value::Float(f32::from_bits(bits as u32).into()), text),
        Format::Float => (Value::Float(f64::from_bits(bits)), text),
        _ => (Value::Unsigned(bits), text),
    }
}

/// The value as `$__` holds it.
pub(super) fn last(letter: char, bytes: &[u8]) -> Number {
    match letter {
        'a' => Number::address(number(bytes)),
        'd' | 'c' => Number::new(number(bytes), Type::int(bytes.len() as u8, true)),
        _ => Number::new(number(bytes), Type::int(bytes.len() as u8, false)),
    }
}

/// Characters of a string in one line, no more: gdb's limit.
pub(super) const LONGEST_STRING: usize = 200;

/// The string that bytes begin with, of characters of 1, 2 or 4 bytes: the value, and the text in quotes.
pub(super) fn string(bytes: &[u8], size: usize) -> (Value, String) {
    let units: Vec<u64> = bytes.chunks_exact(size).take(LONGEST_STRING).map(number).collect();
    let end = units.iter().position(|unit| *unit == 0);
    let units = &units[..end.unwrap_or(units.len())];
    let (text, mut shown) = (decode(units, size), String::from("\""));
    for part in &text {
        match part {
            Ok(c) => shown.push_str(&escape(*c, '"')),
            Err(unit) => shown.push_str(&octal(*unit)),
        }
    }
    shown.push_str(if end.is_none() { "\"..." } else { "\"" });
    let plain = text.iter().map(|part| part.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    let length = (units.len() + usize::from(end.is_some())) * size;
    (Value::Text { text: plain, length, truncated: end.is_none() }, shown)
}

/// Units as characters, or as what they are where they are none.
fn decode(units: &[u64], size: usize) -> Vec<Result<char, u64>> {
    match size {
        1 => {
            let bytes: Vec<u8> = units.iter().map(|unit| *unit as u8).collect();
            let chunks = bytes.utf8_chunks();
            chunks
                .flat_map(|chunk| {
                    let wrong = chunk.invalid().iter().map(|byte| Err(u64::from(*byte)));
                    chunk.valid().chars().map(Ok).chain(wrong).collect::<Vec<_>>()
                })
                .collect()
        }
        2 => char::decode_utf16(units.iter().map(|unit| *unit as u16))
            .map(|unit| unit.map_err(|error| error.unpaired_surrogate().into()))
            .collect(),
        _ => units.iter().map(|unit| char::from_u32(*unit as u32).ok_or(*unit)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_gdb_writes_them() {
        let none = Locations::default();
        for (letter, bytes, expected) in [
            ('x', &[0x34, 0x12][..], "0x1234"),
            ('x', &[1, 0, 0, 0], "0x00000001"),
            ('z', &[1], "0x01"),
            ('d', &[0xff], "-1"),
            ('u', &[0xff], "255"),
            ('o', &[8, 0], "010"),
            ('o', &[0], "0"),
            ('t', &[5], "00000101"),
            ('a', &[0x10, 0, 0, 0, 0, 0, 0, 0], "0x10"),
            ('c', b"a", "97 'a'"),
            ('c', &[0], "0 '\\000'"),
            ('c', &[0xff], "-1 '\\377'"),
            ('c', b"'", "39 '\\''"),
            ('f', &1.5f32.to_le_bytes(), "1.5"),
            ('f', &(-0.1f64).to_le_bytes(), "-0.1"),
            ('f', &1e300f64.to_le_bytes(), "1e300"),
            ('f', &f64::INFINITY.to_le_bytes(), "inf"),
        ] {
            assert_eq!(value(letter, bytes, &none).1, expected, "{letter} {bytes:?}");
        }
        assert_eq!(value('d', &[0xfe, 0xff], &none).0, Value::Signed(-2));
    }

    #[test]
    fn strings_are_escaped_and_bounded() {
        for (bytes, size, expected) in [
            (&b"hello\0rest"[..], 1, "\"hello\""),
            (b"\0", 1, "\"\""),
            (b"a\"\\\n\x1b[31m\xff\0", 1, "\"a\\\"\\\\\\n\\033[31m\\377\""),
            ("ä→\0".as_bytes(), 1, "\"ä→\""),
            (b"ab", 1, "\"ab\"..."),
            (b"h\0i\0\0\0", 2, "\"hi\""),
            (&[0x3d, 0xd8, 0x00, 0xde, 0, 0], 2, "\"😀\""),
            (&[0x00, 0xd8, 0, 0], 2, "\"\\154000\""),
            (&[0xe4, 0, 0, 0, 0, 0, 0, 0], 4, "\"ä\""),
        ] {
            assert_eq!(string(bytes, size).1, expected);
        }
        let (value, text) = string(&[b'a'; 1000], 1);
        assert_eq!(text.len(), LONGEST_STRING + 5);
        assert!(matches!(value, Value::Text { length: LONGEST_STRING, truncated: true, .. }));
    }
}
