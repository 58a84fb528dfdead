//! Expressions against tables and against random text.

use super::types::Type;
use super::*;
use crate::addr::RuntimeAddr;
use crate::target::RegisterId;

/// Registers, 256 bytes of memory at 0x1000, variables and modules that are known beforehand.
#[derive(Default)]
pub(super) struct Sample {
    reads: usize,
}

const REGISTERS: [(&str, u64); 6] =
    [("rax", u64::MAX - 10), ("rsp", 0x1010), ("eax", 0xffff_fff5), ("al", 0xf5), ("rip", 0x401000), ("zf", 1)];

impl Machine for Sample {
    fn register(&mut self, register: RegisterId) -> Result<u64, EvalError> {
        let known = REGISTERS.iter().find(|(name, _)| RegisterId::parse(name) == Some(register));
        let missing = || EvalError::Register { name: register.to_string(), why: "not in the sample".into() };
        known.map(|(_, value)| *value).ok_or_else(missing)
    }

    fn read(&mut self, addr: RuntimeAddr, buffer: &mut [u8]) -> Result<(), EvalError> {
        self.reads += 1;
        for (index, byte) in buffer.iter_mut().enumerate() {
            let addr = addr.0.wrapping_add(index as u64);
            *byte = if (0x1000..0x1100).contains(&addr) {
                addr as u8
            } else {
                return Err(EvalError::Unattached(format!("memory at {addr:#x}")));
            };
        }
        Ok(())
    }

    fn variable(&mut self, name: &str) -> Option<Value> {
        match name {
            "foo" | "1" | "" => Some(Value::new(42, Type::I64)),
            "p" => Some(Value::new(0x1000, Type::I32.pointer()?)),
            _ => None,
        }
    }

    fn symbol(&mut self, name: &str) -> Option<u64> {
        match name {
            "libc.so.6" | "ld-linux-x86-64.so.2" | "libstdc++.so.6" | "redis-server" | "[stack]" => Some(0x7000),
            "main" | "a b" | "std::vec" => Some(0x500),
            "x" => Some(8),
            _ => None,
        }
    }
}

fn eval(text: &str) -> Result<i128, String> {
    let expr = Expr::parse(text).map_err(|error| error.to_string())?;
    expr.eval(&mut Sample::default()).map(Value::number).map_err(|error| error.to_string())
}

#[test]
fn expressions_have_the_values_that_gdb_gives() {
    for (text, expected) in [
        ("1+2*3", 7),
        ("(1+2)*3", 9),
        ("10-4-3", 3),
        ("0x10 + 010 + 0b11 + 0o17", 16 + 8 + 3 + 15),
        ("1_000_000", 1_000_000),
        ("0", 0),
        ("00", 0),
        ("0xffffffffffffffff", u64::MAX.into()),
        ("10UL", 10),
        ("'a'", 97),
        (r"'\n' + '\x41' + '\''", 10 + 65 + 39),
        ("'é'", 0xe9),
        ("-5/2", -2),
        ("-5%3", -2),
        ("-1 < 5", 1),
        ("0xffffffffffffffff > 5", 1),
        ("-1 < (u64)5", 0),
        ("1 << 63 >> 63", -1),
        ("(u64)1 << 63 >> 63", 1),
        ("1 << 64", 0),
        ("-1 >> 100", -1),
        ("~0", -1),
        ("!5 + !0", 1),
        ("- -3", 3),
        ("+(u8)200", 200),
        ("1 | 2 ^ 3 & 4", 3),
        ("1 == 1 != 0", 1),
        ("5 & 3 == 3", 1),
        ("1 || *0", 1),
        ("0 && *0", 0),
        ("2 && 3", 1),
        ("0 || 7", 1),
        ("1 ? 2 : 3", 2),
        ("0 ? 2 : 0 ? 3 : 4", 4),
        ("1 ? 2 : *0", 2),
        ("(u8)0x1ff", 255),
        ("(char)0xff", -1),
        ("(unsigned char)-1", 255),
        ("(int)0xffffffff", -1),
        ("(unsigned)-1", u32::MAX.into()),
        ("$rax", -11),
        ("$rax < 0", 1),
        ("$eax == -11 && $eax == 0xfffffff5", 1),
        ("$al == 0xf5 && $al == -11 && $al != 0x1f5", 1),
        ("(u8)$al == -11", 0),
        ("$sp+8", 0x1018),
        ("$pc == 0x401000", 1),
        ("$zf", 1),
        ("*(u32*)0x1004", 0x0706_0504),
        ("*(u8*)($sp+1)", 0x11),
        ("*(char*)0x10ff", -1),
        ("{u16}0x1000", 0x0100),
        ("{unsigned short}$sp + 1", 0x1111),
        ("*0x1000", 0x0706_0504_0302_0100),
        ("*$rsp & 0xff", 0x10),
        ("1 || **(u64**)0x1000", 1),
        ("(void*)0x1000 + 1", 0x1001),
        ("(int*)0x1000 + 1", 0x1004),
        ("1 + (u16*)0x1000", 0x1002),
        ("(int*)0x1010 - 2", 0x1008),
        ("(int*)0x1010 - (int*)0x1000", 4),
        ("((u16*)0x1000)[2]", 0x0504),
        ("*((int*)$sp + 1)", 0x1716_1514),
        ("*$p + $p[0]", 2 * 0x0302_0100),
        ("(long)$p", 0x1000),
        ("$foo + $ + $1", 126),
        ("libc.so.6+0x10", 0x7010),
        ("ld-linux-x86-64.so.2+1", 0x7001),
        ("libstdc++.so.6+1", 0x7001),
        ("redis-server+1", 0x7001),
        ("main-x", 0x500 - 8),
        ("main - x", 0x500 - 8),
        ("'a b'+1", 0x501),
        ("\"a b\"+1", 0x501),
        ("std::vec", 0x500),
        ("[stack]+0x10", 0x7010),
        ("  1  ", 1),
        ("(i64)-9223372036854775808 / -1", i64::MIN.into()),
        ("-9223372036854775807 - 2", i64::MAX.into()),
    ] {
        assert_eq!(eval(text), Ok(expected), "{text}");
    }
}

#[test]
fn errors_say_where_and_what() {
    for (text, expected) in [
        ("", "column 1: a number, a register, a name or '(' is expected here, not the end"),
        ("1 +", "column 4: a number, a register, a name or '(' is expected here, not the end"),
        ("1 2", "column 3: an operator is expected here, not the number 2"),
        ("(1", "column 3: ')' is expected here, not the end"),
        ("1)", "column 2: an operator is expected here, not ')'"),
        ("1.5", "column 1: a whole number is wanted here, not one with a fraction"),
        ("089", "column 1: '8' is no digit of an octal number (it begins with 0)"),
        ("0x", "column 1: \"0x\" has no digits"),
        ("12ab", "column 1: 'a' is no digit of a decimal number"),
        ("1 + 99999999999999999999", "column 5: 99999999999999999999 does not fit into 64 bits"),
        ("é+#", "column 3: '#' has no meaning here"),
        ("1 + $xmm0", "column 5: $xmm0 is a vector: name a lane of it, such as $xmm0.v4_int32[0]"),
        ("$st0", "column 1: $st0 is a floating-point number, and this is an integer expression"),
        ("$xmm0.v4_int32[4]", "column 1: $xmm0.v4_int32[4] is no lane of a vector register, as $xmm0.v4_int32[1] is"),
        ("'a", "column 1: the quote ' is not closed"),
        ("''", "column 1: there is no character between the quotes"),
        (r"'\q'", r#"column 1: an escape is one of \n \t \r \0 \a \b \e \f \v \\ \' \" \xNN"#),
        ("{foo}1", "column 2: a type such as u32 is expected here, not \"foo\""),
        ("(u32 1", "column 6: ')' is expected here, not the number 1"),
        ("5 / (2-2)", "column 3: division by zero"),
        ("5 % 0", "column 3: division by zero"),
        ("*0x10ff", "cannot read memory at 0x1100: no process is attached"),
        ("$bar", "$bar has no value: it is neither a register nor a variable that has been set"),
        ("nothing+1", "no module or symbol is called \"nothing\""),
        ("$rbx", "$rbx: not in the sample"),
        ("1 ? 2", "column 6: ':' is expected here, not the end"),
    ] {
        assert_eq!(eval(text), Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn nesting_has_a_limit_and_length_has_none() {
    let deep = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(eval(&deep).is_err_and(|error| error.ends_with("nested too deeply")));
    assert!(eval(&"-".repeat(5000)).is_err_and(|error| error.ends_with("nested too deeply")));
    assert!(eval(&"1 ? ".repeat(5000)).is_err_and(|error| error.ends_with("nested too deeply")));
    let long = format!("0{}", "+1".repeat(20_000));
    assert_eq!(eval(&long), Ok(20_000));
    assert_eq!(eval(&format!("{}1{}", "(".repeat(30), ")".repeat(30))), Ok(1));
}

#[test]
fn a_prefix_leaves_the_rest() {
    for (text, expected, rest) in [
        ("1+2 if x", 3, "if x"),
        ("0x10, 5", 16, ", 5"),
        ("main #comment", 0x500, "#comment"),
        ("$sp 'abc", 0x1010, "'abc"),
        ("4", 4, ""),
    ] {
        let (expr, left) = Expr::parse_prefix(text).expect(text);
        assert_eq!((expr.eval(&mut Sample::default()).map(Value::number), left), (Ok(expected), rest));
    }
}

#[test]
fn symbols_are_looked_up_once() {
    let expr = Expr::parse("main+$rsp").expect("an expression").with_symbols(&mut Sample::default()).expect("known");
    assert!(expr.names_register() && expr.as_register().is_none());
    assert_eq!(expr.eval(&mut Sample::default()).map(Value::bits), Ok(0x500 + 0x1010));
    assert_eq!(expr.text(), "main+$rsp");
    assert!(Expr::parse("nothing").expect("an expression").with_symbols(&mut Sample::default()).is_err());
}

#[test]
fn what_stands_in_memory_has_an_address() {
    for (text, expected) in [
        ("*(u32*)($rsp + 4)", Some(0x1014)),
        ("((int*)0x1000)[2]", Some(0x1008)),
        ("**(u64**)$rsp", Some(0x1716_1514_1312_1110)),
        ("$rsp", None),
        ("*$rsp + 1", None),
        ("1 ? *$rsp : *0x1000", None),
        ("*(1 ? $rsp : 0x1000)", Some(0x1010)),
    ] {
        let address = Expr::parse(text).expect(text).as_address();
        let address = address.map(|address| address.eval(&mut Sample::default()).expect(text).bits());
        assert_eq!(address, expected, "{text}");
    }
}

#[test]
fn assignments_say_what_goes_where() {
    let shown = |text: &str| match Assignment::parse(text) {
        Err(error) => error.to_string(),
        Ok(Assignment { place, source }) => {
            let place = match place {
                Place::Register(register) => format!("${register}"),
                Place::Variable(name) => format!("var {name}"),
                Place::Memory { address, element, count } => format!("{element}x{count:?} at {}", address.text()),
            };
            match &source {
                Source::Float(number) => format!("{place} := {number:?}"),
                source => format!("{place} := {:?}", source.values(&mut Sample::default()).expect("values")),
            }
        }
    };
    for (text, expected) in [
        ("$rip = 0x10", "$rip := [16]"),
        ("$xmm0.v4_int32[1] = -1", "$xmm0.v4_int32[1] := [18446744073709551615]"),
        ("$xmm0.v4_float[1] = 1.5", "$xmm0.v4_float[1] := 1.5"),
        ("$st0 = -2", "$st0 := -2.0"),
        ("$xmm1 = {1, 2}", "$xmm1 := [1, 2]"),
        ("$foo = 1 == 1", "var foo := [1]"),
        ("*(u32*)($sp + 8) = 5", "u32xNone at ($sp + 8) := [5]"),
        ("*0x1000 = 5", "u64xNone at 0x1000 := [5]"),
        ("*(0x1000 + 8)=5", "u64xNone at (0x1000 + 8) := [5]"),
        ("*(u8[4]*)0x1000 = {1,2,3,4}", "u8xSome(4) at 0x1000 := [1, 2, 3, 4]"),
        ("{u8[4]}$sp+1 = 1 2 3 4", "u8xSome(4) at $sp+1 := [1, 2, 3, 4]"),
        ("{int}0x1000 = {int}0x1004", "i32xNone at 0x1000 := [117835012]"),
        ("{char[3]}0x1000 = \"a=\\xff\"", "i8xSome(3) at 0x1000 := [97, 61, 255]"),
        ("*(char**)0x1000 = 1", "i8*xNone at 0x1000 := [1]"),
        ("$rip", "column 5: '=' and a value are expected behind what is to be set"),
        ("$rip == 5", "column 10: '=' and a value are expected behind what is to be set"),
        ("5 = 6", "column 1: a register, a $variable, *(TYPE*)ADDRESS or {TYPE}ADDRESS can be set, not the number 5"),
        ("$rip + 1 = 6", "column 6: '=' is expected here, not '+'"),
        ("$rip = ", "column 8: a number, a register, a name or '(' is expected here, not the end"),
        ("$rip = 1 2", "column 10: the end is expected here, not the number 2"),
        ("{void}1 = 2", "column 6: void has no size: nothing can be set there"),
        ("{u8[0]}1 = 2", "column 5: 1 to 4096 elements can be set at once"),
        ("$xmm0.v4_float[0] = abc", "column 21: $xmm0.v4_float[0] takes a floating-point number such as 1.5"),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

/// SplitMix64: the same numbers in every run.
pub(super) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[test]
fn precedence_is_cs() {
    // Each pair of operators without brackets is the pair with C's brackets.
    let levels: [&[&str]; 8] =
        [&["|"], &["^"], &["&"], &["==", "!="], &["<", ">="], &["<<", ">>"], &["+", "-"], &["*", "%"]];
    let mut random = Random(7);
    for (strength, operators) in levels.iter().enumerate() {
        for (other_strength, others) in levels.iter().enumerate() {
            for (first, second) in operators.iter().flat_map(|first| others.iter().map(move |second| (first, second))) {
                let [a, b, c] = [(); 3].map(|()| 1 + random.below(30));
                let bracketed = if strength >= other_strength {
                    format!("({a} {first} {b}) {second} {c}")
                } else {
                    format!("{a} {first} ({b} {second} {c})")
                };
                let bare = format!("{a} {first} {b} {second} {c}");
                assert_eq!(eval(&bare), eval(&bracketed), "{bare} is {bracketed}");
            }
        }
    }
}

#[test]
fn no_text_panics() {
    let pieces = [
        "1",
        "0x",
        "$rax",
        "$",
        "$$",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "*",
        "-",
        "+",
        "u8",
        "int",
        "unsigned",
        "'a'",
        "'",
        "\"",
        " ",
        "&&",
        "||",
        "?",
        ":",
        "==",
        "=",
        "libc.so.6",
        "a-b",
        ".",
        ",",
        "é",
        "\u{0}",
        "#",
        "\\",
        "<<",
        "/",
        "0",
        "99999999999999999999",
        "$xmm0.v4_int32[",
        "::",
        "_",
        "0b",
        "[stack]",
        "%",
        "!",
        "~",
        "@",
        ";",
    ];
    let mut random = Random(99);
    for _ in 0..20_000 {
        let text: String = (0..random.below(14)).map(|_| pieces[random.below(pieces.len() as u64) as usize]).collect();
        for text in [text.as_str(), text.trim()] {
            if let Ok(expr) = Expr::parse(text) {
                let _ = expr.eval(&mut Sample::default());
            }
            if let Ok((expr, rest)) = Expr::parse_prefix(text) {
                assert!(text.ends_with(rest));
                let _ = expr.eval(&mut Sample::default());
            }
            if let Ok(assignment) = Assignment::parse(text) {
                let _ = assignment.source.values(&mut Sample::default());
            }
        }
    }
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..random.below(24)).map(|_| random.next() as u8).collect();
        let text = String::from_utf8_lossy(&bytes);
        let _ = (Expr::parse(&text), Expr::parse_prefix(&text).is_ok(), Assignment::parse(&text));
    }
}
