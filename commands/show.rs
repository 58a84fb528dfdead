//! `show`: the settings and their values.

use schemars::JsonSchema;
use serde::Serialize;

use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::{Page, Span, Style};
use crate::session::settings::{self, Setting};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Settings, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "show",
    aliases: &[],
    group: Group::Shell,
    summary: "Show a setting, or all",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Shown>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
struct Args {
    /// The setting
    #[arg(value_name = "SETTING")]
    setting: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Shown {
    pub(super) settings: Vec<Value>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Value {
    name: &'static str,
    value: String,
    summary: &'static str,
}

impl Value {
    pub(super) fn new(setting: &'static Setting, settings: &Settings) -> Value {
        Value { name: setting.name, value: setting.get(settings), summary: setting.summary }
    }
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let values = &cx.session.settings;
    let settings = match args.setting {
        Some(name) => vec![Value::new(settings::find(&name)?, values)],
        None => settings::ALL.iter().map(|setting| Value::new(setting, values)).collect(),
    };
    Ok(Outcome::Reply(Reply::new(Shown { settings })))
}

impl Show for Shown {
    fn show(&self, page: &mut Page) {
        let width = self.settings.iter().map(|setting| setting.name.len()).max().unwrap_or(0);
        for Value { name, value, summary } in &self.settings {
            page.spans(vec![
                Span::new(format!("{name:width$}  "), Style::Name),
                format!("{value:8} ").into(),
                Span::new(*summary, Style::Dim),
            ]);
        }
    }
}
