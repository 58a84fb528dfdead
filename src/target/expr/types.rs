//! The types of integer expressions: integers of 1 to 8 bytes, pointers, and their names in C, Go and Rust. A value is 64
//! bits with a type.

use std::fmt;

/// What the bits of a value mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Type {
    base: Base,
    /// How many times it is a pointer to that.
    stars: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Base {
    Void,
    Int { size: u8, signed: bool },
}

/// More stars than that are a mistake.
const MOST_STARS: u8 = 8;

impl Type {
    /// 64 bits without a sign.
    pub const U64: Type = Type::int(8, false);
    /// 64 bits with a sign.
    pub const I64: Type = Type::int(8, true);
    /// What comparisons give: C's `int`.
    pub const I32: Type = Type::int(4, true);
    /// An address of nothing known.
    pub const ADDRESS: Type = Type { base: Base::Void, stars: 1 };

    /// An integer of 1, 2, 4 or 8 bytes.
    pub const fn int(size: u8, signed: bool) -> Type {
        Type { base: Base::Int { size, signed }, stars: 0 }
    }

    /// How many bytes a value has; 0 for `void`.
    pub fn size(self) -> u8 {
        match self.base {
            _ if self.stars > 0 => 8,
            Base::Void => 0,
            Base::Int { size, .. } => size,
        }
    }

    /// Whether it has a sign.
    pub fn is_signed(self) -> bool {
        self.stars == 0 && matches!(self.base, Base::Int { signed: true, .. })
    }

    /// Whether it is a pointer.
    pub fn is_pointer(self) -> bool {
        self.stars > 0
    }

    /// A pointer to this; `None` if there are too many stars.
    pub fn pointer(self) -> Option<Type> {
        (self.stars < MOST_STARS).then_some(Type { stars: self.stars + 1, ..self })
    }

    /// What `*` of a value of this type has: 8 bytes without a sign where the type does not say.
    pub fn pointee(self) -> Type {
        match self.stars.checked_sub(1) {
            Some(0) | None if self.base == Base::Void || self.stars == 0 => Type::U64,
            Some(stars) => Type { stars, ..self },
            None => Type::U64,
        }
    }

    /// How far apart what pointers of this type point to lies: 1 for what is no typed pointer.
    pub(super) fn stride(self) -> u64 {
        match self.stars {
            0 => 1,
            1 if self.base == Base::Void => 1,
            _ => self.pointee().size().into(),
        }
    }

    /// The type of a name: `u8`, `unsigned long int`, `uint32_t`, `uintptr`, `byte`, `void`. Words as C takes them.
    pub fn named(words: &[&str]) -> Option<Type> {
        let fixed = match words {
            ["void"] => return Some(Type { base: Base::Void, stars: 0 }),
            ["u8" | "uint8" | "uint8_t" | "byte" | "bool" | "_Bool"] => Type::int(1, false),
            ["u16" | "uint16" | "uint16_t"] => Type::int(2, false),
            ["u32" | "uint32" | "uint32_t"] => Type::int(4, false),
            ["u64" | "uint64" | "uint64_t" | "uintptr" | "uintptr_t" | "usize" | "size_t" | "uint"] => Type::U64,
            ["i8" | "int8" | "int8_t"] => Type::int(1, true),
            ["i16" | "int16" | "int16_t"] => Type::int(2, true),
            ["i32" | "int32" | "int32_t" | "rune" | "pid_t"] => Type::I32,
            ["i64" | "int64" | "int64_t" | "intptr_t" | "isize" | "ssize_t" | "ptrdiff_t" | "off_t"] => Type::I64,
            _ => return Type::of_c_words(words),
        };
        Some(fixed)
    }

    fn of_c_words(words: &[&str]) -> Option<Type> {
        let count = |word| words.iter().filter(|known| **known == word).count();
        let known = ["unsigned", "signed", "int", "char", "short", "long", "const", "volatile"];
        if words.iter().any(|word| !known.contains(word)) {
            return None;
        }
        let size = match (count("char"), count("short"), count("long"), count("int")) {
            (1, 0, 0, 0) => 1,
            (0, 1, 0, 0..=1) => 2,
            (0, 0, 1..=2, 0..=1) => 8,
            (0, 0, 0, 1) => 4,
            (0, 0, 0, 0) if count("unsigned") + count("signed") == 1 => 4,
            _ => return None,
        };
        match (count("unsigned"), count("signed")) {
            (0, 0..=1) => Some(Type::int(size, true)),
            (1, 0) => Some(Type::int(size, false)),
            _ => None,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.base {
            Base::Void => f.write_str("void")?,
            Base::Int { size, signed } => write!(f, "{}{}", if signed { "i" } else { "u" }, 8 * u32::from(size))?,
        }
        (0..self.stars).try_for_each(|_| f.write_str("*"))
    }
}

/// A value: 64 bits, extended from what its type has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Value {
    bits: u64,
    ty: Type,
}

impl Value {
    /// The lowest bytes of `bits` that the type has, extended by its sign.
    pub fn new(bits: u64, ty: Type) -> Value {
        let unused = 64 - 8 * u32::from(ty.size().clamp(1, 8));
        let bits = match ty.is_signed() {
            true => ((bits << unused) as i64 >> unused) as u64,
            false => bits << unused >> unused,
        };
        Value { bits, ty }
    }

    /// An address.
    pub fn address(bits: u64) -> Value {
        Value { bits, ty: Type::ADDRESS }
    }

    /// All 64 bits: what an address is, or a number in two's complement.
    pub fn bits(self) -> u64 {
        self.bits
    }

    /// Its type.
    pub fn ty(self) -> Type {
        self.ty
    }

    /// The number that it is.
    pub fn number(self) -> i128 {
        if self.ty.is_signed() { (self.bits as i64).into() } else { self.bits.into() }
    }

    /// Whether it counts as true.
    pub fn is_true(self) -> bool {
        self.bits != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_three_languages_are_types() {
        for (words, expected) in [
            ("int", "i32"),
            ("unsigned", "u32"),
            ("unsigned char", "u8"),
            ("char", "i8"),
            ("long unsigned int", "u64"),
            ("long long", "i64"),
            ("short int", "i16"),
            ("uintptr", "u64"),
            ("const u8", "none"),
            ("const char", "i8"),
            ("usize", "u64"),
            ("int int", "none"),
            ("unsigned signed int", "none"),
            ("char short", "none"),
            ("", "none"),
        ] {
            let words: Vec<&str> = words.split_whitespace().collect();
            let named = Type::named(&words).map_or("none".into(), |ty| ty.to_string());
            assert_eq!(named, expected, "{words:?}");
        }
    }

    #[test]
    fn values_are_extended_by_their_sign() {
        assert_eq!(Value::new(0x1ff, Type::int(1, true)).number(), -1);
        assert_eq!(Value::new(0x1ff, Type::int(1, false)).number(), 255);
        assert_eq!(Value::new(u64::MAX, Type::U64).number(), i128::from(u64::MAX));
        let pointer = Type::I32.pointer().expect("one star");
        assert_eq!((pointer.to_string().as_str(), pointer.pointee(), pointer.stride()), ("i32*", Type::I32, 4));
        assert_eq!((Type::ADDRESS.pointee(), Type::ADDRESS.stride()), (Type::U64, 1));
        let twice = pointer.pointer().expect("two stars");
        assert_eq!((twice.pointee(), twice.stride()), (pointer, 8));
        let void_twice = Type::ADDRESS.pointer().expect("two stars");
        assert_eq!(void_twice.pointee(), Type::ADDRESS);
    }
}
