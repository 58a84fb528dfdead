//! The bytes of one section of a file, decompressed if need be. Knows no section's meaning.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use super::Bytes;
use crate::addr::LinkAddr;

/// One section. Cheap to clone; derefs to its bytes.
#[derive(Clone)]
pub struct Section {
    /// Where it is linked to; 0 if the loader does not map it.
    pub address: LinkAddr,
    data: Data,
}

#[derive(Clone)]
enum Data {
    Mapped(Bytes, Range<usize>),
    Unpacked(Arc<Vec<u8>>),
}

impl Section {
    /// A part of the file's own bytes; `None` if the file is shorter.
    pub fn mapped(address: LinkAddr, bytes: &Bytes, range: Range<usize>) -> Option<Section> {
        (**bytes).as_ref().get(range.clone())?;
        Some(Section { address, data: Data::Mapped(bytes.clone(), range) })
    }

    /// Bytes that were unpacked.
    pub fn unpacked(address: LinkAddr, bytes: Vec<u8>) -> Section {
        Section { address, data: Data::Unpacked(Arc::new(bytes)) }
    }
}

impl Deref for Section {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.data {
            Data::Mapped(bytes, range) => (**bytes).as_ref().get(range.clone()).unwrap_or_default(),
            Data::Unpacked(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Section({}, {} bytes)", self.address, self.len())
    }
}
