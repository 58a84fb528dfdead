//! Functions that have left the stack by a tail call: the call before the return address went to one function, and another one
//! is there. Where exactly one way of jumps leads from the first to the second, the functions on it are told. Needs no debug
//! info; guesses nothing.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::StackMemory;
use super::unwinder::Found;
use crate::addr::RuntimeAddr;
use crate::symbols::unwind::{self, CfaRule, RSP};

/// So many functions jump to each other, and so many are looked at.
const DEEPEST: usize = 4;
const MOST_FUNCTIONS: usize = 32;

/// What has been found, by return address and function.
#[derive(Default)]
pub(super) struct TailCalls {
    known: FxHashMap<(u64, u64), Rc<[u64]>>,
    jumps: FxHashMap<u64, Rc<[(u64, u64)]>>,
}

/// A function as its table entry says: its beginning and end, and the rules at its beginning.
pub(super) type Function = (u64, u64, Rc<Found>);

impl TailCalls {
    /// The places behind the jumps by which functions have left, the innermost first, between the function at `start` and
    /// its return address. `function`: the function at an address.
    pub fn between(
        &mut self,
        start: u64,
        back: u64,
        memory: &dyn StackMemory,
        function: &mut dyn FnMut(u64) -> Option<Function>,
    ) -> Rc<[u64]> {
        if let Some(known) = self.known.get(&(back, start)) {
            return known.clone();
        }
        let found: Rc<[u64]> = self.find(start, back, memory, function).unwrap_or_default().into();
        self.known.insert((back, start), found.clone());
        found
    }

    fn find(
        &mut self,
        start: u64,
        back: u64,
        memory: &dyn StackMemory,
        function: &mut dyn FnMut(u64) -> Option<Function>,
    ) -> Option<Vec<u64>> {
        let read = |at: u64, buffer: &mut [u8]| memory.read(RuntimeAddr(at), buffer);
        let called = unwind::called_before(back, &read).filter(|called| *called != start)?;
        // What was split off a function is jumped to as well: it begins in the middle of a frame, or where no function would.
        let (_, _, found) = function(start)?;
        if found.row.cfa != CfaRule::Register(RSP, 8) || !start.is_multiple_of(16) {
            return None;
        }
        let mut ways: Vec<(u64, Vec<u64>)> = vec![(called, Vec::new())];
        let (mut found, mut looked_at) = (None, 0);
        while let Some((at, way)) = ways.pop() {
            looked_at += 1;
            if looked_at > MOST_FUNCTIONS {
                return None;
            }
            let Some((begin, end, _)) = function(at).filter(|(begin, ..)| *begin == at) else { continue };
            let jumps = self
                .jumps
                .entry(begin)
                .or_insert_with(|| unwind::jumps_out(begin, end, &read).unwrap_or_default().into());
            for (behind, to) in jumps.iter() {
                let longer: Vec<u64> = std::iter::once(*behind).chain(way.iter().copied()).collect();
                if *to == start {
                    // Two ways: nobody knows which.
                    if found.replace(longer).is_some() {
                        return None;
                    }
                } else if longer.len() < DEEPEST && !way.contains(behind) {
                    ways.push((*to, longer));
                }
            }
        }
        found
    }
}
