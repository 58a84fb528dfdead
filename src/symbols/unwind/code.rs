//! Where a caller is, found from a function's instructions, for code that has no unwind tables: what its prologue pushes,
//! and what its way to a `ret` pops. A guess, which whoever asks must check. Bounded; reads code only by a closure.

use gimli::Encoding;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, Register};

use super::registers::{KEPT, RBP, RIP, RSP};
use super::row::{CfaRule, RegisterRule, Row};
use crate::addr::LinkAddr;

/// Reads code: how many bytes of it are there.
pub type Code<'a> = dyn Fn(u64, &mut [u8]) -> usize + 'a;

/// So many instructions are looked at.
const MOST: usize = 4000;

/// So many branches are remembered to be followed.
const MOST_BRANCHES: usize = 256;

/// A prologue has fewer instructions than that.
const LONGEST_PROLOGUE: usize = 64;

/// The instructions between the last of an epilogue that moves the stack pointer and its `ret` are fewer.
const LONGEST_EPILOGUE: usize = 16;

/// The longest instruction of the machine.
const LONGEST_INSTRUCTION: usize = 15;

/// A guess at the rules at an address; addresses are those of the process. `start`: where the function begins, if that is known.
/// `called`: whether the address is that of a return, behind a call that the function has made.
pub fn row_by_code(pc: u64, start: Option<u64>, called: bool, read: &Code<'_>) -> Option<Row> {
    let prologue = start.filter(|start| *start <= pc).and_then(|start| prologue(start, pc, read));
    match prologue {
        Some((state, true)) => Some(state.row(start, pc)),
        // The body of a function with a frame pointer, unless it has been taken down already.
        Some((state, false)) if state.frame && (called || !is_behind_frame(pc, read)) => Some(state.row(start, pc)),
        Some((state, false)) => way_out(pc, read).or_else(|| Some(state.row(start, pc))),
        None => way_out(pc, read),
    }
}

/// What a prologue has done.
#[derive(Default)]
struct Prologue {
    /// How many bytes it has taken from the stack, the return address not counted.
    depth: i64,
    /// Whether `rbp` is the frame's.
    frame: bool,
    /// The registers that it has saved, and how far below the frame's address.
    saved: Vec<(u16, i64)>,
}

/// Follows a prologue to an address, or to its end: whether the address was reached.
fn prologue(start: u64, pc: u64, read: &Code<'_>) -> Option<(Prologue, bool)> {
    let mut bytes = [0; LONGEST_PROLOGUE * LONGEST_INSTRUCTION];
    let got = read(start, &mut bytes).min(bytes.len());
    let mut decoder = Decoder::with_ip(64, &bytes[..got], start, DecoderOptions::NONE);
    let mut state = Prologue::default();
    for _ in 0..LONGEST_PROLOGUE {
        if decoder.ip() >= pc {
            return Some((state, true));
        }
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            return None;
        }
        if instruction.flow_control() != FlowControl::Next || !state.follow(&instruction) {
            break;
        }
    }
    Some((state, false))
}

impl Prologue {
    /// `false`: here the prologue is over, or cannot be followed.
    fn follow(&mut self, instruction: &Instruction) -> bool {
        let (first, second) = (instruction.op0_register(), instruction.op1_register());
        match instruction.mnemonic() {
            Mnemonic::Push => {
                self.depth += 8;
                if let Some(number) = dwarf(first)
                    && KEPT.contains(&number)
                    && !self.saved.iter().any(|(known, _)| *known == number)
                {
                    self.saved.push((number, -8 - self.depth));
                }
            }
            Mnemonic::Mov if first == Register::RBP && second == Register::RSP && self.depth == 8 => self.frame = true,
            Mnemonic::Sub if first == Register::RSP => match instruction.try_immediate(1) {
                Ok(by) if by < 1 << 31 => self.depth += by as i64,
                _ => return false,
            },
            Mnemonic::Add if first == Register::RSP => match instruction.try_immediate(1) {
                Ok(by) => self.depth = self.depth.saturating_sub_unsigned(by),
                Err(_) => return false,
            },
            Mnemonic::Pop | Mnemonic::Leave => return false,
            _ if first == Register::RSP => return false,
            _ => {}
        }
        true
    }

    fn row(&self, start: Option<u64>, pc: u64) -> Row {
        let cfa = if self.frame { CfaRule::Register(RBP, 16) } else { CfaRule::Register(RSP, self.depth + 8) };
        let saved = self.saved.iter().map(|(number, offset)| (*number, RegisterRule::Offset(*offset)));
        row(cfa, saved.chain([(RIP, RegisterRule::Offset(-8))]).collect(), start.unwrap_or(pc))
    }
}

/// Whether the frame has been taken down: a `ret` follows, and no `leave` or `pop %rbp` before it.
fn is_behind_frame(pc: u64, read: &Code<'_>) -> bool {
    let mut at = pc;
    for _ in 0..LONGEST_EPILOGUE {
        let Some(one) = decode(at, read) else { return false };
        match one.flow_control() {
            FlowControl::Return => return true,
            FlowControl::Next => {}
            _ => return false,
        }
        if one.mnemonic() == Mnemonic::Leave || one.mnemonic() == Mnemonic::Pop && one.op0_register() == Register::RBP {
            return false;
        }
        at = one.next_ip();
    }
    false
}

/// An address as a register's value now, plus an offset.
#[derive(Clone, Copy, PartialEq)]
struct Place {
    base: u16,
    offset: i64,
}

impl Place {
    fn plus(self, by: i64) -> Place {
        Place { offset: self.offset.wrapping_add(by), ..self }
    }
}

/// What is known on a way to a `ret`.
#[derive(Clone)]
struct Way {
    sp: Option<Place>,
    frame: Option<Place>,
    /// Registers that were popped, and from where.
    popped: Vec<(u16, Place)>,
}

/// Follows the code to a `ret`, over its branches where need be.
fn way_out(pc: u64, read: &Code<'_>) -> Option<Row> {
    let now = |base| Some(Place { base, offset: 0 });
    let begin = Way { sp: now(RSP), frame: now(RBP), popped: Vec::new() };
    let (mut seen, mut branches) = (rustc_hash::FxHashSet::default(), vec![(pc, begin)]);
    while let Some((mut at, mut way)) = branches.pop() {
        while seen.len() < MOST && seen.insert(at) {
            let Some(instruction) = decode(at, read) else { break };
            match instruction.flow_control() {
                FlowControl::Return => match way.row(pc) {
                    Some(row) => return Some(row),
                    None => break,
                },
                FlowControl::UnconditionalBranch => {
                    at = instruction.near_branch_target();
                    continue;
                }
                FlowControl::ConditionalBranch if branches.len() < MOST_BRANCHES => {
                    branches.push((instruction.near_branch_target(), way.clone()));
                }
                FlowControl::ConditionalBranch | FlowControl::Call | FlowControl::IndirectCall => {}
                FlowControl::Next => way.follow(&instruction),
                // A stub of the procedure linkage table, or a tail call by way of the global offset table.
                FlowControl::IndirectBranch if instruction.is_ip_rel_memory_operand() => match way.row(pc) {
                    Some(row) => return Some(row),
                    None => break,
                },
                // A `switch`, whose first case mostly follows, with the same frame.
                FlowControl::IndirectBranch => {}
                // `syscall` is one of these.
                FlowControl::Interrupt if instruction.mnemonic() == Mnemonic::Syscall => {}
                _ => break,
            }
            at = instruction.next_ip();
        }
    }
    None
}

impl Way {
    fn follow(&mut self, instruction: &Instruction) {
        let (first, second) = (instruction.op0_register(), instruction.op1_register());
        match instruction.mnemonic() {
            Mnemonic::Leave => {
                self.sp = self.frame;
                self.pop(Register::RBP);
            }
            Mnemonic::Pop => self.pop(first),
            Mnemonic::Mov if first == Register::RSP => {
                self.sp = self.frame.filter(|_| second == Register::RBP);
            }
            Mnemonic::Mov if first == Register::RBP => self.frame = self.sp.filter(|_| second == Register::RSP),
            Mnemonic::Lea if first == Register::RSP => {
                let base = match instruction.memory_base() {
                    Register::RSP => self.sp,
                    Register::RBP => self.frame,
                    _ => None,
                };
                let plain = instruction.memory_index() == Register::None;
                let by = instruction.memory_displacement64() as i64;
                self.sp = base.filter(|_| plain).map(|base| base.plus(by));
            }
            Mnemonic::Add | Mnemonic::Sub if first == Register::RSP => {
                let by = instruction.try_immediate(1).ok().map(|by| by as i64);
                let by = if instruction.mnemonic() == Mnemonic::Add { by } else { by.map(i64::wrapping_neg) };
                self.sp = self.sp.zip(by).map(|(sp, by)| sp.plus(by));
            }
            _ if first == Register::RSP && instruction.op0_kind() == iced_x86::OpKind::Register => {
                // `cmp` and `test` change nothing; all else does what cannot be followed.
                if !matches!(instruction.mnemonic(), Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push) {
                    self.sp = None;
                } else if instruction.mnemonic() == Mnemonic::Push {
                    self.sp = self.sp.map(|sp| sp.plus(-8));
                }
            }
            _ if instruction.is_stack_instruction() => {
                let by = i64::from(instruction.stack_pointer_increment());
                self.sp = self.sp.map(|sp| sp.plus(by));
            }
            _ => {}
        }
    }

    fn pop(&mut self, register: Register) {
        if let (Some(number), Some(place)) = (dwarf(register), self.sp)
            && KEPT.contains(&number)
        {
            self.popped.retain(|(known, _)| *known != number);
            self.popped.push((number, place));
        }
        if register == Register::RBP {
            self.frame = None;
        }
        self.sp = self.sp.map(|sp| sp.plus(8));
    }

    /// The rules for where the way began; it has come to a `ret`.
    fn row(&self, pc: u64) -> Option<Row> {
        let sp = self.sp?;
        let cfa = CfaRule::Register(sp.base, sp.offset.wrapping_add(8));
        // What lies below the stack pointer is still to be pushed on the way.
        let is_there = |place: &Place| place.base != RSP || place.offset >= 0;
        let saved = self.popped.iter().filter(|(_, place)| is_there(place));
        let saved = saved.map(|(number, place)| (*number, RegisterRule::Expression(place_expression(*place))));
        Some(row(cfa, saved.chain([(RIP, RegisterRule::Offset(-8))]).collect(), pc))
    }
}

/// `DW_OP_bregN offset` (DWARF 5, section 2.5.1.2).
fn place_expression(place: Place) -> std::sync::Arc<[u8]> {
    let mut bytes = vec![gimli::constants::DW_OP_breg0.0 + place.base as u8];
    let mut rest = place.offset;
    loop {
        let (low, sign) = ((rest & 0x7f) as u8, rest & 0x40 != 0);
        rest >>= 7;
        if rest == 0 && !sign || rest == -1 && sign {
            bytes.push(low);
            return bytes.into();
        }
        bytes.push(low | 0x80);
    }
}

fn row(cfa: CfaRule, registers: Vec<(u16, RegisterRule)>, start: u64) -> Row {
    Row {
        function: (LinkAddr(start), LinkAddr(start)),
        cfa,
        registers,
        return_register: RIP,
        is_signal: false,
        encoding: ENCODING,
    }
}

const ENCODING: Encoding = Encoding { format: gimli::Format::Dwarf32, version: 4, address_size: 8 };

fn decode(at: u64, read: &Code<'_>) -> Option<Instruction> {
    let mut bytes = [0; LONGEST_INSTRUCTION];
    let got = read(at, &mut bytes).min(bytes.len());
    let instruction = Decoder::with_ip(64, &bytes[..got], at, DecoderOptions::NONE).decode();
    (!instruction.is_invalid()).then_some(instruction)
}

/// Where the direct call that ends right before an address goes to (`call rel32`: e8 and how far it is from there). Asked of each
/// frame, so it is read by hand: a decoder of all instructions takes longer to come up than a stack to walk.
pub fn called_before(addr: u64, read: &Code<'_>) -> Option<u64> {
    let mut call = [0; 5];
    let is_whole = read(addr.checked_sub(5)?, &mut call) == call.len();
    let [0xe8, distance @ ..] = call else { return None };
    is_whole.then(|| addr.wrapping_add_signed(i32::from_le_bytes(distance).into()))
}

/// The jumps of a function that leave it: where each ends, and where it goes to. `None`: it is too long, or is no code.
pub fn jumps_out(start: u64, end: u64, read: &Code<'_>) -> Option<Vec<(u64, u64)>> {
    const LONGEST: u64 = 64 << 10;
    let length = end.checked_sub(start).filter(|length| *length <= LONGEST)? as usize;
    let mut bytes = vec![0; length];
    if read(start, &mut bytes) < length {
        return None;
    }
    let mut decoder = Decoder::with_ip(64, &bytes, start, DecoderOptions::NONE);
    let mut jumps = Vec::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            return None;
        }
        let to = match instruction.flow_control() {
            FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => instruction.near_branch_target(),
            _ => continue,
        };
        if !(start..end).contains(&to) {
            jumps.push((instruction.next_ip(), to));
        }
    }
    Some(jumps)
}

/// Whether a call ends right before an address. Calls have two to seven bytes, a prefix not counted.
pub fn is_behind_call(addr: u64, read: &Code<'_>) -> bool {
    (2..=8).any(|length| {
        let at = addr.wrapping_sub(length);
        decode(at, read).is_some_and(|one| one.mnemonic() == Mnemonic::Call && one.next_ip() == addr)
    })
}

/// The rules where a signal handler returns to rt_sigreturn(2): `mov $15, %rax; syscall`, or with `%eax` as Go has it. The kernel
/// has put `struct ucontext` at the stack pointer (`struct rt_sigframe`, arch/x86/include/asm/sigframe.h); the registers begin
/// 40 bytes into it in the order of `struct sigcontext_64`.
pub fn is_signal_return(pc: u64, read: &Code<'_>) -> Option<Row> {
    const LONG: [u8; 9] = [0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05];
    const SHORT: [u8; 7] = [0xb8, 15, 0, 0, 0, 0x0f, 0x05];
    const ORDER: [u16; 17] = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, RSP, RIP];
    let mut bytes = [0; 9];
    let is_at = |at: u64, bytes: &mut [u8; 9]| {
        let got = read(at, bytes).min(bytes.len());
        bytes[..got].starts_with(&LONG) || bytes[..got].starts_with(&SHORT)
    };
    // At its beginning, or at the `syscall`.
    if ![0, 7, 5].iter().any(|back| is_at(pc.wrapping_sub(*back), &mut bytes)) {
        return None;
    }
    let place = |index: usize| place_expression(Place { base: RSP, offset: 40 + 8 * index as i64 });
    let mut cfa = place(15).to_vec();
    cfa.push(gimli::constants::DW_OP_deref.0);
    let registers = ORDER.iter().enumerate();
    let registers = registers.map(|(index, number)| (*number, RegisterRule::Expression(place(index)))).collect();
    Some(Row { is_signal: true, ..row(CfaRule::Expression(cfa.into()), registers, pc) })
}

/// The DWARF number of a 64-bit general register.
fn dwarf(register: Register) -> Option<u16> {
    Some(match register {
        Register::RAX => 0,
        Register::RDX => 1,
        Register::RCX => 2,
        Register::RBX => 3,
        Register::RSI => 4,
        Register::RDI => 5,
        Register::RBP => RBP,
        Register::RSP => RSP,
        Register::R8 => 8,
        Register::R9 => 9,
        Register::R10 => 10,
        Register::R11 => 11,
        Register::R12 => 12,
        Register::R13 => 13,
        Register::R14 => 14,
        Register::R15 => 15,
        _ => return None,
    })
}
