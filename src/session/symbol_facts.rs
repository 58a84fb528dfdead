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
    /// Whether nothing is there.
    #[serde(skip)]
    is_absent: bool,
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
        missing: facts.missed.into_iter().map(Missing::new).collect(),
        error: None,
    })
}

impl FileSymbols {
    /// `DWARF 5 (3), .symtab (36) of /usr/lib/debug/…; looked in vain for …`.
    pub fn words(&self) -> String {
        self.words_with(|missing| {
            let missing: Vec<String> = missing.iter().map(Missing::words).collect();
            format!("; looked in vain for {}", missing.join(", "))
        })
    }

    /// The same in a line: of what was looked for in vain only how much, and in full what is there and does not serve.
    pub fn brief_words(&self) -> String {
        self.words_with(|missing| {
            let (absent, unfit): (Vec<&Missing>, Vec<&Missing>) = missing.iter().partition(|one| one.is_absent);
            let mut text = match absent.len() {
                0 => String::new(),
                1 => format!("; looked in vain for {}", absent[0].file),
                places => format!("; no debug info of it in {places} places"),
            };
            if !unfit.is_empty() {
                let unfit: Vec<String> = unfit.into_iter().map(Missing::words).collect();
                text += &format!("; of no use: {}", unfit.join(", "));
            }
            text
        })
    }

    /// Whether [`FileSymbols::brief_words`] leaves out where was looked.
    pub fn is_brief(&self) -> bool {
        self.missing.iter().filter(|one| one.is_absent).count() > 1
    }

    fn words_with(&self, missing: impl Fn(&[Missing]) -> String) -> String {
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
        let text = if words.is_empty() { "none".to_owned() } else { words.join(", ") };
        if self.missing.is_empty() { text } else { text + &missing(&self.missing) }
    }
}

impl Missing {
    fn new((file, why): (String, Option<String>)) -> Missing {
        Missing { file, is_absent: why.is_none(), why: why.unwrap_or_else(|| "is not there".into()) }
    }

    fn words(&self) -> String {
        format!("{} ({})", self.file, self.why)
    }
}
