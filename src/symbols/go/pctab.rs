//! Go's tables of values by pc: pairs of (change of the value, bytes of code) from a function's entry on
//! (runtime/symtab.go, `pcvalue` and `step`). Knows not what the values mean.

use super::read::varint;

/// A stretch of code with one value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    /// The offset of its first byte from the function's entry.
    pub(super) start: u64,
    /// The offset behind its last byte.
    pub(super) end: u64,
    pub(super) value: i32,
}

/// The stretches of one table, from the function's entry on.
pub(super) struct Runs<'a> {
    bytes: &'a [u8],
    at: Option<usize>,
    quantum: u32,
    pc: u64,
    value: i32,
    is_first: bool,
}

impl<'a> Runs<'a> {
    /// Of the table at an offset; offset 0 is no table. `quantum` is the length of the shortest instruction.
    pub(super) fn new(bytes: &'a [u8], at: u32, quantum: u8) -> Runs<'a> {
        let at = (at != 0).then_some(at as usize);
        Runs { bytes, at, quantum: u32::from(quantum), pc: 0, value: -1, is_first: true }
    }

    /// The value at an offset from the function's entry.
    pub(super) fn value_at(mut self, offset: u64) -> Option<i32> {
        self.find(|run| offset < run.end).map(|run| run.value)
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    #[inline]
    fn next(&mut self) -> Option<Run> {
        let (change, at) = varint(self.bytes, self.at?)?;
        if change == 0 && !self.is_first {
            self.at = None;
            return None;
        }
        self.is_first = false;
        // Zigzag: the lowest bit is the sign.
        let change = ((change >> 1) ^ (change & 1).wrapping_neg()).cast_signed();
        self.value = self.value.wrapping_add(change);
        let (length, at) = varint(self.bytes, at)?;
        self.at = Some(at);
        let start = self.pc;
        self.pc += u64::from(length) * u64::from(self.quantum);
        Some(Run { start, end: self.pc, value: self.value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_add_up_until_a_zero() {
        // From -1: +1 for 4 bytes, +2 for 3, -3 for 5, end.
        let table = [0xff, 2, 4, 4, 3, 5, 5, 0, 9];
        let runs: Vec<_> = Runs::new(&table, 1, 1).map(|run| (run.start, run.end, run.value)).collect();
        assert_eq!(runs, [(0, 4, 0), (4, 7, 2), (7, 12, -1)]);
        assert_eq!(Runs::new(&table, 1, 1).value_at(6), Some(2));
        assert_eq!(Runs::new(&table, 1, 1).value_at(12), None);
        assert_eq!(Runs::new(&table, 0, 1).count(), 0);
        assert_eq!(Runs::new(&[1, 2], 1, 4).count(), 0);
    }
}
