//! What can be wrong with an expression: how it is written, and what it asks of a process. Prints nothing.

use crate::addr::Pid;
use crate::target::{Fault, RegisterFault};

/// A text that is no expression.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct SyntaxError {
    /// Where, in characters counted from 1.
    pub column: usize,
    /// What was expected there and what was found.
    pub message: String,
}

impl SyntaxError {
    pub(super) fn new(column: usize, message: impl Into<String>) -> SyntaxError {
        SyntaxError { column, message: message.into() }
    }

    /// The same in a text of which this one begins behind `characters`.
    pub fn moved(mut self, characters: usize) -> SyntaxError {
        self.column += characters;
        self
    }
}

/// An expression that has no value now.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EvalError {
    /// The right side of `/` or `%` is 0.
    #[error("column {column}: division by zero")]
    DivisionByZero {
        /// Where the operator stands, in characters counted from 1.
        column: u32,
    },
    /// Nothing has set this convenience variable.
    #[error("${0} has no value: it is neither a register nor a variable that has been set")]
    NoVariable(String),
    /// Neither a module nor a symbol.
    #[error("no module or symbol is called {0:?}")]
    NoSymbol(String),
    /// A register that cannot be read or written now.
    #[error("${name}: {why}")]
    Register {
        /// Its name without the `$`.
        name: String,
        /// Why not.
        why: String,
    },
    /// A register of a thread that stands still.
    #[error(transparent)]
    Fault(#[from] RegisterFault),
    /// A register of a process that runs.
    #[error("${register}: process {process} runs, and only a thread that stands still has registers")]
    Running {
        /// The register's name without the `$`.
        register: String,
        /// The process.
        process: Pid,
    },
    /// Memory that cannot be read.
    #[error(transparent)]
    Memory(#[from] Fault),
    /// There is no process that has this register or memory.
    #[error("cannot read {0}: no process is attached")]
    Unattached(String),
}

impl EvalError {
    /// What the person can do, where something can be done.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            EvalError::Unattached(_) => Some("attach PID or exec PROGRAM"),
            EvalError::Running { .. } => Some("interrupt stops it"),
            EvalError::NoVariable(_) => Some("set $NAME = EXPR sets a variable; regs all lists the registers"),
            EvalError::NoSymbol(_) => {
                Some("maps lists the modules, functions and variables list names; odd ones are quoted: 'a b.so'+0x10")
            }
            _ => None,
        }
    }
}
