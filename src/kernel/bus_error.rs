//! Reading a mapped file behind an end that has moved is a SIGBUS (mmap(2)). The handler here puts a page of zeros there, and
//! hands every other SIGBUS to whoever had it before. Knows no files.

use std::io;
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};

use nix::libc;

/// The guarded ranges. The handler may not lock and not allocate, so that there is room for so many and no more.
static RANGES: [Range; 8192] = [const { Range { start: AtomicUsize::new(0), end: AtomicUsize::new(0) } }; 8192];
/// No slot behind this one was ever used.
static USED: AtomicUsize = AtomicUsize::new(0);
/// What handled SIGBUS before.
static BEFORE: AtomicPtr<libc::sigaction> = AtomicPtr::new(std::ptr::null_mut());

/// Address 0 is never mapped: a free slot. 1 is one that is being filled.
struct Range {
    start: AtomicUsize,
    end: AtomicUsize,
}

/// Guards a range while it lives.
#[derive(Debug)]
pub struct Guard(usize);

/// Guards memory that a file is mapped to. Fails when there is no room for more, or the handler cannot be set.
pub fn guard(memory: &[u8]) -> io::Result<Guard> {
    install()?;
    let start = memory.as_ptr() as usize;
    let free = |range: &Range| range.start.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    let Some(slot) = RANGES.iter().position(free) else {
        return Err(io::Error::other("too many files are mapped"));
    };
    USED.fetch_max(slot + 1, Ordering::AcqRel);
    RANGES[slot].end.store(start + memory.len(), Ordering::Relaxed);
    RANGES[slot].start.store(start, Ordering::Release);
    Ok(Guard(slot))
}

impl Drop for Guard {
    fn drop(&mut self) {
        RANGES[self.0].start.store(0, Ordering::Release);
    }
}

/// Sets the handler, once.
fn install() -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    let set = || {
        let mut before = Box::new(MaybeUninit::<libc::sigaction>::zeroed());
        // SAFETY: all zeros is a valid sigaction; the handler has the signature that SA_SIGINFO asks for, and does only what
        // signal-safety(7) allows. What was there before is kept for ever.
        let outcome = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(libc::SIGBUS, std::ptr::null(), before.as_mut_ptr());
            BEFORE.store(Box::into_raw(before).cast(), Ordering::Release);
            libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut())
        };
        if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL)) }
    };
    INSTALLED.get_or_init(set).map_err(io::Error::from_raw_os_error)
}

/// Runs on the thread that made the access. Everything it calls is a bare system call or an atomic.
extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    const PAGE: usize = 4096;
    // SAFETY: the kernel gives a siginfo with the address of the access (sigaction(2)); errno belongs to the thread that was
    // interrupted and is put back.
    let (addr, errno) = unsafe { ((*info).si_addr() as usize, *libc::__errno_location()) };
    // SAFETY: the page is one of a mapping that FileMap owns, read only, and stays so until the guard is dropped; what
    // replaces it goes with the mapping.
    let mapped = is_guarded(addr)
        && unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            let page = (addr & !(PAGE - 1)) as *mut libc::c_void;
            libc::mmap(page, PAGE, libc::PROT_READ, flags, -1, 0) != libc::MAP_FAILED
        };
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
    if !mapped {
        hand_on(signal, info, context);
    }
}

fn is_guarded(addr: usize) -> bool {
    let used = USED.load(Ordering::Acquire).min(RANGES.len());
    RANGES[..used].iter().any(|range| {
        let start = range.start.load(Ordering::Acquire);
        let end = range.end.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        start > 1 && start <= addr && addr < end && range.start.load(Ordering::Relaxed) == start
    })
}

/// What would have happened without this handler.
fn hand_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let before = BEFORE.load(Ordering::Acquire);
    // SAFETY: what `install` stored is a sigaction that is never freed; a handler of it has the signature that its flags say.
    unsafe {
        let action = if before.is_null() { libc::SIG_DFL } else { (*before).sa_sigaction };
        if action == libc::SIG_DFL || action == libc::SIG_IGN {
            // The access is made again on return, and ends the process as it should.
            libc::signal(signal, libc::SIG_DFL);
        } else if (*before).sa_flags & libc::SA_SIGINFO != 0 {
            let run: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = std::mem::transmute(action);
            run(signal, info, context);
        } else {
            let run: extern "C" fn(libc::c_int) = std::mem::transmute(action);
            run(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_guarded_while_their_guard_lives() {
        let memory = vec![0u8; 10_000];
        let start = memory.as_ptr() as usize;
        let guard = guard(&memory).expect("room");
        assert!(
            is_guarded(start) && is_guarded(start + 9_999) && !is_guarded(start + 10_000) && !is_guarded(start - 1)
        );
        drop(guard);
        assert!(!is_guarded(start));
    }
}
