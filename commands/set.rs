//! `set`: changes a setting, or a register, memory or a variable.

use schemars::JsonSchema;
use serde::Serialize;

use super::show::{Shown, Value};
use crate::addr::{RuntimeAddr, Tid};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::numbers::Format;
use crate::session::page::{Page, Span, Style};
use crate::session::{Assigned, Command, Context, Group, Needs, Outcome, Reply, Show, Words, locations, settings};
use crate::target::expr::{Assignment, Value as Number};

pub(super) const COMMAND: Command = Command {
    name: "set",
    aliases: &[],
    group: Group::Looking,
    summary: "Change a register, memory or a variable (set $rax = 5), or a setting (show lists them)",
    needs: Needs::Nothing,
    words: Words::RawBehind(&["$", "*", "{", "var ", "variable "]),
    repeats: false,
    args: args::<Args>,
    reply: reply::<Changed>,
    question: no_question,
    run,
};

/// `set $rip = EXPR` sets a register of the selected thread, `set $xmm0.v4_int32[1] = 5` a lane of one, `set $foo = EXPR` a
/// variable for later expressions. `set *(u32*)ADDR = EXPR`, `set {u8[4]}ADDR = 1 2 3 4` and `set {char[6]}ADDR = "hello"`
/// write memory, while the process runs too. `set var` in front of any of them is allowed. Everything else is a setting and
/// its value.
#[derive(clap::Parser)]
struct Args {
    /// The setting, or PLACE = VALUE
    #[arg(value_name = "SETTING")]
    setting: String,
    /// Its new value
    #[arg(value_name = "VALUE", allow_hyphen_values = true, required = true, num_args = 1..)]
    value: Vec<String>,
}

/// What was changed.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Changed {
    /// The same as `show SETTING` answers.
    Setting(Shown),
    /// A register of a thread.
    Register {
        /// Whose.
        thread: Tid,
        /// Its name.
        register: String,
        /// Its value as `print` shows it.
        text: String,
    },
    /// A convenience variable.
    Variable {
        /// Its name, without the `$`.
        variable: String,
        /// Its value.
        value: i128,
        /// Its value as `print` shows it.
        text: String,
    },
    /// Memory.
    Memory {
        /// Where.
        address: RuntimeAddr,
        /// How many bytes were written.
        bytes: usize,
        /// Whether the process ran meanwhile.
        running: bool,
        /// The number that was written, if it was one.
        value: Option<i128>,
    },
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let changed = match words {
        [text] if COMMAND.words.takes_raw(text) => assign(cx, text)?,
        words => change_setting(cx, words)?,
    };
    Ok(Outcome::Reply(Reply::new(changed)))
}

fn change_setting(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Changed> {
    let Args { setting, value } = parse(&COMMAND, words)?;
    // gdb writes some names in two words: `set breakpoint pending on`, `set debuginfod enabled on`.
    let two = value.first().map(|second| format!("{setting}-{second}"));
    let (setting, value) = match two.and_then(|name| settings::find(&name).ok()) {
        Some(setting) if value.len() > 1 => (setting, &value[1..]),
        _ => (settings::find(&setting)?, &value[..]),
    };
    let value = if let [one] = value { one.clone() } else { shlex_join(value) };
    setting.set(&mut cx.session.settings, &value)?;
    cx.session.apply_settings();
    Ok(Changed::Setting(Shown { settings: vec![Value::new(setting, &cx.session.settings)] }))
}

/// Several words as one text that a shell would split into them again.
fn shlex_join(words: &[String]) -> String {
    let quoted =
        words.iter().map(|word| shlex::try_quote(word).map_or_else(|_| word.clone(), |word| word.into_owned()));
    quoted.collect::<Vec<_>>().join(" ")
}

fn assign(cx: &mut Context<'_>, text: &str) -> anyhow::Result<Changed> {
    let text = ["var ", "variable "].iter().find_map(|word| text.strip_prefix(word)).unwrap_or(text).trim();
    let assignment = Assignment::parse(text).map_err(|error| locations::not_understood(text, &error))?;
    Ok(match cx.session.assign(&assignment, text)? {
        Assigned::Register(thread, register) => {
            let text = super::print::register_text(cx, register)?;
            Changed::Register { thread, register: register.to_string(), text }
        }
        Assigned::Variable(variable, value) => {
            Changed::Variable { variable, value: value.number(), text: super::print::show(cx, value, None)?.0 }
        }
        Assigned::Memory { addr: address, bytes, value, running } => {
            Changed::Memory { address, bytes, running, value: value.map(Number::number) }
        }
    })
}

impl Show for Changed {
    fn show(&self, page: &mut Page) {
        match self {
            Changed::Setting(shown) => shown.show(page),
            Changed::Register { thread, register, text } => {
                page.spans(vec![
                    Span::new(format!("${register}"), Style::Name),
                    format!(" = {text}").into(),
                    Span::new(format!("  thread {thread}"), Style::Dim),
                ]);
            }
            Changed::Variable { variable, text, .. } => {
                page.spans(vec![Span::new(format!("${variable}"), Style::Name), format!(" = {text}").into()]);
            }
            Changed::Memory { address, bytes, running, value } => {
                let noun = if *bytes == 1 { "byte" } else { "bytes" };
                let value =
                    value.map_or(String::new(), |value| format!(": {}", Format::Hex.show(value as u64, *bytes as u8)));
                let running = if *running { ", while the process ran" } else { "" };
                page.spans(vec![
                    format!("{bytes} {noun} at ").into(),
                    Span::new(address.to_string(), Style::Address),
                    format!(" written{running}{value}").into(),
                ]);
            }
        }
    }
}
