//! Breakpoints and catchpoints under the numbers that they share: which there are, and changes to either. A breakpoint is in
//! all processes that have its text, a watchpoint in one, a catchpoint in all. Knows no words of commands.

use std::rc::Rc;
use std::time::Duration;

use super::{Failure, Session};
use crate::target::expr::Expr;
use crate::target::{self, Breakpoint, Catches, Catchpoint, NewBreakpoint, News, Process};

/// What can be changed of either.
pub struct Point<'a> {
    /// Whether it is in force.
    pub enabled: &'a mut bool,
    /// It stops only where this is not 0.
    pub condition: &'a mut Option<Expr>,
    /// How many hits are still to be passed over.
    pub ignore: &'a mut u64,
    /// What is run at a stop.
    pub commands: &'a mut Vec<String>,
}

impl<'a> Point<'a> {
    fn of_breakpoint(one: &'a mut Breakpoint) -> Point<'a> {
        let Breakpoint { enabled, condition, ignore, commands, .. } = one;
        Point { enabled, condition, ignore, commands }
    }

    fn of_catchpoint(one: &'a mut Catchpoint) -> Point<'a> {
        let Catchpoint { enabled, condition, ignore, commands, .. } = one;
        Point { enabled, condition, ignore, commands }
    }
}

impl Session {
    /// The numbers of all breakpoints and catchpoints, rising.
    pub fn point_numbers(&self) -> Vec<u32> {
        let set = self.each_process_ref().flat_map(Process::breakpoints).map(|one| one.number);
        let mut numbers: Vec<u32> = set.chain(self.rules.catches.list().iter().map(|one| one.number)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Removes these. Gives back for how long a running process was held for it.
    pub fn remove_points(&mut self, numbers: &[u32]) -> anyhow::Result<Option<Duration>> {
        self.change_all(numbers, Process::remove_breakpoint, |catches, number| {
            catches.remove(number);
        })
    }

    /// Puts these in force or out of it. Gives back for how long a running process was held for it.
    pub fn enable_points(&mut self, numbers: &[u32], enabled: bool) -> anyhow::Result<Option<Duration>> {
        self.change_all(
            numbers,
            |process, number| process.change_breakpoint(number, |one| one.enabled = enabled),
            |catches, number| {
                catches.change(number, |one| one.enabled = enabled);
            },
        )
    }

    /// Changes what one of them asks for, in every process that has it: nothing that a running process would have to be held
    /// for.
    pub fn change_point(&mut self, number: u32, mut change: impl FnMut(Point<'_>)) -> anyhow::Result<()> {
        if self.rules.catches.contains(number) {
            self.rules.catches.change(number, |one| change(Point::of_catchpoint(one)));
            return Ok(());
        }
        let mut found = false;
        for process in self.each_process().filter(|process| has(process, number)) {
            process.change_breakpoint(number, |one| change(Point::of_breakpoint(one)))?;
            found = true;
        }
        if found { Ok(()) } else { Err(missing(number).into()) }
    }

    /// Sets a breakpoint of the current process in the others as well, where the same text is.
    pub(super) fn set_beside(&mut self, number: u32, new: &NewBreakpoint) {
        let Some(mappings) = self.current().and_then(|process| process.mappings().ok()) else { return };
        for index in 0..self.beside.len() {
            let Some(theirs) = self.beside[index].process.counterpart(new, &mappings) else { continue };
            let mut lost = None;
            self.briefly_beside(index, |process| {
                let set = process.add_breakpoint(number, theirs);
                lost = set.err().map(|error| (process.pid(), error.to_string()));
            });
            if let Some((process, why)) = lost {
                self.tell(News::BreakpointLost { process, number, why });
            }
        }
        self.pass_on_news();
    }

    /// Makes a change to breakpoints of these numbers in the other processes that have them.
    fn change_beside(&mut self, numbers: &[u32], change: impl Fn(&mut Process, u32) -> target::Result<()>) {
        for index in 0..self.beside.len() {
            let theirs = numbers.iter().copied().filter(|number| has(&self.beside[index].process, *number));
            let theirs: Vec<u32> = theirs.collect();
            if !theirs.is_empty() {
                // One that cannot be changed (debug registers) stays as it was there.
                self.briefly_beside(index, |process| {
                    theirs.into_iter().for_each(|number| drop(change(process, number)));
                });
            }
        }
        self.pass_on_news();
    }

    /// The word for one of these: `breakpoint` or `catchpoint`.
    pub fn point_word(&self, number: u32) -> &'static str {
        if self.rules.catches.contains(number) { "catchpoint" } else { "breakpoint" }
    }

    fn change_all(
        &mut self,
        numbers: &[u32],
        breakpoint: impl Fn(&mut Process, u32) -> target::Result<()>,
        catchpoint: impl Fn(&Catches, u32),
    ) -> anyhow::Result<Option<Duration>> {
        let rules = Rc::clone(&self.rules);
        let (caught, set): (Vec<u32>, Vec<u32>) =
            numbers.iter().copied().partition(|number| rules.catches.contains(*number));
        let change_caught = || caught.iter().for_each(|number| catchpoint(&rules.catches, *number));
        if numbers.is_empty() {
            return Ok(None);
        }
        let held = if self.process.is_some() {
            self.change_beside(&set, &breakpoint);
            let change = |process: &mut Process| {
                let set: Vec<u32> = set.iter().copied().filter(|number| has(process, *number)).collect();
                set.into_iter().try_for_each(|number| breakpoint(process, number))?;
                change_caught();
                Ok(())
            };
            self.briefly(change)?.1
        } else {
            change_caught();
            None
        };
        if !caught.is_empty() {
            self.renew_beside();
        }
        Ok(held)
    }
}

fn has(process: &Process, number: u32) -> bool {
    process.breakpoints().iter().any(|one| one.number == number)
}

fn missing(number: u32) -> Failure {
    Failure::hinted(format!("no breakpoint {number}"), "breakpoints lists them")
}
