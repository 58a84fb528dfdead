//! Ranges of memory as a person's words mean them: `START, END`, `START, +LENGTH`, or the name of a mapping. Reads nothing
//! of them.

use super::Session;
use super::failure::Failure;
use super::locations::{Locations, failure, file_name, not_understood};
use crate::addr::RuntimeAddr;
use crate::target::Mapping;
use crate::target::expr::{Expr, Value};

/// Bytes from an address on; they end at the end of the address space at the latest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// The first byte.
    pub start: RuntimeAddr,
    /// How many: at least one.
    pub length: u64,
}

/// Whether the END of a range belongs to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It is the address behind the last byte (gdb's `dump`, `disassemble`).
    Behind,
    /// It is the last byte (gdb's `find`).
    Last,
}

impl Range {
    /// The last byte's address.
    pub fn last(self) -> RuntimeAddr {
        RuntimeAddr(self.start.0 + (self.length - 1))
    }

    /// The part of the range that a mapping holds.
    pub fn within(self, mapping: &Mapping) -> Option<Range> {
        let start = self.start.max(mapping.start);
        let last = self.last().0.min(mapping.end.0 - 1);
        (start.0 <= last).then(|| Range { start, length: last - start.0 + 1 })
    }

    fn of(start: u64, length: u64) -> Result<Range, Failure> {
        if length == 0 {
            return Err(Failure::plain(format!("the range at {start:#x} is empty")));
        }
        if start.checked_add(length - 1).is_none() {
            let message = format!("{length:#x} bytes from {start:#x} on go beyond the last address");
            return Err(Failure::plain(message));
        }
        Ok(Range { start: RuntimeAddr(start), length })
    }

    fn to(start: u64, end: u64, kind: End) -> Result<Range, Failure> {
        let backwards = || Failure::plain(format!("the range ends at {end:#x}, before its start at {start:#x}"));
        let length = end.checked_sub(start).ok_or_else(backwards)?;
        // All of the address space has no length that 64 bits can hold: its last byte is nowhere mapped.
        Range::of(start, if kind == End::Last { length.saturating_add(1) } else { length })
    }
}

/// Takes an expression off the beginning of a text: its value, and what stands behind it.
pub fn take_value<'t>(session: &Session, locations: &Locations, text: &'t str) -> anyhow::Result<(Value, &'t str)> {
    let (expr, rest) = Expr::parse_prefix(text).map_err(|error| not_understood(text, &error))?;
    let value = session.evaluate_with(&expr, Some(locations)).map_err(|error| failure("evaluate", expr.text(), &error));
    Ok((value?, rest.trim_start()))
}

/// Takes `START, END` or `START, +LENGTH` off the beginning of a text: the range, and what stands behind it. The comma may be
/// missing where END stands behind a blank (gdb's `dump memory FILE START END`).
pub fn take_range<'t>(
    session: &Session,
    locations: &Locations,
    text: &'t str,
    kind: End,
) -> anyhow::Result<(Range, &'t str)> {
    let (start, rest) = take_value(session, locations, text)?;
    let behind = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    if behind.is_empty() {
        let message = format!("where the range at {:#x} ends is missing", start.bits());
        return Err(Failure::hinted(message, "ranges are START, END or START, +LENGTH or the name of a mapping").into());
    }
    match behind.strip_prefix('+') {
        Some(length) => {
            let (length, rest) = take_value(session, locations, length)?;
            Ok((Range::of(start.bits(), length.bits())?, rest))
        }
        None => {
            let (end, rest) = take_value(session, locations, behind)?;
            Ok((Range::to(start.bits(), end.bits(), kind)?, rest))
        }
    }
}

/// The range that all of a text means, which can be the name of a mapping: of all that is mapped under that name, holes and
/// all.
pub fn range(session: &Session, locations: &Locations, text: &str, kind: End) -> anyhow::Result<Range> {
    if let Some(range) = named(locations, text)? {
        return Ok(range);
    }
    let (range, rest) = take_range(session, locations, text, kind)?;
    if !rest.is_empty() {
        let short: String = rest.chars().take(60).collect();
        return Err(Failure::plain(format!("{short:?} behind the range is too much")).into());
    }
    Ok(range)
}

/// From the first to the last byte that is mapped under a name.
fn named(locations: &Locations, name: &str) -> Result<Option<Range>, Failure> {
    let mappings = mappings_named(locations, name)?;
    let (Some(first), Some(last)) = (mappings.first(), mappings.last()) else { return Ok(None) };
    Range::of(first.start.0, last.end.0 - first.start.0).map(Some)
}

/// The mappings of a path, of a file's name, or of one of the kernel's names with or without its brackets (`stack`). None if
/// nothing is called so; an error if several files are.
pub fn mappings_named<'l>(locations: &'l Locations, name: &str) -> Result<Vec<&'l Mapping>, Failure> {
    let name = name.trim();
    let name = name.strip_prefix(['\'', '"']).and_then(|name| name.strip_suffix(['\'', '"'])).unwrap_or(name);
    let fits = |mapping: &&Mapping| {
        let path = mapping.name.as_deref().unwrap_or_default().trim_end_matches(" (deleted)");
        let bare = path.strip_prefix('[').and_then(|path| path.strip_suffix(']'));
        !path.is_empty() && (path == name || file_name(path) == name || bare == Some(name))
    };
    let found: Vec<&Mapping> = locations.mappings().iter().filter(fits).collect();
    let mut paths: Vec<&str> = found.iter().filter_map(|mapping| mapping.name.as_deref()).collect();
    paths.dedup();
    paths.sort_unstable();
    paths.dedup();
    if paths.len() > 1 {
        let message = format!("{name:?} is the name of several files: {}", paths.join(", "));
        return Err(Failure::hinted(message, "write the whole path"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_where_addresses_do() {
        for (start, end, kind, expected) in [
            (0x1000, 0x2000, End::Behind, Some(0x1000)),
            (0x1000, 0x2000, End::Last, Some(0x1001)),
            (0x1000, 0x1000, End::Behind, None),
            (0x1000, 0x1000, End::Last, Some(1)),
            (0x2000, 0x1000, End::Last, None),
            (0, u64::MAX, End::Last, Some(u64::MAX)),
            (0, u64::MAX, End::Behind, Some(u64::MAX)),
        ] {
            assert_eq!(Range::to(start, end, kind).ok().map(|range| range.length), expected, "{start:#x} {end:#x}");
        }
        assert_eq!(Range::of(u64::MAX, 1).expect("one byte").last(), RuntimeAddr(u64::MAX));
        assert!(Range::of(u64::MAX, 2).is_err() && Range::of(1, 0).is_err() && Range::of(2, u64::MAX).is_err());
    }
}
