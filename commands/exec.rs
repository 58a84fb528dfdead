//! `exec`: starts a program under control and holds it at its first instruction.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::Pid;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::{Page, Span, Style};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Session, Show, Words};
use crate::target::{self, Launch};

pub(super) const COMMAND: Command = Command {
    name: "exec",
    aliases: &["run", "start"],
    group: Group::Process,
    summary: "Start a program, held at its first instruction",
    needs: Needs::NoProcess,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Started>,
    question: no_question,
    run,
};

/// Starts a program and holds it at its first instruction, before any of its code or its libraries' has run. It gets its
/// arguments as given, default signal dispositions, an empty signal mask and no descriptor but its own three. It has a
/// process group of its own, and the terminal while it runs. It ends when godbg does, unless detached.
#[derive(clap::Parser)]
struct Args {
    /// Start it in this folder
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,
    /// Add a variable to its environment, or change one (repeatable)
    #[arg(long, value_name = "K=V", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Read its standard input from a file
    #[arg(long, value_name = "FILE")]
    stdin: Option<String>,
    /// Write its standard output to a file
    #[arg(long, value_name = "FILE")]
    stdout: Option<String>,
    /// Write its standard error to a file
    #[arg(long, value_name = "FILE")]
    stderr: Option<String>,
    /// Give it the same addresses each time
    #[arg(long)]
    no_aslr: bool,
    /// The program, looked up in PATH if it has no slash, and its arguments as they are
    #[arg(value_name = "PROG", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<String>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("say NAME=VALUE".into()),
    }
}

#[derive(Serialize, JsonSchema)]
struct Started {
    process: Pid,
    /// Its executable, as the kernel knows it.
    program: Option<String>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let stdio = [input(cx.session, args.stdin)?, output(cx.session, args.stdout)?, file_for_output(args.stderr)?];
    let mut program = args.program.into_iter();
    let report = cx.session.launch(Launch {
        program: program.next().unwrap_or_default(),
        args: program.collect(),
        cwd: args.cwd,
        env: args.env,
        stdio,
        no_aslr: args.no_aslr,
        terminal: cx.session.terminal.clone(),
    })?;
    let program = target::describe(report.process);
    Ok(Outcome::Reply(Reply::new(Started { process: report.process, program })))
}

/// A program must not read the commands that are meant for godbg.
fn input(session: &Session, file: Option<String>) -> anyhow::Result<Option<OwnedFd>> {
    let path = match file {
        Some(path) => path,
        None if session.commands_on_stdin => "/dev/null".into(),
        None => return Ok(None),
    };
    let file = File::open(&path).with_context(|| format!("exec: cannot read {path:?}"))?;
    Ok(Some(file.into()))
}

/// Nor write among the JSON lines: there, its output goes where godbg's errors go.
fn output(session: &Session, file: Option<String>) -> anyhow::Result<Option<OwnedFd>> {
    if file.is_none() && session.json {
        return Ok(Some(io::stderr().as_fd().try_clone_to_owned().context("exec: cannot share standard error")?));
    }
    file_for_output(file)
}

fn file_for_output(file: Option<String>) -> anyhow::Result<Option<OwnedFd>> {
    let Some(path) = file else { return Ok(None) };
    let opened = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
    Ok(Some(opened.with_context(|| format!("exec: cannot write {path:?}"))?.into()))
}

impl Show for Started {
    fn show(&self, page: &mut Page) {
        let program = self.program.as_deref().unwrap_or("?");
        page.spans(vec![
            Span::new(format!("process {} ({program}) ", self.process), Style::Strong),
            "started; it stands at its first instruction".into(),
        ]);
    }
}
