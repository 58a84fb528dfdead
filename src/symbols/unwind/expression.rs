//! DWARF expressions of unwind tables (DWARF 5, section 2.5, as restricted by 6.4.2). Bounded: no expression loops for long
//! or takes much memory.

use gimli::{
    Encoding, EndianSlice, EvaluationResult, EvaluationStorage, Expression, LittleEndian, Location, Piece, Value,
};

use super::registers::FrameRegisters;
use super::row::{ReadWord, StepError};
use crate::addr::{LinkAddr, LoadBias};

/// So many operations are made. Those of real tables have some dozen.
const MOST_OPERATIONS: u32 = 1000;

/// The result, an address or a value. `first`: what stands on the expression's stack at the beginning.
pub(super) fn evaluate(
    bytes: &[u8],
    encoding: Encoding,
    first: Option<u64>,
    registers: &FrameRegisters,
    bias: LoadBias,
    read: &ReadWord<'_>,
) -> Result<u64, StepError> {
    let expression = Expression(EndianSlice::new(bytes, LittleEndian));
    let mut run = gimli::Evaluation::<_, Bounded>::new_in(expression.0, encoding);
    run.set_max_iterations(MOST_OPERATIONS);
    if let Some(first) = first {
        run.set_initial_value(first);
    }
    let bad = |_| StepError::Malformed;
    let mut state = run.evaluate().map_err(bad)?;
    loop {
        state = match state {
            EvaluationResult::Complete => break,
            EvaluationResult::RequiresMemory { address, size, .. } => {
                let word = read_part(address, size, read).ok_or(StepError::Memory(address))?;
                run.resume_with_memory(Value::Generic(word)).map_err(bad)?
            }
            EvaluationResult::RequiresRegister { register, .. } => {
                let value = registers.get(register.0).ok_or(StepError::Register(register.0))?;
                run.resume_with_register(Value::Generic(value)).map_err(bad)?
            }
            EvaluationResult::RequiresRelocatedAddress(address) => {
                run.resume_with_relocated_address(bias.runtime(LinkAddr(address)).0).map_err(bad)?
            }
            _ => return Err(StepError::Malformed),
        };
    }
    match run.as_result() {
        [Piece { location: Location::Address { address }, .. }] => Ok(*address),
        _ => Err(StepError::Malformed),
    }
}

/// A number of up to eight bytes. Memory may end right behind it.
fn read_part(address: u64, size: u8, read: &ReadWord<'_>) -> Option<u64> {
    let bits = 8 * u32::from(size);
    if size == 0 || size > 8 {
        return None;
    }
    if let Some(word) = read(address) {
        return Some(if bits == 64 { word } else { word & ((1 << bits) - 1) });
    }
    let before = u64::from(8 - size);
    read(address.checked_sub(before)?).map(|word| word >> (8 * before))
}

/// The sizes of what an evaluation keeps: no heap, no growth.
struct Bounded;

impl<R: gimli::Reader> EvaluationStorage<R> for Bounded {
    type Stack = [Value; 64];
    type ExpressionStack = [(R, R); 1];
    type Result = [Piece<R>; 1];
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENCODING: Encoding = Encoding { format: gimli::Format::Dwarf32, version: 4, address_size: 8 };

    fn run(bytes: &[u8], registers: FrameRegisters) -> Result<u64, StepError> {
        evaluate(bytes, ENCODING, None, &registers, LoadBias(0), &|addr| {
            (addr == 0x1000).then_some(0x1122_3344_5566_7788)
        })
    }

    #[test]
    fn the_plt_rule_is_understood() {
        // DW_OP_breg7 (rsp) 8; breg16 (rip) 0; lit15; and; lit11; ge; lit3; shl; plus: what ld writes for .plt.
        let plt = [0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22];
        let at = |rip| FrameRegisters::default().with(7, 0x7000).with(16, rip);
        assert_eq!(run(&plt, at(0x400)), Ok(0x7008));
        assert_eq!(run(&plt, at(0x40b)), Ok(0x7010));
        assert_eq!(run(&plt, FrameRegisters::default()), Err(StepError::Register(7)));
    }

    #[test]
    fn memory_of_each_size_is_read() {
        assert_eq!(run(&[0x0a, 0x00, 0x10, 0x06], FrameRegisters::default()), Ok(0x1122_3344_5566_7788));
        assert_eq!(run(&[0x0a, 0x00, 0x10, 0x94, 2], FrameRegisters::default()), Ok(0x7788));
        assert_eq!(run(&[0x0a, 0x06, 0x10, 0x94, 2], FrameRegisters::default()), Ok(0x1122));
        assert_eq!(run(&[0x30, 0x06], FrameRegisters::default()), Err(StepError::Memory(0)));
    }

    #[test]
    fn loops_and_growth_end() {
        // DW_OP_skip -3: for ever. DW_OP_lit0 and skip -4: the stack grows.
        assert_eq!(run(&[0x2f, 0xfd, 0xff], FrameRegisters::default()), Err(StepError::Malformed));
        assert_eq!(run(&[0x30, 0x2f, 0xfc, 0xff], FrameRegisters::default()), Err(StepError::Malformed));
        assert_eq!(run(&[], FrameRegisters::default()), Err(StepError::Malformed));
        assert_eq!(run(&[0xff; 9], FrameRegisters::default()), Err(StepError::Malformed));
    }
}
