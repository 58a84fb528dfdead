//! What is said of an address of a file: plain data. Reads nothing.

use std::sync::Arc;

use crate::addr::LinkAddr;

/// A function or object that covers an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolAt {
    /// Its name as its language writes it (demangled).
    pub name: Arc<str>,
    /// Where it begins.
    pub start: LinkAddr,
    /// The address after its end, as far as is known.
    pub end: LinkAddr,
}

/// A line of a source file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceSpot {
    /// The file's path as the compiler wrote it, joined with its compilation folder.
    pub file: Arc<str>,
    /// The line, counted from 1; 0 where the compiler gives none.
    pub line: u32,
    /// The column, counted from 1; 0 where the compiler gives none.
    pub column: u32,
}

/// One function at an address; several where calls were inlined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFrame {
    /// The function's name, demangled; `None` if only a line is known.
    pub function: Option<Arc<str>>,
    /// Where the function begins, of an inlined call the first address of its code.
    pub start: Option<LinkAddr>,
    /// Where in the source the address is, in an outer function where the inlined call stands.
    pub spot: Option<SourceSpot>,
    /// Whether this function's code stands within that of the next frame.
    pub inlined: bool,
}
