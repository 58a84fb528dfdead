//! What is said of an address, a name or a line of a file: plain data. Reads nothing.

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

/// Code that a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionFound {
    /// The function's name, demangled.
    pub name: Arc<str>,
    /// Where its code begins.
    pub entry: LinkAddr,
    /// Where a breakpoint belongs: after the prologue; of an inlined call the entry.
    pub body: LinkAddr,
    /// The address after the code that begins at the entry.
    pub end: LinkAddr,
    /// Whether it is a call that was inlined into another function.
    pub inlined: bool,
    /// The line of `body`, if there are lines.
    pub spot: Option<SourceSpot>,
}

/// Where a source line has code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinePlaces {
    /// The files that the word means, of those that have code for the line.
    pub files: Vec<Arc<str>>,
    /// The line: that which was asked for, or the next that has code.
    pub line: u32,
    /// One place for each function, inlined call and instance that the line is in, by rising address.
    pub places: Vec<LinePlace>,
}

/// Code of a source line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinePlace {
    /// Where a breakpoint belongs.
    pub addr: LinkAddr,
    /// The innermost function there.
    pub function: Option<Arc<str>>,
    /// Whether that function is an inlined call.
    pub inlined: bool,
    /// The line of `addr`.
    pub spot: SourceSpot,
}

/// A row of a line table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineRow {
    /// Where the row begins; it reaches to the next.
    pub addr: LinkAddr,
    /// What it is of.
    pub spot: SourceSpot,
    /// Whether a breakpoint for the line belongs here.
    pub is_statement: bool,
}

/// What a name names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NameKind {
    /// A function with code.
    Function,
    /// A variable with an address.
    Variable,
    /// A type.
    Type,
}

/// A name of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameEntry<'a> {
    /// The name for people.
    pub name: &'a str,
    /// Its file, if debug info tells.
    pub file: Option<&'a str>,
    /// The line of its declaration; 0 if it is not known.
    pub line: u32,
    /// Where its first instance is, if it has an address.
    pub addr: Option<LinkAddr>,
    /// Whether all its code was inlined into other functions.
    pub inlined: bool,
}

/// What symbols a file has and where they came from, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SymbolFacts {
    /// The build id in hexadecimal digits.
    pub build_id: Option<String>,
    /// What was found, the most telling first.
    pub kinds: Vec<SymbolSource>,
    /// What was looked for in vain, and why it does not serve; `None`: nothing is there.
    pub missed: Vec<(String, Option<String>)>,
}

/// One kind of symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolSource {
    /// `DWARF 4, 5`, `.symtab`, `.dynsym`, `.gnu_debugdata`.
    pub kind: String,
    /// The file they stand in.
    pub file: String,
    /// How many entries of a table, how many units of DWARF.
    pub count: usize,
}

/// A file of debug info that a module needs and that is nowhere on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// The build id of what is wanted, in hexadecimal digits: the module's own, or of what its debug info shares with others.
    pub build_id: String,
    /// The module's path.
    pub file: String,
}
