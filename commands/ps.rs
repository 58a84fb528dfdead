//! `ps`: the processes that can be attached to, and why not for the others. Touches none of them.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::Pid;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::{Command, Context, Group, Needs, Outcome, Reply, Show, Words};
use crate::target::{self, Candidate, Error, Process};

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
    /// The same for a row of the listing, which names the process already.
    #[serde(skip)]
    why_not: Option<String>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let attached = cx.session.current().map(Process::pid);
    let wanted =
        target::candidates().into_iter().filter(|one| args.word.as_ref().is_none_or(|word| one.mentions(word)));
    let processes = wanted.filter_map(|one| row(one, attached)).collect();
    Ok(Outcome::Reply(Reply::new(Processes { processes })))
}

/// `None`: it has ended meanwhile.
fn row(one: Candidate, attached: Option<Pid>) -> Option<Row> {
    let refusal = target::refusal(one.pid);
    let (refusal, why_not, kernel_thread) = match refusal {
        Some(Error::Missing(_)) => return None,
        // To the kernel it is a process that has a tracer already; here that is the answer itself.
        _ if attached == Some(one.pid) => {
            (Some(format!("process {} is attached here", one.pid)), Some("attached here".into()), false)
        }
        None => (None, None, false),
        Some(error) => (Some(error.to_string()), Some(brief(&error)), matches!(error, Error::KernelThread(..))),
    };
    Some(Row {
        process: one.pid,
        user: one.user,
        state: if one.state == 't' { 'T' } else { one.state },
        threads: one.threads,
        name: one.name,
        command: one.command,
        attachable: refusal.is_none(),
        refusal,
        kernel_thread,
        why_not,
    })
}

/// A refusal without the process's pid and name, which stand beside it.
fn brief(refusal: &Error) -> String {
    match refusal {
        Error::Itself(_) => "godbg itself".into(),
        Error::Zombie { parent, .. } => format!("zombie: its parent {parent} has not taken note of its end"),
        Error::Traced { tracer, name, .. } => format!("traced by process {tracer} ({name})"),
        Error::Leaving(_) => "detached from, but a thread that sleeps in the kernel is not free yet".into(),
        Error::Denied(_, denial) => format!("not permitted: {denial}"),
        other => other.to_string(),
    }
}

/// A command line on one row: programs that set their title pad it with blanks.
fn one_row(command: &str) -> String {
    command.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Row {
    fn spans(&self) -> Vec<Span> {
        let style = if self.attachable { Style::Plain } else { Style::Dim };
        let what = match (&self.why_not, self.command.as_str()) {
            (Some(why_not), _) => Span::new(why_not, Style::Dim),
            (None, "") => self.name.as_str().into(),
            (None, command) => one_row(command).into(),
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
            Column::shrinking("NAME", 2),
            Column::shrinking("COMMAND, OR WHY IT CANNOT BE ATTACHED TO", 1),
        ];
        // Hundreds of kernel threads would hide what one looks for.
        let rows = self.processes.iter().filter(|row| !row.kernel_thread).map(Row::spans).collect();
        page.table(Table { columns, rows });
        let kernel = self.processes.iter().filter(|row| row.kernel_thread).count();
        let can = self.processes.iter().filter(|row| row.attachable).count();
        let mut line =
            format!("{}, {can} can be attached to", count(self.processes.len() - kernel, "process", "processes"));
        if kernel > 0 {
            line += &format!("; {} not shown", count(kernel, "kernel thread", "kernel threads"));
        }
        page.line(line);
    }
}

fn count(number: usize, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_do_not_repeat_what_stands_beside_them() {
        let (pid, name) = (Pid(1311), String::from("goforloop"));
        let zombie = Error::Zombie { pid, name: name.clone(), parent: Pid(7) };
        let traced = Error::Traced { pid, tracer: Pid(8), name: "strace".into() };
        for (error, expected) in [
            (zombie, "zombie: its parent 7 has not taken note of its end"),
            (traced, "traced by process 8 (strace)"),
            (Error::Itself(pid), "godbg itself"),
        ] {
            assert_eq!(brief(&error), expected);
        }
    }

    #[test]
    fn padding_of_titles_is_left_out() {
        assert_eq!(one_row("postgres: writer   \u{20}process   "), "postgres: writer process");
    }
}
