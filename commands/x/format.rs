//! The `/NFU` of `x`: how many, in which format, of which size, as gdb reads them. Reads no memory.

use crate::session::Failure;
use crate::session::looking::Examined;
use crate::session::numbers;

/// No more units at once: more is a mistake, and `dump` writes any amount into a file.
pub(super) const MOST: usize = 65_536;

/// How memory is to be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Format {
    /// How many units; instructions and strings are units too.
    pub count: usize,
    /// Whether they are those before the address.
    pub backwards: bool,
    /// `x d u o t a c f s i z`.
    pub letter: char,
    /// Bytes in a unit; of strings, in a character.
    pub size: u8,
}

/// Reads `8xg` (the slash taken off); what it does not say is as it was the last time.
pub(super) fn read(text: &str, last: Examined) -> Result<Format, Failure> {
    let (backwards, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let behind = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = &digits[..digits.len() - behind.len()];
    // As in gdb, `x` alone shows as many as the last time.
    let count = if text.is_empty() { last.count } else { count(number)? };
    let (mut letter, mut size) = (None, None);
    for c in behind.chars() {
        let is_format = numbers::Format::of(c).is_some();
        let slot = if is_format { &mut letter } else { &mut size };
        if !is_format && size_of(c).is_none() {
            return Err(wrong(format!("{c:?} is neither a format nor a size")));
        }
        if slot.replace(c).is_some() {
            return Err(wrong(format!("/{text} says two formats or two sizes")));
        }
    }
    let letter = letter.unwrap_or(last.format);
    let named = size.and_then(size_of);
    let fitting = check_size(letter, named, last)?;
    if backwards && matches!(letter, 's' | 'i') {
        return Err(wrong("strings and instructions can be read only forwards".into()));
    }
    Ok(Format { count, backwards, letter, size: fitting })
}

fn count(number: &str) -> Result<usize, Failure> {
    if number.is_empty() {
        return Ok(1);
    }
    match number.parse::<usize>() {
        Ok(0) => Err(wrong("nothing is to be shown: the count is 0".into())),
        Ok(count) if count <= MOST => Ok(count),
        _ => Err(Failure::hinted(
            format!("x: {number} units are too many: at most {MOST} are shown at once"),
            "dump FILE START, +LENGTH writes any amount into a file",
        )),
    }
}

fn size_of(letter: char) -> Option<u8> {
    match letter {
        'b' => Some(1),
        'h' => Some(2),
        'w' => Some(4),
        'g' => Some(8),
        _ => None,
    }
}

/// The size that a format has: as said, or the one that suits it, or the last one.
fn check_size(letter: char, named: Option<u8>, last: Examined) -> Result<u8, Failure> {
    match (letter, named) {
        ('a', Some(1 | 2 | 4)) => Err(wrong("addresses have 8 bytes (g)".into())),
        ('a', _) => Ok(8),
        ('f', Some(1 | 2)) => Err(wrong("floating-point numbers have 4 or 8 bytes (w, g)".into())),
        ('f', None) => Ok(if last.size == 4 && last.format == 'f' { 4 } else { 8 }),
        ('s', Some(8)) => Err(wrong("characters have 1, 2 or 4 bytes (b, h, w)".into())),
        ('i', Some(_)) => Err(wrong("instructions have no size".into())),
        ('s' | 'i' | 'c', None) => Ok(1),
        (_, Some(size)) => Ok(size),
        (_, None) => Ok(last.size),
    }
}

fn wrong(what: String) -> Failure {
    Failure::usage(
        format!("x: {what}"),
        "usage: x /NFU ADDR: a count, a format (x d u o t a c f s i z), a size (b h w g)",
    )
}

impl Format {
    /// What the next look takes from this one.
    pub fn remembered(self, before: Examined) -> Examined {
        let size = match self.letter {
            'i' => before.size,
            's' => 1,
            _ => self.size,
        };
        Examined { format: self.letter, size, count: self.count, ..before }
    }

    /// How many units stand in a line, as in gdb.
    pub fn per_line(self) -> usize {
        match (self.letter, self.size) {
            ('s' | 'i', _) => 1,
            (_, 1 | 2) => 8,
            (_, 4) => 4,
            _ => 2,
        }
    }

    /// As it is written.
    pub fn text(self) -> String {
        let size = match (self.letter, self.size) {
            ('i', _) | ('s', 1) => "",
            (_, 1) => "b",
            (_, 2) => "h",
            (_, 4) => "w",
            _ => "g",
        };
        let count = if self.count == 1 { String::new() } else { self.count.to_string() };
        format!("{}{count}{}{size}", if self.backwards { "-" } else { "" }, self.letter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read_as_gdb_reads_them() {
        let last = Examined::default();
        for (text, expected) in [
            ("8xg", Some((8, 'x', 8))),
            ("", Some((1, 'x', 4))),
            ("3", Some((3, 'x', 4))),
            ("gx", Some((1, 'x', 8))),
            ("2c", Some((2, 'c', 1))),
            ("s", Some((1, 's', 1))),
            ("ws", Some((1, 's', 4))),
            ("a", Some((1, 'a', 8))),
            ("f", Some((1, 'f', 8))),
            ("fw", Some((1, 'f', 4))),
            ("5i", Some((5, 'i', 1))),
            ("65536xb", Some((65_536, 'x', 1))),
            ("1000000000xb", None),
            ("99999999999999999999999x", None),
            ("0x", None),
            ("xx", None),
            ("bg", None),
            ("q", None),
            ("ab", None),
            ("fh", None),
            ("ig", None),
            ("sg", None),
            ("-2i", None),
            ("ä", None),
        ] {
            let format = read(text, last).ok().map(|format| (format.count, format.letter, format.size));
            assert_eq!(format, expected, "{text}");
        }
        assert!(read("-3xg", last).expect("a format").backwards);
    }

    #[test]
    fn sizes_are_remembered_as_in_gdb() {
        let mut last = Examined::default();
        for (text, size, shown) in [
            ("xg", 8, "xg"),
            ("i", 1, "i"),
            ("d", 8, "dg"),
            ("s", 1, "s"),
            ("", 1, "s"),
            ("x", 1, "xb"),
            ("xw", 4, "xw"),
            ("c", 1, "cb"),
            ("x", 1, "xb"),
            ("ch", 2, "ch"),
            ("d", 2, "dh"),
        ] {
            let format = read(text, last).expect("a format");
            assert_eq!((format.size, format.text().as_str()), (size, shown), "{text}");
            last = format.remembered(last);
        }
    }
}
