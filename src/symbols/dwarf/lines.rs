//! Line tables: which source line an address is of, and where a line's code begins (DWARF 5, 6.2).

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use gimli::{LineProgramHeader, Unit};

use super::super::SourceSpot;
use super::{Loaded, Reader};
use crate::addr::LinkAddr;

/// A unit with more rows is cut off there.
const MOST_ROWS: usize = 1 << 25;
/// A path of a source file is no longer (PATH_MAX).
const LONGEST_PATH: usize = 4096;
/// A unit's paths are together no longer.
const LONGEST_PATHS: usize = 1 << 26;

/// A row of a line table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Where it begins.
    pub addr: u64,
    /// Which of the unit's files, as DW_AT_decl_file counts them.
    pub file: u32,
    /// The line; 0 for none.
    pub line: u32,
    /// The column; 0 for none.
    pub column: u16,
    /// Whether a breakpoint for the line belongs here.
    pub is_statement: bool,
    /// Whether a breakpoint for the function belongs here.
    pub ends_prologue: bool,
}

/// The line table of a unit.
#[derive(Default, Debug)]
pub struct Lines {
    files: Vec<Arc<str>>,
    rows: Vec<Row>,
    /// Where each run of rising addresses lies: its first address, the address after it, its rows. By rising address.
    runs: Vec<(u64, u64, Range<u32>)>,
}

impl Lines {
    /// A table without rows.
    pub fn none() -> &'static Lines {
        static NONE: Lines = Lines { files: Vec::new(), rows: Vec::new(), runs: Vec::new() };
        &NONE
    }

    /// The files, numbered as DW_AT_decl_file counts them.
    pub fn files(&self) -> &[Arc<str>] {
        &self.files
    }

    /// The row over an address.
    pub fn row_at(&self, addr: u64) -> Option<&Row> {
        let after = self.runs.partition_point(|(begin, _, _)| *begin <= addr);
        // Runs of a hostile or oddly linked file may overlap; those that begin last are looked at.
        let mut runs = self.runs[..after].iter().rev().take(8);
        let (_, _, rows) = runs.find(|(_, end, _)| addr < *end)?;
        let rows = self.rows.get(rows.start as usize..rows.end as usize)?;
        rows.get(rows.partition_point(|row| row.addr <= addr).checked_sub(1)?)
    }

    /// The rows that begin in a range.
    pub fn rows_in(&self, range: &Range<u64>) -> impl Iterator<Item = &Row> {
        let range = range.clone();
        let overlap = self.runs.iter().filter(move |(begin, end, _)| *begin < range.end && range.start < *end);
        let rows =
            overlap.flat_map(|(_, _, rows)| self.rows.get(rows.start as usize..rows.end as usize).unwrap_or_default());
        let range = range.clone();
        rows.filter(move |row| range.start <= row.addr && row.addr < range.end)
    }

    /// The rows at which a breakpoint for their line belongs: where a line begins anew.
    pub fn statements(&self) -> impl Iterator<Item = &Row> {
        self.runs.iter().flat_map(|(_, _, rows)| {
            let rows = self.rows.get(rows.start as usize..rows.end as usize).unwrap_or_default();
            let is_new =
                |at: usize| at == 0 || (rows[at - 1].line, rows[at - 1].file) != (rows[at].line, rows[at].file);
            (0..rows.len())
                .filter(move |at| rows[*at].is_statement && (is_new(*at) || !rows[*at - 1].is_statement))
                .map(move |at| &rows[at])
        })
    }

    /// A row for people.
    pub fn spot(&self, row: &Row) -> SourceSpot {
        SourceSpot { file: self.file(row.file), line: row.line, column: u32::from(row.column) }
    }

    /// A file's path; empty if there is no such file.
    pub fn file(&self, index: u32) -> Arc<str> {
        self.files.get(index as usize).cloned().unwrap_or_else(|| "".into())
    }

    /// What the runs cover.
    pub fn extents(&self) -> impl Iterator<Item = (u64, u64)> {
        self.runs.iter().map(|(begin, end, _)| (*begin, *end))
    }
}

/// Reads a unit's table.
pub fn read<'a>(loaded: &Loaded<'a>, unit: &Unit<Reader<'a>>) -> Lines {
    let mut lines = Lines::default();
    let Some(program) = unit.line_program.clone() else { return lines };
    lines.files = paths(loaded, unit, program.header());
    let mut rows = program.rows();
    let mut begin = 0;
    while let Ok(Some((_, row))) = rows.next_row() {
        let first = lines.rows.get(begin).map(|row| row.addr);
        if row.end_sequence() {
            let end = row.address();
            if first.is_some_and(|first| first < end && loaded.is_code(first))
                && lines.rows[begin..].is_sorted_by_key(|row| row.addr)
            {
                lines.runs.push((first.unwrap_or(0), end, begin as u32..lines.rows.len() as u32));
            } else {
                lines.rows.truncate(begin);
            }
            begin = lines.rows.len();
            continue;
        }
        let column = match row.column() {
            gimli::ColumnType::LeftEdge => 0,
            gimli::ColumnType::Column(column) => u16::try_from(column.get()).unwrap_or(u16::MAX),
        };
        lines.rows.push(Row {
            addr: row.address(),
            file: u32::try_from(row.file_index()).unwrap_or(u32::MAX),
            line: row.line().map_or(0, |line| u32::try_from(line.get()).unwrap_or(0)),
            column,
            is_statement: row.is_stmt(),
            ends_prologue: row.prologue_end(),
        });
        if lines.rows.len() >= MOST_ROWS {
            break;
        }
    }
    lines.rows.truncate(begin);
    lines.rows.shrink_to_fit();
    lines.runs.sort_unstable_by_key(|(begin, end, rows)| (*begin, *end, rows.start));
    lines
}

/// The files that a unit's table names, without its rows, numbered as DW_AT_decl_file counts them.
pub fn numbered_files<'a>(loaded: &Loaded<'a>, unit: &Unit<Reader<'a>>) -> Vec<Arc<str>> {
    unit.line_program.as_ref().map(|program| paths(loaded, unit, program.header())).unwrap_or_default()
}

/// The files that a unit's table names, without its rows.
pub fn file_names<'a>(loaded: &Loaded<'a>, unit: &Unit<Reader<'a>>) -> Vec<Arc<str>> {
    let mut files = numbered_files(loaded, unit);
    files.retain(|file| !file.is_empty());
    files
}

/// The files of a table, numbered as DW_AT_decl_file counts them: from 0 since version 5, before it from 1.
fn paths<'a>(loaded: &Loaded<'a>, unit: &Unit<Reader<'a>>, header: &LineProgramHeader<Reader<'a>>) -> Vec<Arc<str>> {
    let comp_dir = unit.comp_dir.map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default();
    let nothing: Arc<str> = "".into();
    let mut files = Vec::with_capacity(header.file_names().len() + 1);
    if header.version() < 5 {
        let name = unit.name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        files.push(joined(&comp_dir, "", &name));
    }
    let text = |value| loaded.dwarf.attr_string(unit, value).ok();
    let mut total = 0;
    for file in header.file_names() {
        let folder = file.directory(header).and_then(text);
        let folder = folder.map(|folder| folder.to_string_lossy());
        let name = text(file.path_name()).map(|name| name.to_string_lossy());
        let name = name.as_deref().unwrap_or_default();
        let folder = folder.as_deref().unwrap_or_default();
        let length = comp_dir.len().saturating_add(folder.len()).saturating_add(name.len());
        total += length;
        if length > LONGEST_PATH || total > LONGEST_PATHS {
            files.push(nothing.clone());
            continue;
        }
        files.push(joined(&comp_dir, folder, name));
    }
    files
}

fn joined(comp_dir: &str, folder: &str, name: &str) -> Arc<str> {
    let path = Path::new(comp_dir).join(folder).join(name);
    plain_path(&path.to_string_lossy()).into()
}

/// A path without `.`, empty parts and `folder/..`. Such parts come from how a compiler was called; two calls would give one
/// file two paths.
pub fn plain_path(path: &str) -> Cow<'_, str> {
    let is_odd = |part: &str| matches!(part, "" | "." | "..");
    if !path.strip_prefix('/').unwrap_or(path).split('/').any(is_odd) {
        return Cow::Borrowed(path);
    }
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    let root = if is_absolute { "/" } else { "" };
    Cow::Owned(format!("{root}{}", parts.join("/")))
}

/// Where a breakpoint for a function belongs: at the first row that is marked so, else at the second line that its code has.
/// gdb's rules, `skip_prologue_using_sal` and `skip_prologue_sal` in symtab.c.
pub fn body(rows: &[(Row, SourceSpot)], entry: u64, end: u64, optimised: bool) -> LinkAddr {
    let within = || rows.iter().map(|(row, _)| row).filter(move |row| entry <= row.addr && row.addr < end);
    if let Some(row) = within().find(|row| row.ends_prologue) {
        return LinkAddr(row.addr);
    }
    // gcc's optimised code has no prologue to skip, and its second line may lie behind a jump.
    if optimised {
        return LinkAddr(entry);
    }
    LinkAddr(within().find(|row| row.addr > entry && row.is_statement && row.line != 0).map_or(entry, |row| row.addr))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_what_means_nothing() {
        for (path, plain) in [
            ("/a/b.c", "/a/b.c"),
            ("./nptl/./nptl/futex.c", "nptl/nptl/futex.c"),
            ("./signal/../sysdeps/unix/x.c", "sysdeps/unix/x.c"),
            ("../up/x.c", "../up/x.c"),
            ("a/../../x.c", "../x.c"),
            ("/../x.c", "/x.c"),
            ("/a//b.c", "/a/b.c"),
            ("/a/...", "/a/..."),
            ("", ""),
            ("/", "/"),
        ] {
            assert_eq!(plain_path(path), plain, "{path}");
        }
    }
}
