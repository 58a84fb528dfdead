//! `fds`: the open descriptors of the process: files, sockets with their addresses, pipes.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::Pid;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::looking::{fault, runs};
use crate::session::page::{Column, Page, Span, Style, Table};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};
use crate::target::{Descriptor, Socket, access_word, flag_words};

pub(super) const COMMAND: Command = Command {
    name: "fds",
    aliases: &["info fds", "files"],
    group: Group::Looking,
    summary: "List open descriptors: files, sockets, pipes",
    needs: Needs::Process,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Descriptors>,
    question: no_question,
    run,
};

/// One row a descriptor: its number, how it may be used, where in its file it is, what it is, and its flags. With a number only
/// that one; with a word only those that have it in their name or address.
#[derive(clap::Parser)]
struct Args {
    /// A descriptor, or a part of what it is
    #[arg(value_name = "FD|WORD")]
    filter: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Descriptors {
    process: Pid,
    /// Whether the process ran meanwhile.
    running: bool,
    descriptors: Vec<Row>,
    /// Whether there are more than are listed.
    more: bool,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    fd: i32,
    /// `file`, `socket`, `pipe`, or what the kernel calls it (`eventpoll`).
    kind: String,
    /// The path, or the kernel's name.
    name: String,
    /// `r`, `w` or `rw`.
    access: Option<&'static str>,
    /// The other flags of open(2) in words.
    flags: Option<Vec<&'static str>>,
    /// Where in the file the next read or write is.
    position: Option<u64>,
    /// `tcp`, `udp6`, `unix` and so on.
    protocol: Option<&'static str>,
    /// The socket's own address or path.
    local: Option<String>,
    /// The other end's.
    remote: Option<String>,
    /// `LISTEN`, `ESTABLISHED` and so on.
    state: Option<&'static str>,
    /// What else the kernel tells of it.
    details: Vec<String>,
}

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let process = cx.session.process()?;
    let (all, more) = process.descriptors().map_err(fault)?;
    let inodes: Vec<u64> = all.iter().filter_map(Descriptor::socket).collect();
    let mut sockets = process.sockets(&inodes);
    let rows = all.into_iter().map(|one| {
        let socket = one.socket().and_then(|inode| sockets.remove(&inode));
        Row::new(one, socket)
    });
    let rows: Vec<Row> = rows.filter(|row| args.filter.as_deref().is_none_or(|word| row.fits(word))).collect();
    if let Some(word) = args.filter.filter(|_| rows.is_empty()) {
        let short: String = word.chars().take(60).collect();
        return Err(
            Failure::hinted(format!("fds: no descriptor is or is called {short:?}"), "fds alone lists all").into()
        );
    }
    let (process, running) = (process.pid(), runs(process));
    Ok(Outcome::Reply(Reply::new(Descriptors { process, running, descriptors: rows, more })))
}

impl Row {
    fn new(one: Descriptor, socket: Option<Socket>) -> Row {
        let kind = match one.name.split_once(':') {
            _ if one.name.starts_with('/') => "file",
            Some(("anon_inode", rest)) => rest.trim_matches(['[', ']']),
            Some((kind, _)) => kind,
            None => "file",
        };
        let (protocol, state) = socket.as_ref().map_or((None, None), |socket| (Some(socket.kind), socket.state));
        let (local, remote) = socket.map_or((None, None), |socket| (socket.local, socket.remote));
        Row {
            fd: one.number,
            kind: kind.to_owned(),
            access: one.flags.map(access_word),
            flags: one.flags.map(flag_words),
            position: one.position,
            name: one.name,
            protocol,
            local,
            remote,
            state,
            details: one.details,
        }
    }

    fn fits(&self, word: &str) -> bool {
        if let Ok(number) = word.parse::<i32>() {
            return number == self.fd;
        }
        let texts =
            [Some(self.name.as_str()), Some(&self.kind), self.protocol, self.local.as_deref(), self.remote.as_deref()];
        texts.into_iter().flatten().any(|text| text.contains(word))
    }

    /// `tcp 127.0.0.1:80 -> 10.0.0.1:5 ESTABLISHED`, `/path`, `eventpoll (4 details)`.
    fn what(&self) -> String {
        let mut words = vec![match self.protocol {
            Some(protocol) => protocol.to_owned(),
            None if self.kind == "file" || self.details.is_empty() => self.name.clone(),
            None => format!("{} ({})", self.name, self.details.iter().take(3).cloned().collect::<Vec<_>>().join("; ")),
        }];
        words.extend(self.local.clone());
        words.extend(self.remote.as_ref().map(|remote| format!("-> {remote}")));
        words.extend(self.state.map(str::to_owned));
        if self.protocol.is_some() && self.local.is_none() {
            words.push(self.name.clone());
        }
        words.join(" ")
    }
}

impl Show for Descriptors {
    fn show(&self, page: &mut Page) {
        let columns = vec![
            Column::right("FD"),
            Column::left("MODE"),
            Column::right("POS"),
            Column::left("FLAGS"),
            Column::shrinking("WHAT", 1),
        ];
        let rows = self.descriptors.iter().map(|row| {
            vec![
                Span::new(row.fd.to_string(), Style::Strong),
                row.access.unwrap_or("?").into(),
                row.position.map(|position| position.to_string()).unwrap_or_default().into(),
                Span::new(row.flags.as_ref().map(|flags| flags.join(",")).unwrap_or_default(), Style::Dim),
                Span::new(row.what(), Style::Name),
            ]
        });
        page.table(Table { columns, rows: rows.collect() });
        let noun = if self.descriptors.len() == 1 { "descriptor" } else { "descriptors" };
        let more = if self.more { ", and there are more" } else { "" };
        page.line(format!("{} {noun}{more}", self.descriptors.len()));
    }
}
