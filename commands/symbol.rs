//! `symbol`: what an address is called, and what is known of its file.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::RuntimeAddr;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::{Place, file_name};
use crate::session::page::{Page, Span, Style};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "symbol",
    aliases: &["info symbol"],
    group: Group::Source,
    summary: "Say what an address is called",
    needs: Needs::Process,
    words: Words::Raw,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Named>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
struct Args {
    /// The address, any expression
    #[arg(value_name = "ADDR", allow_hyphen_values = true)]
    address: String,
}

/// What is known of an address.
#[derive(Serialize, JsonSchema)]
struct Named {
    #[serde(flatten)]
    place: Place,
    /// The functions that have the address, the innermost first: inlined calls too.
    functions: Vec<String>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let locations = cx.session.locations();
    let address = RuntimeAddr(cx.session.evaluate(args.address.trim_start_matches('*'))?.bits());
    let place = locations.place(address).ok_or_else(|| {
        Failure::hinted(format!("symbol: nothing is mapped at {address}"), "maps lists what is mapped")
    })?;
    let frames = locations.frames(address).into_iter().filter_map(|frame| frame.function);
    let functions = frames.map(|name| name.to_string()).collect();
    Ok(Outcome::Reply(Reply::new(Named { place, functions })))
}

impl Show for Named {
    fn show(&self, page: &mut Page) {
        let Place { address, module, module_offset, symbol, offset, file, line } = &self.place;
        let module = module.as_deref().map_or("memory of no file", file_name);
        let Some(symbol) = symbol else {
            let offset = module_offset.map(|offset| format!("+{offset:#x}")).unwrap_or_default();
            return page.line(format!("no symbol covers {address}, which is {module}{offset}"));
        };
        let offset = offset.filter(|offset| *offset > 0).map(|offset| format!("+{offset:#x}")).unwrap_or_default();
        let source = match (file, line) {
            (Some(file), Some(line)) => format!(", {file}:{line}"),
            _ => String::new(),
        };
        let inner: Vec<&str> = self.functions.iter().map(String::as_str).take_while(|name| name != symbol).collect();
        let inlined = if inner.is_empty() { String::new() } else { format!(" (inlined: {})", inner.join(" in ")) };
        page.spans(vec![
            Span::new(address.to_string(), Style::Address),
            " is ".into(),
            Span::new(format!("{symbol}{offset}"), Style::Name),
            format!(" of {module}{source}{inlined}").into(),
        ]);
    }
}
