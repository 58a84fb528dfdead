//! Where the body of a Go function begins: behind the check of the stack's size and the making of its frame (cmd/internal/obj/x86,
//! `preprocess` and `stacksplit`). Pure.

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

/// No prologue has more instructions.
const MOST: usize = 24;

/// How far behind the entry the body begins; 0 where there is no prologue that is known.
pub(super) fn body_offset(code: &[u8], entry: u64) -> u64 {
    let mut body = entry;
    let mut checked = false;
    for instruction in Decoder::with_ip(64, code, entry, DecoderOptions::NONE).into_iter().take(MOST) {
        if is_frame(&instruction) {
            // What makes a frame counts whether the stack was checked before or not: small functions do not check it.
            body = instruction.next_ip();
        } else if is_check(&instruction) && !(checked && body > entry) {
            if matches!(instruction.mnemonic(), Mnemonic::Jbe | Mnemonic::Jb | Mnemonic::Jae) {
                (checked, body) = (true, instruction.next_ip());
            }
        } else {
            break;
        }
    }
    body - entry
}

/// `push %rbp`, `mov %rsp,%rbp`, `sub $N,%rsp`, and before Go 1.21 `mov %rbp,N(%rsp)`, `lea N(%rsp),%rbp`.
fn is_frame(instruction: &Instruction) -> bool {
    let first = instruction.op0_register();
    match instruction.mnemonic() {
        Mnemonic::Push => first == Register::RBP,
        Mnemonic::Mov if instruction.op0_kind() == OpKind::Memory => {
            instruction.memory_base() == Register::RSP && instruction.op1_register() == Register::RBP
        }
        Mnemonic::Mov => first == Register::RBP && instruction.op1_register() == Register::RSP,
        Mnemonic::Sub | Mnemonic::Add => first == Register::RSP && instruction.op1_kind() != OpKind::Register,
        Mnemonic::Lea => first == Register::RBP && instruction.memory_base() == Register::RSP,
        _ => false,
    }
}

/// The stack pointer, or one that is far below it, against `g.stackguard0` (16 behind `%r14`, or what TLS says).
fn is_check(instruction: &Instruction) -> bool {
    let scratch =
        |register| matches!(register, Register::R12 | Register::R13 | Register::RCX | Register::RSI | Register::RDI);
    match instruction.mnemonic() {
        Mnemonic::Cmp => instruction.op1_kind() == OpKind::Memory && instruction.memory_displacement64() == 16,
        Mnemonic::Jbe | Mnemonic::Jb => true,
        Mnemonic::Lea => scratch(instruction.op0_register()) && instruction.memory_base() == Register::RSP,
        Mnemonic::Mov if instruction.op1_kind() == OpKind::Memory => {
            scratch(instruction.op0_register()) && instruction.memory_segment() == Register::FS
        }
        Mnemonic::Mov => instruction.op0_register() == Register::R12 && instruction.op1_register() == Register::RSP,
        Mnemonic::Sub => instruction.op0_register() == Register::R12,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_begins_behind_check_and_frame() {
        // cmp 0x10(%r14),%rsp; jbe; push %rbp; mov %rsp,%rbp; sub $0x20,%rsp; mov %rax,0x30(%rsp)
        let new = b"\x49\x3b\x66\x10\x76\x65\x55\x48\x89\xe5\x48\x83\xec\x20\x48\x89\x44\x24\x30";
        assert_eq!(body_offset(new, 0x400000), 14);
        // cmp 0x10(%r14),%rsp; jbe; sub $0x28,%rsp; mov %rbp,0x20(%rsp); lea 0x20(%rsp),%rbp; mov %rax,0x30(%rsp)
        let old =
            b"\x49\x3b\x66\x10\x76\x71\x48\x83\xec\x28\x48\x89\x6c\x24\x20\x48\x8d\x6c\x24\x20\x48\x89\x44\x24\x30";
        assert_eq!(body_offset(old, 0x400000), 20);
        // lea -0x80(%rsp),%r12; cmp 0x10(%r14),%r12; jbe; push %rbp; ret
        let large = b"\x4c\x8d\x64\x24\x80\x4d\x3b\x66\x10\x76\x10\x55\xc3";
        assert_eq!(body_offset(large, 0x400000), 12);
        // A leaf: lea 1(%rax),%rax; ret
        assert_eq!(body_offset(b"\x48\x8d\x40\x01\xc3", 0x400000), 0);
        assert_eq!(body_offset(b"", 0x400000), 0);
    }
}
