//! What packages ship beside the program: the JSON Schema of its output, its man page, completions for shells. All made
//! from the grammar and the table.

use std::io::{self, Write};

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::cli::{self, Generate};
use super::{FAILED, render};
use crate::commands::TABLE;
use crate::session::command::usage;
use crate::session::page::escape;
use crate::session::{Event, Failure, Group};

/// Prints it; the exit status.
pub fn print(what: Generate) -> u8 {
    let text = match what {
        Generate::Schema => format!("{:#}\n", schema()).into_bytes(),
        Generate::Man => man(),
        Generate::Commands => commands_markdown().into_bytes(),
        Generate::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut cli::grammar(), "godbg", &mut out);
            out
        }
    };
    let written = io::stdout().lock().write_all(&text).and_then(|()| io::stdout().flush());
    match written {
        Ok(()) => 0,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => FAILED,
        Err(error) => {
            let failure = Failure::plain(format!("cannot write to standard output: {}", super::script::words(&error)));
            let _ = io::stderr().write_all(render::failure(&failure, None, render::Look::default()).as_bytes());
            FAILED
        }
    }
}

/// A schema that every line of `--format json` fits. The reply of a command is `#/$defs/reply_NAME`.
pub fn schema() -> Value {
    let mut generator: SchemaGenerator = SchemaSettings::draft2020_12().into_generator();
    let replies: Map<String, Value> = TABLE
        .0
        .iter()
        .map(|command| (format!("reply_{}", command.name), (command.reply)(&mut generator).to_value()))
        .collect();
    let event = generator.subschema_for::<Event>().to_value();
    let failure = generator.subschema_for::<Failure>().to_value();
    let any_reply: Vec<Value> = replies.keys().map(|name| json!({ "$ref": format!("#/$defs/{name}") })).collect();
    let mut definitions = generator.take_definitions(true);
    definitions.extend(replies);
    let command = json!({ "type": "string", "description": "The line as it was given" });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "godbg --format json",
        "description": "One line of the output: the answer to a command, or an event",
        "oneOf": [
            {
                "title": "A command that succeeded",
                "type": "object",
                "properties": { "command": command, "ok": { "const": true }, "reply": { "anyOf": any_reply } },
                "required": ["command", "ok", "reply"],
                "additionalProperties": false,
            },
            {
                "title": "A command that failed",
                "type": "object",
                "properties": { "command": command, "ok": { "const": false }, "error": failure },
                "required": ["command", "ok", "error"],
                "additionalProperties": false,
            },
            { "title": "An event", "$ref": "#/$defs/event" },
        ],
        "$defs": with_event(definitions, event),
    })
}

fn with_event(mut definitions: Map<String, Value>, event: Value) -> Map<String, Value> {
    definitions.insert("event".into(), event);
    definitions
}

/// The man page: the command line by clap, and the commands of the shell from the table.
fn man() -> Vec<u8> {
    let mut out = Vec::new();
    let page = clap_mangen::Man::new(cli::grammar());
    page.render(&mut out).expect("memory takes all");
    let mut text = String::from(".SH COMMANDS\n");
    for group in Group::ALL {
        text += &format!(".SS {}\n", roff(group.title()));
        for command in TABLE.0.iter().filter(|command| command.group == group) {
            let also = if command.aliases.is_empty() {
                String::new()
            } else {
                format!(" (also {})", command.aliases.join(", "))
            };
            text += &format!(".TP\n\\fB{}\\fR\n{}.{}\n", roff(&usage(command)), roff(command.summary), roff(&also));
        }
    }
    out.extend(text.as_bytes());
    out
}

/// The commands as Markdown: a table for each group.
fn commands_markdown() -> String {
    let mut tables = Vec::new();
    for group in Group::ALL {
        let mut table = format!("| {} | |\n|---|---|\n", group.title());
        for command in TABLE.0.iter().filter(|command| command.group == group) {
            // `c&` is `c &`, which the usage shows.
            let aliases = command.aliases.iter().filter(|alias| !alias.ends_with('&'));
            let also: Vec<String> = aliases.map(|alias| code(alias)).collect();
            let also = if also.is_empty() { String::new() } else { format!(", also {}", also.join(", ")) };
            table += &format!("| {}{also} | {} |\n", code(&usage(command)), command.summary);
        }
        tables.push(table);
    }
    tables.join("\n")
}

/// Text as it is, in the cell of a Markdown table.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

/// Text that roff takes for text.
fn roff(text: &str) -> String {
    let text = escape(text).replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Pid;
    use crate::shell::json;

    #[test]
    fn lines_fit_the_schema_and_others_do_not() {
        let validator = jsonschema::draft202012::new(&schema()).expect("a schema");
        let fits = |line: &str| validator.is_valid(&serde_json::from_str(line).expect("JSON"));
        assert!(fits(&json::success("echo a", &json!({ "text": "a" }))));
        assert!(fits(&json::failure("x", &Failure::plain("no such command: x"))));
        assert!(fits(&json::event(&crate::target::News::LeashOver { process: Pid(7), held_ms: 5 }.into())));
        assert!(!fits("{\"command\":\"x\",\"ok\":false}"));
        assert!(!fits("{\"event\":\"nonsense\"}"));
    }

    #[test]
    fn the_markdown_has_a_row_for_every_listed_command() {
        let text = commands_markdown();
        let listed = TABLE.0.iter().filter(|command| Group::ALL.contains(&command.group)).count();
        assert_eq!(text.lines().filter(|line| line.starts_with("| `")).count(), listed);
        for line in text.lines().filter(|line| !line.is_empty()) {
            assert_eq!(line.replace("\\|", "").matches('|').count(), 3, "{line}");
        }
    }

    #[test]
    fn the_man_page_names_every_command() {
        let page = String::from_utf8(man()).expect("text");
        for command in TABLE.0.iter().filter(|command| Group::ALL.contains(&command.group)) {
            assert!(page.contains(&format!("\\fB{}", roff(command.name))), "{}", command.name);
        }
    }
}
