//! Register names as gdb spells them, and what each one is a part of: `$eax` is four bytes of the first general register,
//! `$xmm3.v4_int32[1]` four bytes of the fourth vector register. Reads no register.

use std::fmt;

use super::Registers;

/// A register, or a part of one, by its name. Resolved once, so that reading it again costs no look-up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RegisterId {
    /// Which whole register.
    pub bank: Bank,
    /// Where in the whole register its bytes begin.
    pub offset: u8,
    /// How many bytes it has: 1 to 64. A flag is one bit of one byte.
    pub size: u8,
    /// What its bits mean.
    pub number: Number,
}

/// What a register's bits mean.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Number {
    /// An integer in two's complement.
    Signed,
    /// An integer without a sign.
    Unsigned,
    /// An address of data or code.
    Address,
    /// A floating-point number (IEEE 754 binary32, binary64 or the x87's 80 bits).
    Float,
    /// Several numbers side by side: a vector register as a whole.
    Vector,
}

/// The whole registers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Bank {
    /// A word of [`Registers`], by its index.
    General(u8),
    /// A bit of `eflags`.
    Flag(u8),
    /// One of the x87's eight, counted from the top of its stack.
    St(u8),
    /// A control register of the x87, by its index in [`X87_CONTROL`].
    Control(u8),
    /// The control and status register of SSE.
    Mxcsr,
    /// `k0` to `k7` of AVX-512.
    Mask(u8),
    /// `zmm0` to `zmm31`, of which `ymm` and `xmm` are the beginnings.
    Vector(u8),
    /// The rights of protection keys.
    Pkru,
}

/// The words of [`Registers`], in its order.
pub const GENERAL: [&str; 27] = [
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi", "orig_rax",
    "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
];

/// The flags of `eflags` by bit (Intel SDM volume 1, 3.4.3).
pub const FLAGS: [(u8, &str); 17] = [
    (0, "CF"),
    (2, "PF"),
    (4, "AF"),
    (6, "ZF"),
    (7, "SF"),
    (8, "TF"),
    (9, "IF"),
    (10, "DF"),
    (11, "OF"),
    (12, "IOPL0"),
    (13, "IOPL1"),
    (14, "NT"),
    (16, "RF"),
    (17, "VM"),
    (18, "AC"),
    (19, "VIF"),
    (21, "ID"),
];

/// The x87's control registers as gdb names them, where FXSAVE has them (Intel SDM volume 1, table 10-2), and how many
/// bytes each has there. The tag word is abridged: one bit a register, set if it holds something.
pub const X87_CONTROL: [(&str, u8, u8); 8] = [
    ("fctrl", 0, 2),
    ("fstat", 2, 2),
    ("ftag", 4, 1),
    ("fop", 6, 2),
    ("fioff", 8, 4),
    ("fiseg", 12, 2),
    ("fooff", 16, 4),
    ("foseg", 20, 2),
];

/// The legacy registers, whose parts have names of their own: word, 32 bits, 16 bits, 8 bits.
const LEGACY: [(&str, &str, &str, &str); 8] = [
    ("rax", "eax", "ax", "al"),
    ("rbx", "ebx", "bx", "bl"),
    ("rcx", "ecx", "cx", "cl"),
    ("rdx", "edx", "dx", "dl"),
    ("rsi", "esi", "si", "sil"),
    ("rdi", "edi", "di", "dil"),
    ("rbp", "ebp", "bp", "bpl"),
    ("rsp", "esp", "sp16", "spl"),
];

/// The second bytes that have names.
const HIGH: [(&str, &str); 4] = [("ah", "rax"), ("bh", "rbx"), ("ch", "rcx"), ("dh", "rdx")];

/// Names for what other processors have too.
const ALIASES: [(&str, &str); 4] = [("pc", "rip"), ("sp", "rsp"), ("fp", "rbp"), ("flags", "eflags")];

impl RegisterId {
    /// The register of a name without its `$`; `None` if there is none. A lane of a vector register has gdb's spelling:
    /// `xmm0.v4_int32[1]`, `ymm1.v4_double[0]`.
    pub fn parse(name: &str) -> Option<RegisterId> {
        match name.split_once('.') {
            Some((whole, lane)) => RegisterId::whole(whole)?.lane(lane),
            None => RegisterId::whole(name),
        }
    }

    /// A word of the general registers.
    pub fn general(name: &str) -> Option<RegisterId> {
        let index = GENERAL.iter().position(|known| *known == name)?;
        let number = match name {
            "rip" | "rsp" | "rbp" => Number::Address,
            "eflags" | "fs_base" | "gs_base" | "cs" | "ss" | "ds" | "es" | "fs" | "gs" => Number::Unsigned,
            _ => Number::Signed,
        };
        Some(RegisterId { bank: Bank::General(index as u8), offset: 0, size: 8, number })
    }

    fn whole(name: &str) -> Option<RegisterId> {
        let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
        RegisterId::general(name)
            .or_else(|| RegisterId::part_of_general(name))
            .or_else(|| RegisterId::flag(name))
            .or_else(|| RegisterId::extended(name))
    }

    fn part_of_general(name: &str) -> Option<RegisterId> {
        let part = |whole: &str, offset, size| {
            Some(RegisterId { offset, size, number: Number::Signed, ..RegisterId::general(whole)? })
        };
        if let Some((_, whole)) = HIGH.iter().find(|(high, _)| *high == name) {
            return part(whole, 1, 1);
        }
        for (whole, dword, word, byte) in LEGACY {
            for (known, size) in [(dword, 4), (word, 2), (byte, 1)] {
                if known == name {
                    return part(whole, 0, size);
                }
            }
        }
        let (whole, suffix) = name.split_at_checked(name.len().checked_sub(1)?)?;
        let size = match suffix {
            "d" => 4,
            "w" => 2,
            "b" | "l" => 1,
            _ => return None,
        };
        let is_numbered = whole.strip_prefix('r').is_some_and(|number| number.parse::<u8>().is_ok());
        is_numbered.then(|| part(whole, 0, size)).flatten()
    }

    /// A flag by its name in small letters (`zf`).
    fn flag(name: &str) -> Option<RegisterId> {
        let named = |(_, flag): &&(u8, &str)| flag.to_ascii_lowercase() == name;
        let (bit, _) = FLAGS.iter().find(named).filter(|(_, flag)| !flag.starts_with("IOPL"))?;
        Some(RegisterId { bank: Bank::Flag(*bit), offset: 0, size: 1, number: Number::Unsigned })
    }

    fn extended(name: &str) -> Option<RegisterId> {
        let of = |bank, size, number| Some(RegisterId { bank, offset: 0, size, number });
        let numbered = |prefix: &str, count: u8| {
            let digits = name.strip_prefix(prefix).filter(|digits| !digits.starts_with('+'))?;
            let number = digits.parse::<u8>().ok().filter(|number| *number < count)?;
            // `xmm01` is nobody's name.
            (number.to_string() == digits).then_some(number)
        };
        if let Some(index) = X87_CONTROL.iter().position(|(known, ..)| *known == name) {
            return of(Bank::Control(index as u8), X87_CONTROL[index].2, Number::Unsigned);
        }
        match name {
            "mxcsr" => return of(Bank::Mxcsr, 4, Number::Unsigned),
            "pkru" => return of(Bank::Pkru, 4, Number::Unsigned),
            _ => {}
        }
        let vector =
            |prefix, size| numbered(prefix, 32).and_then(|index| of(Bank::Vector(index), size, Number::Vector));
        (numbered("k", 8).and_then(|index| of(Bank::Mask(index), 8, Number::Unsigned)))
            .or_else(|| numbered("st", 8).and_then(|index| of(Bank::St(index), 10, Number::Float)))
            .or_else(|| numbered("mm", 8).and_then(|index| of(Bank::St(index), 8, Number::Vector)))
            .or_else(|| vector("xmm", 16))
            .or_else(|| vector("ymm", 32))
            .or_else(|| vector("zmm", 64))
    }

    /// `v4_int32[1]` of a vector register: as many lanes as it has room for.
    fn lane(self, text: &str) -> Option<RegisterId> {
        let (shape, index) = text.strip_suffix(']')?.split_once('[')?;
        let (count, element) = shape.strip_prefix('v')?.split_once('_')?;
        let (size, number) = match element {
            "float" => (4, Number::Float),
            "double" => (8, Number::Float),
            _ => {
                let unsigned = element.strip_prefix("uint");
                let bits: u8 = unsigned.or(element.strip_prefix("int"))?.parse().ok()?;
                let size = [8, 16, 32, 64].contains(&bits).then_some(bits / 8)?;
                (size, if unsigned.is_some() { Number::Unsigned } else { Number::Signed })
            }
        };
        let (count, index): (u8, u8) = (count.parse().ok()?, index.parse().ok()?);
        let fits = self.number == Number::Vector && count.checked_mul(size) == Some(self.size) && index < count;
        fits.then_some(RegisterId { offset: index * size, size, number, ..self })
    }

    /// Whether it is among the general registers, which one request reads all at once.
    pub fn is_general(self) -> bool {
        matches!(self.bank, Bank::General(_) | Bank::Flag(_))
    }

    /// Whether it is the program counter or a part of it.
    pub fn is_program_counter(self) -> bool {
        matches!(self.bank, Bank::General(index) if GENERAL[usize::from(index)] == "rip")
    }

    /// Whether it is all of `eflags`.
    pub fn is_eflags(self) -> bool {
        self.bank == Bank::General(EFLAGS as u8)
    }

    /// Its value in general registers that have been read, without a sign; `None` if it is not one of them.
    pub fn of_general(self, registers: &Registers) -> Option<u64> {
        match self.bank {
            Bank::General(index) => Some(masked(registers.words()[usize::from(index)] >> (8 * self.offset), self.size)),
            Bank::Flag(bit) => Some(registers.eflags >> bit & 1),
            _ => None,
        }
    }

    /// Puts a value into general registers; `None` if it is not one of them. A part leaves the rest as it was: unlike the
    /// processor, which clears the upper half when it writes `eax`, but like every other debugger.
    pub fn put_general(self, registers: &mut Registers, value: u64) -> Option<()> {
        let (index, offset, mask) = match self.bank {
            Bank::General(index) => (usize::from(index), 8 * self.offset, masked(u64::MAX, self.size)),
            Bank::Flag(bit) => (EFLAGS, bit, 1),
            _ => return None,
        };
        let word = &mut registers.words_mut()[index];
        *word = *word & !(mask << offset) | (value & mask) << offset;
        Some(())
    }
}

/// Where `eflags` stands in [`GENERAL`].
const EFLAGS: usize = 18;

fn masked(value: u64, size: u8) -> u64 {
    if size >= 8 { value } else { value & ((1 << (8 * u32::from(size))) - 1) }
}

impl fmt::Display for RegisterId {
    /// The name without its `$`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bank {
            Bank::General(index) => f.write_str(self.general_name(GENERAL[usize::from(index)]).as_str()),
            Bank::Flag(bit) => {
                let name = FLAGS.iter().find(|(known, _)| *known == bit).map_or("?", |(_, name)| name);
                f.write_str(&name.to_ascii_lowercase())
            }
            Bank::St(index) if self.size == 10 => write!(f, "st{index}"),
            Bank::St(index) => self.vector_name(f, "mm", index, 8),
            Bank::Control(index) => f.write_str(X87_CONTROL[usize::from(index)].0),
            Bank::Mxcsr => f.write_str("mxcsr"),
            Bank::Mask(index) => write!(f, "k{index}"),
            Bank::Pkru => f.write_str("pkru"),
            // A lane is named by the smallest register that it lies in.
            Bank::Vector(index) => {
                let end = if self.number == Number::Vector { self.size } else { self.offset + self.size };
                let (prefix, whole) = if end <= 16 {
                    ("xmm", 16)
                } else if end <= 32 {
                    ("ymm", 32)
                } else {
                    ("zmm", 64)
                };
                self.vector_name(f, prefix, index, whole)
            }
        }
    }
}

impl RegisterId {
    fn general_name(self, whole: &str) -> String {
        if self.size == 8 {
            return whole.to_owned();
        }
        if self.offset == 1 {
            return HIGH.iter().find(|(_, known)| *known == whole).map_or("?", |(high, _)| high).to_owned();
        }
        if let Some((_, dword, word, byte)) = LEGACY.iter().find(|(known, ..)| *known == whole) {
            return [dword, word, byte][match self.size {
                4 => 0,
                2 => 1,
                _ => 2,
            }]
            .to_string();
        }
        let suffix = match self.size {
            4 => "d",
            2 => "w",
            _ => "b",
        };
        format!("{whole}{suffix}")
    }

    fn vector_name(self, f: &mut fmt::Formatter<'_>, prefix: &str, index: u8, whole: u8) -> fmt::Result {
        write!(f, "{prefix}{index}")?;
        let (element, bits) = match self.number {
            Number::Vector => return Ok(()),
            Number::Float if self.size == 4 => ("float", None),
            Number::Float => ("double", None),
            Number::Unsigned => ("uint", Some(8 * self.size)),
            _ => ("int", Some(8 * self.size)),
        };
        let bits = bits.map_or(String::new(), |bits| bits.to_string());
        write!(f, ".v{}_{element}{bits}[{}]", whole / self.size, self.offset / self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for name in [
            "rax",
            "eax",
            "ax",
            "al",
            "ah",
            "sil",
            "r8",
            "r8d",
            "r15w",
            "r9b",
            "rip",
            "eflags",
            "fs_base",
            "orig_rax",
            "zf",
            "st3",
            "mm2",
            "xmm0",
            "ymm15",
            "zmm31",
            "k7",
            "mxcsr",
            "pkru",
            "fctrl",
            "ftag",
            "xmm0.v4_int32[3]",
            "zmm3.v8_double[7]",
            "mm1.v4_uint16[2]",
            "xmm2.v16_int8[15]",
        ] {
            assert_eq!(RegisterId::parse(name).map(|id| id.to_string()).as_deref(), Some(name));
        }
        for (alias, name) in [("pc", "rip"), ("sp", "rsp"), ("fp", "rbp"), ("r8l", "r8b"), ("flags", "eflags")] {
            assert_eq!(RegisterId::parse(alias), RegisterId::parse(name), "{alias}");
        }
        for name in [
            "",
            "r16",
            "r7d",
            "rd",
            "x",
            "xmm32",
            "xmm01",
            "xmm+1",
            "k8",
            "st8",
            "zmm",
            "d",
            "é",
            "rax.v2_int32[0]",
            "xmm0.v4_int32[4]",
            "xmm0.v4_int64[0]",
            "xmm0.v0_int8[0]",
            "xmm0.",
            "xmm0.v4_int32",
            "xmm0.v255_int8[0]",
        ] {
            assert_eq!(RegisterId::parse(name), None, "{name}");
        }
    }

    #[test]
    fn parts_leave_the_rest() {
        let mut registers = Registers { rax: 0x1122_3344_5566_7788, eflags: 0x246, ..Registers::default() };
        let get = |registers: &Registers, name| RegisterId::parse(name).and_then(|id| id.of_general(registers));
        assert_eq!(get(&registers, "eax"), Some(0x5566_7788));
        assert_eq!(get(&registers, "ah"), Some(0x77));
        assert_eq!(get(&registers, "zf"), Some(1));
        assert_eq!(get(&registers, "cf"), Some(0));
        assert_eq!(get(&registers, "xmm0"), None);
        let mut put = |name, value| RegisterId::parse(name).and_then(|id| id.put_general(&mut registers, value));
        put("ah", 0xfff).expect("general");
        put("zf", 0).expect("general");
        put("cf", 1).expect("general");
        assert_eq!((registers.rax, registers.eflags), (0x1122_3344_5566_ff88, 0x207));
    }

    #[test]
    fn the_names_stand_in_the_kernels_order() {
        let registers = Registers { r15: 1, rax: 2, eflags: 3, gs: 4, rip: 5, ..Registers::default() };
        for (name, value) in [("r15", 1), ("rax", 2), ("eflags", 3), ("gs", 4), ("rip", 5)] {
            assert_eq!(RegisterId::general(name).and_then(|id| id.of_general(&registers)), Some(value), "{name}");
        }
        assert_eq!(GENERAL[EFLAGS], "eflags");
    }
}
