//! Where in `.debug_str` the names stand that hold some text. Linkers store a string that ends like another only once (`work` as
//! the end of `homework`), so that a name may begin within a string. Knows no units.

use std::ops::Range;

use memchr::memmem::Finder;

use super::LONGEST_NAME;
use crate::parallel;

/// What has more hits is not worth it.
const MOST_HITS: usize = 1 << 20;
/// The same where each hit is looked at.
const MOST_LOOKS: usize = 1 << 16;

/// The strings that hold a literal.
pub struct Strings<'a> {
    text: &'a [u8],
    literal: &'a str,
    /// What stands before the literal in the linker's names: its length, where it is a name of its own there.
    length: Option<String>,
    /// Where the literal stands, rising.
    hits: Vec<usize>,
}

impl<'a> Strings<'a> {
    /// Searches; `None` if there is far too much. `is_name`: the literal is wanted as the name of a function, or of the class
    /// that one makes, which linkers' names hold with its length before it, never as a part of a longer name (Itanium C++ ABI,
    /// 5.1.2; Rust's RFC 2603).
    pub fn holding(text: &'a [u8], literal: &'a str, is_name: bool) -> Option<Strings<'a>> {
        let finder = Finder::new(literal);
        let pieces = parallel::pieces(text.len(), 1 << 22);
        let search = |piece: &Range<usize>| {
            let end = piece.end.saturating_add(literal.len().saturating_sub(1)).min(text.len());
            let part = text.get(piece.start..end).unwrap_or_default();
            finder.find_iter(part).take(MOST_HITS).map(|at| piece.start + at).collect::<Vec<usize>>()
        };
        let hits = parallel::map(&pieces, search).concat();
        let length = is_name.then(|| literal.len().to_string());
        (hits.len() < MOST_HITS).then_some(Strings { text, literal, length, hits })
    }

    /// Whether the name that begins at an offset holds the literal.
    pub fn is_in_name_at(&self, offset: usize) -> bool {
        let next = self.hits.get(self.hits.partition_point(|hit| *hit < offset));
        let next = next.filter(|hit| **hit - offset <= LONGEST_NAME);
        next.is_some_and(|hit| memchr::memchr(0, &self.text[offset..*hit]).is_none())
    }

    /// Where the names begin that may have the literal as a part; `None` if there are more than `most`.
    pub fn names(&self, most: usize) -> Option<Vec<usize>> {
        let mut begins = Vec::new();
        if self.hits.len() > MOST_LOOKS {
            return None;
        }
        for hit in &self.hits {
            let first = hit.saturating_sub(LONGEST_NAME);
            let string = memchr::memrchr(0, &self.text[first..*hit]).map_or(first, |zero| first + zero + 1);
            self.names_around(string, *hit, &mut begins);
            if begins.len() > most.saturating_mul(4) {
                return None;
            }
        }
        begins.sort_unstable();
        begins.dedup();
        (begins.len() <= most).then_some(begins)
    }

    /// Whether a hit may be what the linker's name is wanted for.
    fn fits_linkers(&self, hit: usize) -> bool {
        // Rust sets names that begin with a digit or `_` off by another `_`.
        let before = &self.text[..hit];
        let ends = |length: &String| {
            before.ends_with(length.as_bytes())
                || before.strip_suffix(b"_").is_some_and(|before| before.ends_with(length.as_bytes()))
        };
        self.length.as_ref().is_none_or(ends)
    }

    /// The names that hold one hit: the linker's, which begin with `_` or `Z`, hold it anywhere; others as a word of its own.
    fn names_around(&self, string: usize, hit: usize, begins: &mut Vec<usize>) {
        let byte = |at: usize| self.text.get(at).copied().unwrap_or(0);
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        let is_linkers = |at: &usize| byte(*at) == b'_' || self.text[*at..].starts_with(b"ZN");
        let after = byte(hit + self.literal.len());
        let (ends_word, begins_word) = match self.length {
            // The last part of a name, not one that another stands in, and no part of a path.
            Some(_) => (
                matches!(after, 0 | b'<' | b'(' | b'['),
                hit == string || !is_word(byte(hit - 1)) && byte(hit - 1) != b'/',
            ),
            None => (!is_word(after), hit == string || !is_word(byte(hit - 1))),
        };
        let fits_linkers = self.fits_linkers(hit);
        if is_linkers(&string) && fits_linkers || (begins_word && ends_word) {
            begins.push(string);
        }
        if string < hit {
            // Names of the linker that another one ends with.
            for head in [&b"_Z"[..], b"_RN", b"_RI"].into_iter().filter(|_| fits_linkers) {
                begins.extend(memchr::memmem::find_iter(&self.text[string + 1..hit], head).map(|at| string + 1 + at));
            }
            if ends_word {
                begins.push(hit);
                begins.extend((byte(hit - 1) == b'~').then(|| hit - 1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linkers_names_tell_how_long_each_part_is() {
        let text = b"\0_ZN4main3fooEv\0_ZN6domain3fooEv\0_RNvC3abc4main\0_RNvC3abc5__main\0_main\0_ZN14mainE\0";
        let names = |literal: &str, is_name| {
            let strings = Strings::holding(text, literal, is_name).expect("a few");
            let text_at = |at: usize| {
                let end = memchr::memchr(0, &text[at..]).map_or(text.len(), |end| at + end);
                String::from_utf8_lossy(&text[at..end]).into_owned()
            };
            strings.names(100).expect("a few").into_iter().map(text_at).collect::<Vec<String>>()
        };
        let all = ["_ZN4main3fooEv", "_ZN6domain3fooEv", "_RNvC3abc4main", "_RNvC3abc5__main", "main", "_main", "main"];
        assert!(names("main", false).len() >= all.len());
        // A name that ends another: what stands there is another one's end, too.
        assert_eq!(names("main", true), ["_ZN4main3fooEv", "_RNvC3abc4main", "main", "main", "main", "_ZN14mainE"]);
        assert_eq!(names("_main", true), ["_RNvC3abc5__main", "_main", "_main"]);
    }

    #[test]
    fn a_name_may_begin_within_a_string() {
        let text = b"\0homework\0_ZN3zoo4workEv\0work_more\0~work\0workwork\0a::work<int>\0";
        let strings = Strings::holding(text, "work", false).expect("a few");
        let at = |words: &str| memchr::memmem::find(text, words.as_bytes()).expect("in the text");
        let names = strings.names(100).expect("a few");
        let expected = [
            at("work\0"),
            at("_ZN3"),
            at("~work"),
            at("~work") + 1,
            at("workwork") + 4,
            at("a::work"),
            at("work<int>"),
        ];
        assert_eq!(names, expected);
        assert!(strings.names(6).is_none());
        for (offset, holds) in [
            (0, false),
            (at("homework"), true),
            (at("mework"), true),
            (at("ork\0"), false),
            (at("4work"), true),
            (at("Ev"), false),
            (text.len(), false),
            (usize::MAX, false),
        ] {
            assert_eq!(strings.is_in_name_at(offset), holds, "{offset}");
        }
    }
}
