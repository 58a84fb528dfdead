//! `scope`: the functions that a location lies in, inlined calls one within the other.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::RuntimeAddr;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::{file_name, resolve_spots};
use crate::session::page::{Page, Span, Style};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "scope",
    aliases: &["info scope"],
    group: Group::Source,
    summary: "Say which functions a location lies in, inlined ones too",
    needs: Needs::Process,
    words: Words::Raw,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Scopes>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
struct Args {
    /// Where; the selected thread's program counter unless said
    #[arg(value_name = "LOC", allow_hyphen_values = true)]
    place: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Scopes {
    places: Vec<Scope>,
}

/// One place of the location.
#[derive(Serialize, JsonSchema)]
struct Scope {
    address: RuntimeAddr,
    /// The innermost first.
    functions: Vec<Function>,
}

#[derive(Serialize, JsonSchema)]
struct Function {
    name: Option<String>,
    /// Whether its code stands within that of the next.
    inlined: bool,
    file: Option<String>,
    line: Option<u32>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let locations = cx.session.locations();
    let resolved = resolve_spots(cx.session, &locations, args.place.as_deref().unwrap_or("*$pc"))?;
    if let Some(missing) = resolved.missing {
        return Err(missing.into());
    }
    let scope = |address: RuntimeAddr| {
        let frames = locations.frames(address).into_iter();
        let functions = frames.map(|frame| Function {
            name: frame.function.map(|name| name.to_string()),
            inlined: frame.inlined,
            line: frame.spot.as_ref().map(|spot| spot.line),
            file: frame.spot.map(|spot| spot.file.to_string()),
        });
        Scope { address, functions: functions.collect() }
    };
    let places = resolved.spots.iter().map(|spot| scope(spot.address)).collect();
    Ok(Outcome::Reply(Reply::new(Scopes { places })))
}

impl Show for Scopes {
    fn show(&self, page: &mut Page) {
        for scope in &self.places {
            page.spans(vec![Span::new(format!("{}:", scope.address), Style::Address)]);
            if scope.functions.is_empty() {
                page.line("  no function is known there");
            }
            for one in &scope.functions {
                let source = match (&one.file, one.line) {
                    (Some(file), Some(line)) => format!(" at {}:{line}", file_name(file)),
                    _ => String::new(),
                };
                let inlined = if one.inlined { ", inlined into" } else { "" };
                page.spans(vec![
                    "  ".into(),
                    Span::new(one.name.as_deref().unwrap_or("a function without a name"), Style::Name),
                    format!("{source}{inlined}").into(),
                ]);
            }
        }
    }
}
