//! `ps`: the processes that can be attached to, and why not for the others. Touches none of them.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::Pid;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words};
use crate::target::{self, Error};

pub(super) const COMMAND: Command = Command {
    name: "ps",
    aliases: &[],
    group: Group::Process,
    summary: "List processes, and why some cannot be attached to",
    needs: Needs::Nothing,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Processes>,
    question: no_question,
    run,
};

#[derive(clap::Parser)]
struct Args {
    /// Only those whose pid, user, name or command line has this in it
    #[arg(value_name = "WORD")]
    word: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Processes {
    processes: Vec<Row>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    process: Pid,
    user: String,
    state: char,
    threads: u64,
    name: String,
    command: String,
    attachable: bool,
    /// Why it cannot be attached to.
    refusal: Option<String>,
    kernel_thread: bool,
}

fn run(_: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let wanted =
        target::candidates().into_iter().filter(|one| args.word.as_ref().is_none_or(|word| one.mentions(word)));
    let processes = wanted
        .filter_map(|one| {
            let refusal = target::refusal(one.pid);
            if matches!(refusal, Some(Error::Missing(_))) {
                return None;
            }
            Some(Row {
                process: one.pid,
                user: one.user,
                state: if one.state == 't' { 'T' } else { one.state },
                threads: one.threads,
                name: one.name,
                command: one.command,
                attachable: refusal.is_none(),
                kernel_thread: matches!(refusal, Some(Error::KernelThread(..))),
                refusal: refusal.map(|refusal| refusal.to_string()),
            })
        })
        .collect();
    Ok(Outcome::Reply(Reply::new(Processes { processes })))
}

impl Row {
    fn spans(&self) -> Vec<Span> {
        let style = if self.attachable { Style::Plain } else { Style::Dim };
        let what = match (&self.refusal, self.command.as_str()) {
            (Some(refusal), _) => Span::new(format!("[{}] {refusal}", self.name), Style::Dim),
            (None, "") => self.name.as_str().into(),
            (None, command) => command.into(),
        };
        let cells = [self.process.to_string(), self.user.clone(), self.state.to_string(), self.threads.to_string()];
        let mut spans: Vec<Span> = cells.iter().map(|cell| Span::new(cell, style)).collect();
        spans.push(Span::new(&self.name, if self.attachable { Style::Name } else { Style::Dim }));
        spans.push(what);
        spans
    }
}

impl Show for Processes {
    fn show(&self, page: &mut Page) {
        let columns = vec![
            Column::right("PID"),
            Column::left("USER"),
            Column::left("S"),
            Column::right("THREADS"),
            Column::shrinking("NAME"),
            Column::shrinking("COMMAND, OR WHY IT CANNOT BE ATTACHED TO"),
        ];
        // Hundreds of kernel threads would hide what one looks for.
        let rows = self.processes.iter().filter(|row| !row.kernel_thread).map(Row::spans).collect();
        page.table(Table { columns, rows });
        let kernel = self.processes.iter().filter(|row| row.kernel_thread).count();
        let can = self.processes.iter().filter(|row| row.attachable).count();
        let threads = if kernel == 0 { String::new() } else { format!("; {kernel} kernel threads are not shown") };
        page.line(format!("{} processes, {can} can be attached to{threads}", self.processes.len() - kernel));
    }
}
