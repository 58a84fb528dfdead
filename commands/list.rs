//! `list`: lines of source, around where a thread stands, of a function, or of a file.

use schemars::JsonSchema;
use serde::Serialize;

use crate::addr::Pid;
use crate::session::command::{args, no_question, parse, reply};
use crate::session::listing::{self, SourceLine};
use crate::session::locations::{Locations, resolve_spots};
use crate::session::page::{Page, Span, Style};
use crate::session::{Command, Context, Failure, Group, Needs, Outcome, Reply, Show, Words};

pub(super) const COMMAND: Command = Command {
    name: "list",
    aliases: &["l", "li", "ls"],
    group: Group::Source,
    summary: "Show source: around the program counter, of a function, a line or a range",
    needs: Needs::Process,
    words: Words::Raw,
    repeats: true,
    args: args::<Args>,
    reply: reply::<Listing>,
    question: no_question,
    run,
};

/// Without words, the lines around the one at which the selected thread stands, and then those behind what was shown; `list -`
/// shows those before. `list LOC` (a function, `FILE:LINE`, `LINE`, `*ADDRESS`) is around a place, `list A,B` from one line to
/// another, `list A,` and `list ,B` as many as `set listsize` says. `=>` marks where the thread stands, `*` a breakpoint. An
/// empty line goes on. Where a file is not found, `set substitute-path` says where its folder is.
#[derive(clap::Parser)]
struct Args {
    /// Where
    #[arg(value_name = "LOC|LOC,LOC|LOC,|,LOC|-", allow_hyphen_values = true)]
    place: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Listing {
    process: Pid,
    /// The file, as the compiler names it.
    file: String,
    /// Where it was found.
    path: String,
    lines: Vec<SourceLine>,
}

/// No more lines at once.
const MOST: u32 = 100_000;

fn run(cx: &mut Context<'_>, words: &[String]) -> anyhow::Result<Outcome> {
    let args: Args = parse(&COMMAND, words)?;
    let locations = cx.session.locations();
    let (file, first, last) = range(cx, &locations, args.place.as_deref().unwrap_or_default().trim())?;
    let (source, lines) = cx.session.source_lines(&locations, &file, first, last)?;
    let back = args.place.as_deref().is_some_and(|place| place.trim() == "-");
    cx.session.looking.again = Some(if back { "list -" } else { "list" }.into());
    let process = cx.session.process()?.pid();
    Ok(Outcome::Reply(Reply::new(Listing { process, file, path: source.path.display().to_string(), lines })))
}

/// The file and the first and last line that words mean.
fn range(cx: &mut Context<'_>, locations: &Locations, text: &str) -> anyhow::Result<(String, u32, u32)> {
    let size = cx.session.settings.list_size;
    let listed = cx.session.looking.listed.clone();
    let from = |first: u32| (first, first.saturating_add(size - 1));
    let until = |last: u32| (last.saturating_sub(size - 1).max(1), last);
    match (text, listed) {
        ("", Some(listed)) => {
            let (first, last) = from(listed.last.saturating_add(1));
            Ok((listed.file, first, last))
        }
        ("-", Some(listed)) if listed.first <= 1 => {
            Err(Failure::plain("list -: the beginning of the file was shown already").into())
        }
        ("-", Some(listed)) => {
            let (first, last) = until(listed.first - 1);
            Ok((listed.file, first, last))
        }
        ("" | "-", None) => {
            let (file, line) = here(cx, locations)?;
            let (first, last) = around(line, size);
            Ok(if text == "-" { (file, until(first.max(2) - 1).0, first.max(2) - 1) } else { (file, first, last) })
        }
        (text, _) => match cut(text) {
            None => {
                let (file, line) = line_of(cx, locations, text)?;
                let (first, last) = around(line, size);
                Ok((file, first, last))
            }
            Some((a, "")) => {
                let (file, line) = line_of(cx, locations, a)?;
                let (first, last) = from(line);
                Ok((file, first, last))
            }
            Some(("", b)) => {
                let (file, line) = line_of(cx, locations, b)?;
                let (first, last) = until(line);
                Ok((file, first, last))
            }
            Some((a, b)) => {
                let (file, first) = line_of(cx, locations, a)?;
                // A bare number behind the comma is a line of the same file, `+N` counts from the first.
                let last =
                    match (b.parse::<u32>(), b.strip_prefix('+').and_then(|count| count.trim().parse::<u32>().ok())) {
                        (_, Some(count)) => first.saturating_add(count),
                        (Ok(line), None) => line,
                        (Err(_), None) => {
                            let (other, line) = line_of(cx, locations, b)?;
                            if other != file {
                                let message = format!("list: {a} is in {file} and {b} in {other}");
                                return Err(Failure::hinted(message, "both ends must be in one file").into());
                            }
                            line
                        }
                    };
                if last < first {
                    return Err(Failure::plain(format!("list: line {last} comes before line {first}")).into());
                }
                Ok((file, first, last.min(first.saturating_add(MOST - 1))))
            }
        },
    }
}

/// A comma outside brackets: types have commas too.
fn cut(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0i32;
    let at = text.char_indices().find_map(|(at, c)| {
        depth += i32::from(matches!(c, '<' | '(' | '[')) - i32::from(matches!(c, '>' | ')' | ']'));
        (c == ',' && depth <= 0).then_some(at)
    })?;
    Some((text[..at].trim(), text[at + 1..].trim()))
}

/// As gdb: five lines before, and one less behind, of ten.
fn around(line: u32, size: u32) -> (u32, u32) {
    let first = line.saturating_sub(size / 2).max(1);
    (first, first.saturating_add(size - 1))
}

fn here(cx: &Context<'_>, locations: &Locations) -> anyhow::Result<(String, u32)> {
    let pc = cx.session.frame_pc().ok_or_else(|| {
        let hint = "name a function or FILE:LINE, or interrupt the process";
        Failure::hinted("list: no thread stands still, so that there is no current line", hint)
    })?;
    let words = locations.words(pc).unwrap_or_else(|| pc.to_string());
    let spot = locations.source_at(pc).ok_or_else(|| {
        let hint =
            "name a function or FILE:LINE; disassemble shows the instructions; status says what symbols there are";
        Failure::hinted(format!("list: no source is known of {words}, where the thread stands"), hint)
    })?;
    Ok((spot.file.to_string(), spot.line))
}

/// The file and line of a location. Of several places the first; a plain line of a file is taken as it is, code or none.
fn line_of(cx: &Context<'_>, locations: &Locations, text: &str) -> anyhow::Result<(String, u32)> {
    if let Some((file, line)) = plain_line(cx, locations, text)? {
        return Ok((file, line));
    }
    let resolved = resolve_spots(cx.session, locations, text)?;
    if let Some(missing) = resolved.missing {
        return Err(missing.into());
    }
    let no_source =
        || Failure::hinted(format!("list: no source is known of {text}"), "status says what symbols there are");
    let spot = resolved.spots.into_iter().next().ok_or_else(no_source)?;
    // A function is shown from its own line on, not from where its prologue ends.
    let source = locations.source_at(spot.entry).or(spot.source).ok_or_else(no_source)?;
    Ok((source.file.to_string(), source.line))
}

fn plain_line(cx: &Context<'_>, locations: &Locations, text: &str) -> anyhow::Result<Option<(String, u32)>> {
    if let Ok(line) = text.parse::<u32>() {
        return Ok(Some((cx.session.current_line(locations)?.0, line)));
    }
    let Some((file, line)) =
        text.rsplit_once(':').and_then(|(file, line)| Some((file.trim(), line.trim().parse().ok()?)))
    else {
        return Ok(None);
    };
    let known = locations.sources_named(file);
    match known.as_slice() {
        [one] => Ok(Some((one.to_string(), line))),
        [] => Ok(None),
        several => match several.iter().find(|path| ***path == *file) {
            Some(path) => Ok(Some((path.to_string(), line))),
            None => {
                let paths: Vec<&str> = several.iter().take(5).map(|path| &**path).collect();
                let message = format!("{file} is the name of {} sources: {}", several.len(), paths.join(", "));
                Err(Failure::hinted(message, "write more of the path").into())
            }
        },
    }
}

impl Show for Listing {
    fn show(&self, page: &mut Page) {
        page.spans(vec![Span::new(format!("{}:", self.path), Style::Dim)]);
        listing::show(page, &self.lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_gdbs() {
        assert_eq!((around(1, 10), around(20, 10), around(3, 1)), ((1, 10), (15, 24), (3, 3)));
        assert_eq!(cut("a,b"), Some(("a", "b")));
        assert_eq!(cut("f<a,b>"), None);
        assert_eq!(cut("f<a,b> , 3"), Some(("f<a,b>", "3")));
        assert_eq!((cut("3,"), cut(",3")), (Some(("3", "")), Some(("", "3"))));
    }
}
