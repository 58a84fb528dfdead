//! Carrying out an assignment: registers of the selected thread, memory, convenience variables. What does not fit is
//! refused; nothing is cut off silently.

use anyhow::Context as _;

use super::failure::Failure;
use super::locations::failure;
use super::{Session, numbers};
use crate::addr::{RuntimeAddr, Tid};
use crate::target::expr::{Assignment, Place, Source, Type, Value};
use crate::target::{Number, RegisterId};

/// What an assignment did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Assigned {
    /// A register of a thread was set.
    Register(Tid, RegisterId),
    /// A convenience variable was.
    Variable(String, Value),
    /// Memory was written, `bytes` at `addr`; `running`: while the process ran.
    Memory {
        /// Where.
        addr: RuntimeAddr,
        /// How many.
        bytes: usize,
        /// The value, where it is one number.
        value: Option<Value>,
        /// Whether the process ran meanwhile.
        running: bool,
    },
}

impl Session {
    /// Carries out an assignment. `text` is how it was written, for messages.
    pub fn assign(&mut self, assignment: &Assignment, text: &str) -> anyhow::Result<Assigned> {
        let cannot = |error| failure("set", text, &error);
        match &assignment.place {
            Place::Variable(name) => {
                let Source::Expr(expr) = &assignment.source else {
                    return Err(Failure::plain(format!("cannot set ${name}: it holds one number")).into());
                };
                let value = self.evaluate_with(expr, None).map_err(cannot)?;
                if !self.variables.set(name, value) {
                    let message = format!("cannot set ${name}: it is no name of a variable, or there are too many");
                    return Err(
                        Failure::hinted(message, "$foo, $i and $my_name are names; $1 and $ are the history").into()
                    );
                }
                Ok(Assigned::Variable(name.clone(), value))
            }
            Place::Register(register) => {
                let bytes = match &assignment.source {
                    Source::Float(number) => float_bytes(*number, register.size),
                    source => {
                        let values = self.with_scene(None, |scene| source.values(scene)).map_err(cannot)?;
                        register_bytes(*register, source, &values)?
                    }
                };
                self.set_register(*register, &bytes)
            }
            Place::Memory { address, element, count } => {
                let addr = RuntimeAddr(self.evaluate_with(address, None).map_err(cannot)?.bits());
                let values = self.with_scene(None, |scene| assignment.source.values(scene)).map_err(cannot)?;
                let bytes = memory_bytes(&assignment.source, &values, *element, *count)?;
                let value = matches!(assignment.source, Source::Expr(_)).then(|| Value::new(values[0], *element));
                self.write(addr, &bytes)?;
                let running = self.current().is_some_and(|process| process.held().is_none());
                Ok(Assigned::Memory { addr, bytes: bytes.len(), value, running })
            }
        }
    }

    /// Sets a register of the selected thread to bytes.
    fn set_register(&mut self, register: RegisterId, bytes: &[u8]) -> anyhow::Result<Assigned> {
        let selected = self.selected();
        let Some(process) = self.current() else {
            let message = format!("cannot set ${register}: no process is attached");
            return Err(Failure::hinted(message, "attach PID or exec PROGRAM").into());
        };
        if process.held().is_none() {
            let message = format!("cannot set ${register}: process {} runs", process.pid());
            return Err(Failure::hinted(message, "interrupt stops it").into());
        }
        let tid = selected.context("no thread is selected")?;
        if let Some(id) = self.parked_goroutine() {
            let message =
                format!("cannot set ${register}: goroutine {id} is on no thread, and the runtime keeps its registers");
            return Err(Failure::hinted(message, "thread N selects a thread").into());
        }
        if let Some(frame) = self.outer_frame() {
            let message =
                format!("cannot set ${register} in frame {}: it was saved by what the frame has called", frame.number);
            return Err(
                Failure::hinted(message, "frame 0 selects the innermost frame, whose registers can be set").into()
            );
        }
        let thread = process.stopped_thread(tid);
        let thread = thread.with_context(|| format!("cannot set ${register}: thread {tid} does not stand still"))?;
        thread.set_register(register, bytes)?;
        Ok(Assigned::Register(tid, register))
    }

    fn write(&mut self, addr: RuntimeAddr, bytes: &[u8]) -> anyhow::Result<()> {
        if self.current().is_none() {
            let message = format!("cannot write memory at {addr}: no process is attached");
            return Err(Failure::hinted(message, "attach PID or exec PROGRAM").into());
        }
        match self.process()?.write_memory(addr, bytes) {
            Err(crate::target::Fault::Bad { verb, addr, done, why }) if done > 0 => {
                let before =
                    if done == 1 { "the byte before it was".into() } else { format!("{done} bytes before it were") };
                Err(Failure::plain(format!("cannot {verb} memory at {addr}: {why}; {before} written")).into())
            }
            other => Ok(other?),
        }
    }
}

/// Whether a number fits into so many bytes, with or without a sign.
fn fits(bits: u64, size: u8) -> bool {
    let unused = 64 - 8 * u32::from(size.clamp(1, 8));
    bits << unused >> unused == bits || ((bits << unused) as i64 >> unused) as u64 == bits
}

fn too_large(bits: u64, size: u8, what: &str) -> Failure {
    let noun = if size == 1 { "byte" } else { "bytes" };
    Failure::plain(format!("{bits:#x} does not fit into {what}, which has {size} {noun}"))
}

/// The bytes of a register: one number, or for a vector as many as share it evenly.
fn register_bytes(register: RegisterId, source: &Source, values: &[u64]) -> Result<Vec<u8>, Failure> {
    let name = format!("${register}");
    let whole = usize::from(register.size);
    if matches!(source, Source::Text(_)) {
        return Err(Failure::plain(format!("cannot set {name} to a text: it takes numbers")));
    }
    if register.number != Number::Vector {
        let [value] = values else {
            return Err(Failure::plain(format!("{name} takes one number, not {}", values.len())));
        };
        // A flag is one bit.
        let is_flag = matches!(register.bank, crate::target::Bank::Flag(_));
        if is_flag && *value > 1 {
            return Err(Failure::plain(format!("{name} is a flag: it takes 0 or 1")));
        }
        if !fits(*value, register.size) {
            return Err(too_large(*value, register.size, &name));
        }
        return Ok(value.to_le_bytes()[..whole].to_vec());
    }
    if values.len() == 1 {
        let message = format!("{name} is a vector of {whole} bytes: it takes several numbers");
        return Err(Failure::hinted(
            message,
            format!("set {name}.v{}_int32[0] = N, or {name} = {{1, 2, …}}", whole / 4),
        ));
    }
    let size = whole.checked_div(values.len()).unwrap_or(0);
    if size * values.len() != whole || ![1, 2, 4, 8].contains(&size) {
        let message = format!("{name} has {whole} bytes: they cannot be shared by {} numbers", values.len());
        let hint = format!("as many as fit: {} of 4 bytes, {} of 8", whole / 4, whole / 8);
        return Err(Failure::hinted(message, hint));
    }
    elements(values, size as u8, &format!("a lane of {name}"))
}

fn elements(values: &[u64], size: u8, what: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::with_capacity(values.len() * usize::from(size));
    for value in values {
        if !fits(*value, size) {
            return Err(too_large(*value, size, what));
        }
        bytes.extend(&value.to_le_bytes()[..usize::from(size)]);
    }
    Ok(bytes)
}

fn float_bytes(number: f64, size: u8) -> Vec<u8> {
    match size {
        4 => (number as f32).to_le_bytes().to_vec(),
        8 => number.to_le_bytes().to_vec(),
        _ => numbers::to_float80(number).to_vec(),
    }
}

/// The bytes to be written: as many elements as were asked for. A text that is shorter is filled up with NUL, as in C.
fn memory_bytes(source: &Source, values: &[u64], element: Type, count: Option<usize>) -> Result<Vec<u8>, Failure> {
    let is_text = matches!(source, Source::Text(_));
    if is_text && element.size() != 1 {
        return Err(Failure::hinted(
            format!("a text cannot be written as {element}"),
            "set {char[N]}ADDRESS = \"TEXT\"",
        ));
    }
    let mut bytes = elements(values, element.size(), &element.to_string())?;
    match count {
        Some(count) if is_text && values.len() < count => bytes.resize(count, 0),
        Some(count) if values.len() != count => {
            return Err(Failure::plain(format!("{count} elements are to be set, and {} are given", values.len())));
        }
        // As gdb does: the bytes of a text where no length is said are the text's.
        _ => {}
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(fits(255, 1) && fits(u64::MAX, 1) && fits(-128i64 as u64, 1) && fits(u64::MAX, 8));
        assert!(!fits(256, 1) && !fits(-129i64 as u64, 1));
        let id = |name: &str| RegisterId::parse(name).expect(name);
        let list = Source::List(Vec::new());
        assert_eq!(register_bytes(id("ax"), &list, &[0x1234]), Ok(vec![0x34, 0x12]));
        assert!(register_bytes(id("al"), &list, &[0x1234]).is_err());
        assert!(register_bytes(id("zf"), &list, &[2]).is_err());
        assert!(register_bytes(id("rax"), &list, &[1, 2]).is_err());
        assert_eq!(register_bytes(id("xmm0"), &list, &[1, 2]).map(|bytes| bytes[8]), Ok(2));
        assert!(register_bytes(id("xmm0"), &list, &[1, 2, 3]).is_err());
        assert!(register_bytes(id("xmm0"), &list, &[1]).is_err());
    }

    #[test]
    fn memory_takes_as_many_elements_as_were_asked_for() {
        let u8 = Type::int(1, false);
        let text = Source::Text(b"ab".to_vec());
        assert_eq!(memory_bytes(&text, &[97, 98], u8, Some(4)), Ok(b"ab\0\0".to_vec()));
        assert_eq!(memory_bytes(&text, &[97, 98], u8, None), Ok(b"ab".to_vec()));
        assert!(memory_bytes(&text, &[97, 98], Type::I32, None).is_err());
        let list = Source::List(Vec::new());
        assert_eq!(memory_bytes(&list, &[1, 2], Type::int(2, false), Some(2)), Ok(vec![1, 0, 2, 0]));
        assert!(memory_bytes(&list, &[1, 2], u8, Some(3)).is_err());
        assert!(memory_bytes(&list, &[256], u8, None).is_err());
    }
}
