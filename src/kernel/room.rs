//! Memory of godbg's own that is there before it is needed: while a process is held, no page has to be found. Knows nothing of
//! what goes into it.

use nix::libc;

use super::memory::PAGE;

/// Less than this is not worth a system call, bytes.
const LEAST: usize = 1 << 20;

/// A vector with room for so many, whose pages are there already (madvise(2): MADV_POPULATE_WRITE since Linux 5.14; an older
/// kernel finds pages as they are written to). Not large ones: where a hypervisor takes back what a guest has free, those are
/// what it takes, and finding 40 MiB of them again was seen to take 7 ms or 200; small ones took 16.
pub fn prepared<T>(count: usize) -> Vec<T> {
    let mut room: Vec<T> = Vec::with_capacity(count);
    let spare = room.spare_capacity_mut();
    let (start, size) = (spare.as_mut_ptr() as usize, size_of_val(spare));
    let first = start.next_multiple_of(PAGE as usize);
    let Some(length) = (start + size).checked_sub(first).map(|length| length - length % PAGE as usize) else {
        return room;
    };
    if length < LEAST {
        return room;
    }
    // SAFETY: the pages lie within an allocation of this process that nobody else uses. What is in them does not change. An error
    // means that they are as they were.
    unsafe { libc::madvise(first as *mut libc::c_void, length, libc::MADV_POPULATE_WRITE) };
    room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_there_and_empty() {
        for count in [0, 1, 1000, 3 << 20] {
            let mut room: Vec<u32> = prepared(count);
            assert!(room.is_empty() && room.capacity() >= count);
            room.extend(0..count as u32);
            assert_eq!(room.last().copied(), count.checked_sub(1).map(|last| last as u32));
        }
        assert!(prepared::<()>(5).is_empty());
    }
}
