//! Expressions evaluated for commands: on the process's memory, the selected thread's registers, and names of symbols. Says
//! what could not be understood, and why. Changes nothing but the session's variables.

use std::cell::OnceCell;

use super::Locations;
use crate::addr::RuntimeAddr;
use crate::session::{Failure, Session};
use crate::target::expr::{EvalError, Expr, SyntaxError, Value};
use crate::target::{RegisterId, Scene};

/// Compiles an expression; the failure names it.
pub fn parse_expr(text: &str) -> Result<Expr, Failure> {
    Expr::parse(text).map_err(|error| not_understood(text, &error))
}

/// The failure of a text that is no expression.
pub fn not_understood(text: &str, error: &SyntaxError) -> Failure {
    let hint = "expressions are like $rsp+8, *(u32*)($rdi+16), libc.so.6+0x10 == $pc";
    Failure::usage(format!("cannot understand {:?}: {error}", short(text)), hint)
}

/// The failure of an expression that has no value now.
pub fn failure(verb: &str, text: &str, error: &EvalError) -> Failure {
    let message = format!("cannot {verb} {:?}: {error}", short(text));
    match error.hint() {
        Some(hint) => Failure::hinted(message, hint),
        None => Failure::plain(message),
    }
}

fn short(text: &str) -> String {
    let text = text.trim();
    let cut: String = text.chars().take(80).collect();
    if cut.len() < text.len() { cut + "…" } else { cut }
}

impl Session {
    /// The value of an expression: with the process's memory and the selected thread's registers, if there are any. A
    /// process that runs is read as it runs; registers fail then, with the hint to interrupt it.
    pub fn evaluate(&self, text: &str) -> anyhow::Result<Value> {
        Ok(self.evaluate_expr(&parse_expr(text)?)?)
    }

    /// The value of a compiled expression.
    pub fn evaluate_expr(&self, expr: &Expr) -> Result<Value, Failure> {
        self.evaluate_with(expr, None).map_err(|error| failure("evaluate", expr.text(), &error))
    }

    /// The value of a compiled expression, with names that are at hand already.
    pub fn evaluate_with(&self, expr: &Expr, locations: Option<&Locations>) -> Result<Value, EvalError> {
        self.with_scene(locations, |scene| expr.eval(scene))
    }

    /// Lends what expressions are evaluated on. Names are looked up when the first is asked for.
    pub fn with_scene<T>(&self, locations: Option<&Locations>, run: impl FnOnce(&mut Scene<'_>) -> T) -> T {
        let process = self.current();
        let own = OnceCell::new();
        let mut symbols = |name: &str| {
            let names = locations.unwrap_or_else(|| own.get_or_init(|| self.locations()));
            names.symbol(name).map(|address| address.0)
        };
        let scene = Scene::new(process, self.selected(), &self.variables, &mut symbols);
        run(&mut scene.in_frame(self.outer_frame()))
    }

    /// The bytes of any register of the selected thread, the lowest first.
    pub fn read_register(&self, register: RegisterId) -> anyhow::Result<Vec<u8>> {
        let cannot = |why: String, hint: &str| Failure::hinted(format!("cannot read ${register}: {why}"), hint);
        let attach = "attach PID or exec PROGRAM";
        let process = self.current().ok_or_else(|| cannot("no process is attached".into(), attach))?;
        if process.held().is_none() {
            return Err(cannot(format!("process {} runs", process.pid()), "interrupt stops it").into());
        }
        let tid = self.selected().ok_or_else(|| cannot("no thread is selected".into(), "threads lists them"))?;
        let thread = process.stopped_thread(tid);
        let stands = || cannot(format!("thread {tid} does not stand still"), "threads lists where each thread is");
        Ok(thread.ok_or_else(stands)?.register(register)?[..usize::from(register.size)].to_vec())
    }

    /// Notes what a command has examined last: `$_` is its address, `$__` what stands there, read as `ty`-typed `value`.
    pub fn note_examined(&mut self, address: RuntimeAddr, value: Option<Value>) {
        self.variables.note_examined(Value::address(address.0), value);
    }
}
