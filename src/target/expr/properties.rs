//! Random expressions, written with no more brackets than C needs, against plain evaluation of the tree that they were written
//! from: mathematical numbers that are cut to their types. Shares no code with the evaluation that it tests.

use super::tests::{Random, Sample};
use super::*;

/// How many are tried.
const ROUNDS: usize = 20_000;

/// What a value is, in C's terms. A pointer to `void` has the stride 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Int { bits: u32, signed: bool },
    Pointer { stride: i128 },
}

const I64: Kind = Kind::Int { bits: 64, signed: true };
const U64: Kind = Kind::Int { bits: 64, signed: false };
const I32: Kind = Kind::Int { bits: 32, signed: true };

/// The types by name.
const TYPES: [(&str, u32, bool); 10] = [
    ("u8", 8, false),
    ("char", 8, true),
    ("i16", 16, true),
    ("unsigned short", 16, false),
    ("int", 32, true),
    ("uint32_t", 32, false),
    ("long", 64, true),
    ("u64", 64, false),
    ("signed char", 8, true),
    ("unsigned long int", 64, false),
];

/// A value: a number within the bounds of what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Number {
    value: i128,
    kind: Kind,
}

/// Why there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    DivisionByZero,
    Unreadable,
}

/// An expression.
#[derive(Debug)]
enum Tree {
    /// Its text, and what it is.
    Leaf(String, Number),
    Prefix(char, Box<Tree>),
    Cast(usize, usize, Box<Tree>),
    /// By type, as `{TYPE}ADDRESS`, `*(TYPE*)ADDRESS` or `((TYPE*)ADDRESS)[INDEX]`.
    Load(usize, u8, i128),
    /// `*0`
    Wild,
    Binary(&'static str, Box<Tree>, Box<Tree>),
    Choice(Box<Tree>, Box<Tree>, Box<Tree>),
}

/// C's levels, the loosest first; what is prefixed binds more tightly than all, and what is in brackets most tightly.
const LEVELS: [&[&str]; 10] = [
    &["||"],
    &["&&"],
    &["|"],
    &["^"],
    &["&"],
    &["==", "!="],
    &["<", "<=", ">", ">="],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "%"],
];
const LOOSEST: usize = 0;
const PREFIXED: usize = LEVELS.len() + 1;
const CLOSED: usize = PREFIXED + 1;

impl Number {
    fn of(value: i128, kind: Kind) -> Number {
        let (bits, signed) = match kind {
            Kind::Int { bits, signed } => (bits, signed),
            Kind::Pointer { .. } => (64, false),
        };
        let value = value.rem_euclid(1 << bits);
        Number { value: if signed && value >= 1 << (bits - 1) { value - (1 << bits) } else { value }, kind }
    }

    fn truth(holds: bool) -> Number {
        Number { value: holds.into(), kind: I32 }
    }

    /// All are made 64 bits; only what had 64 without a sign has none.
    fn promoted(self) -> Number {
        let unsigned = matches!(self.kind, U64 | Kind::Pointer { .. });
        Number::of(self.value, if unsigned { U64 } else { I64 })
    }

    fn is_true(self) -> bool {
        self.value != 0
    }

    /// The stride of a pointer.
    fn stride(self) -> Option<i128> {
        if let Kind::Pointer { stride } = self.kind { Some(stride) } else { None }
    }
}

/// Text and levels.
impl Tree {
    fn level(&self) -> usize {
        match self {
            Tree::Leaf(..) => CLOSED,
            Tree::Prefix(..) | Tree::Cast(..) | Tree::Load(..) | Tree::Wild => PREFIXED,
            Tree::Binary(sign, ..) => {
                1 + LEVELS.iter().position(|level| level.contains(sign)).expect("a sign of the list")
            }
            Tree::Choice(..) => LOOSEST,
        }
    }

    /// As it must be written where what binds less tightly than `level` needs brackets. Some get more than they need.
    fn text(&self, level: usize, random: &mut Random) -> String {
        let own = self.level();
        let bare = match self {
            Tree::Leaf(text, _) => text.clone(),
            Tree::Prefix(sign, inner) => format!("{sign}{}", inner.text(PREFIXED, random)),
            Tree::Cast(ty, stars, inner) => {
                format!("({}{}){}", TYPES[*ty].0, "*".repeat(*stars), inner.text(PREFIXED, random))
            }
            Tree::Load(ty, 0, at) => format!("{{{}}}{at:#x}", TYPES[*ty].0),
            Tree::Load(ty, 1, at) => format!("*({}*){at}", TYPES[*ty].0),
            Tree::Load(ty, _, at) => {
                let size = i128::from(TYPES[*ty].1 / 8);
                let index = random.below(9) as i128 - 4;
                format!("(({}*){:#x})[{index}]", TYPES[*ty].0, at - index * size)
            }
            Tree::Wild => "*0".to_owned(),
            Tree::Binary(sign, left, right) => {
                let (left, right) = (left.text(own, random), right.text(own + 1, random));
                let blank = ["", " "][random.below(2) as usize];
                format!("{left}{blank}{sign}{blank}{right}")
            }
            Tree::Choice(condition, then, otherwise) => {
                let condition = condition.text(LOOSEST + 1, random);
                format!("{condition} ? {} : {}", then.text(LOOSEST, random), otherwise.text(LOOSEST, random))
            }
        };
        if own < level || random.below(12) == 0 { format!("({bare})") } else { bare }
    }
}

/// Plain evaluation.
impl Tree {
    fn value(&self) -> Result<Number, Fault> {
        Ok(match self {
            Tree::Leaf(_, number) => *number,
            Tree::Wild => return Err(Fault::Unreadable),
            Tree::Prefix(sign, inner) => {
                let inner = inner.value()?;
                let Number { value, kind } = inner.promoted();
                match sign {
                    '-' => Number::of(-value, kind),
                    '~' => Number::of(-value - 1, kind),
                    '!' => Number::truth(!inner.is_true()),
                    _ => inner.promoted(),
                }
            }
            Tree::Cast(ty, stars, inner) => {
                let (_, bits, signed) = TYPES[*ty];
                let kind = match stars {
                    0 => Kind::Int { bits, signed },
                    1 => Kind::Pointer { stride: i128::from(bits / 8) },
                    _ => Kind::Pointer { stride: 8 },
                };
                Number::of(inner.value()?.value, kind)
            }
            Tree::Load(ty, _, at) => {
                let (_, bits, signed) = TYPES[*ty];
                // Each byte of the sample's memory is the lowest of its address.
                let bytes = (0..i128::from(bits / 8)).map(|index| ((at + index) & 0xff) << (8 * index));
                Number::of(bytes.sum(), Kind::Int { bits, signed })
            }
            Tree::Choice(condition, then, otherwise) => {
                if condition.value()?.is_true() {
                    then.value()?
                } else {
                    otherwise.value()?
                }
            }
            Tree::Binary("&&", left, right) => Number::truth(left.value()?.is_true() && right.value()?.is_true()),
            Tree::Binary("||", left, right) => Number::truth(left.value()?.is_true() || right.value()?.is_true()),
            Tree::Binary(sign, left, right) => binary(sign, left.value()?, right.value()?)?,
        })
    }
}

fn binary(sign: &str, left: Number, right: Number) -> Result<Number, Fault> {
    if let Some(moved) = moved(sign, left, right) {
        return Ok(moved);
    }
    let (long, count) = (left.promoted(), right.promoted());
    let kind = if U64 == long.kind || U64 == count.kind { U64 } else { I64 };
    let (a, b) = (Number::of(long.value, kind).value, Number::of(count.value, kind).value);
    // A count without a sign: a negative one is huge.
    let far = !(0..64).contains(&count.value);
    Ok(match sign {
        "+" => Number::of(a + b, kind),
        "-" => Number::of(a - b, kind),
        // The product of two 64-bit numbers may need a bit more than there are.
        "*" => Number::of(a.wrapping_mul(b), kind),
        "/" | "%" if b == 0 => return Err(Fault::DivisionByZero),
        "/" => Number::of(a / b, kind),
        "%" => Number::of(a % b, kind),
        "&" => Number::of(a & b, kind),
        "|" => Number::of(a | b, kind),
        "^" => Number::of(a ^ b, kind),
        "<<" if far => Number::of(0, long.kind),
        "<<" => Number::of(
            (0..count.value).fold(long, |number, _| Number::of(2 * number.value, long.kind)).value,
            long.kind,
        ),
        ">>" if far => Number::of(if long.value < 0 { -1 } else { 0 }, long.kind),
        ">>" => Number::of(long.value.div_euclid(1 << count.value), long.kind),
        "<" => Number::truth(a < b),
        "<=" => Number::truth(a <= b),
        ">" => Number::truth(a > b),
        ">=" => Number::truth(a >= b),
        "==" => Number::truth(a == b || same_image(left, right) || same_image(right, left)),
        _ => Number::truth(!(a == b || same_image(left, right) || same_image(right, left))),
    })
}

/// A pointer that is moved, and the distance of two.
fn moved(sign: &str, left: Number, right: Number) -> Option<Number> {
    let (a, b) = (left.value, right.value);
    Some(match (sign, left.stride(), right.stride()) {
        ("+", Some(stride), None) => Number::of(a + b * stride, left.kind),
        ("+", None, Some(stride)) => Number::of(b + a * stride, right.kind),
        ("-", Some(stride), None) => Number::of(a - b * stride, left.kind),
        ("-", Some(stride), Some(other)) => {
            let distance = Number::of(a - b, I64).value;
            Number::of(distance / if stride == other { stride } else { 1 }, I64)
        }
        _ => return None,
    })
}

/// Whether a narrow number with a sign and another are the same bits of its width, and the other has no more.
fn same_image(narrow: Number, other: Number) -> bool {
    let Kind::Int { bits, signed: true } = narrow.kind else { return false };
    bits < 64 && (0..1 << bits).contains(&other.value) && (narrow.value - other.value).rem_euclid(1 << bits) == 0
}

fn leaf(random: &mut Random) -> Tree {
    let edges =
        [0, 1, 2, 63, 64, 65, 127, 128, 255, 256, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 63, u64::MAX >> 1];
    let number = match random.below(3) {
        0 => edges[random.below(edges.len() as u64) as usize],
        1 => u64::MAX - random.below(3),
        _ => random.next() >> random.below(64),
    };
    let literal = Number::of(number.into(), if number > i64::MAX as u64 { U64 } else { I64 });
    let known = |text: &str, value: i128, kind| Tree::Leaf(text.to_owned(), Number::of(value, kind));
    match random.below(10) {
        0 => Tree::Leaf(format!("{number:#x}"), literal),
        1 => Tree::Leaf(format!("{number:#b}"), literal),
        2 => Tree::Leaf(format!("0{number:o}"), literal),
        3 => Tree::Leaf(format!("{number}UL"), literal),
        4 => known("$rax", -11, I64),
        5 => known("$eax", -11, I32),
        6 => known("$al", -11, Kind::Int { bits: 8, signed: true }),
        7 => known("$rsp", 0x1010, Kind::Pointer { stride: 1 }),
        _ => Tree::Leaf(number.to_string(), literal),
    }
}

fn tree(random: &mut Random, depth: u32) -> Tree {
    if depth == 0 || random.below(8) == 0 {
        return leaf(random);
    }
    let signs = LEVELS.concat();
    let ty = random.below(TYPES.len() as u64) as usize;
    let mut inner = || Box::new(tree(random, depth - 1));
    let (first, second, third) = (inner(), inner(), inner());
    match random.below(20) {
        0..3 => Tree::Prefix(['-', '~', '!', '+'][random.below(4) as usize], first),
        3..6 => Tree::Cast(ty, random.below(8).saturating_sub(5) as usize, first),
        6 => Tree::Load(ty, random.below(3) as u8, 0x1000 + random.below(0x100 - 8) as i128),
        7 if random.below(4) == 0 => Tree::Wild,
        8 => Tree::Choice(first, second, third),
        _ => Tree::Binary(signs[random.below(signs.len() as u64) as usize], first, second),
    }
}

#[test]
fn random_expressions_have_the_value_of_plain_evaluation() {
    let mut random = Random(20_240_817);
    let (mut values, mut divisions, mut unreadable) = (0, 0, 0);
    for _ in 0..ROUNDS {
        let tree = tree(&mut random, 4);
        let text = tree.text(LOOSEST, &mut random);
        let got = Expr::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}")).eval(&mut Sample::default());
        match tree.value() {
            Ok(expected) => assert_eq!(got.map(Value::number), Ok(expected.value), "{text}\n{tree:?}"),
            Err(Fault::DivisionByZero) => {
                assert!(matches!(got, Err(EvalError::DivisionByZero { .. })), "{text}: {got:?}")
            }
            Err(Fault::Unreadable) => assert!(matches!(got, Err(EvalError::Unattached(_))), "{text}: {got:?}"),
        }
        match tree.value() {
            Ok(_) => values += 1,
            Err(Fault::DivisionByZero) => divisions += 1,
            Err(Fault::Unreadable) => unreadable += 1,
        }
    }
    // All three come about often enough to mean something.
    assert!(values > ROUNDS / 2 && divisions > 100 && unreadable > 100, "{values} {divisions} {unreadable}");
}
