//! `maps`: what is mapped where in the process, and where the selected thread stands in it.

use schemars::JsonSchema;
use serde::Serialize;

use super::find::size;
use crate::addr::{Pid, RuntimeAddr};
use crate::session::command::{args, no_question, parse, reply};
use crate::session::locations::{Locations, failure, parse_expr};
use crate::session::looking::{fault, runs};
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};
use crate::target::Mapping;

pub(super) const COMMAND: Command = Command {
    name: "maps",
    aliases: &["info proc mappings", "info mappings"],
    group: Group::Looking,
    summary: "List what is mapped where",
    needs: Needs::Process,
    words: Words::Raw,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Maps>,
    question: no_question,
    run,
};

/// One row a mapping; `pc` and `sp` mark those that the selected thread stands in. With a word, only the mappings whose name
/// has it in it, or with an address (any expression) the one that holds it.
#[derive(clap::Parser)]
struct Args {
    /// A part of a name, or an address
    #[arg(value_name = "MAPPING|ADDR", allow_hyphen_values = true)]
    filter: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Maps {
    process: Pid,
    /// Whether the process ran meanwhile.
    running: bool,
    mappings: Vec<Row>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    start: RuntimeAddr,
    /// The address behind the last byte.
    end: RuntimeAddr,
    size: u64,
    read: bool,
    write: bool,
    execute: bool,
    /// Whether changes reach the file and other processes.
    shared: bool,
    /// Where in its file it begins.
    file_offset: u64,
    inode: u64,
    /// The file's path or the kernel's name; null for memory of no file.
    name: Option<String>,
    /// Whether the selected thread's program counter is in it.
    pc: bool,
    /// Whether its stack pointer is.
    sp: bool,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let mappings = cx.session.process()?.mappings().map_err(fault)?;
    let locations = Locations::new(mappings);
    let chosen = chosen(cx, &locations, args.filter.as_deref())?;
    let process = cx.session.process()?;
    let (pid, running) = (process.pid(), runs(process));
    let thread = cx.session.selected().and_then(|tid| cx.session.current()?.stopped_thread(tid));
    let registers = thread.and_then(|thread| thread.registers().ok());
    let holds = |mapping: &Mapping, addr: Option<RuntimeAddr>| {
        addr.is_some_and(|addr| mapping.start <= addr && addr < mapping.end)
    };
    let row = |mapping: &Mapping| Row {
        start: mapping.start,
        end: mapping.end,
        size: mapping.end.0 - mapping.start.0,
        read: mapping.read,
        write: mapping.write,
        execute: mapping.execute,
        shared: mapping.shared,
        file_offset: mapping.file_offset,
        inode: mapping.inode,
        name: mapping.name.clone(),
        pc: holds(mapping, registers.map(|registers| registers.pc())),
        sp: holds(mapping, registers.map(|registers| registers.sp())),
    };
    let mappings = chosen.into_iter().map(row).collect();
    Ok(Outcome::Reply(Reply::new(Maps { process: pid, running, mappings })))
}

/// The mappings that a filter leaves: by name first, then by address.
fn chosen<'l>(cx: &Context<'_>, locations: &'l Locations, filter: Option<&str>) -> anyhow::Result<Vec<&'l Mapping>> {
    let all = locations.mappings();
    let Some(word) = filter else { return Ok(all.iter().collect()) };
    let bare = word.trim_matches(['"', '\'']);
    let named: Vec<&Mapping> =
        all.iter().filter(|mapping| mapping.name.as_ref().is_some_and(|name| name.contains(bare))).collect();
    if !named.is_empty() {
        return Ok(named);
    }
    let hint = "maps alone lists all; WORD is a part of a name, ADDR an expression";
    if !word.contains(|c: char| c.is_ascii_digit() || c == '$') {
        let short: String = word.chars().take(60).collect();
        return Err(Failure::hinted(format!("maps: no mapping is called {short:?}"), hint).into());
    }
    let expr = parse_expr(word)?;
    let value = cx.session.evaluate_with(&expr, Some(locations)).map_err(|error| failure("find", word, &error))?;
    let addr = RuntimeAddr(value.bits());
    let held = all.find(addr).ok_or_else(|| Failure::hinted(format!("maps: nothing is mapped at {addr}"), hint))?;
    Ok(vec![held])
}

impl Show for Maps {
    fn show(&self, page: &mut Page) {
        let columns = vec![
            Column::left(""),
            Column::right("START"),
            Column::right("END"),
            Column::right("SIZE"),
            Column::left("PERM"),
            Column::right("OFFSET"),
            Column::shrinking("NAME", 1),
        ];
        page.table(Table { columns, rows: self.mappings.iter().map(Row::spans).collect() });
        let total: u64 = self.mappings.iter().map(|row| row.size).sum();
        let noun = if self.mappings.len() == 1 { "mapping" } else { "mappings" };
        page.line(format!("{} {noun}, {}", self.mappings.len(), size(total)));
    }
}

impl Row {
    fn spans(&self) -> Vec<Span> {
        let marks: Vec<&str> =
            [(self.pc, "pc"), (self.sp, "sp")].iter().filter(|(is, _)| *is).map(|(_, m)| *m).collect();
        let letter = |is: bool, letter| if is { letter } else { '-' };
        let permissions: String = [
            letter(self.read, 'r'),
            letter(self.write, 'w'),
            letter(self.execute, 'x'),
            if self.shared { 's' } else { 'p' },
        ]
        .iter()
        .collect();
        let writable_code = self.write && self.execute;
        vec![
            Span::new(marks.join(","), Style::Strong),
            Span::new(self.start.to_string(), Style::Address),
            Span::new(self.end.to_string(), Style::Address),
            size(self.size).into(),
            Span::new(permissions, if writable_code { Style::Warn } else { Style::Plain }),
            Span::new(format!("{:#x}", self.file_offset), Style::Dim),
            Span::new(self.name.as_deref().unwrap_or_default(), Style::Name),
        ]
    }
}
