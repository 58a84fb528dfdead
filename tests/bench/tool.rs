//! The tools that are compared: what they are called and need, and how one is told to do something to a process.
//!
//! Knows nothing of what is measured.

use crate::programs::{self, Programs};
use anyhow::Result;
use clap::ValueEnum;
use std::fs;
use std::path::PathBuf;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tool {
    /// `/bin/true`: what it costs to start a process, and how much a heartbeat wavers by itself
    Nothing,
    Bare,
    Godbg,
    Gdb,
    Lldb,
    Delve,
}

impl std::fmt::Display for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name()) // clap shows the defaults by it
    }
}

impl Tool {
    pub fn name(self) -> &'static str {
        match self {
            Tool::Nothing => "nothing",
            Tool::Bare => "bare",
            Tool::Godbg => "godbg",
            Tool::Gdb => "gdb",
            Tool::Lldb => "lldb",
            Tool::Delve => "delve",
        }
    }

    pub fn is_peer(self) -> bool {
        matches!(self, Tool::Gdb | Tool::Lldb | Tool::Delve)
    }

    /// Programs that must be on the PATH.
    pub fn needs(self) -> &'static [&'static str] {
        match self {
            Tool::Nothing | Tool::Bare | Tool::Godbg => &[],
            Tool::Gdb => &["gdb"],
            Tool::Lldb => &["lldb"],
            Tool::Delve => &["dlv", "go"],
        }
    }

    /// Every output of a [`session`] that did its work says this.
    pub fn proof(self) -> &'static str {
        match self {
            Tool::Nothing => "",
            Tool::Bare => "held=",
            Tool::Godbg | Tool::Gdb | Tool::Lldb => "detached",
            Tool::Delve => "Would you like to kill the process?",
        }
    }
}

/// Of `tools`, those that were asked for and are installed. What is missing is named once, where nobody can overlook it.
pub fn chosen(peers: &[Tool], only: &[Tool]) -> Vec<Tool> {
    let asked_for = |tool: &Tool| {
        let wanted = !tool.is_peer() || peers.contains(tool);
        wanted && (only.is_empty() || only.contains(tool))
    };
    let mut tools: Vec<Tool> = Tool::value_variants().iter().copied().filter(asked_for).collect();
    tools.retain(|tool| {
        let missing: Vec<&str> = tool.needs().iter().copied().filter(|needed| !programs::installed(needed)).collect();
        if !missing.is_empty() {
            println!("LEFT OUT: {} ({} not installed)", tool.name(), missing.join(", "));
        }
        missing.is_empty()
    });
    tools
}

/// A command line, and the file that is its standard input where it reads one.
pub struct Line {
    pub words: Vec<String>,
    pub input: Option<PathBuf>,
}

impl Line {
    pub fn new(words: &[&str]) -> Self {
        Self { words: words.iter().map(|&word| word.to_owned()).collect(), input: None }
    }
}

/// Attaches to `pid`, does `commands`, and lets it go. Only for debuggers.
pub fn session(programs: &Programs, tool: Tool, pid: u32, commands: &[String]) -> Result<Line> {
    let id = pid.to_string();
    let each = |flag: &str, commands: &[String]| -> Vec<String> {
        commands.iter().flat_map(|command| [flag.to_owned(), command.clone()]).collect()
    };
    let detach = [commands, &["detach".to_owned()]].concat();
    let mut line = match tool {
        Tool::Gdb => Line::new(&["gdb", "-nx", "-batch", "-p", &id]),
        Tool::Lldb => Line::new(&["lldb", "--no-lldbinit", "--script-language", "none", "-b"]),
        Tool::Delve => Line::new(&["dlv", "--allow-non-terminal-interactive=true", "attach", &id]),
        _ => Line::new(&[env!("CARGO_BIN_EXE_godbg"), "attach", &id, "-q", "--batch"]),
    };
    match tool {
        Tool::Gdb => line.words.extend(each("-ex", &detach)),
        Tool::Lldb => line.words.extend(each("-o", &[lean_lldb(pid), detach].concat())),
        Tool::Delve => {
            let input = programs.file("delve-input");
            fs::write(&input, [commands, &["exit\nn\n".to_owned()]].concat().join("\n"))?; // n: do not kill the process
            line.input = Some(input);
        }
        _ => line.words.extend(each("-e", &detach)),
    }
    Ok(line)
}

/// lldb without all that can be left out: no symbols before they are asked for, no scripts, no source, no disassembly.
fn lean_lldb(pid: u32) -> Vec<String> {
    let settings = [
        "target.preload-symbols false",
        "symbols.enable-external-lookup false",
        "plugin.jit-loader.gdb.enable off",
        "target.load-script-from-symbol-file false",
        "stop-disassembly-display never",
        "stop-line-count-before 0",
        "stop-line-count-after 0",
    ];
    let settings = settings.map(|setting| format!("settings set {setting}"));
    settings.into_iter().chain([format!("process attach -p {pid}")]).collect()
}
