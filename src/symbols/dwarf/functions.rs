//! The functions of a unit, and the calls that were inlined into each: read when an address in them is first asked for.

use std::sync::{Arc, OnceLock};

use gimli::{Unit, UnitOffset};
use rustc_hash::FxHashMap;

use super::super::cover::Cover;
use super::super::demangle::demangle;
use super::super::{SourceFrame, SourceSpot};
use super::{Attributes, Lines, Loaded, Reader, Reference};
use crate::addr::LinkAddr;

/// A function with more inlined calls, or calls nested deeper, is cut off there.
const MOST_INLINED: usize = 1 << 20;
/// A chain of references that is longer is a circle.
pub const LONGEST_CHAIN: usize = 16;
/// The longest name that is shown.
const LONGEST_NAME: usize = 1 << 15;

/// The functions of a unit that have code.
#[derive(Default, Debug)]
pub struct Functions {
    all: Vec<Function>,
    cover: Cover,
    /// For each namespace, type and function without a linker's name, the one it stands in (by offset in the unit).
    scopes: FxHashMap<usize, usize>,
}

/// One function.
#[derive(Debug)]
pub struct Function {
    /// Where its entry is in the unit.
    pub die: usize,
    /// Where it begins.
    pub entry: u64,
    /// Its code.
    pub ranges: Vec<(u64, u64)>,
    detail: OnceLock<Detail>,
}

/// What is read of a function when it is asked for.
#[derive(Default, Debug)]
pub struct Detail {
    /// Its name for people.
    pub name: Option<Arc<str>>,
    /// The calls that were inlined into it, the outer before the inner.
    inlined: Vec<Inlined>,
}

#[derive(Debug)]
struct Inlined {
    ranges: Vec<(u64, u64)>,
    entry: u64,
    /// How many inlined calls stand around it.
    depth: usize,
    name: Option<Arc<str>>,
    /// File, line, column of the call.
    call: (u32, u32, u32),
}

impl Functions {
    /// Nothing.
    pub fn none() -> &'static Functions {
        static NONE: OnceLock<Functions> = OnceLock::new();
        NONE.get_or_init(Functions::default)
    }

    /// Reads the entries of a unit, of which most are passed over.
    pub fn read<'a>(loaded: &Loaded<'a>, unit: &Unit<Reader<'a>>) -> Functions {
        let mut functions = Functions::default();
        // What fails is cut off; what was read before stays.
        let _ = functions.walk(loaded, unit);
        let of = |(number, function): (usize, &Function)| {
            function.ranges.iter().map(move |(begin, end)| (*begin, *end, number as u32)).collect::<Vec<_>>()
        };
        functions.cover = Cover::new(functions.all.iter().enumerate().flat_map(of).collect());
        functions
    }

    fn walk<'a>(&mut self, loaded: &Loaded<'a>, unit: &Unit<Reader<'a>>) -> gimli::Result<()> {
        let mut entries = unit.entries_raw(None)?;
        let mut attributes = Vec::new();
        // The namespaces and types around the entry: the depth of what stands in each, and its offset.
        let mut around: Vec<(isize, usize)> = Vec::new();
        let mut budget = unit.header.unit_length() + MOST_INLINED;
        while !entries.is_empty() {
            let (offset, depth) = (entries.next_offset().0, entries.next_depth());
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            while around.last().is_some_and(|(inner, _)| *inner > depth) {
                around.pop();
            }
            let specs = abbreviation.attributes();
            let has = |name| specs.iter().any(|spec| spec.name() == name);
            match abbreviation.tag() {
                gimli::DW_TAG_subprogram => {
                    if let Some((_, scope)) = around.last().filter(|_| !has(gimli::DW_AT_linkage_name)) {
                        self.scopes.insert(offset, *scope);
                    }
                    if !has(gimli::DW_AT_low_pc) && !has(gimli::DW_AT_ranges) {
                        entries.skip_attributes(specs)?;
                        continue;
                    }
                    entries.read_attributes(specs, &mut attributes)?;
                    let attributes = Attributes::of(loaded, unit, &attributes);
                    let ranges = attributes.ranges(loaded, unit);
                    budget = budget.saturating_sub(ranges.len());
                    if let Some(first) = ranges.first().filter(|_| budget > 0) {
                        let entry = attributes.entry.or(attributes.low).filter(|entry| loaded.is_code(*entry));
                        let entry = entry.filter(|entry| covers(&ranges, *entry)).unwrap_or(first.0);
                        self.all.push(Function { die: offset, entry, ranges, detail: OnceLock::new() });
                    }
                }
                gimli::DW_TAG_namespace
                | gimli::DW_TAG_structure_type
                | gimli::DW_TAG_class_type
                | gimli::DW_TAG_union_type
                | gimli::DW_TAG_enumeration_type => {
                    if let Some((_, scope)) = around.last() {
                        self.scopes.insert(offset, *scope);
                    }
                    if abbreviation.has_children() {
                        around.push((depth + 1, offset));
                    }
                    entries.skip_attributes(specs)?;
                }
                _ => entries.skip_attributes(specs)?,
            }
        }
        Ok(())
    }

    /// The function that has the code at an address.
    pub fn find(&self, addr: u64) -> Option<&Function> {
        self.cover.find(addr).and_then(|number| self.all.get(number as usize))
    }
}

/// The functions at an address of a unit, the innermost first; the innermost has no spot yet. `lines` has the names of files.
pub fn frames(loaded: &Loaded<'_>, unit: usize, addr: u64, lines: &Lines) -> Vec<SourceFrame> {
    let Some(function) = loaded.functions(unit).find(addr) else { return Vec::new() };
    let detail = detail(loaded, unit, function);
    let mut frames = vec![SourceFrame {
        function: detail.name.clone(),
        start: Some(LinkAddr(function.entry)),
        spot: None,
        inlined: false,
    }];
    // Each call's inner calls follow it: the one that covers the address and lies just one deeper is the next.
    for call in &detail.inlined {
        if call.depth + 1 == frames.len() && covers(&call.ranges, addr) {
            let (file, line, column) = call.call;
            if let Some(caller) = frames.last_mut() {
                caller.spot = Some(SourceSpot { file: lines.file(file), line, column });
            }
            frames.push(SourceFrame {
                function: call.name.clone(),
                start: Some(LinkAddr(call.entry)),
                spot: None,
                inlined: true,
            });
        }
    }
    frames.reverse();
    frames
}

/// A function's name and inlined calls.
pub fn detail<'f>(loaded: &Loaded<'_>, unit: usize, function: &'f Function) -> &'f Detail {
    function.detail.get_or_init(|| {
        let Some(entries) = loaded.unit(unit) else { return Detail::default() };
        let mut detail = Detail { name: name(loaded, unit, function.die), inlined: Vec::new() };
        let _ = read_inlined(loaded, unit, entries, function.die, &mut detail.inlined);
        detail
    })
}

fn read_inlined<'a>(
    loaded: &Loaded<'a>,
    number: usize,
    unit: &Unit<Reader<'a>>,
    die: usize,
    inlined: &mut Vec<Inlined>,
) -> gimli::Result<()> {
    let mut entries = unit.entries_raw(Some(UnitOffset(die)))?;
    let mut attributes = Vec::new();
    let mut names: FxHashMap<usize, Option<Arc<str>>> = FxHashMap::default();
    // The depths of what stands in the inlined calls around.
    let mut around: Vec<isize> = Vec::new();
    // The depth of what stands in a function within this one, which is a function of its own.
    let mut other: Option<isize> = None;
    let mut first = true;
    while !entries.is_empty() && (first || entries.next_depth() > 0) {
        let depth = entries.next_depth();
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        if other.is_some_and(|inner| depth < inner) {
            other = None;
        }
        while around.last().is_some_and(|inner| depth < *inner) {
            around.pop();
        }
        let specs = abbreviation.attributes();
        let tag = abbreviation.tag();
        if tag == gimli::DW_TAG_subprogram && !first && other.is_none() && abbreviation.has_children() {
            other = Some(depth + 1);
        }
        if tag != gimli::DW_TAG_inlined_subroutine || other.is_some() {
            first = false;
            entries.skip_attributes(specs)?;
            continue;
        }
        entries.read_attributes(specs, &mut attributes)?;
        let attributes = Attributes::of(loaded, unit, &attributes);
        let ranges = attributes.ranges(loaded, unit);
        let entry = attributes.entry.filter(|entry| covers(&ranges, *entry));
        let name = match attributes.origin {
            Some(Reference::Here(origin)) => {
                names.entry(origin).or_insert_with(|| self::name(loaded, number, origin)).clone()
            }
            Some(origin) => follow(loaded, number, origin, 0).map(Into::into),
            None => None,
        };
        inlined.push(Inlined {
            entry: entry.or(ranges.iter().map(|(begin, _)| *begin).min()).unwrap_or(0),
            ranges,
            depth: around.len(),
            name,
            call: attributes.called,
        });
        if inlined.len() >= MOST_INLINED {
            break;
        }
        if abbreviation.has_children() {
            around.push(depth + 1);
        }
    }
    Ok(())
}

fn covers(ranges: &[(u64, u64)], addr: u64) -> bool {
    ranges.iter().any(|(begin, end)| *begin <= addr && addr < *end)
}

/// The name for people of the function at an offset of a unit.
pub fn name(loaded: &Loaded<'_>, unit: usize, die: usize) -> Option<Arc<str>> {
    follow(loaded, unit, Reference::Here(die), 0).map(Into::into)
}

/// The name for people of the function that a reference within a unit means.
pub fn follow_name(loaded: &Loaded<'_>, unit: usize, at: Reference) -> Option<String> {
    follow(loaded, unit, at, 0)
}

/// The name of an entry or of what it stands for: the linker's name if there is one, else its own with the namespaces and types around.
fn follow(loaded: &Loaded<'_>, unit: usize, at: Reference, steps: usize) -> Option<String> {
    if steps > LONGEST_CHAIN {
        return None;
    }
    let (unit, die) = match at {
        Reference::Here(die) => (unit, die),
        Reference::There(offset) => {
            let unit = loaded.unit_with(offset)?;
            (unit, offset.checked_sub(loaded.extent(unit).start)?)
        }
        Reference::Shared(offset) => return follow_shared(loaded, offset, steps),
    };
    let entries = loaded.unit(unit)?;
    let entry = entries.entry(UnitOffset(die)).ok()?;
    let attributes = Attributes::of(loaded, entries, entry.attrs());
    if let Some(linkage) = attributes.linkage {
        return Some(demangle(&linkage.to_string_lossy()).into_owned());
    }
    let origin = attributes.origin.and_then(|origin| follow(loaded, unit, origin, steps + 1));
    origin.or_else(|| {
        let name = attributes.name?.to_string_lossy().into_owned();
        Some(qualified(loaded, unit, die, name))
    })
}

fn follow_shared(loaded: &Loaded<'_>, offset: usize, steps: usize) -> Option<String> {
    if steps > LONGEST_CHAIN {
        return None;
    }
    let (dwarf, unit) = loaded.shared_unit_with(offset)?;
    let begin = unit.header.debug_info_offset()?.0;
    let entry = unit.entry(UnitOffset(offset.checked_sub(begin)?)).ok()?;
    let attributes = Attributes::read(dwarf, unit, entry.attrs());
    if let Some(linkage) = attributes.linkage {
        return Some(demangle(&linkage.to_string_lossy()).into_owned());
    }
    let origin = match attributes.origin {
        Some(Reference::Here(die)) => follow_shared(loaded, begin.checked_add(die)?, steps + 1),
        Some(Reference::There(offset)) => follow_shared(loaded, offset, steps + 1),
        _ => None,
    };
    origin.or_else(|| Some(attributes.name?.to_string_lossy().into_owned()))
}

/// What stands for the name of a type that has none: a lambda's, an anonymous structure's.
pub const UNNAMED: &str = "{unnamed type}";

/// What a scope without a name is called.
pub fn nameless(tag: gimli::DwTag) -> &'static str {
    if tag == gimli::DW_TAG_namespace { "(anonymous namespace)" } else { UNNAMED }
}

/// A name behind those of the namespaces and types that its entry stands in.
fn qualified(loaded: &Loaded<'_>, unit: usize, die: usize, name: String) -> String {
    let (Some(entries), functions) = (loaded.unit(unit), loaded.functions(unit)) else { return name };
    let (mut name, mut at) = (name, die);
    for _ in 0..LONGEST_CHAIN * 4 {
        let Some(scope) = functions.scopes.get(&at) else { break };
        let Ok(entry) = entries.entry(UnitOffset(*scope)) else { break };
        let own = Attributes::of(loaded, entries, entry.attrs()).name;
        let own = own.map_or(nameless(entry.tag()).into(), |own| own.to_string_lossy());
        if name.len() + own.len() > LONGEST_NAME {
            break;
        }
        name = format!("{own}::{name}");
        at = *scope;
    }
    name
}
