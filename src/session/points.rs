//! Breakpoints and catchpoints under the numbers that they share: which there are, and changes to either. Breakpoints belong
//! to the current process, catchpoints to all. Knows no words of commands.

use std::rc::Rc;
use std::time::Duration;

use super::{Failure, Session};
use crate::target::expr::Expr;
use crate::target::{self, Breakpoint, Catches, Catchpoint, Process};

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
        let set = self.current().map(Process::breakpoints).unwrap_or_default().iter().map(|one| one.number);
        let mut numbers: Vec<u32> = set.chain(self.rules.catches.list().iter().map(|one| one.number)).collect();
        numbers.sort_unstable();
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

    /// Changes what one of them asks for: nothing that a running process would have to be held for.
    pub fn change_point(&mut self, number: u32, change: impl FnOnce(Point<'_>)) -> anyhow::Result<()> {
        if self.rules.catches.contains(number) {
            self.rules.catches.change(number, |one| change(Point::of_catchpoint(one)));
            return Ok(());
        }
        let Some(process) = &mut self.process else { return Err(missing(number).into()) };
        Ok(process.change_breakpoint(number, |one| change(Point::of_breakpoint(one)))?)
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
                set.iter().try_for_each(|number| breakpoint(process, *number))?;
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

fn missing(number: u32) -> Failure {
    Failure::hinted(format!("no breakpoint {number}"), "breakpoints lists them")
}
