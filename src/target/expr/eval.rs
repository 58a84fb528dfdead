//! Evaluation: the compiled form, and what each operation does to a stack of fixed size. What an expression names it asks
//! of a [`Machine`].

use super::Expr;
use super::error::EvalError;
use super::types::{Type, Value};
use crate::addr::RuntimeAddr;
use crate::target::RegisterId;

/// What expressions are evaluated on. Its answers are asked for in the order in which they are needed: what `&&` and `||`
/// leave out is not.
pub trait Machine {
    /// A register's bits, without a sign: one of at most 8 bytes, and no floating-point number.
    fn register(&mut self, register: RegisterId) -> Result<u64, EvalError>;
    /// Fills a buffer of at most 8 bytes from memory.
    fn read(&mut self, addr: RuntimeAddr, buffer: &mut [u8]) -> Result<(), EvalError>;
    /// A convenience variable by its name without the `$`: `foo`, `_`, `__`, and of the history `1`, `` (the last), `$`
    /// (the one before), `$2`.
    fn variable(&mut self, name: &str) -> Option<Value>;
    /// Where a module begins or a symbol lies.
    fn symbol(&mut self, name: &str) -> Option<u64>;
}

/// How many values an expression may hold at once.
pub(super) const DEEPEST: usize = 64;

/// One operation, in the order of evaluation.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Op {
    Push(Value),
    Register(RegisterId, Type),
    /// By its index among the names.
    Variable(u32),
    Symbol(u32),
    /// `*`
    Load,
    Cast(Type),
    Negate,
    /// `+` in front: only the type is promoted.
    Promote,
    Not,
    Complement,
    /// With the column of the operator.
    Binary(Binary, u32),
    /// Any value to 0 or 1.
    Truth,
    /// Takes a value away.
    Drop,
    Jump(u32),
    /// Takes the value away and goes on elsewhere if it was 0.
    JumpIfFalse(u32),
    /// Looks at the value, which stays if the jump is made.
    JumpIfStillFalse(u32),
    JumpIfStillTrue(u32),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Binary {
    Multiply,
    Divide,
    Remainder,
    Add,
    Subtract,
    ShiftLeft,
    ShiftRight,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    Unequal,
    And,
    Xor,
    Or,
}

impl Op {
    /// By how much the stack grows.
    pub fn growth(self) -> isize {
        match self {
            Op::Push(_) | Op::Register(..) | Op::Variable(_) | Op::Symbol(_) => 1,
            Op::Binary(..) | Op::Drop | Op::JumpIfFalse(_) => -1,
            _ => 0,
        }
    }
}

/// Runs the operations. The parser has proven that the stack suffices and is never empty where a value is taken.
pub(super) fn run(expr: &Expr, machine: &mut dyn Machine) -> Result<Value, EvalError> {
    let zero = Value::new(0, Type::I64);
    let mut stack = [zero; DEEPEST];
    // One above the top.
    let mut top = 0;
    let mut at = 0;
    while let Some(op) = expr.ops.get(at) {
        at += 1;
        match *op {
            Op::Push(value) => push(&mut stack, &mut top, value),
            Op::Register(register, ty) => {
                let value = Value::new(machine.register(register)?, ty);
                push(&mut stack, &mut top, value);
            }
            Op::Variable(name) => {
                let name = &expr.names[name as usize];
                let value = machine.variable(name).ok_or_else(|| EvalError::NoVariable(name.to_string()))?;
                push(&mut stack, &mut top, value);
            }
            Op::Symbol(name) => {
                let value = symbol(&expr.names[name as usize], machine)?;
                push(&mut stack, &mut top, value);
            }
            Op::Load => stack[top - 1] = load(stack[top - 1], machine)?,
            Op::Cast(ty) => stack[top - 1] = Value::new(stack[top - 1].bits(), ty),
            Op::Negate => stack[top - 1] = unary(stack[top - 1], u64::wrapping_neg),
            Op::Promote => stack[top - 1] = unary(stack[top - 1], |bits| bits),
            Op::Complement => stack[top - 1] = unary(stack[top - 1], |bits| !bits),
            Op::Not => stack[top - 1] = truth(!stack[top - 1].is_true()),
            Op::Truth => stack[top - 1] = truth(stack[top - 1].is_true()),
            Op::Binary(operator, column) => {
                top -= 1;
                stack[top - 1] = binary(operator, stack[top - 1], stack[top], column)?;
            }
            Op::Drop => top -= 1,
            Op::Jump(target) => at = target as usize,
            Op::JumpIfFalse(target) => {
                top -= 1;
                if !stack[top].is_true() {
                    at = target as usize;
                }
            }
            Op::JumpIfStillFalse(target) if !stack[top - 1].is_true() => at = target as usize,
            Op::JumpIfStillTrue(target) if stack[top - 1].is_true() => at = target as usize,
            Op::JumpIfStillFalse(_) | Op::JumpIfStillTrue(_) => {}
        }
    }
    Ok(stack[0])
}

fn push(stack: &mut [Value; DEEPEST], top: &mut usize, value: Value) {
    stack[*top] = value;
    *top += 1;
}

/// The value of a name. `a-b` is the name where there is one, and the difference of two where not.
pub(super) fn symbol(name: &str, machine: &mut dyn Machine) -> Result<Value, EvalError> {
    if let Some(addr) = machine.symbol(name) {
        return Ok(Value::address(addr));
    }
    let missing = || EvalError::NoSymbol(name.to_owned());
    let mut parts = name.split('-').map(|part| machine.symbol(part));
    let first = parts.next().flatten().ok_or_else(missing)?;
    let bits = parts.try_fold(first, |sum, part| Some(sum.wrapping_sub(part?))).ok_or_else(missing)?;
    Ok(Value::new(bits, Type::I64))
}

fn load(address: Value, machine: &mut dyn Machine) -> Result<Value, EvalError> {
    let ty = address.ty().pointee();
    let mut bytes = [0; 8];
    machine.read(RuntimeAddr(address.bits()), &mut bytes[..usize::from(ty.size().min(8))])?;
    Ok(Value::new(u64::from_le_bytes(bytes), ty))
}

fn truth(holds: bool) -> Value {
    Value::new(holds.into(), Type::I32)
}

/// C's promotion, to 64 bits: only an unsigned value of 64 bits stays without a sign.
fn promoted(value: Value) -> Type {
    if value.ty().size() == 8 && !value.ty().is_signed() { Type::U64 } else { Type::I64 }
}

fn unary(value: Value, operate: impl Fn(u64) -> u64) -> Value {
    Value::new(operate(value.bits()), promoted(value))
}

/// One of C's operators on 64 bits, wrapping.
pub(super) fn binary(operator: Binary, left: Value, right: Value, column: u32) -> Result<Value, EvalError> {
    let (a, b) = (left.bits(), right.bits());
    let unsigned = promoted(left) == Type::U64 || promoted(right) == Type::U64;
    let ty = if unsigned { Type::U64 } else { Type::I64 };
    let less = |a: u64, b: u64| if unsigned { a < b } else { (a as i64) < (b as i64) };
    let bits = match operator {
        Binary::Add | Binary::Subtract if left.ty().is_pointer() || right.ty().is_pointer() => {
            return Ok(pointer_sum(operator, left, right));
        }
        Binary::Add => a.wrapping_add(b),
        Binary::Subtract => a.wrapping_sub(b),
        Binary::Multiply => a.wrapping_mul(b),
        Binary::Divide | Binary::Remainder if b == 0 => return Err(EvalError::DivisionByZero { column }),
        Binary::Divide if unsigned => a / b,
        Binary::Divide => (a as i64).wrapping_div(b as i64) as u64,
        Binary::Remainder if unsigned => a % b,
        Binary::Remainder => (a as i64).wrapping_rem(b as i64) as u64,
        Binary::And => a & b,
        Binary::Xor => a ^ b,
        Binary::Or => a | b,
        Binary::ShiftLeft | Binary::ShiftRight => return Ok(shifted(operator, left, b)),
        Binary::Less => return Ok(truth(less(a, b))),
        Binary::LessOrEqual => return Ok(truth(!less(b, a))),
        Binary::Greater => return Ok(truth(less(b, a))),
        Binary::GreaterOrEqual => return Ok(truth(!less(a, b))),
        Binary::Equal => return Ok(truth(equal(left, right))),
        Binary::Unequal => return Ok(truth(!equal(left, right))),
    };
    Ok(Value::new(bits, ty))
}

/// A shift by 64 and more shifts everything out; in C it would mean nothing.
fn shifted(operator: Binary, left: Value, count: u64) -> Value {
    let ty = promoted(left);
    let within = u32::try_from(count).ok().filter(|count| *count < 64);
    let bits = match (operator, within) {
        (Binary::ShiftLeft, Some(count)) => left.bits() << count,
        (Binary::ShiftLeft, None) => 0,
        (_, count) if ty == Type::I64 => ((left.bits() as i64) >> count.unwrap_or(63)) as u64,
        (_, Some(count)) => left.bits() >> count,
        (_, None) => 0,
    };
    Value::new(bits, ty)
}

/// Whether two values are the same. A narrow signed one equals its unsigned image too: `$al == 0xff` and `$al == -1` mean
/// the same byte, and who writes either of them is not to be told that it never holds.
fn equal(left: Value, right: Value) -> bool {
    let image = |narrow: Value, other: Value| {
        let bits = 8 * u32::from(narrow.ty().size());
        narrow.ty().is_signed()
            && bits < 64
            && other.bits() >> bits == 0
            && narrow.bits() << (64 - bits) == other.bits() << (64 - bits)
    };
    left.bits() == right.bits() || image(left, right) || image(right, left)
}

/// As in C, a typed pointer moves by what it points to, and two of them are so many apart.
fn pointer_sum(operator: Binary, left: Value, right: Value) -> Value {
    let (a, b) = (left.bits(), right.bits());
    match (operator, left.ty().is_pointer(), right.ty().is_pointer()) {
        (Binary::Subtract, true, true) => {
            let stride = if left.ty().stride() == right.ty().stride() { left.ty().stride() } else { 1 };
            Value::new((a.wrapping_sub(b) as i64).wrapping_div(stride as i64) as u64, Type::I64)
        }
        (Binary::Subtract, true, false) => Value::new(a.wrapping_sub(b.wrapping_mul(left.ty().stride())), left.ty()),
        (Binary::Subtract, ..) => Value::new(a.wrapping_sub(b), Type::U64),
        (_, true, false) => Value::new(a.wrapping_add(b.wrapping_mul(left.ty().stride())), left.ty()),
        (_, false, true) => Value::new(b.wrapping_add(a.wrapping_mul(right.ty().stride())), right.ty()),
        _ => Value::new(a.wrapping_add(b), Type::U64),
    }
}
