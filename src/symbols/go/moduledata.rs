//! Go's `runtime.firstmoduledata` (runtime/symtab.go, `moduledata`), as far as symbols need it: where text begins, and the
//! base of functions' data. Found by its section or by its first field, which is the address of the pclntab.

use super::image::Image;
use super::pcln::Form;

/// What it says, in addresses of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ModuleData {
    /// `text`: what addresses of functions count from.
    pub(super) text: u64,
    /// `gofunc`: what offsets of function data count from (since Go 1.18).
    pub(super) gofunc: Option<u64>,
}

/// Offsets of fields that all releases since 1.16 share.
const TEXT: u64 = 176;
const ETEXT: u64 = 184;
/// How much of it is looked at.
const SIZE: u64 = 360;

impl ModuleData {
    /// Looks it up for a pclntab at an address. `minor` is the release's number (27 of Go 1.27) where that is known.
    pub(super) fn find(image: &Image, pclntab: u64, form: Form, minor: Option<u32>) -> Option<ModuleData> {
        if form == Form::Go12 {
            return None;
        }
        let read = |at: u64| {
            let word = |offset: u64| image.pointer(at.checked_add(offset)?);
            image.bytes_at(at.checked_add(SIZE - 1)?, 1)?;
            let (text, end) = (word(TEXT)?, word(ETEXT)?);
            let is_it = word(0)? == pclntab && text < end && image.is_mapped(text);
            let gofunc = (form >= Form::Go118).then(|| word(gofunc_offset(form, minor, &word)?)).flatten();
            is_it.then_some(ModuleData { text, gofunc: gofunc.filter(|base| image.is_mapped(*base)) })
        };
        image.pointers_to(pclntab).find_map(read)
    }
}

/// Where `gofunc` is: Go 1.20 put two words (`covctrs`) and 1.27 three more before it.
fn gofunc_offset(form: Form, minor: Option<u32>, word: &impl Fn(u64) -> Option<u64>) -> Option<u64> {
    if form == Form::Go118 {
        return Some(304);
    }
    let is_new = match minor {
        Some(minor) => minor >= 27,
        // `types` at 296 is followed by `etypes`, since 1.27 by the length of a part of the types.
        None => word(304)? < word(296)?,
    };
    Some(if is_new { 344 } else { 320 })
}
