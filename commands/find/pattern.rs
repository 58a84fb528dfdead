//! The words of `find`: options, where to search, and the values as bytes. Reads no memory itself.

use crate::session::locations::Locations;
use crate::session::ranges::{End, Range, mappings_named, take_range, take_value};
use crate::session::{Failure, Session};
use crate::target::expr::{Type, Value};

/// So many places are found unless the words say how many.
const USUAL: usize = 1000;

/// No more at once.
const MOST: usize = 1_000_000;

/// Where to search.
#[derive(Debug)]
pub(super) enum Place {
    /// A range.
    Range(Range),
    /// Everything that is mapped under a name.
    Mapping(Vec<Range>),
    /// All that can be read.
    All,
}

/// The words, understood.
#[derive(Debug)]
pub(super) struct Wish {
    pub place: Place,
    /// What to search for; at least one byte.
    pub bytes: Vec<u8>,
    /// How many places are wanted.
    pub most: usize,
}

/// What stands before the place.
#[derive(Debug, PartialEq, Eq)]
struct Options<'t> {
    size: Option<u8>,
    most: usize,
    rest: &'t str,
}

pub(super) const HINT: &str =
    "usage: find [/SIZE] [/MAX] START, END|+LENGTH, VALUE…, or find --in MAPPING VALUE…, or find --all VALUE…";

/// Understands all of the words.
pub(super) fn wish(session: &Session, locations: &Locations, text: &str) -> anyhow::Result<Wish> {
    let Options { size, most, rest } = options(text)?;
    let (place, rest) = if let Some(rest) = option(rest, "--all") {
        (Place::All, rest)
    } else if let Some(rest) = option(rest, "--in") {
        let (name, rest) = name(rest);
        let found = mappings_named(locations, name)?;
        if found.is_empty() {
            let message = format!("find: nothing is mapped under the name {:?}", short(name));
            return Err(Failure::hinted(message, "maps lists what is mapped").into());
        }
        let range =
            |mapping: &&crate::target::Mapping| Range { start: mapping.start, length: mapping.end.0 - mapping.start.0 };
        (Place::Mapping(found.iter().map(range).collect()), rest)
    } else if rest.is_empty() {
        return Err(Failure::usage("find: where to search is missing", HINT).into());
    } else {
        let (range, rest) = take_range(session, locations, rest, End::Last)?;
        (Place::Range(range), rest)
    };
    let bytes = values(session, locations, rest.trim_start().trim_start_matches(','), size)?;
    Ok(Wish { place, bytes, most })
}

/// What stands behind an option, if a text begins with it.
fn option<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let rest = text.strip_prefix(name)?;
    (rest.is_empty() || rest.starts_with(char::is_whitespace)).then(|| rest.trim_start())
}

/// A name and what stands behind it; in quotes it may hold blanks.
fn name(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(rest) = text.strip_prefix(quote)
            && let Some(end) = rest.find(quote)
        {
            return (&rest[..end], &rest[end + 1..]);
        }
    }
    let end = text.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(text.len());
    text.split_at(end)
}

fn options(text: &str) -> Result<Options<'_>, Failure> {
    let mut options = Options { size: None, most: USUAL, rest: text.trim_start() };
    while let Some(rest) = options.rest.strip_prefix('/') {
        let (word, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        options.rest = behind.trim_start();
        let digits: String = word.chars().filter(char::is_ascii_digit).collect();
        for c in word.chars().filter(|c| !c.is_ascii_digit()) {
            let size = [('b', 1), ('h', 2), ('w', 4), ('g', 8)].into_iter().find(|(letter, _)| *letter == c);
            let wrong = || Failure::usage(format!("find: {c:?} is no size: b, h, w or g"), HINT);
            options.size = Some(size.ok_or_else(wrong)?.1);
        }
        if !digits.is_empty() {
            let most = digits.parse().ok().filter(|most| (1..=MOST).contains(most));
            let wrong = || Failure::usage(format!("find: /{word}: say a number of places from 1 to {MOST}"), HINT);
            options.most = most.ok_or_else(wrong)?;
        }
    }
    Ok(options)
}

/// The values, one behind the other as bytes.
fn values(session: &Session, locations: &Locations, text: &str, size: Option<u8>) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(Failure::usage("find: what to search for is missing", HINT).into());
    }
    loop {
        let behind = if let Some(digits) = rest.strip_prefix("x\"") {
            let (digits, behind) = digits.split_once('"').ok_or_else(unclosed)?;
            bytes.extend(hexadecimal(digits)?);
            behind
        } else if let Some(quoted) = rest.strip_prefix('"') {
            string(quoted, &mut bytes)?
        } else {
            let (value, behind) = take_value(session, locations, rest)?;
            bytes.extend(number(value, size)?);
            behind
        };
        let behind = behind.trim_start();
        if behind.is_empty() {
            break;
        }
        rest = behind
            .strip_prefix(',')
            .ok_or_else(|| Failure::usage(format!("find: a comma is expected before {:?}", short(behind)), HINT))?;
        rest = rest.trim_start();
    }
    if bytes.is_empty() {
        return Err(Failure::usage("find: the empty string is everywhere", "name at least one byte").into());
    }
    Ok(bytes)
}

/// A number in the machine's order: of the size that was said, or of its type. A plain number takes 4 bytes if it fits.
fn number(value: Value, size: Option<u8>) -> Result<Vec<u8>, Failure> {
    let plain = value.ty() == Type::I64 && i128::from(i32::MIN) <= value.number() && value.number() <= u32::MAX.into();
    let own = if plain { 4 } else { value.ty().size().max(1) };
    let size = size.unwrap_or(own);
    let bits = 8 * u32::from(size);
    let (least, most) = (-(1i128 << (bits - 1)), (1i128 << bits) - 1);
    if !(least..=most).contains(&value.number()) {
        return Err(Failure::plain(format!(
            "find: {:#x} does not fit into {size} byte{}",
            value.bits(),
            if size == 1 { "" } else { "s" }
        )));
    }
    Ok(value.bits().to_le_bytes()[..usize::from(size)].to_vec())
}

fn hexadecimal(digits: &str) -> Result<Vec<u8>, Failure> {
    let digits: Vec<char> = digits.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| match pair {
        [high, low] => Some((high.to_digit(16)? << 4 | low.to_digit(16)?) as u8),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    bytes.ok_or_else(|| Failure::usage("find: x\"…\" holds pairs of hexadecimal digits", "write x\"48 89 e5\""))
}

/// Reads a string to its closing quote: its bytes, without an end. Gives what stands behind.
fn string<'t>(text: &'t str, bytes: &mut Vec<u8>) -> Result<&'t str, Failure> {
    let mut rest = text;
    loop {
        let mut chars = rest.chars();
        match chars.next().ok_or_else(unclosed)? {
            '"' => return Ok(chars.as_str()),
            '\\' => rest = escape(chars.as_str(), bytes)?,
            c => {
                bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = chars.as_str();
            }
        }
    }
}

/// What stands behind a backslash: C's letters, up to three octal digits, or `x` and two hexadecimal ones.
fn escape<'t>(text: &'t str, bytes: &mut Vec<u8>) -> Result<&'t str, Failure> {
    let octal = text.bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    if octal > 0 {
        let value = u32::from_str_radix(&text[..octal], 8).ok().and_then(|value| u8::try_from(value).ok());
        bytes.push(value.ok_or_else(|| Failure::plain(format!("find: \\{} is no byte", &text[..octal])))?);
        return Ok(&text[octal..]);
    }
    let mut chars = text.chars();
    let c = chars.next().ok_or_else(unclosed)?;
    if c == 'x' {
        let byte = text.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or_else(|| Failure::plain("find: \\x is followed by two hexadecimal digits"))?);
        return Ok(&text[3..]);
    }
    match [('n', b'\n'), ('t', b'\t'), ('r', b'\r'), ('a', 7), ('b', 8), ('f', 12), ('v', 11), ('e', 27)]
        .into_iter()
        .find(|(letter, _)| *letter == c)
    {
        Some((_, byte)) => bytes.push(byte),
        None => bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
    Ok(chars.as_str())
}

fn unclosed() -> Failure {
    Failure::usage("find: a string is not closed", "write \\\" for a quote within it")
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_gdbs() {
        for (text, expected) in [
            ("1, 2", Some((None, USUAL, "1, 2"))),
            ("/b 1", Some((Some(1), USUAL, "1"))),
            ("/b /5 1", Some((Some(1), 5, "1"))),
            ("/g10 1", Some((Some(8), 10, "1"))),
            ("/q 1", None),
            ("/0 1", None),
            ("/99999999999 1", None),
        ] {
            let expected = expected.map(|(size, most, rest)| Options { size, most, rest });
            assert_eq!(options(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn strings_become_bytes() {
        for (text, expected) in [
            ("ab\", 1", Some((&b"ab"[..], ", 1"))),
            ("\\n\\x41\\0\\377\\\"\"", Some((b"\nA\0\xff\"", ""))),
            ("ä\"", Some(("ä".as_bytes(), ""))),
            ("ab", None),
            ("\\", None),
            ("\\x4\"", None),
            ("\\x4ä\"", None),
            ("\\777\"", None),
        ] {
            let mut bytes = Vec::new();
            let rest = string(text, &mut bytes).ok();
            assert_eq!(rest.map(|rest| (bytes.as_slice(), rest)), expected, "{text}");
        }
        assert_eq!(hexadecimal("48 89e5").ok(), Some(vec![0x48, 0x89, 0xe5]));
        assert!(hexadecimal("4").is_err() && hexadecimal("zz").is_err());
    }

    #[test]
    fn numbers_have_the_size_that_was_said_or_their_own() {
        let plain = |bits| Value::new(bits, Type::I64);
        for (value, size, expected) in [
            (plain(1), None, Some(4)),
            (plain(1), Some(1), Some(1)),
            (plain(0x1_0000_0000), None, Some(8)),
            (plain(256), Some(1), None),
            (plain(u64::MAX), Some(1), Some(1)),
            (Value::address(1), None, Some(8)),
            (Value::new(1, Type::int(2, false)), None, Some(2)),
        ] {
            assert_eq!(number(value, size).ok().map(|bytes| bytes.len()), expected, "{value:?}");
        }
    }
}
