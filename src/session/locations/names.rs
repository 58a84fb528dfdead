//! Asks files for functions, lines and names, in the words of locations: several files at once by several threads, since the
//! first question makes a file's index. Changes nothing.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::Spot;
use crate::addr::LoadBias;
use crate::parallel;
pub use crate::symbols::NameKind;
use crate::symbols::{FunctionFound, Module, NamePattern};
use crate::target::{LoadedModule, Modules};

/// The functions of a process that a pattern means.
pub fn functions(modules: &Modules, wanted: &NamePattern) -> Vec<Spot> {
    let ask = |module: &Module, bias: LoadBias| {
        module.functions(wanted).into_iter().map(|found| spot(bias, found)).collect::<Vec<Spot>>()
    };
    // Only Go writes names with dots: where it has such a name, nobody else is asked, whose debug info may be large.
    let of_go = if wanted.is_gos() { each(modules, is_go, ask).concat() } else { Vec::new() };
    let found = if of_go.is_empty() { each(modules, any, ask).concat() } else { of_go };
    modules.prepare_names_aside();
    found
}

/// Where the code of a line is: in each file of the process the line that has code, which may be a later one, with its places.
pub fn lines(modules: &Modules, file: &str, line: u32) -> Vec<(u32, Vec<Spot>)> {
    let ask = |module: &Module, bias: LoadBias| {
        let found = module.line_places(file, line);
        let place = |place: crate::symbols::LinePlace| {
            let address = bias.runtime(place.addr);
            Spot { address, entry: address, end: address, function: place.function, source: Some(place.spot) }
        };
        (found.line, found.places.into_iter().map(place).collect::<Vec<Spot>>())
    };
    let found_in = |which: fn(&Module) -> bool| {
        let mut found = each(modules, which, ask);
        found.retain(|(_, places)| !places.is_empty());
        found
    };
    let of_go = if file.ends_with(".go") { found_in(is_go) } else { Vec::new() };
    let found = if of_go.is_empty() { found_in(any) } else { of_go };
    modules.prepare_names_aside();
    found
}

/// Calls `visit` for each name of a kind, with its file's path and bias, until it breaks off.
pub fn each_name(
    modules: &Modules,
    kind: NameKind,
    visit: &mut dyn FnMut(&LoadedModule, LoadBias, crate::symbols::NameEntry<'_>) -> ControlFlow<()>,
) {
    for loaded in modules.iter() {
        let Some((module, bias)) = loaded.module() else { continue };
        let mut ended = false;
        module.names(kind, &mut |entry| {
            let flow = visit(loaded, bias, entry);
            ended = flow.is_break();
            flow
        });
        if ended {
            return;
        }
    }
}

/// Has the names that [`each_name`] shows read by a thread, for one who waits for it attentively; `None`: no thread could be started,
/// and they are read when they are asked for.
pub fn prepare(modules: &Modules, kind: NameKind) -> Option<JoinHandle<()>> {
    let modules = modules.clone();
    let by_gos_tables = move |module: &Module| kind == NameKind::Function && module.go().is_some();
    let work = move || {
        let all = modules.iter().filter_map(LoadedModule::module).map(|(module, _)| module);
        all.filter(|module| !by_gos_tables(module)).for_each(|module| module.prepare_names());
    };
    std::thread::Builder::new().name("all names".into()).spawn(work).ok()
}

/// The source files of all files, sorted.
pub fn sources(modules: &Modules) -> Vec<Arc<str>> {
    let mut all: Vec<Arc<str>> = each(modules, any, |module, _| module.sources()).into_iter().flatten().collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn any(_: &Module) -> bool {
    true
}

fn is_go(module: &Module) -> bool {
    module.go().is_some()
}

/// Asks some files, as many at once as there are processors; the answers are in the order of the files.
fn each<T: Send>(
    modules: &Modules,
    which: impl Fn(&Module) -> bool + Sync,
    ask: impl Fn(&Module, LoadBias) -> T + Sync,
) -> Vec<T> {
    let all: Vec<&LoadedModule> = modules.iter().collect();
    let answer = |module: &&LoadedModule| {
        let (file, bias) = module.module().filter(|(file, _)| which(file))?;
        Some((module.ranges().map(|range| range.start).min(), ask(file, bias)))
    };
    let mut answers: Vec<_> = parallel::map(&all, answer).into_iter().flatten().collect();
    answers.sort_by_key(|(start, _)| *start);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn spot(bias: LoadBias, found: FunctionFound) -> Spot {
    Spot {
        address: bias.runtime(found.body),
        entry: bias.runtime(found.entry),
        end: bias.runtime(found.end),
        function: Some(found.name),
        source: found.spot,
    }
}
