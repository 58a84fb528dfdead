//! Bytes into instructions as data: address, bytes, text in pieces by kind, and what an instruction refers to. Pure: knows
//! no process, reads no memory and has no names for addresses.

use iced_x86::{
    Decoder, DecoderError, DecoderOptions, Formatter, FormatterOutput, FormatterTextKind, GasFormatter,
    Instruction as Decoded, IntelFormatter, MemorySizeOptions, OpKind, Register,
};

use crate::addr::RuntimeAddr;

/// How instructions are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Flavor {
    /// AT&T, gdb's default: `mov %rsp,%rbp`.
    #[default]
    Att,
    /// Intel: `mov rbp,rsp`.
    Intel,
}

/// The longest instruction (Intel SDM volume 2, 2.3.11).
pub const LONGEST_INSTRUCTION: usize = 15;

/// What a piece of an instruction's text is; whoever shows it chooses the colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PieceKind {
    /// The operation, with its prefixes.
    Mnemonic,
    /// A register.
    Register,
    /// A number.
    Number,
    /// Where a call or jump goes.
    Address,
    /// Punctuation and blanks.
    Plain,
}

/// A piece of the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// What it is.
    pub kind: PieceKind,
    /// How it reads.
    pub text: String,
}

/// What an instruction refers to at an address that it holds itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// It goes there: a direct call, jump or branch.
    Code(RuntimeAddr),
    /// It goes where the word at this address leads: a call or jump through the PLT's or GOT's slot.
    Through(RuntimeAddr),
    /// It reads or writes memory there, or takes its address.
    Data(RuntimeAddr),
}

/// One instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Instruction {
    /// Its first byte's address.
    pub addr: RuntimeAddr,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How it reads; `(bad)` where the bytes are none.
    pub text: Vec<Piece>,
    /// What it refers to.
    pub target: Option<Target>,
    /// Whether it is a call.
    pub is_call: bool,
}

impl Instruction {
    /// The address behind its last byte.
    pub fn next(&self) -> RuntimeAddr {
        RuntimeAddr(self.addr.0.wrapping_add(self.bytes.len() as u64))
    }

    /// The whole text.
    pub fn to_text(&self) -> String {
        self.text.iter().map(|piece| piece.text.as_str()).collect()
    }
}

/// Decodes bytes one instruction after the other. Ends where the bytes end within an instruction: more of them could have
/// made a whole one. A byte that begins none is an instruction `(bad)` of its own, as objdump has it.
pub struct Disassembler<'a> {
    decoder: Decoder<'a>,
    bytes: &'a [u8],
    start: u64,
    formatter: Box<dyn Formatter>,
}

impl<'a> Disassembler<'a> {
    /// `bits`: 64, or 32 for code of a 32-bit program.
    pub fn new(bytes: &'a [u8], addr: RuntimeAddr, bits: u32, flavor: Flavor) -> Disassembler<'a> {
        let decoder = Decoder::with_ip(if bits == 32 { 32 } else { 64 }, bytes, addr.0, DecoderOptions::NONE);
        Disassembler { decoder, bytes, start: addr.0, formatter: formatter(flavor) }
    }

    fn write(&mut self, decoded: &Decoded) -> Vec<Piece> {
        let mut pieces = Pieces(Vec::new());
        // objdump shows a displacement that is encoded, be it 0, and the factor of every index.
        let options = self.formatter.options_mut();
        options.set_show_zero_displacements(decoded.memory_displ_size() != 0);
        options.set_always_show_scale(decoded.memory_index() != Register::None);
        self.formatter.format(decoded, &mut pieces);
        if let Some(first) = pieces.0.first_mut() {
            without_needless_suffix(&mut first.text);
        }
        pieces.0
    }
}

impl Iterator for Disassembler<'_> {
    type Item = Instruction;

    fn next(&mut self) -> Option<Instruction> {
        if !self.decoder.can_decode() {
            return None;
        }
        let begin = self.decoder.position();
        let addr = RuntimeAddr(self.start.wrapping_add(begin as u64));
        let decoded = self.decoder.decode();
        if !decoded.is_invalid() {
            let bytes = self.bytes[begin..begin + decoded.len()].to_vec();
            let text = self.write(&decoded);
            return Some(Instruction { addr, bytes, text, target: target(&decoded), is_call: is_call(&decoded) });
        }
        if self.decoder.last_error() == DecoderError::NoMoreBytes {
            return None;
        }
        // The position is within the bytes, so that it can be set; the address follows it.
        self.decoder.set_position(begin + 1).ok()?;
        self.decoder.set_ip(addr.0.wrapping_add(1));
        let text = vec![Piece { kind: PieceKind::Mnemonic, text: "(bad)".into() }];
        Some(Instruction { addr, bytes: vec![self.bytes[begin]], text, target: None, is_call: false })
    }
}

/// As gdb and objdump write: lower case, `0x`, no leading zeros, the mnemonic seven wide.
fn formatter(flavor: Flavor) -> Box<dyn Formatter> {
    let mut formatter: Box<dyn Formatter> = match flavor {
        Flavor::Att => Box::new(GasFormatter::new()),
        Flavor::Intel => Box::new(IntelFormatter::new()),
    };
    let options = formatter.options_mut();
    options.set_first_operand_char_index(7);
    options.set_uppercase_hex(false);
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_small_hex_numbers_in_decimal(false);
    options.set_branch_leading_zeros(false);
    options.set_space_after_operand_separator(false);
    options.set_rip_relative_addresses(true);
    options.set_signed_immediate_operands(false);
    options.set_show_branch_size(false);
    options.set_show_useless_prefixes(true);
    options.set_uppercase_keywords(flavor == Flavor::Intel);
    options.set_memory_size_options(MemorySizeOptions::Always);
    formatter
}

/// objdump leaves the suffix off where there is only one size.
fn without_needless_suffix(mnemonic: &mut String) {
    for (long, short) in [("callq", "call"), ("jmpq", "jmp"), ("pushq", "push"), ("popq", "pop")] {
        if let Some(before) = mnemonic.strip_suffix(long)
            && (before.is_empty() || before.ends_with(' '))
        {
            *mnemonic = format!("{before}{short}");
        }
    }
}

/// Collects what the formatter writes.
struct Pieces(Vec<Piece>);

impl FormatterOutput for Pieces {
    fn write(&mut self, text: &str, kind: FormatterTextKind) {
        let kind = match kind {
            FormatterTextKind::Prefix | FormatterTextKind::Mnemonic => PieceKind::Mnemonic,
            FormatterTextKind::Register => PieceKind::Register,
            FormatterTextKind::Number | FormatterTextKind::SelectorValue => PieceKind::Number,
            FormatterTextKind::LabelAddress | FormatterTextKind::FunctionAddress => PieceKind::Address,
            _ => PieceKind::Plain,
        };
        match self.0.last_mut() {
            Some(last) if last.kind == kind => last.text.push_str(text),
            _ => self.0.push(Piece { kind, text: text.to_owned() }),
        }
    }
}

fn is_call(decoded: &Decoded) -> bool {
    decoded.is_call_near() || decoded.is_call_near_indirect() || decoded.is_call_far()
}

fn target(decoded: &Decoded) -> Option<Target> {
    let branch = matches!(decoded.op0_kind(), OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64);
    if decoded.op_count() > 0 && branch {
        return Some(Target::Code(RuntimeAddr(decoded.near_branch_target())));
    }
    let addr = memory_address(decoded)?;
    let through = decoded.is_jmp_near_indirect() || decoded.is_call_near_indirect();
    Some(if through { Target::Through(addr) } else { Target::Data(addr) })
}

/// The address of a memory operand that no general register has a part in. The segments FS and GS have bases of their own.
fn memory_address(decoded: &Decoded) -> Option<RuntimeAddr> {
    let has_memory = (0..decoded.op_count()).any(|index| decoded.op_kind(index) == OpKind::Memory);
    if !has_memory || matches!(decoded.segment_prefix(), Register::FS | Register::GS) {
        return None;
    }
    if decoded.is_ip_rel_memory_operand() {
        return Some(RuntimeAddr(decoded.ip_rel_memory_address()));
    }
    let fixed = decoded.memory_base() == Register::None && decoded.memory_index() == Register::None;
    fixed.then(|| RuntimeAddr(decoded.memory_displacement64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(bytes: &[u8], flavor: Flavor) -> Vec<String> {
        Disassembler::new(bytes, RuntimeAddr(0x1000), 64, flavor).map(|one| one.to_text()).collect()
    }

    #[test]
    fn it_reads_as_gdb_writes() {
        for (bytes, att, intel) in [
            (&[0x48, 0x89, 0xe5][..], "mov    %rsp,%rbp", "mov    rbp,rsp"),
            (&[0x48, 0x83, 0xec, 0x08], "sub    $0x8,%rsp", "sub    rsp,0x8"),
            (&[0xe8, 0, 0, 0, 0], "call   0x1005", "call   0x1005"),
            (&[0x48, 0x8b, 0x05, 0x10, 0, 0, 0], "mov    0x10(%rip),%rax", "mov    rax,QWORD PTR [rip+0x10]"),
            (&[0xc3], "ret", "ret"),
            (&[0x06], "(bad)", "(bad)"),
        ] {
            assert_eq!(texts(bytes, Flavor::Att), [att]);
            assert_eq!(texts(bytes, Flavor::Intel), [intel]);
        }
    }

    #[test]
    fn what_an_instruction_refers_to() {
        for (bytes, expected) in [
            (&[0xe8, 0x10, 0, 0, 0][..], Some(Target::Code(RuntimeAddr(0x1015)))),
            (&[0xeb, 0xfe], Some(Target::Code(RuntimeAddr(0x1000)))),
            (&[0xff, 0x25, 0x10, 0, 0, 0], Some(Target::Through(RuntimeAddr(0x1016)))),
            (&[0x48, 0x8d, 0x05, 0x10, 0, 0, 0], Some(Target::Data(RuntimeAddr(0x1017)))),
            (&[0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0], None),
            (&[0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0], Some(Target::Data(RuntimeAddr(0x28)))),
            (&[0xff, 0xd0], None),
        ] {
            let one = Disassembler::new(bytes, RuntimeAddr(0x1000), 64, Flavor::Att).next().expect("an instruction");
            assert_eq!(one.target, expected, "{}", one.to_text());
            assert_eq!(one.bytes, bytes);
        }
    }

    #[test]
    fn an_instruction_that_is_cut_off_is_none() {
        assert_eq!(texts(&[0x90, 0xe8, 0, 0], Flavor::Att), ["nop"]);
        assert_eq!(texts(&[], Flavor::Att), [""; 0]);
    }

    #[test]
    fn any_bytes_are_taken_apart_without_gaps() {
        let mut seed = 1u64;
        let bytes: Vec<u8> = (0..4096)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 56) as u8
            })
            .collect();
        for flavor in [Flavor::Att, Flavor::Intel] {
            let mut at = RuntimeAddr(u64::MAX - 2000);
            for one in Disassembler::new(&bytes, at, 64, flavor) {
                assert_eq!(one.addr, at);
                assert!((1..=LONGEST_INSTRUCTION).contains(&one.bytes.len()));
                assert!(!one.to_text().is_empty());
                at = one.next();
            }
            let done = at.0.wrapping_sub(u64::MAX - 2000) as usize;
            assert!(done + LONGEST_INSTRUCTION > bytes.len(), "{done}");
        }
    }
}
