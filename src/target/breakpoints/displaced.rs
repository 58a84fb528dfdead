//! One instruction made anew at another address, so that a thread can pass a breakpoint without the breakpoint being taken
//! out: the copy does what the original does where it stands, and jumps back behind it. Pure: bytes in, bytes out. Knows no
//! process.

use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, Decoder, DecoderOptions, Encoder, FlowControl, Instruction,
    InstructionBlock, Mnemonic, OpKind, Register,
};

use crate::addr::RuntimeAddr;

/// How many bytes one copy may take, with its jump back.
pub const SLOT: usize = 64;

/// A copy of an instruction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Displaced {
    /// Where the original stands.
    pub origin: RuntimeAddr,
    /// How long the original is.
    pub length: usize,
    /// Where the copy is to stand.
    pub slot: RuntimeAddr,
    /// Its bytes.
    pub code: Vec<u8>,
    /// From this offset on the original's work is done, or, for a call, the return address has been pushed.
    done: usize,
    /// What has to be taken from the stack for a thread that stands at or behind `done` to be before the call again.
    pushed: u64,
}

/// Where a thread that stands in a copy is in truth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TruePlace {
    /// The program counter.
    pub pc: RuntimeAddr,
    /// What has to be added to the stack pointer.
    pub unwind: u64,
}

/// Copies the instruction that begins `bytes` and stands at `origin` to `slot`. `None`: it would not do the same there.
pub fn displace(bytes: &[u8], origin: RuntimeAddr, slot: RuntimeAddr) -> Option<Displaced> {
    let instruction = Decoder::with_ip(64, bytes, origin.0, DecoderOptions::NONE).decode();
    if instruction.is_invalid() {
        return None;
    }
    // The next instruction is made together with one that writes SS (Intel SDM volume 3, 7.8.3): it must be the program's own.
    if instruction.op_count() > 0 && instruction.op0_register() == Register::SS {
        return None;
    }
    let (code, done, pushed) = match instruction.flow_control() {
        FlowControl::Next | FlowControl::Return | FlowControl::IndirectBranch => with_jump_back(&instruction, slot)?,
        FlowControl::UnconditionalBranch => (encode(&[instruction], slot)?.0, SLOT, 0),
        // A loop counts: a thread that stands behind it cannot be put before it again.
        FlowControl::ConditionalBranch if instruction.is_loop() || instruction.is_loopcc() => return None,
        FlowControl::ConditionalBranch => {
            let (code, _) = encode(&[instruction, jump(instruction.next_ip())?], slot)?;
            (code, SLOT, 0)
        }
        FlowControl::Call | FlowControl::IndirectCall => (call(&instruction, slot)?, PUSH, 8),
        FlowControl::Interrupt | FlowControl::XbeginXabortXend | FlowControl::Exception => return None,
    };
    let displaced = Displaced { origin, length: instruction.len(), slot, code, done, pushed };
    (displaced.code.len() <= SLOT).then_some(displaced)
}

impl Displaced {
    /// Where a thread that stands at `pc`, in this copy, is in truth.
    pub fn true_place(&self, pc: RuntimeAddr) -> Option<TruePlace> {
        let offset = usize::try_from(pc.0.checked_sub(self.slot.0)?).ok().filter(|offset| *offset < SLOT)?;
        Some(if offset < self.done {
            TruePlace { pc: self.origin, unwind: 0 }
        } else if self.pushed > 0 {
            // It is put before the call: what the push wrote lies below the stack pointer then.
            TruePlace { pc: self.origin, unwind: self.pushed }
        } else {
            TruePlace { pc: RuntimeAddr(self.origin.0 + self.length as u64), unwind: 0 }
        })
    }
}

fn jump(target: u64) -> Option<Instruction> {
    Instruction::with_branch(Code::Jmp_rel32_64, target).ok()
}

/// The bytes of some instructions at an address, and the offset of each.
fn encode(instructions: &[Instruction], at: RuntimeAddr) -> Option<(Vec<u8>, Vec<u32>)> {
    let mut instructions = instructions.to_vec();
    for (index, instruction) in instructions.iter_mut().enumerate() {
        // The encoder makes a branch to an instruction of the block one to its new place: `jmp $` would never leave the copy.
        // What a branch goes to is kept as an address, so that each may claim to stand where nothing of the program's goes.
        instruction.set_ip(at.0 + index as u64);
    }
    let block = InstructionBlock::new(&instructions, at.0);
    let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
    let result = BlockEncoder::encode(64, block, options).ok()?;
    Some((result.code_buffer, result.new_instruction_offsets))
}

fn with_jump_back(instruction: &Instruction, slot: RuntimeAddr) -> Option<(Vec<u8>, usize, u64)> {
    let (mut code, offsets) = encode(&[*instruction], slot)?;
    // An instruction that had to be written in another way is none to be sure of.
    if offsets.first() != Some(&0) {
        return None;
    }
    let done = code.len();
    let (back, _) = encode(&[jump(instruction.next_ip())?], RuntimeAddr(slot.0 + done as u64))?;
    code.extend(back);
    Some((code, done, 0))
}

/// `push qword ptr [rip + …]` has six bytes.
const PUSH: usize = 6;

/// A call leaves the address behind the *original* on the stack: it is pushed from a word in the slot, and then jumped.
fn call(instruction: &Instruction, slot: RuntimeAddr) -> Option<Vec<u8>> {
    let after_push = slot.0 + PUSH as u64;
    let jump = match instruction.mnemonic() {
        Mnemonic::Call if instruction.is_call_near() => jump(instruction.near_branch_target())?,
        Mnemonic::Call if instruction.is_call_near_indirect() => as_jump(instruction)?,
        // syscall, far calls, and what else counts as one.
        _ => return None,
    };
    let (jump, _) = encode(&[jump], RuntimeAddr(after_push))?;
    let word = (PUSH + jump.len()).next_multiple_of(8);
    let mut code = vec![0xff, 0x35];
    code.extend(((word - PUSH) as u32).to_le_bytes());
    code.extend(jump);
    code.resize(word, 0x90);
    code.extend(instruction.next_ip().to_le_bytes());
    Some(code)
}

/// `call [x]` as `jmp [x]`. What is counted from the stack pointer, or is in it, is another by then.
fn as_jump(instruction: &Instruction) -> Option<Instruction> {
    let uses_rsp = instruction.op0_kind() == OpKind::Register && instruction.op0_register() == Register::RSP
        || instruction.op0_kind() == OpKind::Memory && instruction.memory_base() == Register::RSP;
    if uses_rsp || instruction.code() != Code::Call_rm64 {
        return None;
    }
    let mut jump = *instruction;
    jump.set_code(Code::Jmp_rm64);
    // Refuses what it cannot encode.
    Encoder::new(64).encode(&jump, instruction.ip()).ok()?;
    Some(jump)
}

#[cfg(test)]
mod tests {
    use iced_x86::Decoder;

    use super::*;

    const ORIGIN: RuntimeAddr = RuntimeAddr(0x40_1000);
    const SLOT_AT: RuntimeAddr = RuntimeAddr(0x20_1100);

    fn text(displaced: &Displaced) -> Vec<String> {
        let decoder = Decoder::with_ip(64, &displaced.code, displaced.slot.0, DecoderOptions::NONE);
        decoder.into_iter().map(|instruction| instruction.to_string()).collect()
    }

    #[test]
    fn ordinary_instructions_jump_back() {
        let push = displace(&[0x55, 0x48, 0x89, 0xe5], ORIGIN, SLOT_AT).expect("push rbp");
        assert_eq!(text(&push), ["push rbp", "jmp 0000000000401001h"]);
        assert_eq!(push.true_place(SLOT_AT), Some(TruePlace { pc: ORIGIN, unwind: 0 }));
        let after = RuntimeAddr(SLOT_AT.0 + 1);
        assert_eq!(push.true_place(after), Some(TruePlace { pc: RuntimeAddr(ORIGIN.0 + 1), unwind: 0 }));
        assert_eq!(push.true_place(ORIGIN), None);
    }

    #[test]
    fn what_is_counted_from_the_pc_still_means_the_same() {
        let load = displace(&[0x48, 0x8b, 0x05, 0x10, 0, 0, 0], ORIGIN, SLOT_AT).expect("mov rax,[rip+10h]");
        assert_eq!(text(&load)[0], "mov rax,[401017h]");
        let far =
            displace(&[0x48, 0x8b, 0x05, 0x10, 0, 0, 0], RuntimeAddr(0x5555_5555_0000), RuntimeAddr(0x7f00_0000_0000));
        assert_eq!(far, None, "too far to be reached");
        let far = displace(&[0x55], ORIGIN, RuntimeAddr(0x7f00_0000_0000)).expect("push rbp");
        assert_eq!(&far.code[..3], [0x55, 0xff, 0x25], "a jump back over any distance");
        let branch = displace(&[0x74, 0x10], ORIGIN, SLOT_AT).expect("je");
        assert_eq!(text(&branch), ["je 0000000000401012h", "jmp 0000000000401002h"]);
        assert_eq!(branch.true_place(RuntimeAddr(SLOT_AT.0 + 6)), Some(TruePlace { pc: ORIGIN, unwind: 0 }));
    }

    #[test]
    fn a_branch_to_itself_goes_to_the_original() {
        let jump = displace(&[0xeb, 0xfe], ORIGIN, SLOT_AT).expect("jmp $");
        assert_eq!(text(&jump), ["jmp 0000000000401000h"]);
        let branch = displace(&[0x75, 0xfe], ORIGIN, SLOT_AT).expect("jne $");
        assert_eq!(text(&branch), ["jne 0000000000401000h", "jmp 0000000000401002h"]);
        let call = displace(&[0xe8, 0xfb, 0xff, 0xff, 0xff], ORIGIN, SLOT_AT).expect("call $");
        assert_eq!(text(&call)[1], "jmp 0000000000401000h");
    }

    #[test]
    fn calls_push_the_address_behind_the_original() {
        let call = displace(&[0xe8, 0x10, 0, 0, 0], ORIGIN, SLOT_AT).expect("call");
        assert_eq!(&call.code[..2], [0xff, 0x35]);
        let word = call.code.len() - 8;
        assert_eq!(call.code[word..], 0x40_1005u64.to_le_bytes());
        assert_eq!(u32::from_le_bytes(call.code[2..6].try_into().expect("four")) as usize + 6, word);
        assert_eq!(text(&call)[1], "jmp 0000000000401015h");
        let behind = call.true_place(RuntimeAddr(SLOT_AT.0 + 6));
        assert_eq!(behind, Some(TruePlace { pc: ORIGIN, unwind: 8 }));
        assert_eq!(text(&displace(&[0xff, 0xd0], ORIGIN, SLOT_AT).expect("call rax"))[1], "jmp rax");
        assert_eq!(displace(&[0xff, 0x54, 0x24, 0x08], ORIGIN, SLOT_AT), None, "call [rsp+8]");
    }

    #[test]
    fn what_would_not_do_the_same_elsewhere_is_refused() {
        for (bytes, what) in [
            (&[0x0f, 0x05][..], "syscall"),
            (&[0xe2, 0xfe], "loop"),
            (&[0x8e, 0xd0], "mov ss, eax"),
            (&[0xcc], "int3"),
            (&[0xcd, 0x80], "int 80h"),
            (&[0x0f, 0x0b], "ud2"),
            (&[0xc7, 0xf8, 0, 0, 0, 0], "xbegin"),
            (&[], "nothing"),
        ] {
            assert_eq!(displace(bytes, ORIGIN, SLOT_AT), None, "{what}");
        }
    }
}
