//! The disassembler against objdump: the same bytes at the same addresses, line by line, in both flavors.

use std::process::Command;

use godbg::addr::RuntimeAddr;
use godbg::target::disasm::{Disassembler, Flavor};
use regex::Regex;

use crate::harness::skip;

/// A large program that is there wherever the tests are: the linker of Debian's own C compiler, or the shell.
const PROGRAMS: [&str; 3] = ["/usr/bin/redis-server", "/usr/bin/gdb", "/usr/bin/bash"];

/// One line of objdump: address, bytes, text.
type Listed = (u64, Vec<u8>, String);

fn objdump(program: &str, flavor: &str) -> Option<Vec<Listed>> {
    let words = ["-d", "-w", "-z", "-M", flavor, program];
    let output = Command::new("objdump").args(words).env("LC_ALL", "C").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |line: &str| {
        let mut parts = line.split('\t');
        let addr = u64::from_str_radix(parts.next()?.trim().strip_suffix(':')?, 16).ok()?;
        let bytes = parts.next()?.split_whitespace();
        let bytes: Option<Vec<u8>> = bytes.map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
        Some((addr, bytes?, parts.next()?.to_owned()))
    };
    Some(text.lines().filter_map(line).collect())
}

/// How many lines are compared: spread over the whole program.
const MOST_LINES: usize = 200_000;

/// Texts as both can be held to: without names and comments, numbers in one form, blanks once.
struct Plain {
    names: Regex,
    branch: Regex,
}

impl Plain {
    fn new() -> Self {
        let branch = r"^((?:bnd |notrack )?(?:j\w+|call\w*|loop\w*|xbegin)(?:,p[nt])?) ([0-9a-f]+)$";
        Self { names: Regex::new(r"<[^>]*>").unwrap(), branch: Regex::new(branch).unwrap() }
    }

    fn of(&self, text: &str) -> String {
        let text = self.names.replace_all(text.split(" #").next().unwrap(), "");
        // Prefixes that change nothing stand before or within the padding between functions.
        let text = text.replace("%cs:", "").replace("cs:", "").replace("CS:", "");
        let words = text.split_whitespace().skip_while(|word| matches!(*word, "cs" | "data16"));
        let text = words.collect::<Vec<_>>().join(" ");
        // objdump writes the addresses of calls and jumps without 0x.
        self.branch.replace(&text, "$1 0x$2").into_owned()
    }
}

fn agreement(name: &str, flavor: Flavor) -> Option<(usize, usize, usize)> {
    let program = PROGRAMS.iter().find(|program| std::path::Path::new(program).exists())?;
    let listed = objdump(program, name).filter(|lines| !lines.is_empty())?;
    let (mut lengths, mut texts, mut shown) = (0, 0, std::collections::BTreeMap::new());
    let plain = Plain::new();
    let step = listed.len().div_ceil(MOST_LINES);
    let listed: Vec<&Listed> = listed.iter().step_by(step).collect();
    for (addr, bytes, text) in &listed {
        let mut seen = Disassembler::new(bytes, RuntimeAddr(*addr), 64, flavor);
        let Some(first) = seen.next() else { continue };
        lengths += usize::from(first.bytes == *bytes);
        let (ours, theirs) = (plain.of(&first.to_text()), plain.of(text));
        texts += usize::from(ours == theirs);
        if ours != theirs {
            let word = theirs.split(' ').next().unwrap().to_owned();
            let entry = shown.entry(word).or_insert((0, ours, theirs));
            entry.0 += 1;
        }
    }
    let mut shown: Vec<_> = shown.into_values().collect();
    shown.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
    for (count, ours, theirs) in shown.iter().take(40) {
        println!("{count:6}  {ours:50} | {theirs}");
    }
    println!("{program} {name}: {} instructions, {lengths} of the same length, {texts} of the same text", listed.len());
    Some((listed.len(), lengths, texts))
}

#[test]
fn it_agrees_with_objdump() {
    for (name, flavor) in [("att", Flavor::Att), ("intel", Flavor::Intel)] {
        let Some((all, lengths, texts)) = agreement(name, flavor) else {
            return skip("no objdump, or no program for it");
        };
        assert!(lengths * 10_000 >= all * 9_999, "{name}: {lengths} of {all} have the same length");
        assert!(texts * 100 >= all * 99, "{name}: {texts} of {all} read the same");
    }
}
