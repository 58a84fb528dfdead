//! The words of every debugger for what is measured. The one place to change when a command's syntax does.

use crate::caller::Caller;
use crate::tool::Tool;
use std::path::Path;

/// No pointer has this value, so that a condition which asks for it is never true.
const NEVER: &str = "0xffffffffffff";

/// As good as for ever: the target is ended long before.
const MANY_STEPS: &str = "1000000";
/// Delve takes no count: some seconds' worth.
const DELVE_STEPS: usize = 5000;

/// How a breakpoint is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Breakpoint {
    Software,
    Hardware,
}

/// A breakpoint on `work` with a condition that is never true, and on. `None`: the tool has no such thing.
pub fn false_condition(tool: Tool, kind: Breakpoint, caller: &Caller) -> Option<Vec<String>> {
    let work = caller.work;
    let (gdbs, lldbs) = match kind {
        Breakpoint::Software => ("break", "breakpoint set"),
        Breakpoint::Hardware => ("hbreak", "breakpoint set --hardware"),
    };
    let words = match tool {
        Tool::Godbg => [format!("{gdbs} *{work:#x} if $rdi == {NEVER}"), "continue".to_owned()].to_vec(),
        Tool::Gdb => {
            ["set pagination off".to_owned(), format!("{gdbs} *{work:#x} if $rdi == {NEVER}"), "continue".to_owned()]
                .to_vec()
        }
        Tool::Lldb => [format!("{lldbs} -a {work:#x} -c '$rdi == {NEVER}'"), "process continue".to_owned()].to_vec(),
        Tool::Delve if kind == Breakpoint::Software => {
            ["break main.work".to_owned(), format!("condition 1 n == {NEVER}"), "continue".to_owned()].to_vec()
        }
        _ => return None,
    };
    Some(words)
}

/// Steps through the calls of `work`.
pub fn many_steps(tool: Tool) -> Option<Vec<String>> {
    match tool {
        Tool::Godbg | Tool::Gdb => Some(vec![format!("stepi {MANY_STEPS}")]),
        Tool::Lldb => Some(vec![format!("thread step-inst -c {MANY_STEPS}")]),
        Tool::Delve => Some(vec!["step-instruction".to_owned(); DELVE_STEPS]),
        _ => None,
    }
}

/// Memory into a file.
pub fn dump(tool: Tool, file: &Path, start: u64, end: u64) -> Option<Vec<String>> {
    let file = file.display();
    match tool {
        Tool::Godbg => Some(vec![format!("dump {file} {start:#x} {end:#x}")]),
        Tool::Gdb => Some(vec![format!("dump binary memory {file} {start:#x} {end:#x}")]),
        Tool::Lldb => Some(vec![format!("memory read --force -b -o {file} {start:#x} {end:#x}")]),
        _ => None,
    }
}

/// The places of a text.
pub fn find(tool: Tool, start: u64, end: u64, text: &str) -> Option<Vec<String>> {
    match tool {
        Tool::Godbg | Tool::Gdb => Some(vec![format!("find {start:#x}, {:#x}, \"{text}\"", end - 1)]), // its end is the last byte
        Tool::Lldb => Some(vec![format!("memory find -s '{text}' -- {start:#x} {end:#x}")]),
        _ => None,
    }
}

/// A core of the living process.
pub fn core(tool: Tool, file: &Path) -> Option<Vec<String>> {
    let file = file.display();
    match tool {
        // It runs while it is written, as a process does that is looked at now and then: godbg holds it for the fork alone.
        Tool::Godbg => Some(vec!["continue &".to_owned(), format!("gcore {file}")]),
        Tool::Gdb => Some(vec![format!("gcore {file}")]),
        Tool::Lldb => Some(vec![format!("process save-core --plugin-name=minidump --style=full {file}")]),
        Tool::Delve => Some(vec![format!("dump {file}")]),
        _ => None,
    }
}
