//! What unwind tables say at one address, as plain data, and how the caller's registers follow from it. Knows neither the
//! tables' formats nor where memory comes from.

use std::sync::Arc;

use gimli::Encoding;

use super::expression::evaluate;
use super::registers::{FrameRegisters, RSP};
use crate::addr::{LinkAddr, LoadBias};

/// Reads eight bytes of the program's memory, little-endian; `None` where that cannot be done.
pub type ReadWord<'a> = dyn Fn(u64) -> Option<u64> + 'a;

/// How the canonical frame address is found: the stack pointer before the call (DWARF 5, section 6.4.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CfaRule {
    /// A register and an offset.
    Register(u16, i64),
    /// A DWARF expression.
    Expression(Arc<[u8]>),
}

/// How a register of the caller is found (DWARF 5, section 6.4.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RegisterRule {
    /// It cannot be.
    Undefined,
    /// It is as it was.
    Same,
    /// It stands so far from the frame's address.
    Offset(i64),
    /// It is the frame's address with this added.
    ValueOffset(i64),
    /// It is in another register.
    Register(u16),
    /// It stands where a DWARF expression says.
    Expression(Arc<[u8]>),
    /// It is what a DWARF expression says.
    ValueExpression(Arc<[u8]>),
    /// It is this number.
    Constant(u64),
}

/// What holds for a range of addresses.
#[derive(Clone, Debug)]
pub struct Row {
    /// Where the function begins and ends, as its table entry says.
    pub function: (LinkAddr, LinkAddr),
    /// The frame's address.
    pub cfa: CfaRule,
    /// Rules of registers; those that are missing are kept by convention, or lost.
    pub registers: Vec<(u16, RegisterRule)>,
    /// The register in which the return address is found.
    pub return_register: u16,
    /// Whether the frame is the one that the kernel makes for a signal: the caller was interrupted and did not call.
    pub is_signal: bool,
    /// How expressions are written.
    pub encoding: Encoding,
}

/// The caller of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller {
    /// Its registers. The program counter is the return address.
    pub registers: FrameRegisters,
    /// The frame's address, of the frame whose caller it is.
    pub cfa: u64,
}

/// Why a rule gives no caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepError {
    /// The table says that there is none: the stack ends here.
    Outermost,
    /// Memory at an address cannot be read.
    Memory(u64),
    /// A register that is needed is not known.
    Register(u16),
    /// The table makes no sense.
    Malformed,
}

impl Row {
    /// The caller of the frame that has these registers. `bias`: how far the file was moved.
    pub fn caller(&self, registers: &FrameRegisters, bias: LoadBias, read: &ReadWord<'_>) -> Result<Caller, StepError> {
        let cfa = match &self.cfa {
            CfaRule::Register(number, offset) => {
                registers.get(*number).ok_or(StepError::Register(*number))?.wrapping_add_signed(*offset)
            }
            CfaRule::Expression(bytes) => evaluate(bytes, self.encoding, None, registers, bias, read)?,
        };
        let mut caller = registers.kept().with(RSP, cfa);
        let mut return_address = Err(StepError::Malformed);
        for (number, rule) in &self.registers {
            let value = self.value(*number, rule, cfa, registers, bias, read);
            if *number == self.return_register {
                return_address = value;
            }
            caller.set(*number, value.ok());
        }
        let pc = return_address?;
        caller.set(super::registers::RIP, Some(pc));
        Ok(Caller { registers: caller, cfa })
    }

    fn value(
        &self,
        number: u16,
        rule: &RegisterRule,
        cfa: u64,
        registers: &FrameRegisters,
        bias: LoadBias,
        read: &ReadWord<'_>,
    ) -> Result<u64, StepError> {
        let known = |number| registers.get(number).ok_or(StepError::Register(number));
        let at = |addr| read(addr).ok_or(StepError::Memory(addr));
        let evaluate = |bytes| evaluate(bytes, self.encoding, Some(cfa), registers, bias, read);
        match rule {
            RegisterRule::Undefined => Err(StepError::Outermost),
            RegisterRule::Same => known(number),
            RegisterRule::Offset(offset) => at(cfa.wrapping_add_signed(*offset)),
            RegisterRule::ValueOffset(offset) => Ok(cfa.wrapping_add_signed(*offset)),
            RegisterRule::Register(other) => known(*other),
            RegisterRule::Expression(bytes) => at(evaluate(bytes)?),
            RegisterRule::ValueExpression(bytes) => evaluate(bytes),
            RegisterRule::Constant(value) => Ok(*value),
        }
    }
}
