//! What expressions are evaluated on: a process, one of its threads, and the session's variables. Memory can be read while
//! the process runs; registers only of a thread that stands still. Changes nothing.

use super::expr::{EvalError, Machine, Value, Variables};
use super::stacks::OuterFrame;
use super::{Process, RegisterId, Registers};
use crate::addr::{RuntimeAddr, Tid};

/// Where names of modules and symbols are looked up.
pub type Symbols<'a> = dyn FnMut(&str) -> Option<u64> + 'a;

/// A [`Machine`] of a process. A thread's registers are read once, when the first is asked for.
pub struct Scene<'a> {
    process: Option<&'a Process>,
    thread: Option<Tid>,
    registers: Option<Registers>,
    frame: Option<OuterFrame>,
    variables: &'a Variables,
    symbols: &'a mut Symbols<'a>,
}

impl<'a> Scene<'a> {
    /// Of a process, if there is one, and the thread whose registers are meant.
    pub fn new(
        process: Option<&'a Process>,
        thread: Option<Tid>,
        variables: &'a Variables,
        symbols: &'a mut Symbols<'a>,
    ) -> Scene<'a> {
        Scene { process, thread, registers: None, frame: None, variables, symbols }
    }

    /// With general registers that have been read already.
    pub fn with_registers(mut self, registers: Registers) -> Scene<'a> {
        self.registers = Some(registers);
        self
    }

    /// With the registers of an outer frame of that thread.
    pub fn in_frame(mut self, frame: Option<OuterFrame>) -> Scene<'a> {
        self.frame = frame;
        self
    }
}

impl Machine for Scene<'_> {
    fn register(&mut self, register: RegisterId) -> Result<u64, EvalError> {
        if let Some(frame) = &self.frame {
            let why =
                || format!("its value in frame {} is not known: nothing that was called has saved it", frame.number);
            return frame.get(register).ok_or_else(|| EvalError::Register { name: register.to_string(), why: why() });
        }
        if let Some(value) = self.registers.as_ref().and_then(|known| register.of_general(known)) {
            return Ok(value);
        }
        let fail = |why: &str| EvalError::Register { name: register.to_string(), why: why.to_owned() };
        let process = self.process.ok_or_else(|| EvalError::Unattached(format!("${register}")))?;
        let tid = self.thread.ok_or_else(|| fail("no thread is selected"))?;
        let thread = process.stopped_thread(tid).ok_or_else(|| match process.held() {
            Some(_) => fail(&format!("thread {tid} does not stand still")),
            None => EvalError::Running { register: register.to_string(), process: process.pid() },
        })?;
        if register.is_general() {
            let all = thread.registers().map_err(|errno| fail(errno.desc()))?;
            self.registers = Some(all);
            return register.of_general(&all).ok_or_else(|| fail("it cannot be read"));
        }
        let bytes = thread.register(register)?;
        Ok(bytes[..8].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn read(&mut self, addr: RuntimeAddr, buffer: &mut [u8]) -> Result<(), EvalError> {
        match self.process {
            Some(process) => Ok(process.read_memory(addr, buffer)?),
            None => Err(EvalError::Unattached(format!("memory at {addr}"))),
        }
    }

    fn variable(&mut self, name: &str) -> Option<Value> {
        self.variables.get(name)
    }

    fn symbol(&mut self, name: &str) -> Option<u64> {
        (self.symbols)(name)
    }
}
