//! `help`: the table of commands, and one command's words.

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::command::{args, no_question, parse, reply, usage};
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "help",
    aliases: &["h", "?"],
    group: Group::Shell,
    summary: "List the commands, or explain one",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Help>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
struct Args {
    /// The command to explain
    #[arg(value_name = "COMMAND", num_args = 0..)]
    command: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Help {
    commands: Vec<Entry>,
}

#[derive(Serialize, JsonSchema)]
struct Entry {
    name: &'static str,
    aliases: &'static [&'static str],
    group: &'static str,
    summary: &'static str,
    usage: String,
    /// The long text, where one command was asked for.
    text: Option<String>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let commands = cx.session.commands();
    let help = if args.command.is_empty() {
        Help { commands: commands.0.iter().map(|command| entry(command, false)).collect() }
    } else {
        Help { commands: vec![entry(commands.find(&args.command)?.0, true)] }
    };
    Ok(Outcome::Reply(Reply::new(help)))
}

fn entry(command: &Command, whole: bool) -> Entry {
    let text = whole.then(|| {
        let mut grammar =
            (command.args)().name(command.name).help_template("{about}\n\n{all-args}").disable_colored_help(true);
        grammar.render_long_help().to_string().trim().to_owned()
    });
    Entry {
        name: command.name,
        aliases: command.aliases,
        group: command.group.title(),
        summary: command.summary,
        usage: usage(command),
        text,
    }
}

impl Show for Help {
    fn show(&self, page: &mut Page) {
        if let [one] = self.commands.as_slice() {
            return show_one(one, page);
        }
        let mut rows = Vec::new();
        for group in Group::ALL {
            rows.push(vec![Span::new(group.title(), Style::Strong), Span::default()]);
            for entry in self.commands.iter().filter(|entry| entry.group == group.title()) {
                rows.push(vec![Span::new(format!("  {}", short_names(entry)), Style::Name), entry.summary.into()]);
            }
        }
        page.table(Table { columns: vec![Column::left(""), Column::shrinking("", 1)], rows });
        page.line("A name may be cut short as long as it stays clear; help COMMAND explains one.");
    }
}

/// The name and the aliases of one word: the overview is for finding a command, `help COMMAND` has the rest.
fn short_names(entry: &Entry) -> String {
    let aliases = entry.aliases.iter().filter(|alias| !alias.contains(' ') && !alias.ends_with('&'));
    [entry.name].iter().chain(aliases).copied().collect::<Vec<_>>().join(", ")
}

fn show_one(entry: &Entry, page: &mut Page) {
    page.spans(vec![Span::new(entry.name, Style::Name), format!(": {}", entry.summary).into()]);
    page.line(format!("usage: {}", entry.usage));
    if !entry.aliases.is_empty() {
        page.line(format!("also: {}", entry.aliases.join(", ")));
    }
    if let Some(text) = entry.text.as_deref().filter(|text| !text.is_empty()) {
        page.text(text);
    }
}
