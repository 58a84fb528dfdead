//! What a Go program says of its own build: `.go.buildinfo` (debug/buildinfo). Knows neither pclntab nor runtime.

use super::image::Image;
use super::read::{u64_at, varint};

/// How a program was built.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BuildInfo {
    /// The toolchain: `go1.27.3`, with a suffix where it has experiments; anything where it is not a release.
    pub version: String,
    /// The path of the main package; empty where the build had no modules.
    pub path: String,
    /// The release's number: 27 of Go 1.27; `None` where the version does not say.
    pub minor: Option<u32>,
}

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// No text of a build is longer.
const LONGEST: usize = 1 << 20;

impl BuildInfo {
    /// From the section at an address.
    pub(super) fn read(image: &Image<'_>, section: u64, size: u64) -> Option<BuildInfo> {
        let bytes = image.bytes_at(section, size)?;
        // The blob is aligned to 16 in the section.
        let at = (0..bytes.len()).step_by(16).find(|at| bytes[*at..].starts_with(MAGIC))?;
        let head = bytes.get(at..at.checked_add(32)?)?;
        let (version, module) = if head[15] & 2 != 0 {
            // Since Go 1.18 two strings, each behind its length, follow.
            let (version, next) = counted(bytes, at + 32)?;
            (version.to_owned(), counted(bytes, next).map_or("", |(module, _)| module).to_owned())
        } else {
            (string_behind(image, u64_at(head, 16)?)?, string_behind(image, u64_at(head, 24)?).unwrap_or_default())
        };
        let path = module_path(&module).unwrap_or_default().to_owned();
        Some(BuildInfo { minor: minor(&version), version, path })
    }
}

fn counted(bytes: &[u8], at: usize) -> Option<(&str, usize)> {
    let (length, at) = varint(bytes, at)?;
    let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST)?;
    let end = at.checked_add(length)?;
    // The module's text stands between marks of 16 bytes that are no UTF-8.
    let text = bytes.get(at..end)?;
    let text = std::str::from_utf8(text)
        .or_else(|_| std::str::from_utf8(text.get(16..text.len().saturating_sub(16)).unwrap_or_default()));
    Some((text.ok()?, end))
}

/// A Go string behind a pointer.
fn string_behind(image: &Image<'_>, header: u64) -> Option<String> {
    let (data, length) = (image.pointer(header)?, image.pointer(header.checked_add(8)?)?);
    let bytes = image.bytes_at(data, length.min(LONGEST as u64))?;
    String::from_utf8(bytes.to_vec()).ok()
}

/// The line `path\tP` of a module's text.
fn module_path(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.split_once("path\t").map(|(_, path)| path))
}

/// 27 of `go1.27.3`, `go1.27rc1` and `go1.27-X:exp`; of a development build, `devel go1.27-…`, too.
fn minor(version: &str) -> Option<u32> {
    let (_, rest) = version.split_once("go1.")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_told_by_their_version() {
        let cases = [("go1.27.3", Some(27)), ("go1.19", Some(19)), ("go1.28rc1", Some(28)), ("devel +abc", None)];
        for (version, wanted) in cases.into_iter().chain([("devel go1.26-1a2b Mon", Some(26)), ("go1.x", None)]) {
            assert_eq!(minor(version), wanted, "{version}");
        }
        assert_eq!(module_path("path\tcommand-line-arguments\nbuild\t-x=y\n"), Some("command-line-arguments"));
    }
}
