//! Compiles the fixtures once per source, flags and compiler version.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

const C_FLAGS: &[&str] = &["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread"];
const RUST_FLAGS: &[&str] = &["--edition=2021", "-g", "-O", "-Dwarnings"];

/// The folder that the fixtures' sources stand in.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The path of a fixture's program, compiled if need be; `None` (said loudly) when its compiler is missing.
pub fn program(name: &str) -> Option<PathBuf> {
    let source = |extension| Some(sources().join(format!("{name}.{extension}"))).filter(|path| path.exists());
    if let Some(source) = source("c") {
        let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        return build(name, &cc, "--version", C_FLAGS, &[source, sources().join("fixture.h")]);
    }
    if let Some(source) = source("rs") {
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
        return build(name, &rustc, "--version", RUST_FLAGS, &[source]);
    }
    if let Some(source) = source("go") {
        return build(name, "go", "version", &["build"], &[source]);
    }
    Some(source("sh").unwrap_or_else(|| panic!("there is no fixture {name}")))
}

/// The path of a fixture that is a shared library, compiled if need be.
pub fn library(name: &str) -> Option<PathBuf> {
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let flags = [C_FLAGS, &["-shared", "-fPIC"]].concat();
    build(name, &cc, "--version", &flags, &[sources().join(format!("{name}.c"))])
}

/// A Go toolchain: that of the path, and those that `scripts/test` has installed beside the build (`go-VERSION`).
#[derive(Clone, Debug)]
pub struct Go {
    /// The `go` command.
    pub command: PathBuf,
    /// `go1.27.3`.
    pub version: String,
}

impl Go {
    /// All that are there, the path's first.
    pub fn all() -> Vec<Go> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let mut commands: Vec<PathBuf> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let path = entry.unwrap().path();
                let is_go = path.file_name()?.to_str()?.starts_with("go-");
                Some(path.join("go/bin/go")).filter(|command| is_go && command.exists())
            })
            .collect();
        commands.sort();
        commands.insert(0, "go".into());
        commands.into_iter().filter_map(Go::at).collect()
    }

    fn at(command: PathBuf) -> Option<Go> {
        let text = version_of(command.to_str()?, "version")?;
        let version = String::from_utf8(text).ok()?.split_whitespace().nth(2)?.to_owned();
        Some(Go { command, version })
    }

    /// The release's number: 27 of Go 1.27.
    pub fn minor(&self) -> u32 {
        self.version.split('.').nth(1).unwrap().parse().unwrap()
    }

    /// A fixture built with these flags of `go build`.
    pub fn program(&self, name: &str, flags: &[&str]) -> PathBuf {
        let flags: Vec<&str> = ["build"].iter().chain(flags).copied().collect();
        let source = sources().join(format!("{name}.go"));
        build(name, self.command.to_str().unwrap(), "version", &flags, &[source]).unwrap()
    }
}

/// A C fixture compiled with more options; `None` (said loudly) when the compiler is missing.
pub fn program_with(name: &str, more: &[&str]) -> Option<PathBuf> {
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let flags: Vec<&str> = C_FLAGS.iter().chain(more).copied().collect();
    build(name, &cc, "--version", &flags, &[sources().join(format!("{name}.c")), sources().join("fixture.h")])
}

/// One compiler call, its result kept under a name that its inputs decide. A rename makes it whole or absent.
fn build(name: &str, compiler: &str, version: &str, flags: &[&str], inputs: &[PathBuf]) -> Option<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let version = version_of(compiler, version)?;
    let mut hasher = DefaultHasher::new();
    (version, flags).hash(&mut hasher);
    for input in inputs {
        fs::read(input).unwrap().hash(&mut hasher);
    }
    let cache = cache();
    // The program's file name is the fixture's own, as its process name comes from it.
    let folder = cache.join(format!("{:016x}", hasher.finish()));
    let program = folder.join(name);
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !program.exists() {
        fs::create_dir_all(&folder).unwrap();
        let unfinished = folder.join(format!("{name}.{}", std::process::id()));
        let mut command = Command::new(compiler);
        command.args(flags).arg("-o").arg(&unfinished).arg(&inputs[0]);
        command.env("GO111MODULE", "off").env("GOFLAGS", "").env("GOCACHE", cache.join("go"));
        command.env("GOTOOLCHAIN", "local").env_remove("GOROOT");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
        fs::rename(&unfinished, &program).unwrap();
    }
    Some(program)
}

/// Where compiled fixtures are kept between runs.
fn cache() -> PathBuf {
    static CACHE: OnceLock<PathBuf> = OnceLock::new();
    CACHE.get_or_init(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("fixtures")).clone()
}

fn version_of(compiler: &str, argument: &str) -> Option<Vec<u8>> {
    match Command::new(compiler).arg(argument).output() {
        Ok(output) if output.status.success() => Some(output.stdout),
        _ => {
            super::skip(&format!("no compiler `{compiler}`: the tests of its fixtures do not run"));
            None
        }
    }
}
