//! Pages as text: tables aligned and fitted to a width, colours where they are wanted. Pure; refuses to know screens.

use owo_colors::{OwoColorize, Style as Paint};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::session::Failure;
use crate::session::page::{Align, Column, Item, Page, Span, Style, Table, escape};

/// How to render.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Look {
    /// With colours.
    pub color: bool,
    /// Rows of tables are cut to this many columns; not at all if none.
    pub width: Option<usize>,
}

/// Between two columns of a table.
const GAP: usize = 2;

/// A column that may be cut keeps at least this much, or its header's width if that is more.
const LEAST_WIDTH: usize = 8;

/// A page as lines of text, each with its newline.
pub fn page(page: &Page, look: Look) -> String {
    let mut out = String::new();
    for item in page.items() {
        match item {
            Item::Line(line) => push_line(&mut out, line.iter().map(|span| paint(span.text(), span.style, look.color))),
            Item::Table(rows) => table(&mut out, rows, look),
        }
    }
    out
}

/// A failure as its `error:` and `hint:` lines. `place` is `FILE:LINE: COMMAND` where a script failed.
pub fn failure(failure: &Failure, place: Option<&str>, look: Look) -> String {
    let mut out = String::new();
    let place = place.map_or_else(String::new, |place| format!("{}: ", escape(place)));
    let error = paint("error:", Style::Bad, look.color);
    push_line(&mut out, [error, format!(" {place}{}", escape(&failure.message))]);
    if let Some(hint) = &failure.hint {
        push_line(&mut out, [paint("hint:", Style::Strong, look.color), format!(" {}", escape(hint))]);
    }
    out
}

/// The beginning of a text that takes at most `width` columns, with `…` where something was cut off.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
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
    out
}

fn push_line(out: &mut String, parts: impl IntoIterator<Item = String>) {
    out.extend(parts);
    out.push('\n');
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

fn table(out: &mut String, table: &Table, look: Look) {
    let widths = fit(&table.columns, natural_widths(table), look.width);
    if table.columns.iter().any(|column| !column.header.is_empty()) {
        let headers: Vec<Span> = table.columns.iter().map(|column| Span::new(column.header, Style::Strong)).collect();
        push_line(out, [row(&headers, &table.columns, &widths, look)]);
    }
    for spans in &table.rows {
        push_line(out, [row(spans, &table.columns, &widths, look)]);
    }
}

fn natural_widths(table: &Table) -> Vec<usize> {
    let cells = |at: usize| table.rows.iter().filter_map(move |row| row.get(at)).map(|span| span.text().width());
    table.columns.iter().enumerate().map(|(at, column)| cells(at).fold(column.header.width(), usize::max)).collect()
}

/// Makes columns narrower until a row fits: those that shrink first, from the right, then the last. What still does not
/// fit is cut off at the edge.
fn fit(columns: &[Column], mut widths: Vec<usize>, width: Option<usize>) -> Vec<usize> {
    let Some(width) = width else { return widths };
    let gaps = GAP * columns.len().saturating_sub(1);
    let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(width);
    let shrinking = (0..columns.len()).rev().filter(|at| columns[*at].shrinks);
    for at in shrinking.chain(columns.len().checked_sub(1)) {
        let least = columns[at].header.width().max(LEAST_WIDTH);
        let less = excess.min(widths[at].saturating_sub(least));
        widths[at] -= less;
        excess -= less;
    }
    let mut left = width;
    for at in &mut widths {
        *at = (*at).min(left);
        left = left.saturating_sub(*at + GAP);
    }
    widths
}

fn row(spans: &[Span], columns: &[Column], widths: &[usize], look: Look) -> String {
    let mut out = String::new();
    let mut owed = 0;
    for ((span, column), width) in spans.iter().zip(columns).zip(widths) {
        let text = cut(span.text(), *width);
        let padding = width - text.width().min(*width);
        let before = if column.align == Align::Right { padding } else { 0 };
        if !text.is_empty() {
            out.extend(std::iter::repeat_n(' ', owed + before));
            out.push_str(&paint(&text, span.style, look.color));
            owed = padding - before + GAP;
        } else {
            owed += padding + GAP;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Page {
        let columns = vec![
            Column::left(""),
            Column::right("#"),
            Column::left("TID"),
            Column::shrinking("NAME"),
            Column::left("WHERE"),
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
    fn columns_that_shrink_are_cut_first_then_the_last_then_the_row() {
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
