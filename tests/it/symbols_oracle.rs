//! Names, lines and inlined calls of programs nobody here wrote, at addresses all over them, against binutils' and elfutils'
//! addr2line: Rust's standard library, the C library, Go's own tools. How many agree is counted, and each way to disagree is
//! one that is known and explained here.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use godbg::addr::LinkAddr;

use crate::harness::binaries::{Answer, answer, by_addr2line, functions_by_readelf, module, run};
use crate::harness::skip;
use crate::harness::toolchain::{Go, sources};

/// Addresses in functions of a program, the same in each run.
fn addresses(symbols: &Path, count: usize) -> Vec<u64> {
    let functions: Vec<(u64, u64)> =
        functions_by_readelf(symbols).into_iter().map(|(start, end, _)| (start, end)).collect();
    assert!(!functions.is_empty(), "{symbols:?} has no functions");
    let mut state = 11u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut chosen = BTreeSet::new();
    for _ in 0..count {
        let (start, end) = functions[random(functions.len() as u64) as usize];
        chosen.insert(start + random(end - start));
    }
    chosen.into_iter().collect()
}

/// What was compared.
#[derive(Default)]
struct Agreement {
    same: usize,
    inlined: usize,
    /// By a reason that is known.
    explained: HashMap<&'static str, usize>,
    unexplained: Vec<String>,
}

impl Agreement {
    fn add(&mut self, address: u64, ours: &Answer, theirs: &Answer, reason: impl FnOnce() -> Option<&'static str>) {
        self.inlined += usize::from(ours.len() > 1);
        match reason() {
            _ if ours == theirs => self.same += 1,
            Some(reason) => *self.explained.entry(reason).or_default() += 1,
            None => self.unexplained.push(format!("{address:#x}: {ours:?}, by addr2line {theirs:?}")),
        }
    }

    /// Says the figures, and asserts that there is nothing else.
    #[track_caller]
    fn assert_explained(&self, path: &Path, least: usize) {
        let count = self.unexplained.len();
        println!("{}: {} same ({} with inlined calls), {:?}", path.display(), self.same, self.inlined, self.explained);
        assert!(self.same >= least, "{path:?}: only {} are the same", self.same);
        assert!(count == 0, "{path:?}: {count} differ: {:#?}", &self.unexplained[..count.min(20)]);
    }
}

fn lines(answer: &Answer) -> Vec<&str> {
    answer.iter().map(|(_, place)| place.as_str()).collect()
}

fn names(answer: &Answer) -> Vec<&str> {
    answer.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn rusts_library_is_as_addr2line_says() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("names");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    run(Command::new(rustc)
        .args(["--edition=2021", "-g", "-O"])
        .arg(sources().join("names.rs"))
        .arg("-o")
        .arg(&program));
    let (module, addresses) = (module(&program), addresses(&program, 4000));
    let expected = by_addr2line(&program, &addresses);
    let mut agreement = Agreement::default();
    for address in addresses {
        let (ours, theirs) = (answer(&module.frames_at(LinkAddr(address))), &expected[&address]);
        let reason = || match (&ours[..], &theirs[..]) {
            // It takes the name of a unit in the symbol table for a file, where there is no line.
            ([(name, place)], [(other, unit)]) if name == other && place == "??:?" && unit.ends_with(":?") => {
                Some("unit")
            }
            // A function without mangling (`#[no_mangle]`) stands in a module all the same.
            _ if lines(&ours) == lines(theirs)
                && names(&ours).iter().zip(names(theirs)).all(|(one, other)| {
                    *one == other || one.strip_suffix(other).is_some_and(|head| head.ends_with("::"))
                }) =>
            {
                Some("module")
            }
            _ => None,
        };
        agreement.add(address, &ours, theirs, reason);
    }
    agreement.assert_explained(&program, 3000);
    assert!(agreement.inlined > 1000, "{}", agreement.inlined);
}

/// The separate debug info of a file, where the distribution's is installed.
fn debug_info(path: &Path) -> Option<PathBuf> {
    let text = run(Command::new("readelf").arg("-n").arg(path));
    let id = text.lines().find_map(|line| line.trim().strip_prefix("Build ID: "))?;
    let debug = Path::new("/usr/lib/debug/.build-id").join(&id[..2]).join(format!("{}.debug", &id[2..]));
    debug.exists().then_some(debug)
}

/// The innermost line at each address by elfutils, which reads DWARF by code of its own.
fn lines_by_elfutils(path: &Path, addresses: &[u64]) -> Option<Vec<String>> {
    let mut command = Command::new("eu-addr2line");
    command.arg("-e").arg(path).args(addresses.iter().map(|address| format!("{address:#x}")));
    let text = String::from_utf8(command.output().ok()?.stdout).unwrap();
    let line = |text: &str| {
        let place = text.rsplit('/').next().unwrap_or_default();
        let mut words = place.split(':');
        let (file, line) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        format!("{file}:{line}").replace(":0", ":?")
    };
    Some(text.lines().map(line).collect())
}

#[test]
fn the_c_library_is_as_two_addr2lines_say() {
    let found = ["libc.so.6", "libm.so.6", "libresolv.so.2", "ld-linux-x86-64.so.2"];
    let folder = Path::new("/usr/lib/x86_64-linux-gnu");
    let mut compared = 0;
    for path in found.map(|name| folder.join(name)).into_iter().filter(|path| path.exists()) {
        let Some(debug) = debug_info(&path) else { continue };
        let (module, addresses) = (module(&path), addresses(&debug, 2000));
        let expected = by_addr2line(&debug, &addresses);
        let Some(second) = lines_by_elfutils(&path, &addresses) else {
            skip("no `eu-addr2line` (Debian: elfutils): the C library's lines are not compared");
            return;
        };
        assert_eq!(second.len(), addresses.len());
        let mut agreement = Agreement::default();
        for (address, second) in addresses.into_iter().zip(second) {
            let (ours, theirs) = (answer(&module.frames_at(LinkAddr(address))), &expected[&address]);
            let innermost = ours.first().map_or("??:?", |(_, place)| place.as_str());
            // binutils takes the first file of a table of DWARF 5 for the unit's; elfutils does not, and decides.
            let reason =
                || (names(&ours) == names(theirs) && innermost == second).then_some("elfutils agrees on the file");
            agreement.add(address, &ours, theirs, reason);
        }
        agreement.assert_explained(&path, 1000);
        compared += 1;
    }
    if compared == 0 {
        skip("no debug info of the C library (Debian: libc6-dbg): it is not compared");
    }
}

/// pclntab leaves out the types of an instance, and counts copies with a dot of its own.
fn plain_go(name: &str) -> String {
    let name = name.replace(".abi0", "").replace('·', ".");
    match (name.find('['), name.rfind(']')) {
        (Some(begin), Some(end)) if begin < end => format!("{}[...]{}", &name[..begin], &name[end + 1..]),
        _ => name,
    }
}

#[test]
fn gos_own_tools_are_as_addr2line_says() {
    let Some(go) = Go::all().into_iter().next() else {
        return;
    };
    if go.minor() >= 25 {
        skip("binutils cannot read the DWARF 5 that Go 1.25 writes: its tools are not compared");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for tool in ["gofmt", "vet"] {
        // Distributions ship them stripped; built anew they have DWARF.
        let program = folder.path().join(tool);
        let mut build = Command::new(&go.command);
        build.args(["build", "-o"]).arg(&program).arg(format!("cmd/{tool}"));
        build.env("GOFLAGS", "").env("GOTOOLCHAIN", "local").env_remove("GOROOT");
        run(&mut build);
        let (module, addresses) = (module(&program), addresses(&program, 3000));
        let expected = by_addr2line(&program, &addresses);
        let mut agreement = Agreement::default();
        for address in addresses {
            let mut ours = answer(&module.frames_at(LinkAddr(address)));
            let mut theirs = expected[&address].clone();
            if theirs[0].1.ends_with(":?") {
                continue;
            }
            for (name, _) in ours.iter_mut().chain(&mut theirs) {
                *name = plain_go(name);
            }
            // binutils names the inner calls of Go by the function around them: only that one's name is compared.
            let outermost = theirs.len() - 1;
            for ((name, _), (other, _)) in ours.iter().zip(&mut theirs[..outermost]) {
                other.clone_from(name);
            }
            // What is inlined into a method that the compiler has made for a pointer stands in pclntab, not in DWARF.
            let is_wrapper = ours.last().is_some_and(|(_, place)| place == "<autogenerated>:1");
            let reason = || {
                let same = names(&ours).last() == names(&theirs).last() && lines(&ours)[0] == lines(&theirs)[0];
                (is_wrapper && same && ours.len() > theirs.len()).then_some("wrapper")
            };
            agreement.add(address, &ours, &theirs, reason);
        }
        agreement.assert_explained(&program, 2500);
    }
}
