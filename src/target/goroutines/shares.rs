//! Work in about equal shares, one for each processor. Knows nothing of what it is.

/// Halves (or as many parts as there are processors) of about the same size; small work stays in one.
pub(super) fn split<T>(items: &[T], total: usize, size: impl Fn(&T) -> usize) -> Vec<&[T]> {
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
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let goal = total.div_ceil(workers).max(SMALL);
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
pub(super) fn in_parallel<P: Send, T: Send>(parts: Vec<P>, work: impl Fn(P) -> Vec<T> + Sync) -> Vec<T> {
    let work = &work;
    std::thread::scope(|scope| {
        let mut parts = parts.into_iter();
        let first = parts.next();
        let others: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        let mut all = first.map(work).unwrap_or_default();
        for other in others {
            all.extend(other.join().unwrap_or_default());
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
    }
}
