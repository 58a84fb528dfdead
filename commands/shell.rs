//! `shell`: runs a command of the system's shell. It is started and waited for by a thread of its own, so that it is no
//! child of the tracer thread, which stays attentive to the process meanwhile.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command as Program, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::Serialize;

use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::Page;
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "shell",
    aliases: &["!"],
    group: Group::Shell,
    summary: "Run a command of the system's shell (also: !COMMAND)",
    needs: Needs::Nothing,
    words: Words::Raw,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Ran>,
    question: no_question,
    run,
};

/// In JSON mode what the command prints is kept for the reply, up to this many bytes.
const MOST_OUTPUT: u64 = 1 << 20;

#[derive(clap::Parser)]
struct Args {
    /// The command, as /bin/sh reads it
    #[arg(value_name = "SHELL_COMMAND", allow_hyphen_values = true)]
    command: String,
}

#[derive(Serialize, JsonSchema)]
struct Ran {
    /// Its exit status; null if a signal ended it.
    status: Option<i32>,
    /// The number of the signal that ended it.
    signal: Option<i32>,
    /// What it printed on standard output, in JSON mode.
    stdout: Option<String>,
}

type Finished = std::io::Result<(ExitStatus, Option<String>)>;

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let (keep, own_input) = (cx.session.json, cx.session.commands_on_stdin);
    let result: Arc<Mutex<Option<Finished>>> = Arc::default();
    let (theirs, bell) = (result.clone(), cx.session.bell());
    let command = args.command;
    thread::Builder::new()
        .name("shell".into())
        .spawn(move || {
            let finished = run_program(&command, keep, own_input);
            *theirs.lock().unwrap_or_else(PoisonError::into_inner) = Some(finished);
            bell.ring();
        })
        .context("shell: cannot start a thread")?;
    let is_done = || result.lock().unwrap_or_else(PoisonError::into_inner).is_some();
    cx.session.wait_until(None, is_done)?;
    let finished = result.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (status, stdout) = finished.context("shell: the command was lost")?.context("shell: cannot run /bin/sh")?;
    let ran = Ran { status: status.code(), signal: status.signal(), stdout };
    match (ran.status, ran.signal) {
        (Some(0), _) => Ok(Outcome::Reply(Reply::new(ran))),
        (Some(code), _) => Err(Failure::plain(format!("shell: the command exited with status {code}")).into()),
        (None, signal) => {
            let signal = crate::target::Signal(signal.unwrap_or_default());
            Err(Failure::plain(format!("shell: the command was ended by {signal}")).into())
        }
    }
}

fn run_program(command: &str, keep_output: bool, own_input: bool) -> Finished {
    let mut program = Program::new("/bin/sh");
    program.arg("-c").arg(command);
    if own_input {
        program.stdin(Stdio::null());
    }
    if !keep_output {
        return Ok((program.status()?, None));
    }
    let mut child = program.stdout(Stdio::piped()).spawn()?;
    let mut text = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.by_ref().take(MOST_OUTPUT).read_to_end(&mut text)?;
        std::io::copy(&mut stdout, &mut std::io::sink())?;
    }
    Ok((child.wait()?, Some(String::from_utf8_lossy(&text).into_owned())))
}

impl Show for Ran {
    fn show(&self, _: &mut Page) {}
}
