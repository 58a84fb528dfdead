//! Pages as text: tables aligned and fitted to a width, colours where they are wanted. Pure; refuses to know screens.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use owo_colors::{OwoColorize, Style as Paint};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::session::Failure;
use crate::session::page::{Align, Column, Item, MadeRows, Page, Span, Style, Table, is_plain};

/// How to render.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Look {
    /// With colours.
    pub color: bool,
    /// Lines are wrapped and rows of tables cut to this many columns; not at all if none.
    pub width: Option<usize>,
}

/// Between two columns of a table.
const GAP: usize = 2;

/// What columns keep while others can still give way: those that shrink early, and those that shrink last.
const EARLY_LEAST: usize = 8;
const LATE_LEAST: usize = 16;

/// Less than this of a text says nothing: the column goes altogether.
const LEAST: usize = 5;

/// Where a line goes on in the next row, it stands this much further in than where it began.
const HANG: usize = 2;

/// A page as lines of text, each with its newline.
pub fn page(page: &Page, look: Look) -> String {
    let mut all = String::new();
    in_pieces(page, look, &mut |piece| {
        // Mostly there is one piece, which is then all.
        if all.is_empty() { std::mem::swap(&mut all, piece) } else { all.push_str(piece) }
    });
    all
}

/// A piece is at least so long, bytes, unless it is the last.
const PIECE: usize = 64 << 10;

/// The same in pieces of whole lines: a hundred thousand rows are never all in memory as text.
pub fn in_pieces(page: &Page, look: Look, piece: &mut dyn FnMut(&mut String)) {
    let mut out = String::new();
    let mut spill = |out: &mut String, least: usize| {
        if out.len() >= least {
            piece(out);
            out.clear();
        }
    };
    // A page that stands in one place only is not kept.
    let mut shared: HashMap<*const Page, String> = HashMap::new();
    for item in page.items() {
        match item {
            Item::Line(spans) => line(&mut out, spans, look),
            Item::Table(rows) => table(&mut out, rows, look, &mut |out| spill(out, PIECE)),
            Item::Made(columns, rows) => made_table(&mut out, columns, &**rows, look, &mut |out| spill(out, PIECE)),
            Item::Shared(other) if Arc::strong_count(other) == 1 => out.push_str(&self::page(other, look)),
            Item::Shared(other) => {
                let known = shared.entry(Arc::as_ptr(other)).or_insert_with(|| self::page(other, look));
                out.push_str(known);
            }
        }
        spill(&mut out, PIECE);
    }
    spill(&mut out, 1);
}

/// How many columns a span takes.
fn width_of_span(span: &Span) -> usize {
    if span.is_plain() { span.text().len() } else { span.text().width() }
}

/// How many columns a text takes.
fn width_of(text: &str) -> usize {
    if is_plain(text) { text.len() } else { text.width() }
}

/// A failure as its `error:` and `hint:` lines. `place` is `FILE:LINE: COMMAND` where a script failed.
pub fn failure(failure: &Failure, place: Option<&str>, look: Look) -> String {
    let mut out = String::new();
    let place = place.map_or_else(String::new, |place| format!("{place}: "));
    line(&mut out, &[Span::new("error:", Style::Bad), format!(" {place}{}", failure.message).into()], look);
    if let Some(hint) = &failure.hint {
        line(&mut out, &[Span::new("hint:", Style::Strong), format!(" {hint}").into()], look);
    }
    out
}

/// The beginning of a text that takes at most `width` columns, with `…` where something was cut off.
pub fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if width_of(text) <= width {
        return text.into();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used + 1 > width {
            break;
        }
        out.push(c);
    }
    out.extend((width > 0).then_some('…'));
    out.into()
}

/// A line, in as many rows as it needs.
fn line(out: &mut String, spans: &[Span], look: Look) {
    if look.width.is_none() {
        spans.iter().for_each(|span| push_painted(out, span.text(), span.style, look.color));
        out.push('\n');
        return;
    }
    let text: String = spans.iter().map(Span::text).collect();
    let (rows, indent) = wrap(&text, look.width);
    for (index, row) in rows.into_iter().enumerate() {
        push_blanks(out, if index == 0 { 0 } else { indent });
        let mut at = 0;
        for span in spans {
            // A row ends at blanks, so that it never ends within a character.
            let (from, to) = (row.start.max(at), row.end.min(at + span.text().len()));
            if from < to {
                push_painted(out, &text[from..to], span.style, look.color);
            }
            at += span.text().len();
        }
        out.push('\n');
    }
}

/// The parts of a text that stand in a row each, and how far those behind the first are indented. Broken at blanks only:
/// a word that is wider than a row is the terminal's to break, and stays one word for whoever copies it.
fn wrap(text: &str, width: Option<usize>) -> (Vec<Range<usize>>, usize) {
    let lead = text.len() - text.trim_start_matches(' ').len();
    let indent = lead + HANG;
    // In less than that there is no room for words.
    let width = width.filter(|width| *width >= indent + LATE_LEAST && width_of(text) > *width);
    let Some(width) = width else { return (std::iter::once(0..text.len()).collect(), indent) };
    let (mut rows, mut start) = (Vec::new(), 0);
    while let Some((end, next)) = break_at(text, start, lead, if start == 0 { width } else { width - indent }) {
        rows.push(start..end);
        start = next;
    }
    rows.push(start..text.len());
    (rows, indent)
}

/// Where the row that begins at `start` ends and where the next begins. `None`: all that is left fits, or is one word.
fn break_at(text: &str, start: usize, lead: usize, room: usize) -> Option<(usize, usize)> {
    if width_of(&text[start..]) <= room {
        return None;
    }
    let (mut last, mut last_wide) = (None, None);
    let mut at = start.max(lead);
    while let Some(found) = text[at..].find(' ') {
        let end = at + found;
        let next = end + text[end..].len() - text[end..].trim_start_matches(' ').len();
        let used = width_of(&text[start..end]);
        if next == text.len() || (used > room && last.is_some()) {
            break;
        }
        last = Some((end, next));
        // Double blanks separate what belongs together, unless that leaves most of the row empty.
        if next - end > 1 && used * 2 > room {
            last_wide = last;
        }
        if used > room {
            break;
        }
        at = next;
    }
    last_wide.or(last)
}

/// Text in the colour of its style, if there is to be colour.
pub fn paint(text: &str, style: Style, color: bool) -> String {
    let paint = match style {
        _ if !color || text.is_empty() => return text.to_owned(),
        Style::Plain => return text.to_owned(),
        Style::Strong => Paint::new().bold(),
        Style::Dim => Paint::new().dimmed(),
        Style::Good => Paint::new().green(),
        Style::Warn => Paint::new().yellow(),
        Style::Bad => Paint::new().red().bold(),
        Style::Address => Paint::new().cyan(),
        Style::Name => Paint::new().blue().bold(),
    };
    text.style(paint).to_string()
}

fn push_blanks(out: &mut String, mut count: usize) {
    const BLANKS: &str = "                                                                ";
    while count > 0 {
        let some = count.min(BLANKS.len());
        out.push_str(&BLANKS[..some]);
        count -= some;
    }
}

fn push_painted(out: &mut String, text: &str, style: Style, color: bool) {
    if color { out.push_str(&paint(text, style, color)) } else { out.push_str(text) }
}

/// `spill` is called between rows.
fn table(out: &mut String, table: &Table, look: Look, spill: &mut dyn FnMut(&mut String)) {
    let mut widths = header_widths(&table.columns);
    table.rows.iter().for_each(|row| widen(&mut widths, row));
    let widths = fit(&table.columns, widths, look.width);
    head(out, &table.columns, &widths, look);
    let wraps = table.columns.last().is_some_and(|column| column.wraps);
    for spans in &table.rows {
        if wraps {
            let parts = parts(spans, &widths);
            parts.iter().for_each(|part| row(out, part, &table.columns, &widths, look));
        } else {
            row(out, spans, &table.columns, &widths, look);
        }
        spill(out);
    }
}

/// The same of rows that are made for it, once to be measured and once to be shown.
fn made_table(
    out: &mut String,
    columns: &[Column],
    rows: &dyn MadeRows,
    look: Look,
    spill: &mut dyn FnMut(&mut String),
) {
    let mut widths = header_widths(columns);
    rows.visit(&mut |spans| widen(&mut widths, spans.iter().copied()));
    let widths = fit(columns, widths, look.width);
    head(out, columns, &widths, look);
    rows.visit(&mut |spans| {
        row(out, spans.iter().copied(), columns, &widths, look);
        spill(out);
    });
}

fn head(out: &mut String, columns: &[Column], widths: &[usize], look: Look) {
    if columns.iter().any(|column| !column.header.is_empty()) {
        let headers: Vec<Span> = columns.iter().map(|column| Span::new(&column.header, Style::Strong)).collect();
        row(out, &headers, columns, widths, look);
    }
}

/// A row as the rows that its last cell needs, which is one that wraps.
fn parts(spans: &[Span], widths: &[usize]) -> Vec<Vec<Span>> {
    let (Some((last, others)), Some(width)) = (spans.split_last(), widths.last()) else { return Vec::new() };
    let (text, mut start) = (last.text(), 0);
    let mut rows = vec![others.to_vec()];
    while let Some((end, next)) = break_at(text, start, 0, *width) {
        rows.last_mut().expect("there is one from the start").push(Span::new(&text[start..end], last.style));
        rows.push(vec![Span::default(); others.len()]);
        start = next;
    }
    rows.last_mut().expect("the same").push(Span::new(&text[start..], last.style));
    rows
}

fn header_widths(columns: &[Column]) -> Vec<usize> {
    columns.iter().map(|column| width_of(&column.header)).collect()
}

fn widen<'a>(widths: &mut [usize], row: impl IntoIterator<Item = &'a Span>) {
    for (width, span) in widths.iter_mut().zip(row) {
        *width = (*width).max(width_of_span(span));
    }
}

/// Makes columns narrower until a row fits. Those that shrink early go down first and are left out before the others
/// become unreadable. What still does not fit is cut off at the edge.
fn fit(columns: &[Column], natural: Vec<usize>, width: Option<usize>) -> Vec<usize> {
    let Some(width) = width else { return natural };
    let mut widths = natural.clone();
    let mut order: Vec<usize> = (0..columns.len()).rev().filter(|at| columns[*at].shrink > 0).collect();
    order.sort_by_key(|at| Reverse(columns[*at].shrink));
    let (early, late): (Vec<usize>, Vec<usize>) = order.into_iter().partition(|at| columns[*at].shrink > 1);
    let last: Vec<usize> = columns.len().checked_sub(1).into_iter().collect();
    let steps = [(&early, EARLY_LEAST), (&late, LATE_LEAST), (&early, LEAST), (&early, 0), (&late, LEAST), (&last, 0)];
    for (group, least) in steps {
        for at in group {
            let excess = row_width(&widths).saturating_sub(width);
            widths[*at] -= match excess {
                0 => 0,
                _ if least == 0 && *at + 1 < columns.len() => widths[*at],
                excess => excess.min(widths[*at].saturating_sub(least)),
            };
        }
    }
    // What the columns that were left out did not need.
    for at in late.into_iter().chain(early) {
        let spare = width.saturating_sub(row_width(&widths));
        if widths[at] > 0 {
            widths[at] = natural[at].min(widths[at] + spare);
        }
    }
    let mut left = width;
    for at in &mut widths {
        *at = (*at).min(left);
        left = left.saturating_sub(if *at > 0 { *at + GAP } else { 0 });
    }
    widths
}

/// What a row of columns takes; one without width takes no gap either.
fn row_width(widths: &[usize]) -> usize {
    let shown = widths.iter().filter(|width| **width > 0);
    (shown.clone().sum::<usize>() + GAP * shown.count()).saturating_sub(GAP)
}

/// Adds a row.
fn row<'a>(
    out: &mut String,
    spans: impl IntoIterator<Item = &'a Span>,
    columns: &[Column],
    widths: &[usize],
    look: Look,
) {
    let mut owed = 0;
    for ((span, column), width) in spans.into_iter().zip(columns).zip(widths).filter(|(_, width)| **width > 0) {
        let natural = width_of_span(span);
        let (text, used) = match natural <= *width {
            true => (span.text().into(), natural),
            false => {
                let text = cut(span.text(), *width);
                let used = width_of(&text);
                (text, used)
            }
        };
        let padding = width - used.min(*width);
        let before = if column.align == Align::Right { padding } else { 0 };
        if !text.is_empty() {
            push_blanks(out, owed + before);
            push_painted(out, &text, span.style, look.color);
            owed = padding - before + GAP;
        } else {
            owed += padding + GAP;
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Page {
        let columns = vec![
            Column::left(""),
            Column::right("#"),
            Column::left("TID"),
            Column::shrinking("NAME", 2),
            Column::shrinking("WHERE", 1),
        ];
        let row = |cells: [&str; 5]| cells.into_iter().map(Span::from).collect();
        let rows = vec![
            row(["*", "1", "1311", "a quite long name", "0x46d0f4 runtime.futex+0x23"]),
            row(["", "12", "1312", "日本語の名前", ""]),
        ];
        let mut page = Page::default();
        page.table(Table { columns, rows });
        page
    }

    fn at(width: usize) -> String {
        page(&sample(), Look { color: false, width: Some(width) })
    }

    #[test]
    fn a_pipe_gets_whole_aligned_rows_without_trailing_spaces() {
        assert_eq!(
            page(&sample(), Look::default()),
            "    #  TID   NAME               WHERE\n\
             *   1  1311  a quite long name  0x46d0f4 runtime.futex+0x23\n\
             \u{20}  12  1312  日本語の名前\n"
        );
    }

    #[test]
    fn a_long_page_comes_in_pieces_of_whole_lines() {
        let row = |number: usize| vec![Span::from(number.to_string()), Span::new("x".repeat(70), Style::Name)];
        let mut long = Page::default();
        let part = Arc::new(sample());
        long.share(part.clone());
        long.table(Table { columns: vec![Column::right("#"), Column::left("X")], rows: (0..5000).map(row).collect() });
        long.share(part.clone());
        let mut pieces = Vec::new();
        in_pieces(&long, Look::default(), &mut |piece| pieces.push(std::mem::take(piece)));
        assert!(pieces.len() > 4 && pieces.iter().all(|piece| piece.ends_with('\n') && piece.len() < 2 * PIECE));
        let whole = page(&long, Look::default());
        assert_eq!(pieces.concat(), whole);
        assert_eq!(whole.lines().count(), 5001 + 2 * 3);
        let sample = page(&part, Look::default());
        assert!(whole.starts_with(&sample) && whole.ends_with(&sample));
        assert!(whole.lines().all(|line| !line.ends_with(' ')));
    }

    #[test]
    fn columns_give_way_in_their_order_and_no_row_is_too_wide() {
        assert_eq!(at(60), page(&sample(), Look::default()));
        assert!(at(55).contains("1311  a quite long…  0x46d0f4 runtime.futex+0x23\n"), "{}", at(55));
        assert!(at(40).contains("1311  a quite…  0x46d0f4 runtime…\n"), "{}", at(40));
        assert!(at(40).contains("1312  日本語…"), "{}", at(40));
        for width in 1..60 {
            for line in at(width).lines() {
                assert!(line.width() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn a_listing_of_threads_keeps_its_addresses() {
        let columns = ["#", "TID", "S", "NAME", "WHY", "IN", "WHERE"].into_iter().zip([0, 0, 0, 2, 0, 3, 1]);
        let columns = columns.map(|(header, shrink)| Column::shrinking(header, shrink)).collect();
        let cells =
            ["* 1", "1311", "T", "bash", "attach", "wait4(-1, 0x7ffc566e3a00, 0, 0)", "0x7f129238abd3 libc.so.6+0xd3"];
        let mut threads = Page::default();
        threads.table(Table { columns, rows: vec![cells.into_iter().map(Span::from).collect()] });
        let row = |width| page(&threads, Look { color: false, width: Some(width) });
        assert!(row(80).contains("wait4(-1, 0x7ffc566e…  0x7f129238abd3 libc.so.6+0xd3\n"), "{}", row(80));
        assert!(row(60).contains("bash  attach  wait4(-…  0x7f129238abd3 libc.s…\n"), "{}", row(60));
        assert!(row(40).contains("* 1  1311  T  attach  0x7f129238abd3 li…\n"), "{}", row(40));
    }

    fn wrapped(text: &str, width: usize) -> String {
        let mut long = Page::default();
        long.line(text);
        page(&long, Look { color: false, width: Some(width) })
    }

    #[test]
    fn lines_are_wrapped_at_blanks_under_their_beginning() {
        let text = "  user 12.607 s  system 4.042 s  max rss 43580 KiB  faults 375739 minor 348 major";
        assert_eq!(wrapped(text, 82), format!("{text}\n"));
        assert_eq!(
            wrapped(text, 60),
            "  user 12.607 s  system 4.042 s  max rss 43580 KiB\n    faults 375739 minor 348 major\n"
        );
        assert_eq!(wrapped("one two three four five six", 19), "one two three four\n  five six\n");
        let path = format!("cannot read {} at all", "/long".repeat(8));
        assert_eq!(wrapped(&path, 20), format!("cannot read\n  {}\n  at all\n", "/long".repeat(8)));
        for width in 1..90 {
            let shown = wrapped(text, width);
            assert_eq!(shown.split_whitespace().collect::<String>(), text.split_whitespace().collect::<String>());
            assert!(width < 20 || shown.lines().all(|line| line.width() <= width), "{width}: {shown}");
        }
    }

    #[test]
    fn sentences_in_a_last_column_go_on_under_their_beginning() {
        let mut help = Page::default();
        let rows = vec![vec!["wait".into(), "Wait for a stop or the end".into()], vec!["try".into(), "Run".into()]];
        help.table(Table { columns: vec![Column::left(""), Column::wrapping("")], rows });
        let look = |width| Look { color: false, width };
        assert_eq!(page(&help, look(Some(24))), "wait  Wait for a stop or\n      the end\ntry   Run\n");
        assert_eq!(page(&help, look(None)), "wait  Wait for a stop or the end\ntry   Run\n");
    }

    #[test]
    fn colours_go_on_in_the_next_row() {
        let failure = Failure::hinted("no process is called x", "a b");
        let look = Look { color: true, width: Some(20) };
        assert_eq!(
            super::failure(&failure, None, look),
            "\x1b[31;1merror:\x1b[0m no process is\n  called x\n\x1b[1mhint:\x1b[0m a b\n"
        );
        let mut dim = Page::default();
        dim.spans(vec![Span::new("one two three four five six", Style::Dim)]);
        assert_eq!(page(&dim, look), "\x1b[2mone two three four\x1b[0m\n  \x1b[2mfive six\x1b[0m\n");
    }

    #[test]
    fn colour_stands_around_the_text_alone() {
        let mut colourful = Page::default();
        colourful.spans(vec![Span::new("x", Style::Good), " y".into()]);
        assert_eq!(page(&colourful, Look { color: true, width: None }), "\x1b[32mx\x1b[0m y\n");
        assert_eq!(page(&colourful, Look::default()), "x y\n");
    }

    #[test]
    fn failures_name_their_place_and_stay_on_one_line() {
        let told = failure(&Failure::hinted("no\nway", "go"), Some("f:3: attach \x1b[2J"), Look::default());
        assert_eq!(told, "error: f:3: attach \\x1b[2J: no\\nway\nhint: go\n");
    }
}
