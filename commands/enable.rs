//! `enable`, and what `disable` and `clear` share with it: which breakpoints words name, and what was changed.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::resolve;
use crate::session::page::Page;
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words, duration};

pub(super) const COMMAND: Command = Command {
    name: "enable",
    aliases: &["en"],
    group: Group::Breakpoints,
    summary: "Put breakpoints in force again",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Numbers>,
    reply: reply::<Changed>,
    question: no_question,
    run,
};

/// Without numbers, all of them.
#[derive(clap::Parser)]
pub(super) struct Numbers {
    /// The breakpoints' numbers: `3`, `2-5`; or a location
    #[arg(value_name = "N|N-M|LOC")]
    pub numbers: Vec<String>,
}

/// The breakpoints that were changed.
#[derive(Serialize, JsonSchema)]
pub(super) struct Changed {
    /// What was done: `enabled`, `disabled`, `cleared`.
    done: &'static str,
    breakpoints: Vec<u32>,
    /// For how long a running process was held for it.
    held_ms: Option<f64>,
}

impl Changed {
    pub(super) fn new(done: &'static str, breakpoints: Vec<u32>, held: Option<Duration>) -> Changed {
        Changed { done, breakpoints, held_ms: held.map(|held| held.as_secs_f64() * 1e3) }
    }
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Numbers = parse(&COMMAND, words)?;
    set_enabled(cx, &args.numbers, true)
}

/// Puts breakpoints in force or out of it.
pub(super) fn set_enabled(cx: &mut Context<'_>, words: &[String], enabled: bool) -> anyhow::Result<Outcome> {
    let numbers = numbers(cx, words)?;
    let held = cx.session.enable_points(&numbers, enabled)?;
    let done = if enabled { "enabled" } else { "disabled" };
    Ok(Outcome::Reply(Reply::new(Changed::new(done, numbers, held))))
}

/// The breakpoints that words name; all without words.
pub(super) fn numbers(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Vec<u32>> {
    let known = cx.session.point_numbers();
    if words.is_empty() {
        return Ok(known);
    }
    let mut numbers = Vec::new();
    for word in words {
        let range = word.split_once('-').unwrap_or((word, word));
        match (range.0.parse::<u32>(), range.1.parse::<u32>()) {
            (Ok(from), Ok(to)) => {
                let meant: Vec<u32> = known.iter().copied().filter(|number| (from..=to).contains(number)).collect();
                if meant.is_empty() {
                    return Err(Failure::hinted(format!("no breakpoint {word}"), "breakpoints lists them").into());
                }
                numbers.extend(meant);
            }
            // A number is never a line here.
            _ if word.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(Failure::hinted(format!("no breakpoint {word}"), "breakpoints lists them").into());
            }
            _ => numbers.extend(at_location(cx, word)?),
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

fn at_location(cx: &mut Context<'_>, word: &str) -> anyhow::Result<Vec<u32>> {
    let addresses = resolve(cx.session, word)?;
    let set = cx.session.process()?.breakpoints().iter();
    let here: Vec<u32> =
        set.filter(|one| one.addresses.iter().any(|at| addresses.contains(at))).map(|one| one.number).collect();
    if here.is_empty() {
        return Err(Failure::hinted(format!("no breakpoint at {word}"), "breakpoints lists them").into());
    }
    Ok(here)
}

impl Show for Changed {
    fn show(&self, page: &mut Page) {
        let numbers: Vec<String> = self.breakpoints.iter().map(u32::to_string).collect();
        let held = self.held_ms.map_or_else(String::new, |held| {
            format!("; the process was held for {}", duration::show(Duration::from_secs_f64(held / 1e3)))
        });
        match numbers.as_slice() {
            [] => page.line("no breakpoints are set"),
            [one] => page.line(format!("breakpoint {one} {}{held}", self.done)),
            several => page.line(format!("breakpoints {} {}{held}", several.join(", "), self.done)),
        }
    }
}
