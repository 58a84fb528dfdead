//! Go's functions by name and by line: whole tables are read, by all processors, when a name is asked for. Knows no DWARF.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::super::{FunctionFound, LinePlace, LinePlaces, LineRow, NameEntry, NamePattern, SourceSpot};
use super::GoTables;
use super::body::body_offset;
use super::pcln::Func;
use crate::addr::LinkAddr;

impl GoTables {
    /// All code that a name means: functions, instances of generic ones, inlined calls; by rising address.
    pub fn functions(&self, wanted: &NamePattern) -> Vec<FunctionFound> {
        let mut found = self.by_all(|func, found: &mut Vec<FunctionFound>| {
            if let Some(name) = func.name().filter(|name| fits(wanted, name)) {
                found.push(self.found(func, name));
            }
            self.add_inlined(func, wanted, found);
        });
        found.sort_by_key(|function| (function.entry, function.inlined));
        found
    }

    fn found(&self, func: &Func<'_>, name: &str) -> FunctionFound {
        let body = LinkAddr(func.entry + self.body_of(func));
        let spot = self.spot(func, body.0);
        FunctionFound {
            name: name.into(),
            entry: LinkAddr(func.entry),
            body,
            end: LinkAddr(func.end),
            inlined: false,
            spot,
        }
    }

    fn add_inlined(&self, func: &Func<'_>, wanted: &NamePattern, found: &mut Vec<FunctionFound>) {
        let Some((tree, runs)) = self.inlined(func) else { return };
        // Which of the calls is meant, and where each that is has its first code.
        let mut seen: FxHashMap<i32, bool> = FxHashMap::default();
        for run in runs {
            if seen.contains_key(&run.value) {
                continue;
            }
            let name = tree.node(run.value).map(|node| node.name);
            let meant = name.is_some_and(|name| fits(wanted, name));
            seen.insert(run.value, meant);
            if let Some(name) = name.filter(|_| meant) {
                let (entry, end) = (LinkAddr(func.entry + run.start), LinkAddr(func.entry + run.end));
                let spot = self.spot(func, entry.0);
                found.push(FunctionFound { name: name.into(), entry, body: entry, end, inlined: true, spot });
            }
        }
    }

    fn spot(&self, func: &Func<'_>, addr: u64) -> Option<SourceSpot> {
        func.line_at(addr).map(|(file, line)| SourceSpot { file: file.into(), line, column: 0 })
    }

    /// How far behind a function's entry a breakpoint belongs: after the check of the stack and the making of the frame.
    pub(super) fn body_of(&self, func: &Func<'_>) -> u64 {
        let code = self.code(func.entry, func.end);
        code.map_or(0, |code| body_offset(code, func.entry)).min(func.end - func.entry)
    }

    /// Where a line has code, or the next line that has: one place in each function and inlined call.
    pub fn line_places(&self, file: &str, line: u32) -> LinePlaces {
        let pcln = self.pcln();
        let files: FxHashMap<usize, &str> = pcln
            .paths()
            .into_iter()
            .filter_map(|at| Some((at, pcln.path(at)?)))
            .filter(|(_, path)| is_path(path, file))
            .collect();
        if files.is_empty() {
            return LinePlaces::default();
        }
        let mut hits = self.by_all(|func, hits: &mut Vec<(u32, u64, usize)>| {
            let in_file = |number: i32| pcln.file_at(func.unit(), number).filter(|at| files.contains_key(at));
            let stretches: Vec<_> = func.files().filter_map(|run| Some((run, in_file(run.value)?))).collect();
            if stretches.is_empty() {
                return;
            }
            for run in func.lines() {
                let Some(number) = u32::try_from(run.value).ok().filter(|number| *number >= line) else { continue };
                let within = stretches.iter().filter(|(stretch, _)| stretch.start < run.end && run.start < stretch.end);
                hits.extend(within.map(|(stretch, at)| (number, func.entry + run.start.max(stretch.start), *at)));
            }
        });
        let Some(next) = hits.iter().map(|hit| hit.0).min() else { return LinePlaces::default() };
        hits.retain(|hit| hit.0 == next);
        hits.sort_unstable();
        let mut places = LinePlaces { line: next, ..LinePlaces::default() };
        let mut seen: Vec<(u64, Option<i32>)> = Vec::new();
        for (_, addr, at) in hits {
            let (Some(func), Some(path)) = (pcln.func_at(addr), files.get(&at)) else { continue };
            let calls = self.calls(&func, addr);
            let Some(innermost) = calls.first() else { continue };
            if seen.contains(&(func.entry, innermost.index)) {
                continue;
            }
            seen.push((func.entry, innermost.index));
            let is_entry = addr == func.entry && innermost.index.is_none();
            let body = if is_entry { addr + self.body_of(&func) } else { addr };
            let spot = SourceSpot { file: (*path).into(), line: next, column: 0 };
            places.files.push(spot.file.clone());
            let (function, inlined) = (Some(innermost.name.into()), innermost.index.is_some());
            places.places.push(LinePlace { addr: LinkAddr(body), function, inlined, spot });
        }
        places.files.sort_unstable();
        places.files.dedup();
        places
    }

    /// Shows the names of all functions, sorted, those that are only inlined too, until `visit` has enough.
    pub fn function_names(&self, visit: &mut dyn FnMut(NameEntry<'_>) -> ControlFlow<()>) {
        // Where the function itself is; `None` while only inlined calls are known.
        type Names<'a> = BTreeMap<&'a str, Option<(u64, Option<&'a str>, u32)>>;
        let mut names: Names<'_> = BTreeMap::new();
        for func in self.pcln().funcs() {
            if let Some(name) = func.name() {
                let line = func.line_at(func.entry);
                let number = func.start_line().and_then(|line| u32::try_from(line).ok());
                let number = number.or(line.map(|(_, line)| line)).unwrap_or(0);
                names.insert(name, Some((func.entry, line.map(|(file, _)| file), number)));
            }
            if let Some((tree, runs)) = self.inlined(&func) {
                for node in runs.filter_map(|run| tree.node(run.value)) {
                    names.entry(node.name).or_default();
                }
            }
        }
        for (name, place) in names {
            let (addr, file, line) =
                place.map_or((None, None, 0), |(addr, file, line)| (Some(LinkAddr(addr)), file, line));
            if visit(NameEntry { name, file, line, addr, inlined: place.is_none() }).is_break() {
                return;
            }
        }
    }

    /// The paths of the source files, sorted.
    pub fn sources(&self) -> Vec<Arc<str>> {
        let pcln = self.pcln();
        let mut paths: Vec<&str> = pcln.paths().into_iter().filter_map(|at| pcln.path(at)).collect();
        paths.sort_unstable();
        paths.dedup();
        paths.into_iter().map(Arc::from).collect()
    }

    /// The rows of line tables that begin in a range, by rising address.
    pub fn line_rows(&self, range: Range<LinkAddr>) -> Vec<LineRow> {
        let (pcln, mut rows, mut at) = (self.pcln(), Vec::new(), range.start.0);
        while let Some(func) = pcln.func_at(at).filter(|_| at < range.end.0) {
            let mut starts: Vec<u64> = func.lines().chain(func.files()).map(|run| func.entry + run.start).collect();
            starts.sort_unstable();
            starts.dedup();
            for start in starts.into_iter().filter(|start| (range.start.0..range.end.0).contains(start)) {
                rows.extend(self.spot(&func, start).map(|spot| LineRow {
                    addr: LinkAddr(start),
                    spot,
                    is_statement: true,
                }));
            }
            at = func.end;
        }
        rows
    }

    /// Asks every function, by all processors; the answers by rising address.
    fn by_all<T: Send>(&self, ask: impl Fn(&Func<'_>, &mut Vec<T>) + Sync) -> Vec<T> {
        let count = self.pcln().count();
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(16);
        let size = (count / workers + 1).max(1024);
        let ask = &ask;
        std::thread::scope(|scope| {
            let parts: Vec<_> = (0..count)
                .step_by(size)
                .map(|begin| {
                    scope.spawn(move || {
                        let (pcln, mut found) = (self.pcln(), Vec::new());
                        let funcs = (begin..count.min(begin + size)).filter_map(|index| pcln.func(index));
                        funcs.for_each(|func| ask(&func, &mut found));
                        found
                    })
                })
                .collect();
            parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
        })
    }
}

/// Looks for the last part first: names are many, and few fit.
fn fits(wanted: &NamePattern, name: &str) -> bool {
    wanted.last_part().is_none_or(|last| memchr::memmem::find(name.as_bytes(), last.as_bytes()).is_some())
        && wanted.fits(name)
}

/// Whether a word means a path: the whole of it or its last parts.
fn is_path(path: &str, word: &str) -> bool {
    path.strip_suffix(word).is_some_and(|head| head.is_empty() || head.ends_with('/') || word.starts_with('/'))
}
