//! Which registers a person means by names and groups. Reads none of them.

use crate::session::Failure;
use crate::target::RegisterId;

/// The general registers in the order in which people read them.
const GENERAL: [&str; 27] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
    "rip", "eflags", "orig_rax", "cs", "ss", "ds", "es", "fs", "gs", "fs_base", "gs_base",
];

const X87: [&str; 8] = ["fctrl", "fstat", "ftag", "fop", "fiseg", "fioff", "foseg", "fooff"];

/// What is to be shown: each register, and whether it was asked for by its own name.
pub(super) struct Choice {
    pub registers: Vec<(RegisterId, bool)>,
}

impl Choice {
    /// Of words; none of them is the general registers.
    pub fn of(words: &[String]) -> Result<Choice, Failure> {
        let mut registers: Vec<(RegisterId, bool)> = Vec::new();
        if words.is_empty() {
            registers.extend(general());
        }
        for word in words {
            match word.as_str() {
                "general" | "gpr" => registers.extend(general()),
                "fp" | "float" | "x87" => registers.extend(x87()),
                "vec" | "vector" | "simd" => registers.extend(vectors()),
                "all" => registers.extend(general().into_iter().chain(x87()).chain(vectors()).chain(group(&["pkru"]))),
                name => registers.push((named(name)?, true)),
            }
        }
        Ok(Choice { registers })
    }
}

fn named(word: &str) -> Result<RegisterId, Failure> {
    let name = word.strip_prefix('$').unwrap_or(word);
    RegisterId::parse(name).ok_or_else(|| {
        let short: String = name.chars().take(60).collect();
        let hint = "regs all shows every register; the groups are general, fp, vec and all";
        Failure::hinted(format!("no register is called {short:?}"), hint)
    })
}

fn group<T: AsRef<str>>(names: &[T]) -> Vec<(RegisterId, bool)> {
    names.iter().filter_map(|name| Some((RegisterId::parse(name.as_ref())?, false))).collect()
}

fn general() -> Vec<(RegisterId, bool)> {
    group(&GENERAL)
}

fn x87() -> Vec<(RegisterId, bool)> {
    let stack: Vec<String> = (0..8).map(|index| format!("st{index}")).collect();
    group(&stack).into_iter().chain(group(&X87)).collect()
}

/// The widest first: what the processor lacks is left out later, and so are the parts of what it has.
fn vectors() -> Vec<(RegisterId, bool)> {
    let each = |prefix: &str, count: u8| (0..count).map(|index| format!("{prefix}{index}")).collect::<Vec<_>>();
    let mut names = Vec::new();
    for index in 0..32 {
        names.extend(["zmm", "ymm", "xmm"].map(|prefix| format!("{prefix}{index}")));
    }
    names.push("mxcsr".into());
    names.extend(each("k", 8));
    group(&names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_group_is_a_registers() {
        assert_eq!(general().len(), GENERAL.len());
        assert_eq!(x87().len(), 16);
        assert_eq!(vectors().len(), 3 * 32 + 1 + 8);
        let choice = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            Choice::of(&words).map(|choice| choice.registers.len())
        };
        assert_eq!(choice(&[]), Ok(27));
        assert_eq!(choice(&["$rip", "sp", "fp"]), Ok(18));
        let error = choice(&["rip", "rax2"]).expect_err("no register");
        assert_eq!(error.message, "no register is called \"rax2\"");
    }
}
