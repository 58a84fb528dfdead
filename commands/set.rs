//! `set`: changes a setting.

use schemars::JsonSchema;
use serde::Serialize;

use super::show::{Shown, Value};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Words, settings};

pub(super) const COMMAND: Command = Command {
    name: "set",
    aliases: &[],
    group: Group::Shell,
    summary: "Change a setting (show lists them)",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Changed>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
struct Args {
    /// The setting
    #[arg(value_name = "SETTING")]
    setting: String,
    /// Its new value
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    value: String,
}

/// The same as `show SETTING` answers.
#[derive(Serialize, JsonSchema)]
struct Changed(Shown);

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let setting = settings::find(&args.setting)?;
    setting.set(&mut cx.session.settings, &args.value)?;
    cx.session.apply_settings();
    Ok(Outcome::Reply(Reply::new(Shown { settings: vec![Value::new(setting, &cx.session.settings)] })))
}
