//! `environ`: the environment that the program was started with.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::Pid;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::looking::{fault, runs};
use crate::session::page::{Page, Span, Style};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "environ",
    aliases: &["info environ", "environment"],
    group: Group::Looking,
    summary: "Show the environment that the program was started with",
    needs: Needs::Process,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Environment>,
    question: no_question,
    run,
};

/// The variables as they stand where the kernel put them when the program began; what the program has set since is kept
/// elsewhere and not shown. With a name only that one, or those that begin with it.
#[derive(clap::Parser)]
struct Args {
    /// A variable's name or its beginning
    #[arg(value_name = "VARIABLE")]
    name: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Environment {
    process: Pid,
    /// Whether the process ran meanwhile.
    running: bool,
    variables: Vec<Variable>,
}

#[derive(Serialize, JsonSchema)]
struct Variable {
    name: String,
    /// Null where there is no `=`.
    value: Option<String>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let process = cx.session.process()?;
    let all = process.environment().map_err(fault)?;
    let mut variables: Vec<Variable> = all.iter().map(|text| Variable::new(text)).collect();
    if let Some(name) = args.name {
        let is_whole = variables.iter().any(|variable| variable.name == name);
        variables.retain(|one| if is_whole { one.name == name } else { one.name.starts_with(&name) });
        if variables.is_empty() {
            let short: String = name.chars().take(60).collect();
            let message = format!("environ: no variable begins with {short:?}");
            return Err(Failure::hinted(message, "environ alone lists all").into());
        }
    }
    Ok(Outcome::Reply(Reply::new(Environment { process: process.pid(), running: runs(process), variables })))
}

impl Variable {
    fn new(text: &str) -> Variable {
        match text.split_once('=') {
            Some((name, value)) => Variable { name: name.to_owned(), value: Some(value.to_owned()) },
            None => Variable { name: text.to_owned(), value: None },
        }
    }
}

impl Show for Environment {
    fn show(&self, page: &mut Page) {
        for variable in &self.variables {
            let mut line = vec![Span::new(&variable.name, Style::Name)];
            if let Some(value) = &variable.value {
                line.push(Span::new("=", Style::Dim));
                line.push(value.into());
            }
            page.spans(line);
        }
        if self.variables.is_empty() {
            page.line("the environment is empty");
        }
    }
}
