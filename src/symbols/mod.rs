//! Files into facts: ELF, DWARF, Go's pclntab, unwind rules. Knows no process: addresses here are those of the file.

mod bytes;
mod error;
mod facts;
pub mod go;
mod module;
mod section;
mod store;
pub mod unwind;

pub use bytes::{Bytes, Files};
pub use error::{Result, SymbolError};
pub use facts::{SourceFrame, SourceSpot, SymbolAt};
pub use module::{Module, Segment};
pub use section::Section;
pub use store::{FileKey, Store};
