//! Names that are kept on disk: the second session's answers are the first's, whatever has become of the kept file.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::harness::binaries::run;
use crate::harness::godbg::Godbg;
use crate::harness::kernel::wait_until;
use crate::harness::toolchain::sources;

/// A large program with a build id, asleep until it is dropped.
struct Target {
    child: Child,
    folder: tempfile::TempDir,
}

impl Target {
    fn start() -> Target {
        Self::of(&|_| {})
    }

    /// Of a program to which something was done.
    fn of(change: &dyn Fn(&Path)) -> Target {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("names");
        let mut rustc = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into()));
        rustc.args(["--edition=2021", "-g", "-O", "-Clink-arg=-Wl,--build-id"]);
        run(rustc.arg(sources().join("names.rs")).arg("-o").arg(&program));
        change(&program);
        let child = Command::new(&program).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        Target { child, folder }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn godbg(&self) -> Godbg {
        Godbg::new().env("XDG_CACHE_HOME", self.cache()).args(["attach", &self.child.id().to_string()])
    }

    /// What a session says of names, without the lines about itself.
    #[track_caller]
    fn ask(&self) -> String {
        let script = "info functions zoo\ninfo functions twice\ninfo line names.rs:33\ninfo address caller\n\
            break mixed\nbreak names.rs:40\nbreak twice\ninfo breakpoints\ninfo types Cat\nquit\n";
        let outcome = self.godbg().run_script(script).success();
        let about_itself = |line: &&str| !line.starts_with("process ");
        outcome.stdout.lines().filter(about_itself).map(|line| format!("{line}\n")).collect()
    }

    /// Its stacks, without how long it was held for them.
    #[track_caller]
    fn stacks(&self) -> String {
        let pid = self.child.id().to_string();
        let outcome = Godbg::new().env("XDG_CACHE_HOME", self.cache()).args(["stacks", &pid]).run().success();
        outcome.stdout.lines().filter(|line| !line.starts_with("process ")).map(|line| format!("{line}\n")).collect()
    }

    /// The kept files of names.
    fn kept(&self) -> Vec<PathBuf> {
        self.kept_as("names-")
    }

    /// The kept files whose names begin so.
    fn kept_as(&self, begin: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.cache().join("godbg")).into_iter().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        // One that is not whole yet ends with two numbers.
        let is_whole = |path: &Path| path.extension().is_none_or(|end| end.to_str().unwrap().parse::<u32>().is_err());
        files.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(begin) && is_whole(path));
        files.sort();
        files
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn a_second_session_says_what_the_first_has_said() {
    let target = Target::start();
    let first = target.ask();
    for word in ["zoo::Cat", "names::twice", "names.rs:33", "names::caller"] {
        assert!(first.contains(word), "no {word}: {first}");
    }
    // One file is the program's; the C library has one too where its debug info is installed.
    let kept = target.kept();
    assert!(!kept.is_empty(), "nothing was kept");
    let good: Vec<Vec<u8>> = kept.iter().map(|path| fs::read(path).unwrap()).collect();
    let inodes: Vec<u64> = kept.iter().map(|path| inode(path)).collect();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    for path in &kept {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o600);
        fs::File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
    assert_eq!(target.ask(), first);
    for (path, old) in kept.iter().zip(&inodes) {
        // Read, which sets its time, and not written anew, which would make another file.
        assert!(fs::metadata(path).unwrap().modified().unwrap() > long_ago, "{path:?} was not read");
        assert_eq!(inode(path), *old, "{path:?} was written again");
    }

    let spoil = |spoilt: &dyn Fn(&[u8]) -> Vec<u8>, what: &str| {
        for (path, good) in kept.iter().zip(&good) {
            fs::write(path, spoilt(good)).unwrap();
        }
        assert_eq!(target.ask(), first, "{what}");
        for (path, good) in kept.iter().zip(&good) {
            assert!(fs::read(path).unwrap() == *good, "{what}: {path:?} was not made anew");
        }
    };
    spoil(&|good| good[..good.len() / 2].to_vec(), "cut off");
    spoil(&|_| Vec::new(), "empty");
    spoil(&|good| [b"godbgix0", &good[8..]].concat(), "of another version");
    spoil(
        &|good| {
            let mut bad = good.to_vec();
            let middle = bad.len() / 2;
            bad[middle] ^= 1;
            bad
        },
        "one bit changed",
    );

    // What others may have written is not believed.
    for path in &kept {
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    }
    assert_eq!(target.ask(), first);
    for path in &kept {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o600, "{path:?} was not made anew");
    }
    fs::set_permissions(target.cache().join("godbg"), fs::Permissions::from_mode(0o777)).unwrap();
    let old: Vec<u64> = kept.iter().map(|path| inode(path)).collect();
    assert_eq!(target.ask(), first);
    assert_eq!(kept.iter().map(|path| inode(path)).collect::<Vec<_>>(), old, "a folder of all was written to");
}

#[test]
fn without_a_cache_folder_names_are_found_as_well() {
    let target = Target::start();
    fs::write(target.cache(), "no folder").unwrap();
    let said = target.ask();
    assert!(said.contains("names::twice"), "{said}");
}

#[test]
fn one_name_looked_up_has_all_prepared_for_the_next_session() {
    let target = Target::start();
    let mut session = target.godbg().start();
    session.send("break names::caller\n");
    wait_until(Duration::from_secs(60), "the names are kept", || !target.kept().is_empty());
    session.send_until_exit("quit");
    // It need not be done for a session to end.
    let other = Target::start();
    let outcome = other.godbg().run_script("break names::caller\nquit\n").success();
    assert!(outcome.stdout.contains("names::caller"), "{}", outcome.stdout);
}

/// Sections that were unpacked are kept too: the second session reads those, and says the same, whatever has become of them.
#[test]
fn sections_that_were_unpacked_are_kept() {
    let compress = |program: &Path| {
        run(Command::new("objcopy").arg("--compress-debug-sections=zlib").arg(program));
    };
    let target = Target::of(&compress);
    let first = target.ask();
    assert!(first.contains("zoo::Cat"), "{first}");
    let stacks = target.stacks();
    assert!(stacks.contains("names.rs:"), "{stacks}");
    let kept = target.kept_as("unpacked-");
    assert!(kept.iter().any(|path| path.extension().is_some_and(|end| end == "debug_info")), "{kept:?}");
    let good: Vec<Vec<u8>> = kept.iter().map(|path| fs::read(path).unwrap()).collect();
    let inodes: Vec<u64> = kept.iter().map(|path| inode(path)).collect();
    let forget_names = || target.kept().iter().for_each(|path| fs::remove_file(path).unwrap());
    forget_names();
    assert_eq!(target.ask(), first);
    assert_eq!(kept.iter().map(|path| inode(path)).collect::<Vec<_>>(), inodes, "they were unpacked again");
    let cut: &dyn Fn(&[u8]) -> Vec<u8> = &|good| good[..good.len() - 1].to_vec();
    let at = |number: usize| {
        move |good: &[u8]| {
            let mut bad = good.to_vec();
            let place = (bad.len() - 1) * number / 8;
            bad[place] ^= 0x55;
            bad
        }
    };
    let places: Vec<_> = (0..=8).map(at).collect();
    for spoil in std::iter::once(cut).chain(places.iter().map(|spoil| spoil as &dyn Fn(&[u8]) -> Vec<u8>)) {
        let spoil_all = || kept.iter().zip(&good).for_each(|(path, good)| fs::write(path, spoil(good)).unwrap());
        // One who asks for little reads little, and sees what is damaged of that.
        spoil_all();
        assert_eq!(target.stacks(), stacks);
        spoil_all();
        forget_names();
        assert_eq!(target.ask(), first);
        for (path, good) in kept.iter().zip(&good) {
            assert!(fs::read(path).unwrap() == *good, "{path:?} was not made anew");
        }
    }
}
