//! Numbers as people read them: gdb's format letters for integers of 1 to 8 bytes, floating-point numbers, the flags of a
//! register. Pure.

use crate::target::FLAGS;

/// A format letter of `print/F` and `x/F`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// `x`: hexadecimal.
    Hex,
    /// `z`: hexadecimal with all its zeros.
    PaddedHex,
    /// `d`: decimal with a sign.
    Decimal,
    /// `u`: decimal without a sign.
    Unsigned,
    /// `o`: octal.
    Octal,
    /// `t`: binary.
    Binary,
    /// `a`: an address and its place.
    Address,
    /// `c`: a character.
    Char,
    /// `f`: a floating-point number.
    Float,
    /// `s`: a text in memory.
    Text,
    /// `i`: an instruction in memory.
    Instruction,
}

impl Format {
    /// By its letter.
    pub fn of(letter: char) -> Option<Format> {
        Some(match letter {
            'x' => Format::Hex,
            'z' => Format::PaddedHex,
            'd' => Format::Decimal,
            'u' => Format::Unsigned,
            'o' => Format::Octal,
            't' => Format::Binary,
            'a' => Format::Address,
            'c' => Format::Char,
            'f' => Format::Float,
            's' => Format::Text,
            'i' => Format::Instruction,
            _ => return None,
        })
    }

    /// An integer of `size` bytes (1 to 8) by its lowest bits. Of formats that need memory or names, the number alone.
    pub fn show(self, bits: u64, size: u8) -> String {
        let size = size.clamp(1, 8);
        let unused = 64 - 8 * u32::from(size);
        let bits = bits << unused >> unused;
        let signed = (bits << unused) as i64 >> unused;
        match self {
            Format::Hex | Format::Address | Format::Text | Format::Instruction => format!("{bits:#x}"),
            Format::PaddedHex => format!("{bits:#0width$x}", width = 2 + 2 * usize::from(size)),
            Format::Decimal => signed.to_string(),
            Format::Unsigned => bits.to_string(),
            Format::Octal if bits == 0 => "0".into(),
            Format::Octal => format!("0{bits:o}"),
            Format::Binary => format!("{bits:b}"),
            Format::Char => character(bits, size),
            Format::Float if size == 4 => float32(f32::from_bits(bits as u32)),
            Format::Float if size == 8 => float64(f64::from_bits(bits)),
            Format::Float => signed.to_string(),
        }
    }
}

/// `97 'a'`, as gdb has it: the number with its sign, and the character in quotes, wide ones too.
pub fn character(bits: u64, size: u8) -> String {
    let unused = 64 - 8 * u32::from(size.clamp(1, 8));
    let escaped = match char::from_u32(bits as u32).filter(|_| bits <= u64::from(u32::MAX)) {
        Some(c) if size > 1 || c.is_ascii() => escape(c, '\''),
        _ => octal(bits),
    };
    format!("{} '{escaped}'", (bits << unused) as i64 >> unused)
}

/// A character within quotes, as C writes it.
pub fn escape(c: char, quote: char) -> String {
    match c {
        '\n' => "\\n".into(),
        '\t' => "\\t".into(),
        '\r' => "\\r".into(),
        '\x07' => "\\a".into(),
        '\x08' => "\\b".into(),
        '\x0b' => "\\v".into(),
        '\x0c' => "\\f".into(),
        '\\' => "\\\\".into(),
        c if c == quote => format!("\\{c}"),
        c if (c as u32) < 0x20 || c as u32 == 0x7f => octal(u64::from(c as u32)),
        c => c.into(),
    }
}

/// What is no character within quotes, as C writes it.
pub fn octal(bits: u64) -> String {
    format!("\\{bits:03o}")
}

/// The shortest text that gives the same number back; with an exponent where it is very large or small.
pub fn float64(number: f64) -> String {
    if number == 0.0 || !number.is_finite() || (1e-5..1e17).contains(&number.abs()) {
        number.to_string()
    } else {
        format!("{number:e}")
    }
}

/// See [`float64`].
pub fn float32(number: f32) -> String {
    if number == 0.0 || !number.is_finite() || (1e-5..1e9).contains(&number.abs()) {
        number.to_string()
    } else {
        format!("{number:e}")
    }
}

/// The x87's 80 bits: a sign, 15 bits of exponent with a bias of 16383, and 64 bits with the leading 1 written out (Intel
/// SDM volume 1, 4.2.2). What binary64 cannot hold is rounded or becomes infinite.
pub fn float80(bytes: [u8; 10]) -> f64 {
    let (low, high) = bytes.split_at(8);
    let mantissa = low.iter().rev().fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
    let top = u16::from(high[1]) << 8 | u16::from(high[0]);
    let exponent = i32::from(top & 0x7fff);
    let size = match exponent {
        0x7fff if mantissa << 1 == 0 => f64::INFINITY,
        0x7fff => f64::NAN,
        // In two steps: a power of two alone may be too small for what the product is not.
        _ => {
            mantissa as f64
                * 2f64.powi((exponent - 16383 - 63) / 2)
                * 2f64.powi((exponent - 16383 - 63) - (exponent - 16383 - 63) / 2)
        }
    };
    if top & 0x8000 == 0 { size } else { -size }
}

/// The opposite of [`float80`]: exact for every binary64.
pub fn to_float80(number: f64) -> [u8; 10] {
    let bits = number.to_bits();
    let sign = (bits >> 63 << 15) as u16;
    let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, bits << 12);
    let (exponent, mantissa) = match (exponent, fraction) {
        (0, 0) => (0, 0),
        // A subnormal number has a leading 1 all the same here.
        (0, fraction) => {
            let zeros = fraction.leading_zeros();
            (16383 - 1022 - zeros as i32 - 1, fraction << zeros)
        }
        (0x7ff, fraction) => (0x7fff, 1 << 63 | fraction >> 1),
        (exponent, fraction) => (exponent - 1023 + 16383, 1 << 63 | fraction >> 1),
    };
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&mantissa.to_le_bytes());
    bytes[8..].copy_from_slice(&(sign | exponent as u16).to_le_bytes());
    bytes
}

/// The names of the flags that are set in `eflags`, the lowest first.
pub fn flag_names(eflags: u64) -> Vec<&'static str> {
    FLAGS.iter().filter(|(bit, _)| eflags >> bit & 1 == 1).map(|(_, name)| *name).collect()
}

/// The bits of MXCSR, the lowest first (Intel SDM volume 1, 10.2.3).
const MXCSR: [&str; 16] =
    ["IE", "DE", "ZE", "OE", "UE", "PE", "DAZ", "IM", "DM", "ZM", "OM", "UM", "PM", "RC0", "RC1", "FZ"];

/// The names of the bits that are set in MXCSR.
pub fn mxcsr_names(mxcsr: u64) -> Vec<&'static str> {
    MXCSR.iter().enumerate().filter(|(bit, _)| mxcsr >> bit & 1 == 1).map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_gdbs() {
        for (letter, bits, size, expected) in [
            ('x', 0xffff_ff2au64, 1, "0x2a"),
            ('z', 0x2a, 4, "0x0000002a"),
            ('d', 0xff, 1, "-1"),
            ('d', 0xff, 2, "255"),
            ('u', u64::MAX, 8, "18446744073709551615"),
            ('o', 8, 8, "010"),
            ('o', 0, 8, "0"),
            ('t', 10, 1, "1010"),
            ('c', 65, 1, "65 'A'"),
            ('c', 0xff, 1, "-1 '\\377'"),
            ('c', 0, 1, "0 '\\000'"),
            ('c', 39, 1, "39 '\\''"),
            ('c', 10, 8, "10 '\\n'"),
            ('c', 0x654, 2, "1620 'ٔ'"),
            ('f', 1.5f64.to_bits(), 8, "1.5"),
            ('f', 0x3fc0_0000, 4, "1.5"),
            ('f', 3, 2, "3"),
            ('a', 16, 8, "0x10"),
        ] {
            let format = Format::of(letter).expect("a format");
            assert_eq!(format.show(bits, size), expected, "{letter} {bits:#x} {size}");
        }
        assert_eq!(Format::of('q'), None);
    }

    #[test]
    fn x87_numbers_go_both_ways() {
        for number in [0.0, -0.0, 1.0, -1.5, 0.1, f64::MAX, f64::MIN_POSITIVE, 5e-324, 1e-310, f64::INFINITY, -3e300] {
            assert_eq!(float80(to_float80(number)).to_bits(), number.to_bits(), "{number}");
        }
        assert!(float80(to_float80(f64::NAN)).is_nan());
        // The FPU's own pi: fldpi.
        let pi = [0x35, 0xc2, 0x68, 0x21, 0xa2, 0xda, 0x0f, 0xc9, 0x00, 0x40];
        assert_eq!(float80(pi), std::f64::consts::PI);
        assert_eq!(to_float80(1.0), [0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f]);
    }

    #[test]
    fn floats_are_short() {
        for (number, expected) in [(0.1, "0.1"), (1e300, "1e300"), (-2.5e-9, "-2.5e-9"), (0.0, "0"), (f64::NAN, "NaN")]
        {
            assert_eq!(float64(number), expected);
        }
        assert_eq!(float32(0.1), "0.1");
    }

    #[test]
    fn flags_have_names() {
        assert_eq!(flag_names(0x246), ["PF", "ZF", "IF"]);
        assert_eq!(mxcsr_names(0x1f80), ["IM", "DM", "ZM", "OM", "UM", "PM"]);
    }
}
