//! Lines of source with what godbg knows of them: where the selected thread stands, which breakpoints are there. Remembers
//! what was shown last, so that the next look goes on from there.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::highlight::{self, Language, State};
use super::locations::{Locations, file_name};
use super::page::{Page, Span, Style};
use super::sources::{Places, Source};
use super::{Failure, Session};
use crate::target::{Process, StopReport};

/// What was listed last since the process stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The file, as the compiler names it.
    pub file: String,
    /// The first line that was shown.
    pub first: u32,
    /// The last.
    pub last: u32,
}

/// A line of source.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SourceLine {
    /// Its number, counted from 1.
    pub line: u32,
    /// The text, without its end.
    pub text: String,
    /// Whether the selected thread stands there.
    pub current: bool,
    /// The numbers of the breakpoints that are set there.
    pub breakpoints: Vec<u32>,
    #[serde(skip)]
    spans: Vec<Span>,
}

/// Before the first line shown, so many are read for the state of comments.
const CONTEXT: u32 = 2000;

impl Session {
    /// A source file as a compiler names it. The failure says where it was looked for.
    pub fn source(&mut self, name: &str) -> Result<Arc<Source>, Failure> {
        let process = self.process.as_ref();
        let places = Places {
            process: process.map(Process::pid),
            program: process.and_then(Process::program).map(|path| path.trim_end_matches(" (deleted)").into()),
            substitutes: &self.settings.substitutes,
        };
        self.sources.read(name, &places).map_err(|tried| {
            let paths: Vec<String> = tried.iter().map(|path| path.display().to_string()).collect();
            let folder =
                name.rsplit_once('/').map_or("FROM", |(folder, _)| if folder.is_empty() { "/" } else { folder });
            Failure::hinted(
                format!("the source {name} cannot be read: looked for {}", paths.join(", ")),
                format!("set substitute-path {folder} FOLDER says where the sources are"),
            )
        })
    }

    /// Lines of a file with their marks. At least one; both ends are cut to what there is.
    pub fn source_lines(
        &mut self,
        locations: &Locations,
        file: &str,
        first: u32,
        last: u32,
    ) -> Result<(Arc<Source>, Vec<SourceLine>), Failure> {
        let source = self.source(file)?;
        if first > source.len() || source.is_empty() {
            let lines = source.len();
            let message = format!("{} ends before line {first}: it has {lines} lines", file_name(file));
            return Err(Failure::plain(message));
        }
        let (first, last) = (first.max(1), last.min(source.len()));
        let here = self.pc().and_then(|pc| locations.source_at(pc)).filter(|spot| *spot.file == *file);
        let set = self.breakpoint_lines(locations, file);
        let language = Language::of(&source.path);
        let mut state = State::Code;
        let mut lines = Vec::new();
        for number in first.saturating_sub(CONTEXT).max(1)..=last {
            let Some(text) = source.line(number) else { break };
            let (spans, next) = highlight::line(text, language, state);
            state = next;
            if number < first {
                continue;
            }
            lines.push(SourceLine {
                line: number,
                text: text.to_owned(),
                current: here.as_ref().is_some_and(|spot| spot.line == number),
                breakpoints: set.iter().filter(|(line, _)| *line == number).map(|(_, number)| *number).collect(),
                spans,
            });
        }
        self.looking.listed = Some(Listed { file: file.to_owned(), first, last });
        Ok((source, lines))
    }

    /// The lines of a file on which breakpoints are, with their numbers.
    fn breakpoint_lines(&self, locations: &Locations, file: &str) -> Vec<(u32, u32)> {
        let set = self.current().map(Process::breakpoints).unwrap_or_default();
        let places = set.iter().flat_map(|one| one.addresses.iter().map(|addr| (*addr, one.number)));
        let mut lines: Vec<(u32, u32)> = places
            .filter_map(|(addr, number)| Some((locations.source_at(addr)?, number)))
            .filter(|(spot, _)| *spot.file == *file)
            .map(|(spot, number)| (spot.line, number))
            .collect();
        lines.sort_unstable();
        lines.dedup();
        lines
    }

    /// A report of a stop with the names and the line of the place where the thread stands.
    pub fn described(&mut self, mut report: StopReport) -> StopReport {
        if let Some(place) = &mut report.place {
            *place.code = self.locations().code_place(place.pc);
            if let (Some(file), Some(line)) = (&place.code.file, place.code.line) {
                place.code.source = self.source(file).ok().and_then(|source| Some(source.line(line)?.to_owned()));
            }
        }
        report
    }
}

/// Adds lines to a page: marks, number and text.
pub fn show(page: &mut Page, lines: &[SourceLine]) {
    let width = lines.last().map_or(1, |line| line.line.to_string().len());
    for one in lines {
        let mut line = vec![
            Span::new(if one.current { "=>" } else { "  " }, Style::Strong),
            Span::new(if one.breakpoints.is_empty() { " " } else { "*" }, Style::Bad),
            Span::new(format!("{:>width$}  ", one.line), Style::Dim),
        ];
        line.extend(one.spans.iter().cloned());
        page.spans(line);
    }
}

/// One line of source as it stands behind a stop: number and text.
pub fn stop_line(page: &mut Page, file: &str, number: u32, text: &str) {
    let (spans, _) = highlight::line(text, Language::of(file.as_ref()), State::Code);
    let head = Span::new(format!("{number}  "), Style::Dim);
    page.spans(std::iter::once(head).chain(spans).collect());
}
