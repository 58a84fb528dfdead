//! `gcore`: an ELF core of the live process, with a short pause.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::Pid;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::page::{Page, Span, Style};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words, duration, size};
use crate::target::{CoreImage, CoreWriter, News};

pub(super) const COMMAND: Command = Command {
    name: "gcore",
    aliases: &["generate-core-file"],
    group: Group::Process,
    summary: "Write an ELF core of the live process",
    needs: Needs::Process,
    words: Words::Split,
    repeats: false,
    args: args::<Args>,
    reply: reply::<Core>,
    question: no_question,
    run,
};

/// Writes a core that gdb, lldb and Delve open. A process that runs is held only while a fork of it is made, and runs on while
/// the fork is read; one that is held stays held. What the process does not want dumped is left out (core(5),
/// coredump_filter; madvise(2), MADV_DONTDUMP). The file appears when it is complete, readable by its owner alone.
#[derive(clap::Parser)]
struct Args {
    /// Keep all that can be read, whatever coredump_filter and MADV_DONTDUMP say
    #[arg(short, long)]
    all: bool,
    /// The file; core.PID in the current folder if none is given
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Serialize, JsonSchema)]
struct Core {
    process: Pid,
    file: String,
    /// The file's length.
    bytes: u64,
    /// What it takes on disk: pages that are zero take nothing.
    disk_bytes: u64,
    segments: usize,
    threads: usize,
    /// Bytes that were to be in it and could not be read.
    unread_bytes: u64,
    elapsed_ms: f64,
    /// For how long the process was held for it; null where it was held already.
    held_ms: Option<f64>,
    /// Whether the memory was read from a fork of the process.
    fork: bool,
    /// Why not, where that was tried.
    why_held: Option<String>,
}

/// How often people are told how far it is.
const BETWEEN_NOTICES: Duration = Duration::from_secs(1);

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let process = cx.session.process()?.pid();
    let path = args.file.unwrap_or_else(|| format!("core.{process}").into());
    let begin = Instant::now();
    // Before the process is stopped: most of what can go wrong does so here.
    let unfinished = Unfinished::create(&path)?;
    let image = cx.session.begin_core()?;
    let threads = image.threads();
    let written = write(cx, &image, &unfinished, args.all);
    let facts = cx.session.end_core(image);
    let (segments, unread_bytes) = written?;
    let facts = facts?;
    let (bytes, disk_bytes) = unfinished.complete()?;
    let held = facts.as_ref().and_then(|facts| facts.held);
    Ok(Outcome::Reply(Reply::new(Core {
        process,
        file: path.to_string_lossy().into_owned(),
        bytes,
        disk_bytes,
        segments,
        threads,
        unread_bytes,
        elapsed_ms: begin.elapsed().as_secs_f64() * 1e3,
        held_ms: held.map(|held| held.as_secs_f64() * 1e3),
        fork: facts.as_ref().is_some_and(|facts| facts.forked),
        why_held: facts.and_then(|facts| facts.why_held),
    })))
}

/// Writes it: how many segments, and how many bytes could not be read.
fn write(cx: &mut Context<'_>, image: &CoreImage, to: &Unfinished, all: bool) -> anyhow::Result<(usize, u64)> {
    let said = || format!("gcore: cannot write {}", to.path.display());
    let mut writer = CoreWriter::new(image, to.file.try_clone().with_context(said)?, all).with_context(said)?;
    let mut told = Instant::now();
    while writer.step().with_context(said)? {
        cx.session.glance()?;
        if cx.session.interactive && told.elapsed() >= BETWEEN_NOTICES {
            told = Instant::now();
            let (bytes, total_bytes) = writer.progress();
            let file = to.path.to_string_lossy().into_owned();
            cx.session.tell(News::Progress { process: image.process_id(), file, bytes, total_bytes });
        }
    }
    Ok((writer.segments(), writer.unread()))
}

/// A file that gets its name when it is complete, and is gone again if it never is.
struct Unfinished {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    complete: bool,
}

impl Unfinished {
    fn create(path: &Path) -> anyhow::Result<Unfinished> {
        let said = || format!("gcore: cannot write {}", path.display());
        if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return Err(Failure::plain(format!("{}: it is there already, and no file", said())).into());
        }
        // What a link names is replaced, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let name = path.file_name().with_context(said)?.to_string_lossy().into_owned();
        // As long as a name may be (255 bytes), with what is added to it.
        let short: String = name.chars().take(50).collect();
        let temporary = path.with_file_name(format!(".{short}.{}.partial", std::process::id()));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&temporary).with_context(said)?;
        Ok(Unfinished { path, temporary, file, complete: false })
    }

    /// Gives it its name: its length, and what it takes on disk.
    fn complete(mut self) -> anyhow::Result<(u64, u64)> {
        let said = || format!("gcore: cannot write {}", self.path.display());
        let facts = self.file.metadata().with_context(said)?;
        fs::rename(&self.temporary, &self.path).with_context(said)?;
        self.complete = true;
        Ok((facts.len(), facts.blocks() * 512))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.complete {
            // Somebody else may have taken it away.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

impl Show for Core {
    fn show(&self, page: &mut Page) {
        let span = |ms: f64| duration::show(Duration::from_secs_f64(ms / 1e3));
        let sizes = format!("{} ({} on disk)", size::show(self.bytes), size::show(self.disk_bytes));
        let held = match self.held_ms {
            Some(held) => format!("the process was held for {}", span(held)),
            None => format!("process {} was held already", self.process),
        };
        page.line(format!("{} written: {sizes} in {}; {held}", self.file, span(self.elapsed_ms)));
        if let Some(why) = &self.why_held {
            page.spans(vec![Span::new(format!("  it was held all the while: {why}"), Style::Warn)]);
        }
        if self.unread_bytes > 0 {
            let text = format!("  {} of memory could not be read and are zero", size::show(self.unread_bytes));
            page.spans(vec![Span::new(text, Style::Warn)]);
        }
    }
}
