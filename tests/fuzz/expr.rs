//! Fuzz target: any text as an expression and as an assignment, evaluated on memory and registers that have anything.
#![no_main]

use godbg::addr::RuntimeAddr;
use godbg::target::RegisterId;
use godbg::target::expr::{Assignment, EvalError, Expr, Machine, Source, Type, Value};
use libfuzzer_sys::fuzz_target;

/// Answers everything, with numbers that differ.
struct Anything(u64);

impl Machine for Anything {
    fn register(&mut self, register: RegisterId) -> Result<u64, EvalError> {
        self.0 = self.0.rotate_left(7) ^ u64::from(register.size);
        Ok(self.0)
    }

    fn read(&mut self, addr: RuntimeAddr, buffer: &mut [u8]) -> Result<(), EvalError> {
        assert!(buffer.len() <= 8);
        buffer.iter_mut().zip(addr.0..=u64::MAX).for_each(|(byte, at)| *byte = at as u8);
        Ok(())
    }

    fn variable(&mut self, name: &str) -> Option<Value> {
        (name.len() % 3 > 0).then(|| Value::new(name.len() as u64, Type::I64))
    }

    fn symbol(&mut self, name: &str) -> Option<u64> {
        (name.len() % 4 > 0).then_some(0x1000)
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(expr) = Expr::parse(text) {
        let value = expr.eval(&mut Anything(0));
        // Looking the names up first changes nothing, but that one may be missing which is not needed.
        if let (Ok(value), Ok(compiled)) = (value, expr.clone().with_symbols(&mut Anything(0))) {
            assert_eq!(compiled.eval(&mut Anything(0)).ok(), Some(value));
        }
        if let Some(address) = expr.as_address() {
            let _ = address.eval(&mut Anything(3));
        }
    }
    if let Ok((expr, rest)) = Expr::parse_prefix(text) {
        assert!(text.ends_with(rest));
        let _ = expr.eval(&mut Anything(1));
    }
    if let Ok(Assignment { source, .. }) = Assignment::parse(text)
        && !matches!(source, Source::Float(_))
    {
        let _ = source.values(&mut Anything(2));
    }
});
