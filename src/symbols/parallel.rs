//! Work on many things by all processors. Knows nothing of what the work is.

use std::cell::Cell;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

thread_local! {
    static IS_ASIDE: Cell<bool> = const { Cell::new(false) };
}

/// Leaves half of the processors to others from now on, in what this thread does: nobody waits for it.
pub fn work_aside() {
    IS_ASIDE.set(true);
}

fn processors() -> usize {
    let all = thread::available_parallelism().map_or(1, NonZero::get);
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

#[cfg(test)]
mod tests {
    use super::*;

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
