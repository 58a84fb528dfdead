//! Which of many ranges an address lies in, found by one binary search, ranges within ranges included. Knows no meaning of them.

/// For each address the narrowest range that begins last.
#[derive(Default, Debug)]
pub struct Cover {
    /// Where each stretch begins, rising.
    starts: Vec<u64>,
    /// Which range the stretch belongs to; `NONE` for a gap.
    owners: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Cover {
    /// Of ranges (begin, end, number). Of equal beginnings the shorter is the inner one. Empty ones count for nothing.
    pub fn new(mut ranges: Vec<(u64, u64, u32)>) -> Cover {
        ranges.retain(|(begin, end, _)| begin < end);
        let order = |range: &(u64, u64, u32)| (range.0, std::cmp::Reverse(range.1), range.2);
        if !ranges.is_sorted_by_key(order) {
            ranges.sort_by_key(order);
        }
        let mut cover = Cover { starts: Vec::with_capacity(ranges.len()), owners: Vec::with_capacity(ranges.len()) };
        let mut open: Vec<(u64, u32)> = Vec::new();
        for (begin, end, number) in ranges {
            cover.close(&mut open, begin);
            cover.push(begin, number);
            open.push((end, number));
        }
        cover.close(&mut open, u64::MAX);
        cover
    }

    /// The range that an address lies in.
    pub fn find(&self, addr: u64) -> Option<u32> {
        let after = self.starts.partition_point(|start| *start <= addr);
        self.owners.get(after.checked_sub(1)?).copied().filter(|owner| *owner != NONE)
    }

    /// The ranges that have a stretch within `range`; one may come several times.
    pub fn within(&self, range: &std::ops::Range<u64>) -> impl Iterator<Item = u32> {
        let begin = self.starts.partition_point(|start| *start <= range.start).saturating_sub(1);
        let end = self.starts.partition_point(|start| *start < range.end).max(begin);
        self.owners[begin..end].iter().copied().filter(|owner| *owner != NONE)
    }

    /// Ends the ranges that end until `until`: what lies outside them goes on.
    fn close(&mut self, open: &mut Vec<(u64, u32)>, until: u64) {
        while let Some((end, _)) = open.last().copied().filter(|(end, _)| *end <= until) {
            open.pop();
            // Those that end within the one that ends now have no stretch left.
            while open.last().is_some_and(|(outer, _)| *outer <= end) {
                open.pop();
            }
            self.push(end, open.last().map_or(NONE, |(_, number)| *number));
        }
    }

    fn push(&mut self, start: u64, owner: u32) {
        match self.starts.last() {
            Some(last) if *last == start => self.owners.pop(),
            _ => {
                self.starts.push(start);
                None
            }
        };
        self.owners.push(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_range_is_found() {
        let cover = Cover::new(vec![(10, 50, 0), (20, 30, 1), (20, 25, 2), (60, 70, 3), (65, 80, 4), (5, 5, 9)]);
        for (addr, expected) in [
            (4, None),
            (5, None),
            (10, Some(0)),
            (19, Some(0)),
            (20, Some(2)),
            (25, Some(1)),
            (30, Some(0)),
            (50, None),
            (60, Some(3)),
            (66, Some(4)),
            (75, Some(4)),
            (80, None),
            (u64::MAX, None),
        ] {
            assert_eq!(cover.find(addr), expected, "{addr}");
        }
        assert_eq!(Cover::default().find(1), None);
    }
}
