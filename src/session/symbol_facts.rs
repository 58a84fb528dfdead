//! Which symbols the files of a process have, where they came from and what was looked for in vain: for `status` and
//! `libraries`. Reads no names.

use schemars::JsonSchema;
use serde::Serialize;

use crate::symbols::SymbolSource;
use crate::target::LoadedModule;

/// The symbols of one file.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FileSymbols {
    /// Its path, as /proc/PID/maps has it.
    pub path: String,
    /// Its build id in hexadecimal digits.
    build_id: Option<String>,
    /// What there is, the most telling first.
    symbols: Vec<Kind>,
    /// What was looked for in vain.
    missing: Vec<Missing>,
    /// Why the file cannot be read.
    error: Option<String>,
}

/// One kind of symbols.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Kind {
    /// `DWARF 5`, `.symtab`, `.dynsym`, `.gnu_debugdata`, …
    kind: String,
    /// The file that has them.
    file: String,
    /// How many: symbols of a table, units of DWARF.
    count: usize,
}

/// What was looked for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Missing {
    /// What.
    file: String,
    /// Why it does not serve.
    why: String,
}

/// The symbols of a file that is mapped; `None` if it is no ELF file.
pub fn file_symbols(loaded: &LoadedModule) -> Option<FileSymbols> {
    let path = loaded.path().to_owned();
    let Some((module, _)) = loaded.module() else {
        let error = loaded.error().map(ToString::to_string);
        // Data that a program has mapped is nothing to complain of.
        let error = error.filter(|_| loaded.is_executable())?;
        return Some(FileSymbols {
            path,
            build_id: None,
            symbols: Vec::new(),
            missing: Vec::new(),
            error: Some(error),
        });
    };
    let facts = module.facts();
    let kind = |SymbolSource { kind, file, count }| Kind { kind, file, count };
    Some(FileSymbols {
        path,
        build_id: facts.build_id,
        symbols: facts.kinds.into_iter().map(kind).collect(),
        missing: facts.missed.into_iter().map(|(file, why)| Missing { file, why }).collect(),
        error: None,
    })
}

impl FileSymbols {
    /// `DWARF 5 (3), .symtab (36) of /usr/lib/debug/…; not there: …`.
    pub fn words(&self) -> String {
        if let Some(error) = &self.error {
            return error.clone();
        }
        let mut words: Vec<String> = Vec::new();
        for (index, one) in self.symbols.iter().enumerate() {
            // The file is named once, behind the last kind that it has.
            let last = self.symbols.get(index + 1).is_none_or(|next| next.file != one.file);
            let of = if last && one.file != self.path { format!(" of {}", one.file) } else { String::new() };
            words.push(format!("{} ({}){of}", one.kind, one.count));
        }
        let mut text = if words.is_empty() { "none".to_owned() } else { words.join(", ") };
        if !self.missing.is_empty() {
            let missing: Vec<String> = self.missing.iter().map(|one| format!("{} ({})", one.file, one.why)).collect();
            text += &format!("; looked in vain for {}", missing.join(", "));
        }
        text
    }
}
