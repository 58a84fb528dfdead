//! Where control goes next: whether an instruction calls, and where the function that a thread is in will return to, found from
//! its instructions alone. Pure but for reading memory; changes nothing. Once there are unwind tables they are asked first.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, Register};

use super::process::Process;
use crate::addr::{RuntimeAddr, Tid};
use crate::kernel::arch::Registers;

/// So many instructions are followed to a `ret`.
const MOST: usize = 10_000;

/// Where a function returns to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Return {
    /// The address behind the call.
    pub addr: RuntimeAddr,
    /// The stack pointer is above this one once it has returned.
    pub above: RuntimeAddr,
}

impl Process {
    /// If the thread is about to make a call: the address behind it.
    pub fn behind_call(&self, registers: &Registers) -> Option<RuntimeAddr> {
        let instruction = decode(&self.code_at(registers.pc()), registers.pc())?;
        is_call(&instruction).then_some(RuntimeAddr(instruction.next_ip()))
    }

    /// The general registers of a stopped thread.
    pub fn registers_at(&self, tid: Tid) -> Option<Registers> {
        self.stopped_thread(tid)?.registers().ok()
    }

    /// Where the function that a thread is in returns to: its instructions are followed to the next `ret` and what they push
    /// and pop is counted; else its frame pointer is believed. What is found must lie behind a call.
    pub fn return_of(&self, registers: &Registers) -> Option<Return> {
        self.by_following(registers).or_else(|| self.by_frame_pointer(registers))
    }

    fn by_following(&self, registers: &Registers) -> Option<Return> {
        let (mut pc, mut depth) = (registers.pc(), Depth { at: Some(registers.rsp), frame: Some(registers.rbp) });
        let mut code = (RuntimeAddr(0), Vec::new());
        for _ in 0..MOST {
            let instruction = self.decode_near(pc, &mut code)?;
            match instruction.flow_control() {
                FlowControl::Return => return self.checked(depth.at?),
                FlowControl::UnconditionalBranch => {
                    let target = RuntimeAddr(instruction.near_branch_target());
                    // A loop without an end, or the jump to another function (a tail call), which returns to the same.
                    pc = target;
                    continue;
                }
                FlowControl::IndirectBranch => return self.checked(depth.at?),
                FlowControl::Next | FlowControl::ConditionalBranch => depth.follow(&instruction)?,
                FlowControl::Call | FlowControl::IndirectCall => {}
                FlowControl::Interrupt | FlowControl::XbeginXabortXend | FlowControl::Exception => return None,
            }
            pc = RuntimeAddr(instruction.next_ip());
        }
        None
    }

    fn by_frame_pointer(&self, registers: &Registers) -> Option<Return> {
        let frame = registers.rbp;
        (frame >= registers.rsp && frame - registers.rsp < 1 << 24).then(|| self.checked(frame.wrapping_add(8)))?
    }

    /// The return address at a place of the stack, if there is one.
    fn checked(&self, at: u64) -> Option<Return> {
        let mut word = [0; 8];
        self.read_memory(RuntimeAddr(at), &mut word).ok()?;
        let addr = RuntimeAddr(u64::from_le_bytes(word));
        let executable = self.mappings().ok()?.find(addr)?.execute;
        (executable && (self.is_behind_call(addr) || self.is_end_of_handler(addr)))
            .then_some(Return { addr, above: RuntimeAddr(at) })
    }

    /// A signal handler returns to `mov $15, %rax; syscall`, rt_sigreturn(2), to which nothing has called.
    fn is_end_of_handler(&self, addr: RuntimeAddr) -> bool {
        const RETURN: [u8; 9] = [0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05];
        let code = self.code_at(addr);
        // Go writes `mov $15, %eax`.
        code.starts_with(&RETURN) || code.starts_with(&[0xb8, 15, 0, 0, 0, 0x0f, 0x05])
    }

    /// Calls have two to seven bytes, a prefix not counted.
    fn is_behind_call(&self, addr: RuntimeAddr) -> bool {
        (2..=8).any(|length| {
            let at = RuntimeAddr(addr.0.wrapping_sub(length));
            decode(&self.code_at(at), at).is_some_and(|one| is_call(&one) && one.next_ip() == addr.0)
        })
    }

    fn decode_near(&self, pc: RuntimeAddr, code: &mut (RuntimeAddr, Vec<u8>)) -> Option<Instruction> {
        const AHEAD: usize = 4096;
        const LONGEST: u64 = 15;
        let inside = pc.0.checked_sub(code.0.0).is_some_and(|offset| offset + LONGEST <= code.1.len() as u64);
        if !inside {
            let mut bytes = vec![0; AHEAD];
            let got = self.read_memory_partly(pc, &mut bytes).ok()?;
            bytes.truncate(got);
            *code = (pc, bytes);
        }
        decode(code.1.get((pc.0 - code.0.0) as usize..)?, pc)
    }
}

/// Where the stack pointer and the frame pointer are, as far as instructions tell.
struct Depth {
    at: Option<u64>,
    /// The frame pointer, while it is known.
    frame: Option<u64>,
}

impl Depth {
    /// `None`: the instruction does something to the stack pointer that cannot be followed.
    fn follow(&mut self, instruction: &Instruction) -> Option<()> {
        let writes = |register| instruction.op0_register() == register;
        match instruction.mnemonic() {
            Mnemonic::Leave => {
                self.at = Some(self.frame?.wrapping_add(8));
                self.frame = None;
            }
            Mnemonic::Mov if writes(Register::RSP) => {
                self.at = if instruction.op1_register() == Register::RBP { self.frame } else { None };
            }
            Mnemonic::Mov if writes(Register::RBP) => {
                self.frame = (instruction.op1_register() == Register::RSP).then_some(self.at).flatten();
            }
            Mnemonic::Lea if writes(Register::RSP) => {
                let base = match instruction.memory_base() {
                    Register::RSP => self.at,
                    Register::RBP => self.frame,
                    _ => None,
                };
                let plain = instruction.memory_index() == Register::None;
                let by = instruction.memory_displacement64();
                self.at = base.filter(|_| plain).map(|base| base.wrapping_add(by));
            }
            Mnemonic::Add | Mnemonic::Sub if writes(Register::RSP) => {
                // By a register: memory is taken from the stack, and the frame pointer tells where it began.
                let by = instruction.try_immediate(1).ok();
                let by = if instruction.mnemonic() == Mnemonic::Add { by } else { by.map(u64::wrapping_neg) };
                self.at = self.at.zip(by).map(|(at, by)| at.wrapping_add(by));
            }
            Mnemonic::And if writes(Register::RSP) => self.at = None,
            _ => {
                if instruction.is_stack_instruction() {
                    let by = i64::from(instruction.stack_pointer_increment());
                    self.at = self.at.map(|at| at.wrapping_add_signed(by));
                }
                if writes(Register::RBP) && instruction.mnemonic() == Mnemonic::Pop {
                    self.frame = None;
                }
            }
        }
        Some(())
    }
}

fn decode(code: &[u8], pc: RuntimeAddr) -> Option<Instruction> {
    let instruction = Decoder::with_ip(64, code, pc.0, DecoderOptions::NONE).decode();
    (!instruction.is_invalid()).then_some(instruction)
}

fn is_call(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Call
}
