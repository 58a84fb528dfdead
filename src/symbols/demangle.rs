//! Linkers' names into those that people write: Rust (legacy and v0) and C++. Go's and C's are plain already. Bounded in
//! time and length: a name of a hostile file can be made to unfold without end.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Longer names are left as they are.
const LONGEST_NAME: usize = 8192;
/// What unfolds to more is left as it is.
const LONGEST_WORDS: usize = 32768;

/// A name as its language writes it, without a symbol's version.
pub fn demangle(name: &str) -> Cow<'_, str> {
    // A stub's name is no version.
    if let Some(called) = name.strip_suffix("@plt").filter(|called| !called.contains('@')) {
        return Cow::Owned(format!("{}@plt", demangle(called)));
    }
    let plain = match name.find('@') {
        Some(at) if at > 0 && !name.starts_with("_R") => &name[..at],
        _ => name,
    };
    if plain.len() > LONGEST_NAME || !(plain.starts_with('_') || plain.starts_with("ZN")) {
        return Cow::Borrowed(plain);
    }
    if let Ok(rust) = rustc_demangle::try_demangle(plain) {
        let mut words = Bounded::default();
        return match write!(words, "{rust:#}") {
            Ok(()) => Cow::Owned(words.0),
            Err(_) => Cow::Borrowed(plain),
        };
    }
    if plain.starts_with("_Z") || plain.starts_with("__Z") || plain.starts_with("_GLOBAL_") {
        return cpp(plain).map_or(Cow::Borrowed(plain), Cow::Owned);
    }
    Cow::Borrowed(plain)
}

fn cpp(name: &str) -> Option<String> {
    let options = cpp_demangle::ParseOptions::default().recursion_limit(160);
    let symbol = cpp_demangle::Symbol::new_with_options(name, &options).ok()?;
    let mut words = Bounded::default();
    let options = cpp_demangle::DemangleOptions::new().recursion_limit(160);
    symbol.structured_demangle(&mut words, &options).ok()?;
    Some(words.0)
}

/// Text that refuses to grow too long.
#[derive(Default)]
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > LONGEST_WORDS {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_their_languages() {
        for (name, words) in [
            ("main", "main"),
            ("memcpy@@GLIBC_2.14", "memcpy"),
            ("_start", "_start"),
            ("_Znwm@plt", "operator new(unsigned long)@plt"),
            ("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"),
            ("_RNvCskwGfYPst2Cb_3foo16example_function", "foo::example_function"),
            ("_ZN2ns1C1fEi", "ns::C::f(int)"),
            ("_Znwm", "operator new(unsigned long)"),
            ("_ZNKSt6vectorIiSaIiEE4sizeEv", "std::vector<int, std::allocator<int> >::size() const"),
            ("net/http.(*Server).Serve", "net/http.(*Server).Serve"),
            ("_Zbad", "_Zbad"),
        ] {
            assert_eq!(demangle(name), words);
        }
        let long = format!("_ZN{}", "1a".repeat(100_000));
        assert_eq!(demangle(&long), long);
    }
}
