//! What the kernel and its parent handed to a program when it began: the auxiliary vector (getauxval(3)) and the
//! environment. Refuses to follow the addresses in it.

use std::io;

use super::proc::read_bytes;
use crate::addr::Pid;

/// An entry of the auxiliary vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auxiliary {
    /// Its type, a number of `<elf.h>`.
    pub tag: u64,
    /// Its value: a number or an address.
    pub value: u64,
}

/// What an entry's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuxiliaryKind {
    /// A number.
    Number,
    /// Bits.
    Bits,
    /// An address.
    Address,
    /// The address of a string.
    Text,
}

/// Tags by number: name, kind and meaning (include/uapi/linux/auxvec.h, getauxval(3)).
const TAGS: &[(u64, &str, AuxiliaryKind, &str)] = &[
    (2, "AT_EXECFD", AuxiliaryKind::Number, "descriptor of the program"),
    (3, "AT_PHDR", AuxiliaryKind::Address, "program headers"),
    (4, "AT_PHENT", AuxiliaryKind::Number, "size of a program header"),
    (5, "AT_PHNUM", AuxiliaryKind::Number, "number of program headers"),
    (6, "AT_PAGESZ", AuxiliaryKind::Number, "page size"),
    (7, "AT_BASE", AuxiliaryKind::Address, "where the interpreter is loaded"),
    (8, "AT_FLAGS", AuxiliaryKind::Bits, "flags"),
    (9, "AT_ENTRY", AuxiliaryKind::Address, "entry point of the program"),
    (11, "AT_UID", AuxiliaryKind::Number, "real user"),
    (12, "AT_EUID", AuxiliaryKind::Number, "effective user"),
    (13, "AT_GID", AuxiliaryKind::Number, "real group"),
    (14, "AT_EGID", AuxiliaryKind::Number, "effective group"),
    (15, "AT_PLATFORM", AuxiliaryKind::Text, "platform"),
    (16, "AT_HWCAP", AuxiliaryKind::Bits, "what the processor can do"),
    (17, "AT_CLKTCK", AuxiliaryKind::Number, "times(2) ticks a second"),
    (23, "AT_SECURE", AuxiliaryKind::Number, "whether it was started with more rights"),
    (24, "AT_BASE_PLATFORM", AuxiliaryKind::Text, "real platform"),
    (25, "AT_RANDOM", AuxiliaryKind::Address, "16 random bytes"),
    (26, "AT_HWCAP2", AuxiliaryKind::Bits, "what the processor can do"),
    (27, "AT_RSEQ_FEATURE_SIZE", AuxiliaryKind::Number, "size of the rseq area that the kernel knows"),
    (28, "AT_RSEQ_ALIGN", AuxiliaryKind::Number, "alignment of the rseq area"),
    (29, "AT_HWCAP3", AuxiliaryKind::Bits, "what the processor can do"),
    (30, "AT_HWCAP4", AuxiliaryKind::Bits, "what the processor can do"),
    (31, "AT_EXECFN", AuxiliaryKind::Text, "file that was executed"),
    (32, "AT_SYSINFO", AuxiliaryKind::Address, "system call entry"),
    (33, "AT_SYSINFO_EHDR", AuxiliaryKind::Address, "the vdso"),
    (51, "AT_MINSIGSTKSZ", AuxiliaryKind::Number, "least size of a signal stack"),
];

impl Auxiliary {
    /// Its name, what its value is, and what it means; `None` for a tag that is not known.
    pub fn meaning(self) -> Option<(&'static str, AuxiliaryKind, &'static str)> {
        TAGS.iter().find(|(tag, ..)| *tag == self.tag).map(|(_, name, kind, meaning)| (*name, *kind, *meaning))
    }
}

/// The auxiliary vector of a 64-bit program, without its end.
pub fn auxiliary_vector(pid: Pid) -> io::Result<Vec<Auxiliary>> {
    Ok(parse_vector(&read_bytes(&format!("/proc/{pid}/auxv"))?))
}

fn parse_vector(bytes: &[u8]) -> Vec<Auxiliary> {
    let (words, _) = bytes.as_chunks::<8>();
    let words: Vec<u64> = words.iter().map(|word| u64::from_ne_bytes(*word)).collect();
    let entries = words.chunks_exact(2).map(|pair| Auxiliary { tag: pair[0], value: pair[1] });
    entries.take_while(|entry| entry.tag != 0).collect()
}

/// The environment that the program was started with, as it stands on its stack now: any characters, in no order.
pub fn environment(pid: Pid) -> io::Result<Vec<String>> {
    let bytes = read_bytes(&format!("/proc/{pid}/environ"))?;
    let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    Ok(words.map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::own;

    #[test]
    fn own_vector_names_the_page_size() {
        let vector = auxiliary_vector(own::pid()).expect("own vector");
        let page = vector.iter().find(|entry| entry.meaning().is_some_and(|(name, ..)| name == "AT_PAGESZ"));
        assert_eq!(page.map(|entry| entry.value), Some(4096));
        assert!(vector.iter().all(|entry| entry.tag != 0));
    }

    #[test]
    fn a_cut_vector_has_whole_entries_only() {
        let mut bytes = [6u64, 4096, 25].map(u64::to_ne_bytes).concat();
        bytes.push(1);
        assert_eq!(parse_vector(&bytes), [Auxiliary { tag: 6, value: 4096 }]);
        assert_eq!(parse_vector(&[]), []);
    }

    #[test]
    fn own_environment_has_the_path() {
        let environment = environment(own::pid()).expect("own environment");
        assert!(environment.iter().any(|word| word.starts_with("PATH=")));
    }
}
