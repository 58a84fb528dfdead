//! Files into facts: ELF, DWARF, Go's pclntab, unwind rules. Knows no process: addresses here are those of the file.

mod blocks;
mod bytes;
mod cover;
mod debug_file;
mod demangle;
mod dwarf;
mod elf;
mod error;
mod facts;
pub mod go;
mod index;
mod module;
mod pattern;
mod plt;
mod section;
mod store;
mod symtab;
pub mod unwind;

use crate::addr::LinkAddr;
pub use bytes::{Bytes, Files, NoFiles};
pub use debug_file::is_of_build;
pub use error::{Result, SymbolError};
pub use facts::{
    FunctionFound, Lacking, LinePlace, LinePlaces, LineRow, NameEntry, NameKind, SourceFrame, SourceSpot, SymbolAt,
    SymbolFacts, SymbolSource,
};
pub use module::{Module, Segment};
pub use pattern::NamePattern;
pub use section::Section;
pub use store::{FileKey, Store};
