//! A folder of files that may be lost at any time: what godbg has worked out and wants to find again. Whatever another user
//! could have put there is refused. Knows nothing of what the files hold.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::fcntl::{OFlag, openat, renameat};
use nix::libc;
use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use super::file_map::FileMap;

/// What was used since is not marked as used again: each mark is a write.
const RECENT: Duration = Duration::from_secs(600);

/// A cache folder.
#[derive(Debug)]
pub struct CacheFolder {
    folder: OwnedFd,
    /// All files together are at most so long, bytes.
    most: u64,
}

/// `$XDG_CACHE_HOME/godbg`, else `~/.cache/godbg` (XDG Base Directory Specification); `None` without a home.
pub fn place() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache"))).map(|path| path.join("godbg"))
}

impl CacheFolder {
    /// Opens the folder, made if need be. It must be godbg's user's own, and nobody else may write to it.
    pub fn open(path: &Path, most: u64) -> io::Result<CacheFolder> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let folder = File::options().read(true).custom_flags(flags).open(path)?;
        refuse_foreign(&folder.metadata()?)?;
        Ok(CacheFolder { folder: folder.into(), most })
    }

    /// A file of it, mapped; it counts as used now. `name` is a plain file name.
    pub fn read(&self, name: &str) -> io::Result<FileMap> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.folder, plain(name)?, flags, Mode::empty())?);
        let about = file.metadata()?;
        refuse_foreign(&about)?;
        // Only the order in which files are thrown away depends on it.
        if about.modified()?.elapsed().is_ok_and(|age| age > RECENT) {
            let now = TimeSpec::UTIME_NOW;
            let _ = utimensat(&self.folder, name, &now, &now, UtimensatFlags::NoFollowSymlink);
        }
        Ok(FileMap::of(&file)?.0)
    }

    /// Writes a file of it, whole or not at all, and throws away the files that were not used for the longest time.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if bytes.len() as u64 > self.most / 2 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let unfinished = format!("{}.{}.{}", plain(name)?, std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let mut file = File::from(openat(&self.folder, unfinished.as_str(), flags, mode)?);
        let written = file.write_all(bytes);
        let renamed = written
            .and_then(|()| renameat(&self.folder, unfinished.as_str(), &self.folder, name).map_err(io::Error::from));
        if renamed.is_err() {
            unlinkat(&self.folder, unfinished.as_str(), UnlinkatFlags::NoRemoveDir)?;
        }
        renamed.and_then(|()| self.prune())
    }

    /// Throws away the oldest files until the rest fits.
    fn prune(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(format!("/proc/self/fd/{}", self.folder.as_raw_fd()))?.take(100_000).flatten() {
            let Ok(about) = entry.metadata() else { continue };
            if is_left_over(&entry.file_name(), &about) {
                unlinkat(&self.folder, entry.file_name().as_os_str(), UnlinkatFlags::NoRemoveDir)?;
            } else if about.is_file() {
                files.push(((about.mtime(), about.mtime_nsec()), about.len(), entry.file_name()));
            }
        }
        files.sort_unstable();
        let mut total: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, name) in files {
            if total <= self.most {
                break;
            }
            unlinkat(&self.folder, name.as_os_str(), UnlinkatFlags::NoRemoveDir)?;
            total -= length;
        }
        Ok(())
    }
}

/// Whether a file was begun (`NAME.PID.NUMBER`) by a process that ended before it was whole.
fn is_left_over(name: &OsStr, about: &fs::Metadata) -> bool {
    const LONG: Duration = Duration::from_secs(3600);
    let parts: Vec<&str> = name.to_str().unwrap_or_default().rsplit('.').take(2).collect();
    let is_unfinished = parts.len() == 2 && parts.iter().all(|part| part.parse::<u32>().is_ok());
    let is_old = || about.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LONG));
    about.is_file() && is_unfinished && is_old()
}

/// A name that is no path and no folder.
fn plain(name: &str) -> io::Result<&str> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let plain = !name.is_empty() && name.len() < 200 && name.bytes().all(good) && !name.starts_with('.');
    if plain { Ok(name) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// What another user owns or may write to could hold anything.
fn refuse_foreign(about: &fs::Metadata) -> io::Result<()> {
    if about.uid() != geteuid().as_raw() || about.mode() & 0o022 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it belongs to another user or can be written by one",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn files_are_found_again_and_the_oldest_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/godbg");
        let cache = CacheFolder::open(&path, 1000).expect("opened");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o700);
        assert!(cache.read("one").is_err());
        cache.write("one", &[1; 400]).expect("written");
        cache.write("two", &[2; 400]).expect("written");
        // "two" was used long ago.
        let two = File::options().write(true).open(path.join("two")).expect("there");
        two.set_modified(std::time::UNIX_EPOCH).expect("changed");
        assert_eq!(cache.read("one").expect("read").as_ref(), [1; 400]);
        cache.write("three", &[3; 400]).expect("written");
        assert!(cache.read("one").is_ok() && cache.read("two").is_err() && cache.read("three").is_ok());
        assert!(cache.write("four", &[4; 600]).is_err());
        // What a process has left that was killed while it wrote; what one writes now stays.
        let begin = |name: &str| File::create(path.join(name)).expect("made");
        begin("old.12.0").set_modified(std::time::UNIX_EPOCH).expect("changed");
        drop(begin("new.12.0"));
        cache.write("five", b"5").expect("written");
        assert!(!path.join("old.12.0").exists() && path.join("new.12.0").exists());
        for name in ["", "../one", "a/b", ".", ".."] {
            assert!(cache.read(name).is_err() && cache.write(name, b"").is_err(), "{name}");
        }
    }

    #[test]
    fn what_others_can_write_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = CacheFolder::open(folder.path(), 1000).expect("opened");
        cache.write("file", b"x").expect("written");
        symlink("file", folder.path().join("link")).expect("a link");
        assert!(cache.read("link").is_err());
        let open_up = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
        open_up(&folder.path().join("file"), 0o622);
        assert!(cache.read("file").is_err());
        open_up(folder.path(), 0o777);
        assert!(CacheFolder::open(folder.path(), 1000).is_err());
        open_up(folder.path(), 0o700);
    }
}
