//! The folder in which libdebuginfod keeps what it has fetched (debuginfod_find_debuginfo(3), "Cache"), so that gdb and godbg share it:
//! `BUILDID/debuginfo`, an empty file where no server had it. Trusts nothing that it finds; the reader of a file checks it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

/// What is known of a file without asking anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is here.
    Here(PathBuf),
    /// Not long ago no server had it.
    NotThere,
    /// Nothing.
    Unknown,
}

/// The cache.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// How long an empty file is believed, where the cache's own `cache_miss_s` says nothing else: libdebuginfod's default.
const MISS: Duration = Duration::from_secs(600);

impl Cache {
    /// `$DEBUGINFOD_CACHE_PATH`, else `$XDG_CACHE_HOME/debuginfod_client`, else `~/.cache/debuginfod_client`; `None` without a
    /// home.
    pub fn of_environment() -> Option<Cache> {
        let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let in_cache = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
        let folder = set("DEBUGINFOD_CACHE_PATH").or_else(|| Some(in_cache()?.join("debuginfod_client")))?;
        Some(Cache { folder })
    }

    /// Its folder, which need not be there.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn place(&self, build_id: &str) -> PathBuf {
        self.folder.join(build_id).join("debuginfo")
    }

    /// What is known of the debug info of a build.
    pub fn look(&self, build_id: &str) -> Kept {
        let place = self.place(build_id);
        match fs::metadata(&place) {
            Ok(about) if about.is_file() && about.len() > 0 => Kept::Here(place),
            Ok(about) if about.is_file() => {
                let age = about.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
                if age.is_some_and(|age| age < self.miss()) { Kept::NotThere } else { Kept::Unknown }
            }
            _ => Kept::Unknown,
        }
    }

    fn miss(&self) -> Duration {
        let text = fs::read_to_string(self.folder.join("cache_miss_s")).unwrap_or_default();
        text.trim().parse().map_or(MISS, Duration::from_secs)
    }

    /// Notes that no server has it.
    pub fn note_not_there(&self, build_id: &str) -> io::Result<()> {
        self.begin(build_id)?.complete()
    }

    /// A new file that takes its place when it is complete, readable by its owner alone.
    pub fn begin(&self, build_id: &str) -> io::Result<Unfinished> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let is_hex = build_id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex || !(4..=128).contains(&build_id.len()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no build id"));
        }
        let place = self.place(build_id);
        DirBuilder::new().recursive(true).mode(0o700).create(self.folder.join(build_id))?;
        remove_left_over(&self.folder.join(build_id));
        // Libdebuginfod's own are called `debuginfo.XXXXXX`.
        let name = format!("debuginfo.{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let temporary = place.with_file_name(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&temporary)?;
        Ok(Unfinished { place, temporary, file, complete: false })
    }
}

/// Takes away what a killed godbg has begun for a build id and never completed (`debuginfo.PID.NUMBER`): it has not grown for longer
/// than any server is waited for.
fn remove_left_over(folder: &Path) {
    const LONG: Duration = Duration::from_secs(3600);
    for entry in fs::read_dir(folder).into_iter().flatten().take(1000).flatten() {
        let name = entry.file_name();
        let parts: Vec<&str> = name.to_str().unwrap_or_default().split('.').collect();
        let is_unfinished =
            parts.len() == 3 && parts[0] == "debuginfo" && parts[1..].iter().all(|part| part.parse::<u32>().is_ok());
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if is_unfinished && age().is_some_and(|age| age > LONG) {
            // Another godbg may be doing the same.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A file that gets its name when it is complete, and is gone if it never is.
pub struct Unfinished {
    place: PathBuf,
    temporary: PathBuf,
    /// What is written to.
    pub file: File,
    complete: bool,
}

impl Unfinished {
    /// Where it is until it is complete.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Gives it its name.
    pub fn complete(mut self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.place)?;
        self.complete = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.complete {
            // Whoever called the job off may have taken it away already.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn what_was_begun_long_ago_is_taken_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path();
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(7200);
        for (name, is_old) in
            [("debuginfo.12.0", true), ("debuginfo.12.1", false), ("debuginfo.Xab", true), ("debuginfo", true)]
        {
            let file = File::create(place.join(name)).expect("a file");
            if is_old {
                file.set_modified(long_ago).expect("set");
            }
        }
        remove_left_over(place);
        let there = |name: &str| place.join(name).exists();
        assert_eq!(
            ["debuginfo.12.0", "debuginfo.12.1", "debuginfo.Xab", "debuginfo"].map(there),
            [false, true, true, true]
        );
    }

    #[test]
    fn files_appear_when_they_are_complete() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache { folder: folder.path().join("client") };
        assert_eq!(cache.look("abcd"), Kept::Unknown);
        let mut begun = cache.begin("abcd").expect("begun");
        begun.file.write_all(b"x").expect("written");
        assert_eq!(cache.look("abcd"), Kept::Unknown);
        begun.complete().expect("complete");
        let place = folder.path().join("client/abcd/debuginfo");
        assert_eq!(cache.look("abcd"), Kept::Here(place.clone()));
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
        assert_eq!((mode(&place), mode(place.parent().expect("a folder"))), (0o600, 0o700));
        drop(cache.begin("abce").expect("begun"));
        assert_eq!(fs::read_dir(folder.path().join("client/abce")).expect("a folder").count(), 0);
        for wrong in ["", "../x", "ab/d", "abcg"] {
            assert!(cache.begin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_empty_file_is_believed_for_a_while() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache { folder: folder.path().into() };
        cache.note_not_there("abcd").expect("noted");
        assert_eq!(cache.look("abcd"), Kept::NotThere);
        fs::write(folder.path().join("cache_miss_s"), "0\n").expect("written");
        assert_eq!(cache.look("abcd"), Kept::Unknown);
        fs::remove_file(folder.path().join("cache_miss_s")).expect("removed");
        let file = File::options().write(true).open(folder.path().join("abcd/debuginfo")).expect("there");
        file.set_modified(SystemTime::now() - Duration::from_secs(601)).expect("changed");
        assert_eq!(cache.look("abcd"), Kept::Unknown);
    }
}
