//! `address`: where what a name names is.

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::{Place, file_name, resolve_spots};
use crate::session::page::{Page, Span, Style};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "address",
    aliases: &["info address"],
    group: Group::Source,
    summary: "Say where a function or variable is",
    needs: Needs::Process,
    words: Words::Raw,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Addresses>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
struct Args {
    /// The name, or a short form of it
    #[arg(value_name = "SYMBOL", allow_hyphen_values = true)]
    name: String,
}

/// Everything of a name.
#[derive(Serialize, JsonSchema)]
struct Addresses {
    name: String,
    places: Vec<Place>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let name = args.name.trim().to_owned();
    let locations = cx.session.locations();
    // A variable first: of functions all places are told.
    let variable = locations.symbol(name.trim_matches('\''));
    let resolved = resolve_spots(cx.session, &locations, &name);
    let mut addresses: Vec<_> = resolved.iter().flat_map(|found| found.spots.iter().map(|spot| spot.entry)).collect();
    addresses.extend(variable);
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty()
        && let Some(missing) = resolved?.missing
    {
        return Err(missing.into());
    }
    let places = addresses.into_iter().map(|address| locations.place_or_bare(address)).collect();
    Ok(Outcome::Reply(Reply::new(Addresses { name, places })))
}

impl Show for Addresses {
    fn show(&self, page: &mut Page) {
        for Place { address, module, symbol, file, line, .. } in &self.places {
            let module = module.as_deref().map_or("memory of no file", file_name);
            let source = match (file, line) {
                (Some(file), Some(line)) => format!(", {file}:{line}"),
                _ => String::new(),
            };
            page.spans(vec![
                Span::new(symbol.as_deref().unwrap_or(&self.name), Style::Name),
                " is at ".into(),
                Span::new(address.to_string(), Style::Address),
                format!(" in {module}{source}").into(),
            ]);
        }
    }
}
