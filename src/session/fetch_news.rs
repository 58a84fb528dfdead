//! What is told of debug info that is fetched, as events and as lines for people. Decides nothing.

use schemars::JsonSchema;
use serde::Serialize;

use super::locations::file_name;
use super::page::{Page, Span, Style};
use super::reply::Show;
use super::size;

/// What became of debug info that is not on this machine.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum FetchNews {
    /// Files lack debug info that a debuginfod server may have, and it is not fetched now. Told once for each reason.
    DebugInfoWanted {
        /// The files, by their paths.
        files: Vec<String>,
        /// What it waits for.
        waits_for: WaitsFor,
    },
    /// It is being fetched.
    DebugInfoFetching {
        /// Whose debug info it is, by its path.
        file: String,
        /// The build id in hexadecimal digits.
        build_id: String,
        /// How many bytes have come.
        bytes: u64,
        /// How many there will be; null where the server does not say.
        total_bytes: Option<u64>,
    },
    /// It was fetched: names and lines of the file are known from now on.
    DebugInfoFetched {
        /// Whose debug info it is, by its path.
        file: String,
        /// The build id in hexadecimal digits.
        build_id: String,
        /// Its length.
        bytes: u64,
        /// The server that had it; null: it was in the cache.
        server: Option<String>,
    },
    /// It could not be fetched.
    DebugInfoFailed {
        /// Whose debug info it is, by its path.
        file: String,
        /// The build id in hexadecimal digits.
        build_id: String,
        /// Why.
        why: String,
    },
}

/// Why debug info is not fetched yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// A process is held.
    HeldProcess,
    /// A process is held, and then a person has to be asked.
    HeldProcessAndAnswer,
    /// `set debuginfod on`: nobody is there to be asked.
    Setting,
    /// A server: none is known.
    Server,
}

/// `libc.so.6`, `libc.so.6 and libm.so.6`, `libc.so.6 and 3 other files`.
pub fn files_words(files: &[String]) -> String {
    let name = |index: usize| files.get(index).map_or("", |file| file_name(file));
    match files.len() {
        0 | 1 => name(0).to_owned(),
        2 => format!("{} and {}", name(0), name(1)),
        count => format!("{} and {} other files", name(0), count - 1),
    }
}

impl Show for FetchNews {
    fn show(&self, page: &mut Page) {
        match self {
            FetchNews::DebugInfoWanted { files, waits_for } => {
                let files = files_words(files);
                page.line(match waits_for {
                    WaitsFor::HeldProcess => {
                        format!("debug info of {files} is not here: it is fetched once no process is held (see debuginfo)")
                    }
                    WaitsFor::HeldProcessAndAnswer => format!(
                        "debug info of {files} is not here: godbg asks whether to fetch it once no process is held (or set debuginfod on or off)"
                    ),
                    WaitsFor::Setting => format!(
                        "debug info of {files} is not here, and DEBUGINFOD_URLS names servers: set debuginfod on has it fetched"
                    ),
                    WaitsFor::Server => format!(
                        "debug info of {files} is not here, and no server is known: set debuginfod-urls, or DEBUGINFOD_URLS"
                    ),
                });
            }
            FetchNews::DebugInfoFetching { file, bytes, total_bytes, .. } => {
                let done = size::show(*bytes);
                let of = total_bytes.map(|total| {
                    let percent = 100 * u128::from(*bytes) / u128::from(total).max(1);
                    format!(" of {} ({percent} %)", size::show(total))
                });
                page.line(format!("  debug info of {}: {done}{} fetched", file_name(file), of.unwrap_or_default()));
            }
            FetchNews::DebugInfoFetched { file, bytes, server, .. } => {
                let from = server.as_ref().map_or("the cache", |server| server);
                page.line(format!("debug info of {} fetched: {} from {from}", file_name(file), size::show(*bytes)));
            }
            FetchNews::DebugInfoFailed { file, why, .. } => {
                let text = format!("debug info of {} cannot be fetched: {why}", file_name(file));
                page.spans(vec![Span::new(text, Style::Warn)]);
            }
        }
    }
}
