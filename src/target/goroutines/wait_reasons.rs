//! What goroutines wait for (`waitReasonStrings` of runtime/runtime2.go): an index whose meaning shifts between releases.

/// The words of a release's index; `None` if it has no such reason, or none at all.
pub fn wait_reason(minor: u32, index: u8) -> Option<&'static str> {
    let parts: &[&[&str]] = match minor {
        ..=19 => &[FIRST, SYNC, OLD],
        20..=23 => &[FIRST, SYNC, LOCKS, LAST],
        24 => &[FIRST, SYNC, LOCKS, GROUP, LAST, SYNCTEST],
        25 => &[FIRST, PROCS, SYNC, LOCKS, GROUP, LAST, DURABLE],
        _ => &[FIRST_26, LOCKS, GROUP, LAST, DURABLE],
    };
    let words = parts.iter().copied().flatten().nth(usize::from(index)).copied();
    words.filter(|words| !words.is_empty())
}

const FIRST: &[&str] = &[
    "",
    "GC assist marking",
    "IO wait",
    "chan receive (nil chan)",
    "chan send (nil chan)",
    "dumping heap",
    "garbage collection",
    "garbage collection scan",
    "panicwait",
    "select",
    "select (no cases)",
    "GC assist wait",
    "GC sweep wait",
    "GC scavenge wait",
    "chan receive",
    "chan send",
    "finalizer wait",
    "force gc (idle)",
];

/// Since Go 1.26 what can wait for ever stands together.
const FIRST_26: &[&str] = &[
    "",
    "GC assist marking",
    "IO wait",
    "dumping heap",
    "garbage collection",
    "garbage collection scan",
    "panicwait",
    "GC assist wait",
    "GC sweep wait",
    "GC scavenge wait",
    "finalizer wait",
    "force gc (idle)",
    "GOMAXPROCS updater (idle)",
    "semacquire",
    "sleep",
    "chan receive (nil chan)",
    "chan send (nil chan)",
    "select (no cases)",
    "select",
    "chan receive",
    "chan send",
    "sync.Cond.Wait",
];

/// Go 1.25.
const PROCS: &[&str] = &["GOMAXPROCS updater (idle)"];

const SYNC: &[&str] = &["semacquire", "sleep", "sync.Cond.Wait"];

/// Since Go 1.20.
const LOCKS: &[&str] = &["sync.Mutex.Lock", "sync.RWMutex.RLock", "sync.RWMutex.Lock"];

/// Since Go 1.24.
const GROUP: &[&str] = &["sync.WaitGroup.Wait"];

/// Go 1.19.
const OLD: &[&str] = &[
    "timer goroutine (idle)",
    "trace reader (blocked)",
    "wait for GC cycle",
    "GC worker (idle)",
    "preempted",
    "debug call",
];

/// Since Go 1.20; later releases have added to its end.
const LAST: &[&str] = &[
    "trace reader (blocked)",
    "wait for GC cycle",
    "GC worker (idle)",
    "GC worker (active)",
    "preempted",
    "debug call",
    "GC mark termination",
    "stopping the world",
    "flushing proc caches",
    "trace goroutine status",
    "trace proc status",
    "page trace flush",
    "coroutine",
    "GC weak to strong wait",
    "synctest.Run",
    "synctest.Wait",
];

/// Go 1.24.
const SYNCTEST: &[&str] = &["chan receive (synctest)", "chan send (synctest)", "select (synctest)"];

/// Since Go 1.25.
const DURABLE: &[&str] = &[
    "chan receive (durable)",
    "chan send (durable)",
    "select (durable)",
    "sync.WaitGroup.Wait (durable)",
    "cleanup wait",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_shifts_between_releases() {
        let of =
            |words: &str| [19, 20, 24, 25, 26].map(|minor| (0..60).find(|at| wait_reason(minor, *at) == Some(words)));
        assert_eq!(of("chan receive"), [Some(14), Some(14), Some(14), Some(14), Some(19)]);
        assert_eq!(of("sleep"), [Some(19), Some(19), Some(19), Some(20), Some(14)]);
        assert_eq!(of("preempted"), [Some(25), Some(28), Some(29), Some(30), Some(30)]);
        assert_eq!(of("sync.WaitGroup.Wait"), [None, None, Some(24), Some(25), Some(25)]);
        assert_eq!((wait_reason(19, 0), wait_reason(27, 255)), (None, None));
    }
}
