//! Work on many things by all processors. Knows nothing of what the work is.

use std::cell::Cell;
use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

thread_local! {
    static IS_ASIDE: Cell<bool> = const { Cell::new(false) };
}

/// Leaves half of the processors to others from now on, in what this thread does: nobody waits for it.
pub fn work_aside() {
    IS_ASIDE.set(true);
}

/// How many processors godbg may use; half of them for work aside. Asked of the kernel once: std reads a control group's files
/// for it each time.
pub fn processors() -> usize {
    static ALL: OnceLock<usize> = OnceLock::new();
    let all = *ALL.get_or_init(|| thread::available_parallelism().map_or(1, NonZero::get));
    if IS_ASIDE.get() { all / 2 } else { all }.max(1)
}

/// The results of `work` on each item, in the order of the items. Runs on this thread alone if there is one processor or one item.
pub fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let processors = processors().min(items.len());
    if processors < 2 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return done };
            done.push((index, work(item)));
        }
    };
    let mut all: Vec<(usize, R)> = thread::scope(|scope| {
        let helpers: Vec<_> = (1..processors).map(|_| scope.spawn(run)).collect();
        let mut all = run();
        for helper in helpers {
            match helper.join() {
                Ok(done) => all.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_unstable_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, result)| result).collect()
}

/// Ranges that together are `0..length`, a few for each processor, none shorter than `least` but the last.
pub fn pieces(length: usize, least: usize) -> Vec<std::ops::Range<usize>> {
    let processors = processors();
    let size = length.div_ceil(processors * 4).max(least).max(1);
    (0..length).step_by(size).map(|begin| begin..(begin + size).min(length)).collect()
}

/// Parts of about the same size, one for each of at most 8 processors; small work stays in one. `total`: the sum of the sizes, bytes.
pub fn split<T>(items: &[T], total: usize, size: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut parts, mut rest) = (Vec::new(), items);
    for length in lengths(items, total, size) {
        let (part, others) = rest.split_at(length);
        parts.push(part);
        rest = others;
    }
    parts
}

/// How many items are in each part.
fn lengths<T>(items: &[T], total: usize, size: impl Fn(&T) -> usize) -> Vec<usize> {
    const SMALL: usize = 1 << 20;
    let goal = total.div_ceil(processors().min(8)).max(SMALL);
    let (mut lengths, mut count, mut sum) = (Vec::new(), 0, 0);
    for item in items {
        (count, sum) = (count + 1, sum + size(item));
        if sum >= goal {
            lengths.push(count);
            (count, sum) = (0, 0);
        }
    }
    if count > 0 {
        lengths.push(count);
    }
    lengths
}

/// Does each part by a thread of its own, the first by this one, and puts the answers one behind the other.
pub fn concat<P: Send, T: Send>(parts: Vec<P>, work: impl Fn(P) -> Vec<T> + Sync) -> Vec<T> {
    let work = &work;
    thread::scope(|scope| {
        let mut parts = parts.into_iter();
        let first = parts.next();
        let others: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        let mut all = first.map(work).unwrap_or_default();
        for other in others {
            match other.join() {
                Ok(its) => all.extend(its),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_all_of_it_in_order() {
        let sizes = [3 << 20, 1, 2 << 20, 5, 6 << 20, 7];
        for total in [0, 1 << 20, 12 << 20] {
            assert_eq!(split(&sizes, total, |size| *size).concat(), sizes);
        }
        assert_eq!(split(&[1, 2, 3], 6, |size| *size).len(), 1);
        assert!(split(&[], 0, |size: &usize| *size).is_empty());
        assert_eq!(concat(vec![0..3, 5..5, 7..9], |range| range.collect()), [0, 1, 2, 7, 8]);
    }

    #[test]
    fn results_stand_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        assert_eq!(map(&items, |item| item * 2), items.iter().map(|item| item * 2).collect::<Vec<_>>());
        assert_eq!(map(&[] as &[usize], |item| *item), Vec::<usize>::new());
        let pieces = pieces(1001, 10);
        assert_eq!(pieces.iter().map(|piece| piece.len()).sum::<usize>(), 1001);
        assert!(pieces.windows(2).all(|two| two[0].end == two[1].start));
    }
}
