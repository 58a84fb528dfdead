//! Go's own tables: functions, lines and inlined calls of a Go program whether it was stripped or not. Knows no process.

mod body;
mod build_info;
mod image;
mod inline;
mod moduledata;
mod names;
mod pcln;
mod pctab;
mod read;
pub mod types;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use object::{Object, ObjectSection, ObjectSymbol};

pub use build_info::BuildInfo;

use self::image::{Image, section_range};
use self::moduledata::ModuleData;
use self::pcln::{Form, Layout, Pcln};
use super::{Bytes, Section, Segment, SourceFrame, SourceSpot, SymbolAt};
use crate::addr::LinkAddr;

/// The tables of one Go file. Nothing is copied: every answer is read from the file.
pub struct GoTables {
    pclntab: Section,
    layout: Layout,
    text: u64,
    /// From `gofunc` on; since Go 1.18.
    function_data: Option<Section>,
    /// What is mapped and never written: before Go 1.18 function data is named by address.
    read_only: Vec<Section>,
    /// What is mapped to be executed, from its beginning on.
    code: Vec<Section>,
    build: BuildInfo,
    /// What was asked for by name: it has to be searched for.
    extents: Mutex<HashMap<String, Option<(LinkAddr, LinkAddr)>>>,
}

impl GoTables {
    /// The tables of a file; `None` if it is no Go program. A file without section headers is searched.
    pub(super) fn find(bytes: &Bytes, segments: &[Segment], file: &object::File<'_>) -> Option<GoTables> {
        if !may_be_go(file) {
            return None;
        }
        let image = Image::new(bytes, segments, file);
        let searched = || image.find(*b"\xff Go bui").find(|at| at % 16 == 0).map(|at| (at, 4096));
        let info = section_range(file, ".go.buildinfo").or_else(searched);
        let build = info.and_then(|(at, size)| BuildInfo::read(&image, at, size)).unwrap_or_default();
        let (pclntab, layout) = find_pclntab(&image, file)?;
        let data = ModuleData::find(&image, pclntab.address.0, layout.form, build.minor);
        let text = data.map(|data| data.text).or_else(|| text_symbol(file));
        let text = text.or_else(|| (layout.text_start != 0).then_some(layout.text_start));
        let text = text.or_else(|| section_range(file, ".text").map(|(start, _)| start)).unwrap_or_default();
        let function_data = data.and_then(|data| image.rest(data.gofunc?));
        let covers = |segment: &&Segment| (segment.start.0..segment.end.0).contains(&text);
        let code = segments.iter().filter(covers).filter_map(|segment| image.rest(segment.start.0)).collect();
        let read_only = if layout.form < Form::Go118 {
            segments.iter().filter_map(|segment| image.rest(segment.start.0)).collect()
        } else {
            Vec::new()
        };
        Some(GoTables { pclntab, layout, text, function_data, read_only, code, build, extents: Mutex::default() })
    }

    /// How it was built.
    pub fn build(&self) -> &BuildInfo {
        &self.build
    }

    fn pcln(&self) -> Pcln<'_> {
        Pcln { table: &self.pclntab, layout: self.layout, text: self.text }
    }

    /// The instructions between two addresses.
    fn code(&self, begin: u64, end: u64) -> Option<&[u8]> {
        let part = |section: &Section| {
            let at = |addr: u64| usize::try_from(addr.checked_sub(section.address.0)?).ok();
            Some((at(begin)?, at(end)?)).filter(|(_, end)| *end <= section.len())
        };
        self.code.iter().find_map(|section| part(section).and_then(|(begin, end)| section.get(begin..end)))
    }

    fn function_data(&self) -> Option<&[u8]> {
        self.function_data.as_deref()
    }

    fn old_function_data(&self, addr: u64) -> Option<&[u8]> {
        let found =
            |section: &&Section| addr.checked_sub(section.address.0).is_some_and(|at| at < section.len() as u64);
        let section = self.read_only.iter().find(found)?;
        section.get(usize::try_from(addr - section.address.0).ok()?..)
    }

    /// The function that covers an address.
    pub fn symbol_at(&self, addr: LinkAddr) -> Option<SymbolAt> {
        let func = self.pcln().func_at(addr.0)?;
        Some(SymbolAt { name: func.name()?.into(), start: LinkAddr(func.entry), end: LinkAddr(func.end) })
    }

    /// Where the function of this very name begins and ends.
    pub fn extent_of(&self, name: &str) -> Option<(LinkAddr, LinkAddr)> {
        let search = || {
            let func = self.pcln().funcs().find(|func| func.name() == Some(name))?;
            Some((LinkAddr(func.entry), LinkAddr(func.end)))
        };
        // Whoever has left it locked for ever has added nothing half.
        let mut known = self.extents.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(extent) = known.get(name) {
            return *extent;
        }
        let extent = search();
        if known.len() < MOST_EXTENTS {
            known.insert(name.to_owned(), extent);
        }
        extent
    }

    /// The functions at an address with their lines, the innermost first; empty if no Go function is there.
    pub fn frames_at(&self, addr: LinkAddr) -> Vec<SourceFrame> {
        let Some(func) = self.pcln().func_at(addr.0) else { return Vec::new() };
        let frame = |call: inline::Call<'_>| SourceFrame {
            function: Some(call.name.into()),
            start: match call.index {
                None => Some(LinkAddr(func.entry)),
                Some(index) => self.inlined_start(&func, index),
            },
            spot: call.line.map(|(file, line)| SourceSpot { file: file.into(), line, column: 0 }),
            inlined: call.index.is_some(),
        };
        self.calls(&func, addr.0).into_iter().map(frame).collect()
    }

    /// The first address of an inlined call's code.
    fn inlined_start(&self, func: &pcln::Func<'_>, index: i32) -> Option<LinkAddr> {
        let (_, mut runs) = self.inlined(func)?;
        runs.find(|run| run.value == index).map(|run| LinkAddr(func.entry + run.start))
    }

    /// What Go's unwinder needs at an address; `None` if no Go function is there.
    pub fn stack_rule(&self, addr: LinkAddr) -> Option<StackRule> {
        let func = self.pcln().func_at(addr.0)?;
        let size = func.stack().value_at(addr.0 - func.entry).and_then(|size| u32::try_from(size).ok());
        let (entry, is_top, writes_sp) = (LinkAddr(func.entry), func.is_top(), func.writes_sp());
        Some(StackRule { entry, name: func.name()?.into(), size, is_top, writes_sp })
    }
}

/// So many are kept.
const MOST_EXTENTS: usize = 64;

/// How to unwind from one address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StackRule {
    /// Where the function begins.
    pub entry: LinkAddr,
    /// Its name.
    pub name: Arc<str>,
    /// How many bytes the stack pointer is below its value at the entry, where the return address lies; `None` if the
    /// table does not say.
    pub size: Option<u32>,
    /// Whether a stack ends in it (`runtime.goexit`, `runtime.mstart`, `runtime.rt0_go`, …).
    pub is_top: bool,
    /// Whether it changes the stack pointer in ways that the table does not tell (`runtime.systemstack`, `runtime.gogo`, …).
    pub writes_sp: bool,
}

/// Whether a look at the bytes is worth it: a section of Go's, or no sections at all.
fn may_be_go(file: &object::File<'_>) -> bool {
    const MARKS: [&str; 4] = [".gopclntab", ".data.rel.ro.gopclntab", ".go.buildinfo", ".note.go.buildid"];
    let mut sections = file.sections().peekable();
    sections.peek().is_none() || sections.any(|section| section.name().is_ok_and(|name| MARKS.contains(&name)))
}

/// By its section; where there are no sections, or the linker has joined it with others (`.data.rel.ro`), by its head.
fn find_pclntab(image: &Image<'_>, file: &object::File<'_>) -> Option<(Section, Layout)> {
    let at = |addr: u64| {
        let section = image.rest(addr)?;
        let layout = Layout::read(&section)?;
        Some((section, layout))
    };
    let named = [".gopclntab", ".data.rel.ro.gopclntab"].into_iter();
    named
        .filter_map(|name| section_range(file, name))
        .find_map(|(addr, _)| at(addr))
        .or_else(|| Form::ALL.into_iter().find_map(|form| image.find(form.head()).find_map(at)))
}

fn text_symbol(file: &object::File<'_>) -> Option<u64> {
    file.symbols().find(|symbol| symbol.name() == Ok("runtime.text")).map(|symbol| symbol.address())
}

impl fmt::Debug for GoTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoTables").field("layout", &self.layout).field("build", &self.build).finish_non_exhaustive()
    }
}
