//! Integer expressions as gdb's users write them: `$rsp+8`, `*(u32*)($rdi+16) == 3 && $al != 0`, `libc.so.6+0x1234`. Text
//! is compiled once and evaluated as often as one likes without allocating. Knows no process: what an expression names it
//! asks of a [`Machine`].

mod assign;
mod error;
mod eval;
mod lexer;
mod parser;
mod types;
mod variables;

pub use assign::{Assignment, Place, Source};
pub use error::{EvalError, SyntaxError};
pub use eval::Machine;
pub use types::{Type, Value};
pub use variables::Variables;

use eval::Op;

/// A compiled expression.
///
/// Grammar and precedence are C's: `?:  ||  &&  |  ^  &  == !=  < <= > >=  << >>  + -  * / %`, the prefixes
/// `- + ! ~ * (TYPE) {TYPE}`, and `[ ]` behind a typed pointer. Arithmetic is of 64 bits and wraps; it is unsigned where
/// one operand is an unsigned value of 64 bits, as in C. The value of a symbol is its address, with `&` before it or without. `*ADDR` of a bare number reads 8 bytes without a sign.
#[derive(Clone, PartialEq, Debug)]
pub struct Expr {
    ops: Box<[Op]>,
    names: Box<[Box<str>]>,
    text: Box<str>,
}

impl Expr {
    /// Compiles all of a text.
    pub fn parse(text: &str) -> Result<Expr, SyntaxError> {
        parser::parse(text)
    }

    /// Compiles the longest expression that a text begins with, and gives the rest of the text: for commands that have more
    /// words behind it. A `-` or `(` behind a blank belongs to the expression.
    pub fn parse_prefix(text: &str) -> Result<(Expr, &str), SyntaxError> {
        parser::parse_prefix(text)
    }

    /// Its value. Never allocates unless it fails.
    pub fn eval(&self, machine: &mut dyn Machine) -> Result<Value, EvalError> {
        eval::run(self, machine)
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it names a register, which only a thread that stands still has.
    pub fn names_register(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Register(..)))
    }

    /// If it is one register and nothing else, which.
    pub fn as_register(&self) -> Option<super::RegisterId> {
        match *self.ops {
            [Op::Register(register, _)] => Some(register),
            _ => None,
        }
    }

    /// If it is one thing that stands in memory (`*(u32*)ADDR`, `{u8}ADDR`), the expression of its address: the type of that one's value
    /// points to it.
    pub fn as_address(&self) -> Option<Expr> {
        let [ops @ .., Op::Load] = &*self.ops else { return None };
        // Only one branch of `A ? *B : *C` ends here.
        if ops.iter().any(|op| matches!(*op, Op::Jump(target) if target as usize == self.ops.len())) {
            return None;
        }
        Some(Expr { ops: ops.into(), names: self.names.clone(), text: self.text.clone() })
    }

    /// The same with every `MODULE` and symbol looked up now, so that evaluating it again asks for none.
    pub fn with_symbols(mut self, machine: &mut dyn Machine) -> Result<Expr, EvalError> {
        for op in &mut self.ops {
            if let Op::Symbol(name) = *op {
                *op = Op::Push(eval::symbol(&self.names[name as usize], machine)?);
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
