//! Names and locations: which place an address is, in words for people, and which addresses a person's words mean. Symbols
//! and lines come in here and nowhere else. Changes nothing.

mod expressions;
mod find;
mod follow;
pub mod names;
mod spec;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::Session;
pub use expressions::{failure, not_understood, parse_expr};
pub use find::{Resolved, Spot, is_file, regex, resolve, resolve_spots};
pub use follow::Follower;

use super::failure::Failure;
use crate::addr::RuntimeAddr;
use crate::symbols::{LineRow, SourceFrame, SourceSpot, Store};
use crate::target::{CodePlace, Mapping, Mappings, Modules, Process};

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
    /// The source file, as the compiler names it.
    pub file: Option<String>,
    /// The line in it, counted from 1.
    pub line: Option<u32>,
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
        let (file, line) = self.source_at(address).map(|spot| (spot.file.to_string(), spot.line)).unzip();
        Some(Place { address, module: mapping.name.clone(), module_offset, symbol, offset, file, line })
    }

    /// The same, with nothing known but the address where nothing is mapped.
    pub fn place_or_bare(&self, address: RuntimeAddr) -> Place {
        let bare =
            || Place { address, module: None, module_offset: None, symbol: None, offset: None, file: None, line: None };
        self.place(address).unwrap_or_else(bare)
    }

    /// The functions at an address, the innermost first.
    pub fn frames(&self, address: RuntimeAddr) -> Vec<SourceFrame> {
        self.modules.frames_at(address)
    }

    /// Where in the source an address is.
    pub fn source_at(&self, address: RuntimeAddr) -> Option<SourceSpot> {
        self.frames(address).into_iter().next()?.spot.filter(|spot| spot.line > 0)
    }

    /// The innermost function at an address, inlined or not.
    pub fn function_at(&self, address: RuntimeAddr) -> Option<Arc<str>> {
        let inlined = self.frames(address).into_iter().next().and_then(|frame| frame.function);
        inlined.or_else(|| self.modules.symbol_at(address).map(|(symbol, _)| symbol.name))
    }

    /// What symbols and source say of an address, without the text of the line.
    pub fn code_place(&self, address: RuntimeAddr) -> CodePlace {
        let frame = self.frames(address).into_iter().next();
        let found = self.modules.symbol_at(address);
        let (symbol, offset) = found.map(|(symbol, start)| (symbol.name.to_string(), address.0 - start.0)).unzip();
        let spot = frame.as_ref().and_then(|frame| frame.spot.clone()).filter(|spot| spot.line > 0);
        CodePlace {
            function: frame.and_then(|frame| frame.function).map(|name| name.to_string()).or_else(|| symbol.clone()),
            symbol,
            offset,
            line: spot.as_ref().map(|spot| spot.line),
            file: spot.map(|spot| spot.file.to_string()),
            source: None,
        }
    }

    /// The addresses around one that are of the same source line, as its line table has them: the first, and the one behind the
    /// last.
    pub fn line_range(&self, address: RuntimeAddr) -> Option<(RuntimeAddr, RuntimeAddr)> {
        let (module, bias) = self.modules.find(address)?.module()?;
        let link = bias.link(address);
        let symbol = module.symbol_at(link)?;
        let rows = module.line_rows(symbol.start..symbol.end);
        let at = rows.partition_point(|row| row.addr <= link).checked_sub(1)?;
        let same = |row: &&LineRow| row.spot.line == rows[at].spot.line && row.spot.file == rows[at].spot.file;
        let first = rows[..=at].iter().rev().take_while(same).last()?;
        let end = rows[at..].iter().find(|row| !same(row)).map_or(symbol.end, |row| row.addr);
        Some((bias.runtime(first.addr), bias.runtime(end)))
    }

    /// The place for people: `work at /src/main.c:12` where the source is known, else as [`Locations::words`].
    pub fn long_words(&self, address: RuntimeAddr) -> Option<String> {
        self.source_words(address, |file| file)
    }

    /// The same with the file's name alone, for tables: `work at main.c:12`.
    pub fn short_words(&self, address: RuntimeAddr) -> Option<String> {
        self.source_words(address, file_name)
    }

    fn source_words(&self, address: RuntimeAddr, file: fn(&str) -> &str) -> Option<String> {
        let Some(spot) = self.source_at(address) else { return self.words(address) };
        let line = format!("{}:{}", file(&spot.file), spot.line);
        Some(self.function_at(address).map_or(line.clone(), |function| format!("{function} at {line}")))
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
        let mapped = |name: &str, wants_code: bool| {
            let is_called = |mapping: &&Mapping| {
                let path = mapping.name.as_deref().map(|path| path.trim_end_matches(" (deleted)"));
                path.is_some_and(|path| path == name || file_name(path) == name)
            };
            let found = self.mappings.iter().find(is_called)?;
            let has_code = || self.mappings.iter().filter(is_called).any(|mapping| mapping.execute);
            (!wants_code || name.starts_with('[') || has_code()).then_some(found.start)
        };
        let program = || {
            let (_, path) = self.program.as_ref().filter(|(own, _)| own == name)?;
            mapped(path.trim_end_matches(" (deleted)"), false)
        };
        let symbol = || {
            self.modules.iter().find_map(|module| {
                let (file, bias) = module.module()?;
                file.symbols_named(name).first().map(|symbol| bias.runtime(symbol.start))
            })
        };
        // A file of data that happens to be called as a symbol comes last.
        mapped(name, true).or_else(program).or_else(symbol).or_else(|| mapped(name, false))
    }
}

/// The last part of a path; the kernel's own names are whole.
pub fn file_name(path: &str) -> &str {
    if path.starts_with('[') { path } else { path.rsplit('/').next().unwrap_or(path) }
}

impl Session {
    /// The names of the current process now; none if there is no process.
    pub fn locations(&self) -> Locations {
        self.current().map(|process| Locations::of(process, &self.symbols)).unwrap_or_default()
    }

    /// Where the selected frame is: within the call that it has made, if it is not the innermost.
    pub fn frame_pc(&self) -> Option<RuntimeAddr> {
        self.frame_lookup().or_else(|| self.pc())
    }

    /// The file and line that bare lines are counted from: what was listed last since the process stopped, else where the
    /// selected thread stands.
    pub fn current_line(&self, locations: &Locations) -> Result<(String, u32), Failure> {
        if let Some(listed) = &self.looking.listed {
            return Ok((listed.file.clone(), listed.last));
        }
        let pc = self.frame_pc();
        let stands = || Some(locations.source_at(pc?)?).map(|spot| (spot.file.to_string(), spot.line));
        let none = || Failure::hinted("there is no current source file", "name one: FILE:LINE");
        stands().ok_or_else(none)
    }
}

#[cfg(test)]
mod tests {
    use super::find::module_offset;
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
