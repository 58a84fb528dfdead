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
    /// What it takes, where one command was asked for.
    arguments: Option<Vec<Argument>>,
}

#[derive(Serialize, JsonSchema)]
struct Argument {
    /// As in the usage line.
    argument: String,
    meaning: String,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let commands = cx.session.commands();
    let help = if args.command.is_empty() {
        Help { commands: commands.0.iter().map(|command| entry(command, false)).collect() }
    } else {
        Help { commands: vec![entry(commands.find(&args.command)?.command, true)] }
    };
    Ok(Outcome::Reply(Reply::new(help)))
}

fn entry(command: &Command, whole: bool) -> Entry {
    let mut grammar = (command.args)().name(command.name);
    grammar.build();
    let (mut text, mut arguments) = (None, None);
    if whole {
        text = grammar.get_long_about().or(grammar.get_about()).map(|about| sentence(&about.to_string()));
        let shown = grammar.get_arguments().filter(|argument| !argument.is_hide_set());
        arguments = Some(shown.map(explained).collect());
    }
    Entry {
        name: command.name,
        aliases: command.aliases,
        group: command.group.title(),
        summary: command.summary,
        usage: usage(command),
        text,
        arguments,
    }
}

fn explained(argument: &clap::Arg) -> Argument {
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string);
    Argument { argument: argument.to_string(), meaning: help.unwrap_or_default() }
}

/// Clap takes the full stop away.
fn sentence(text: &str) -> String {
    if text.is_empty() || text.ends_with('.') { text.to_owned() } else { format!("{text}.") }
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
        page.table(Table { columns: vec![Column::left(""), Column::wrapping("")], rows });
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
    let paragraphs = entry.text.as_deref().unwrap_or_default().lines();
    let rows = paragraphs.map(|paragraph| vec![paragraph.into()]).collect();
    page.table(Table { columns: vec![Column::wrapping("")], rows });
    let arguments = entry.arguments.as_deref().unwrap_or_default().iter();
    let rows =
        arguments.map(|one| vec![Span::new(format!("  {}", one.argument), Style::Name), one.meaning.as_str().into()]);
    page.table(Table { columns: vec![Column::left(""), Column::wrapping("")], rows: rows.collect() });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::TABLE;

    #[test]
    fn every_command_and_every_word_of_it_is_explained() {
        for command in TABLE.0 {
            let entry = entry(command, true);
            let arguments = entry.arguments.unwrap_or_default();
            assert!(
                arguments.iter().all(|one| !one.argument.is_empty() && !one.meaning.is_empty()),
                "{}",
                command.name
            );
            assert!(entry.text.is_none_or(|text| text.is_empty() || text.ends_with('.')), "{}", command.name);
        }
    }

    #[test]
    fn the_overview_has_short_names_alone() {
        for command in TABLE.0 {
            let names = short_names(&entry(command, false));
            assert!(names.starts_with(command.name) && !names.contains('&'), "{names}");
            assert!(names.split(", ").all(|name| !name.contains(' ')), "{names}");
        }
    }
}
