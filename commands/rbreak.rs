//! `rbreak`: a breakpoint at every function whose name matches a regular expression.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::{Pid, RuntimeAddr};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::{Spot, file_name, is_file, names, regex};
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words, duration};
use crate::symbols::{NameKind, NamePattern};
use crate::target::{Kind, NewBreakpoint};

pub(super) const COMMAND: Command = Command {
    name: "rbreak",
    aliases: &["rb"],
    group: Group::Breakpoints,
    summary: "Stop in every function whose name matches a regular expression",
    needs: Needs::Process,
    words: Words::Raw,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Set>,
    question: no_question,
    run,
};

/// Each function has a breakpoint of its own. `FILE:REGEX` takes only functions of a source file. More than 100 are refused
/// unless `-f` is in front of the expression; more than 1500 always.
#[derive(clap::Parser)]
struct Args {
    /// `[-f] [FILE:]REGEX`
    #[arg(value_name = "[-f] [FILE:]REGEX", allow_hyphen_values = true)]
    pattern: Option<String>,
}

/// So many without `-f`: a slip must not fill a process with breakpoints.
const FEW: usize = 100;

/// So many at all.
const MOST: usize = 1500;

#[derive(Serialize, JsonSchema)]
struct Set {
    process: Pid,
    breakpoints: Vec<Row>,
    /// For how long a running process was held to set them.
    held_ms: Option<f64>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    number: u32,
    function: String,
    addresses: Vec<RuntimeAddr>,
    file: Option<String>,
    line: Option<u32>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let usage = "usage: rbreak [-f] [FILE:]REGEX";
    let missing = || Failure::usage("rbreak: a regular expression is missing", usage);
    let text = args.pattern.as_deref().map(str::trim).ok_or_else(missing)?;
    let (forced, text) = text.strip_prefix("-f ").map_or((false, text), |rest| (true, rest.trim()));
    let functions = functions(cx, text)?;
    let count = functions.len();
    if count == 0 {
        let hint = "functions REGEX lists them";
        return Err(Failure::hinted(format!("rbreak: no function's name matches {text}"), hint).into());
    }
    if count > MOST || count > FEW && !forced {
        let hint = if count > MOST {
            format!("give a narrower expression: at most {MOST} are set")
        } else {
            format!("rbreak -f {text} sets them all; functions {text} lists them")
        };
        return Err(Failure::hinted(format!("rbreak: {count} functions match {text}"), hint).into());
    }
    let breakpoint = |(name, spots): &(String, Vec<Spot>)| NewBreakpoint {
        kind: Kind::Software,
        location: name.clone(),
        addresses: spots.iter().map(|spot| spot.address).collect(),
        follows: false,
        length: 1,
        temporary: false,
        thread: None,
        condition: None,
        trace: None,
    };
    let (numbers, held) = cx.session.add_breakpoints(functions.iter().map(breakpoint).collect())?;
    let row = |(number, (function, spots)): (u32, (String, Vec<Spot>))| Row {
        number,
        function,
        addresses: spots.iter().map(|spot| spot.address).collect(),
        line: spots.first().and_then(|spot| Some(spot.source.as_ref()?.line)),
        file: spots.first().and_then(|spot| Some(spot.source.as_ref()?.file.to_string())),
    };
    let breakpoints = numbers.into_iter().zip(functions).map(row).collect();
    let held_ms = held.map(|held| held.as_secs_f64() * 1e3);
    let process = cx.session.process()?.pid();
    Ok(Outcome::Reply(Reply::new(Set { process, breakpoints, held_ms })))
}

/// The functions that match, by name, with all their places.
fn functions(cx: &mut Context<'_>, text: &str) -> anyhow::Result<Vec<(String, Vec<Spot>)>> {
    let (file, pattern) = match text.split_once(':') {
        Some((file, rest)) if !rest.starts_with(':') && file.contains('.') && !file.contains(['*', '(', '[']) => {
            (Some(file.trim()), rest.trim())
        }
        _ => (None, text),
    };
    let pattern = NamePattern::Regex(regex(COMMAND.name, pattern)?);
    let locations = cx.session.locations();
    cx.session.wait_for_thread(names::prepare(locations.modules(), NameKind::Function))?;
    let mut spots = names::functions(locations.modules(), &pattern);
    if let Some(file) = file {
        spots.retain(|spot| spot.source.as_ref().is_some_and(|source| is_file(&source.file, file)));
    }
    let is_text = |spot: &Spot| locations.mappings().find(spot.address).is_some_and(|mapping| mapping.execute);
    spots.retain(is_text);
    spots.sort_by(|a, b| (&a.function, a.address).cmp(&(&b.function, b.address)));
    spots.dedup_by_key(|spot| spot.address);
    let mut functions: Vec<(String, Vec<Spot>)> = Vec::new();
    for spot in spots {
        let name = spot.function.as_deref().unwrap_or_default().to_owned();
        match functions.last_mut().filter(|(known, _)| *known == name) {
            Some((_, places)) => places.push(spot),
            None => functions.push((name, vec![spot])),
        }
    }
    Ok(functions)
}

impl Show for Set {
    fn show(&self, page: &mut Page) {
        let columns = vec![Column::right("#"), Column::shrinking("FUNCTION", 1), Column::shrinking("WHERE", 2)];
        let row = |row: &Row| {
            let place = match (&row.file, row.line, row.addresses.as_slice()) {
                (_, _, several @ [_, _, ..]) => format!("{} places", several.len()),
                (Some(file), Some(line), _) => format!("{}:{line}", file_name(file)),
                (_, _, addresses) => addresses.iter().map(RuntimeAddr::to_string).collect(),
            };
            vec![row.number.to_string().into(), Span::new(&row.function, Style::Name), place.into()]
        };
        page.table(Table { columns, rows: self.breakpoints.iter().map(row).collect() });
        if let Some(held) = self.held_ms {
            let held = duration::show(Duration::from_secs_f64(held / 1e3));
            page.line(format!("process {} was held for {held}", self.process));
        }
    }
}
