//! Names and locations: which place an address is, in words for people, and which addresses a person's words mean. Today
//! places are offsets in modules; symbols and lines come in here and nowhere else. Changes nothing.

use std::cell::OnceCell;

use schemars::JsonSchema;
use serde::Serialize;

use super::Session;
use super::failure::Failure;
use crate::addr::RuntimeAddr;
use crate::symbols::Store;
use crate::target::expr::{EvalError, Expr, SyntaxError, Value};
use crate::target::{Mapping, Mappings, Modules, Process, RegisterId, Scene};

/// The names of a process at one moment: built once for each command that shows or takes addresses.
#[derive(Clone, Debug, Default)]
pub struct Locations {
    mappings: Mappings,
    modules: Modules,
    /// The process's own name and its program's path, which may differ: a program can be run by a link's name.
    program: Option<(String, String)>,
}

/// What is known of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Place {
    /// The address.
    pub address: RuntimeAddr,
    /// The file or kernel object that is mapped there, by its path; null for memory of no file.
    pub module: Option<String>,
    /// How far the address is from the module's lowest mapping.
    pub module_offset: Option<u64>,
    /// The function or variable, once symbols are read.
    pub symbol: Option<String>,
    /// How far the address is behind the symbol's beginning.
    pub offset: Option<u64>,
}

impl Locations {
    /// Of a process now. A process without memory has no names. No file is read before a name is asked for.
    pub fn of(process: &Process, store: &Store) -> Locations {
        let program = process.program().map(|path| (process.name().to_owned(), path));
        let mappings = process.mappings().unwrap_or_default();
        Locations { modules: Modules::of(process.pid(), &mappings, store), mappings, program }
    }

    /// Of mappings that have been read already.
    pub fn new(mappings: Mappings) -> Locations {
        Locations { mappings, modules: Modules::default(), program: None }
    }

    /// The mappings behind it.
    pub fn mappings(&self) -> &Mappings {
        &self.mappings
    }

    /// The files behind it.
    pub fn modules(&self) -> &Modules {
        &self.modules
    }

    /// What is mapped at an address; `None` if nothing is.
    pub fn place(&self, address: RuntimeAddr) -> Option<Place> {
        let mapping = self.mappings.find(address)?;
        let offset = address.0 - self.mappings.base_of(mapping).0;
        let module_offset = mapping.name.as_ref().map(|_| offset);
        let found = self.modules.symbol_at(address);
        let (symbol, offset) = found.map(|(symbol, start)| (symbol.name.to_string(), address.0 - start.0)).unzip();
        Some(Place { address, module: mapping.name.clone(), module_offset, symbol, offset })
    }

    /// The same, with nothing known but the address where nothing is mapped.
    pub fn place_or_bare(&self, address: RuntimeAddr) -> Place {
        let bare = || Place { address, module: None, module_offset: None, symbol: None, offset: None };
        self.place(address).unwrap_or_else(bare)
    }

    /// The place for people, without the address: `libc.so.6+0x23`, `[stack]+0x1f0`, `[anon]+0x10`; `None` if nothing is
    /// mapped there.
    pub fn words(&self, address: RuntimeAddr) -> Option<String> {
        let mapping = self.mappings.find(address)?;
        if let Some((symbol, start)) = self.modules.symbol_at(address) {
            let offset = address.0 - start.0;
            return Some(if offset == 0 { symbol.name.to_string() } else { format!("{}+{offset:#x}", symbol.name) });
        }
        let offset = address.0 - self.mappings.base_of(mapping).0;
        let name = mapping.name.as_deref().map_or("[anon]", file_name);
        Some(if offset == 0 { name.to_owned() } else { format!("{name}+{offset:#x}") })
    }

    /// Where a module begins, by its file name or path (the program also by the process's own name), or a symbol lies.
    pub fn symbol(&self, name: &str) -> Option<RuntimeAddr> {
        let module = |name: &str| {
            let is_called = |mapping: &&Mapping| {
                let path = mapping.name.as_deref().map(|path| path.trim_end_matches(" (deleted)"));
                path.is_some_and(|path| path == name || file_name(path) == name)
            };
            self.mappings.iter().find(is_called).map(|mapping| mapping.start)
        };
        let program = self.program.as_ref().filter(|(own, _)| own == name);
        let function = |name: &str| {
            self.modules.iter().find_map(|module| {
                let (file, bias) = module.module()?;
                file.symbols_named(name).first().map(|symbol| bias.runtime(symbol.start))
            })
        };
        module(name).or_else(|| module(program?.1.trim_end_matches(" (deleted)"))).or_else(|| function(name))
    }
}

/// The last part of a path; the kernel's own names are whole.
pub fn file_name(path: &str) -> &str {
    if path.starts_with('[') { path } else { path.rsplit('/').next().unwrap_or(path) }
}

/// The addresses that a location means: `*EXPR`, `0x1234`, `$pc+4` or any other expression, `MODULE+OFFSET` as listings
/// print it. Several, once a line or an inlined function can lie in several places.
pub fn resolve(session: &Session, text: &str) -> anyhow::Result<Vec<RuntimeAddr>> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Failure::hinted("a location is missing", HINT).into());
    }
    let locations = session.locations();
    if let Some(address) = module_offset(&locations, text) {
        return Ok(vec![address]);
    }
    let (stars, inner) = text.strip_prefix('*').map_or((0, text), |inner| (1, inner));
    let expr = Expr::parse(inner).map_err(|error| not_understood(text, &error.moved(stars)))?;
    let value = session.evaluate_with(&expr, Some(&locations)).map_err(|error| failure("find", text, &error))?;
    Ok(vec![RuntimeAddr(value.bits())])
}

/// The address of a location that names a module; for breakpoints in a program that was just executed.
pub fn locate(mappings: &Mappings, text: &str) -> Option<RuntimeAddr> {
    module_offset(&Locations::new(mappings.clone()), text.trim().trim_start_matches('*'))
}

const HINT: &str = "locations are *0x1234, *$pc+4, libc.so.6+0x1234";

/// `redis-server+0x10`: a name that is mapped may hold any characters.
fn module_offset(locations: &Locations, text: &str) -> Option<RuntimeAddr> {
    let (name, offset) = text.rsplit_once('+')?;
    let base = locations.symbol(name.trim().trim_matches(['\'', '"']))?;
    let digits = offset.trim().strip_prefix("0x")?;
    let offset = u64::from_str_radix(digits, 16).ok()?;
    Some(RuntimeAddr(base.0.wrapping_add(offset)))
}

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
    /// The names of the current process now; none if there is no process.
    pub fn locations(&self) -> Locations {
        self.current().map(|process| Locations::of(process, &self.symbols)).unwrap_or_default()
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Pid;

    #[test]
    fn places_and_names_are_each_others_opposite() {
        let own = Pid(std::process::id() as i32);
        let locations = Locations::new(Mappings::of(own).expect("own mappings"));
        let here = RuntimeAddr(places_and_names_are_each_others_opposite as *const () as u64);
        let words = locations.words(here).expect("code is mapped");
        assert_eq!(module_offset(&locations, &words), Some(here), "{words}");
        let place = locations.place(here).expect("code is mapped");
        let module = place.module.expect("a file");
        assert_eq!(locations.symbol(&module).map(|base| base.0 + place.module_offset.unwrap_or(0)), Some(here.0));
        assert_eq!(locations.symbol(file_name(&module)), locations.symbol(&module));
        assert_eq!((locations.words(RuntimeAddr(1)), locations.symbol("no such module")), (None, None));
        assert!(locations.symbol("[stack]").is_some());
    }
}
