//! The rules by which a caller's registers are found from a frame's: unwind tables of files, and what a function's code
//! tells where there are none. Knows no process: memory is what a closure reads.

mod code;
mod expression;
mod header;
mod registers;
mod row;
mod table;

pub use code::{Code, called_before, is_behind_call, is_signal_return, jumps_out, row_by_code};
pub use registers::{COUNT, FrameRegisters, KEPT, NAMES, RAX, RBP, RBX, RIP, RSP};
pub use row::{Caller, CfaRule, ReadWord, RegisterRule, Row, StepError};
pub use table::{Scratch, UnwindTables};
