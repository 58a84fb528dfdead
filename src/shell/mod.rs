//! The front end for people and scripts: the command line, scripts, the prompt, and how answers are shown. The session
//! and the commands decide what happens; nothing here knows a process.

mod ahead;
mod cli;
mod complete;
mod editor;
mod generate;
mod history;
mod json;
mod notices;
mod prompt;
mod render;
mod repl;
mod runner;
mod screen;
mod script;
mod symbol_words;
mod words;

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use cli::{Item, Plan};
use runner::{Runner, Stop};
use screen::Screen;
use script::Source;

use crate::commands;
use crate::kernel::own;
use crate::session::tracer::TracerHandle;
use crate::session::{Failure, Session, panics};

/// Exit statuses.
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const BUG: u8 = 101;
const INTERRUPTED: u8 = 130;

/// The whole of `godbg`: from the words of the command line to the exit status.
pub fn run() -> ExitCode {
    own::declare_program();
    ExitCode::from(leave_with())
}

fn leave_with() -> u8 {
    // Before any thread is started: the mask is inherited.
    let blocked = own::block_signals();
    panics::keep_silent();
    let plan = match cli::parse(std::env::args_os()) {
        Ok(plan) => plan,
        Err(complaint) => return tell_usage(&complaint),
    };
    if let Some(what) = plan.generate {
        return generate::print(what);
    }
    if let Some(journal) = plan.guard {
        return u8::from(crate::session::guard(&journal).is_err());
    }
    let screen = Arc::new(Screen::new(plan.format, plan.quiet, plan.color));
    let started = blocked.map_err(Into::into).and_then(|()| TracerHandle::start(commands::TABLE));
    let handle = match started {
        Ok(handle) => Arc::new(handle),
        Err(error) => {
            screen.complain(&Failure::from(error.context("godbg cannot start")), None);
            return FAILED;
        }
    };
    let mut runner = Runner::new(handle.clone(), screen.clone());
    let ended = catch_unwind(AssertUnwindSafe(|| front(&plan, &mut runner)))
        .unwrap_or_else(|panic| Err(Stop::Bug(panics::message(&*panic))));
    // Whatever happened, the process comes first and words second.
    let let_go = handle.run(Session::let_go, |event| screen.event(&event));
    let ended = let_go.map_err(|panicked| Stop::Bug(panicked.message)).and(ended);
    status(ended, &runner, &screen)
}

/// Help and version on standard output, complaints on standard error.
fn tell_usage(complaint: &clap::Error) -> u8 {
    match complaint.print() {
        Ok(()) if complaint.exit_code() == 0 => 0,
        Err(_) if complaint.exit_code() == 0 => FAILED,
        _ => USAGE,
    }
}

fn status(ended: Result<(), Stop>, runner: &Runner, screen: &Screen) -> u8 {
    let ended = ended.and_then(|()| screen.lost().map_or(Ok(()), |error| Err(Stop::Output(error))));
    match ended {
        Ok(()) | Err(Stop::Quit) => u8::from(runner.failed),
        Err(Stop::Usage) => USAGE,
        Err(Stop::Failed(_) | Stop::Begin) => FAILED,
        Err(Stop::Interrupted) => INTERRUPTED,
        Err(Stop::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => FAILED,
        Err(Stop::Output(error)) => {
            let why = script::words(&error);
            screen.complain(&Failure::plain(format!("cannot write to standard output: {why}")), None);
            FAILED
        }
        Err(Stop::Bug(message)) => {
            panics::report(&message);
            BUG
        }
    }
}

/// The command of the command line, then the scripts, then the prompt or standard input.
fn front(plan: &Plan, runner: &mut Runner) -> Result<(), Stop> {
    let prompt_opens = io::stdin().is_terminal() && !plan.batch;
    tell_session(plan, prompt_opens, runner)?;
    let sources = open(&plan.items, runner)?;
    match runner.run_ahead(&plan.begin, sources) {
        // As gdb does: the person at the terminal may go on from there.
        Err(Stop::Failed(_)) if prompt_opens => runner.failed = true,
        other => other?,
    }
    if prompt_opens {
        return repl::run(runner, plan.quiet);
    }
    if plan.batch {
        Ok(())
    } else {
        open(&[Item::Stdin], runner)?.into_iter().try_for_each(|stdin| runner.script(stdin))
    }
}

fn tell_session(plan: &Plan, prompt_opens: bool, runner: &Runner) -> Result<(), Stop> {
    let (json, color) = (plan.format == cli::Format::Json, plan.color);
    // Remembers the terminal's settings for every way out, too.
    let terminal = own::Terminal::of_stdin();
    let commands_on_stdin = plan.reads_stdin() || (!plan.batch && !prompt_opens);
    runner.run(move |session| {
        session.json = json;
        session.settings.color = color;
        session.terminal = terminal;
        session.commands_on_stdin = commands_on_stdin;
    })
}

/// Opens the scripts before anything is attached: one that is missing must not hold a process up.
fn open(items: &[Item], runner: &Runner) -> Result<Vec<Source>, Stop> {
    // Opening a pipe waits for its writer.
    runner.run(|session| session.reading_script = true)?;
    let sources = items.iter().map(|item| open_one(item, runner)).collect();
    runner.run(|session| session.reading_script = false)?;
    sources
}

fn open_one(item: &Item, runner: &Runner) -> Result<Source, Stop> {
    let (name, source) = match item {
        Item::Command(text) => return Ok(Source::command(text)),
        Item::Stdin => ("-".into(), stdin(runner)),
        Item::File(path) => {
            let attentive = |file| Box::new(runner.attentive(file)) as Box<dyn Read>;
            (path.to_string_lossy(), Source::open(path, attentive))
        }
    };
    source.map_err(|failure| {
        runner.screen().failure(&format!("source {name}"), &failure, None);
        Stop::Failed(failure)
    })
}

/// Standard input as a script, without the buffer of `std`: a line that comes is a line that is run.
fn stdin(runner: &Runner) -> Result<Source, Failure> {
    let own = io::stdin().as_fd().try_clone_to_owned();
    let own = own.map_err(|error| Failure::plain(format!("cannot read stdin: {}", script::words(&error))))?;
    Ok(Source::stdin(runner.attentive(File::from(own))))
}
