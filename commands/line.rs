//! `line`: where the code of a source line is, or which line an address is of.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::RuntimeAddr;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::{Locations, Place, resolve_spots};
use crate::session::page::{Page, Span, Style};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "line",
    aliases: &["info line"],
    group: Group::Source,
    summary: "Say where the code of a source line begins and ends",
    needs: Needs::Process,
    words: Words::Raw,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Lines>,
    question: no_question,
    run,
};

/// Of a function, of `FILE:LINE`, `LINE`, `*ADDRESS`; without words of the selected thread's program counter. A line can have
/// code in several places.
#[derive(clap::Parser)]
struct Args {
    /// Where
    #[arg(value_name = "LOC", allow_hyphen_values = true)]
    place: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Lines {
    lines: Vec<Row>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    #[serde(flatten)]
    place: Place,
    /// Where the code of the line begins there.
    start: Option<RuntimeAddr>,
    /// The address behind it.
    end: Option<RuntimeAddr>,
    /// The beginning and the end for people.
    words: [Option<String>; 2],
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let locations = cx.session.locations();
    let resolved = resolve_spots(cx.session, &locations, args.place.as_deref().unwrap_or("*$pc"))?;
    if let Some(missing) = resolved.missing {
        return Err(missing.into());
    }
    let lines: Vec<Row> = resolved.spots.iter().map(|spot| row(&locations, spot.address)).collect();
    cx.session.looking.examined.next = lines.first().and_then(|row| row.start);
    Ok(Outcome::Reply(Reply::new(Lines { lines })))
}

fn row(locations: &Locations, address: RuntimeAddr) -> Row {
    let (start, end) = locations.line_range(address).unzip();
    let words = [start, end].map(|address| address.and_then(|address| locations.words(address)));
    Row { place: locations.place_or_bare(address), start, end, words }
}

impl Show for Lines {
    fn show(&self, page: &mut Page) {
        for row in &self.lines {
            let named = |address: Option<RuntimeAddr>, words: &Option<String>| {
                let words = words.as_ref().map(|words| format!(" <{words}>")).unwrap_or_default();
                format!("{}{words}", address.unwrap_or(row.place.address))
            };
            let (Some(file), Some(line)) = (&row.place.file, row.place.line) else {
                let place = named(Some(row.place.address), &row.place.symbol);
                page.line(format!("no line is known of {place}"));
                continue;
            };
            page.spans(vec![
                Span::new(format!("line {line} of {file} "), Style::Strong),
                format!("begins at {} and ends at {}", named(row.start, &row.words[0]), named(row.end, &row.words[1]))
                    .into(),
            ]);
        }
        if self.lines.is_empty() {
            page.spans(vec![Span::from(Failure::plain("there is no such line").message)]);
        }
    }
}
