//! The figures of one part as a table, godbg's beside the best bare loop's and the best peer's, and its goals.

use crate::report::{median, ratio};
use crate::tool::Tool;

/// Whose figure it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bare,
    Godbg,
    Peer,
}

impl From<Tool> for Kind {
    fn from(tool: Tool) -> Self {
        match tool {
            Tool::Nothing | Tool::Bare => Kind::Bare,
            Tool::Godbg => Kind::Godbg,
            Tool::Gdb | Tool::Lldb | Tool::Delve => Kind::Peer,
        }
    }
}

/// Which of two figures is the better one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    More,
    Less,
}

pub struct Column {
    pub name: &'static str,
    pub better: Better,
    pub decimals: usize,
}

struct Row {
    name: String,
    kind: Kind,
    runs: Vec<Vec<f64>>,
    /// Why it was not run (any more).
    note: Option<String>,
}

pub struct Table {
    title: String,
    columns: Vec<Column>,
    rows: Vec<Row>,
}

impl Table {
    pub fn new(title: String, columns: Vec<Column>) -> Self {
        Self { title, columns, rows: Vec::new() }
    }

    /// A new row; what it is called later.
    pub fn row(&mut self, name: &str, kind: Kind) -> usize {
        self.rows.push(Row { name: name.to_owned(), kind, runs: Vec::new(), note: None });
        self.rows.len() - 1
    }

    /// The figures of one run, one a column.
    pub fn add(&mut self, row: usize, figures: Vec<f64>) {
        self.rows[row].runs.push(figures);
    }

    /// The row is not run again. A command that godbg has not is no failure of godbg's.
    pub fn fail(&mut self, row: usize, error: &anyhow::Error, summary: &mut Summary) {
        let row = &mut self.rows[row];
        if row.kind == Kind::Godbg
            && let Some(missing) = not_there_yet(error)
        {
            row.note = Some(missing);
            return;
        }
        summary.godbg_works &= row.kind != Kind::Godbg;
        row.note = Some(format!("FAILED: {error:#}"));
    }

    pub fn failed(&self, row: usize) -> bool {
        self.rows[row].note.is_some()
    }

    fn row_median(&self, row: &Row, column: usize) -> Option<f64> {
        median(row.runs.iter().map(|figures| figures[column]))
    }

    /// The median of the row with this name.
    pub fn median_of(&self, name: &str, column: usize) -> Option<f64> {
        self.row_median(self.rows.iter().find(|row| row.name == name)?, column)
    }

    /// The best median among those of one kind.
    pub fn best(&self, kind: Kind, column: usize) -> Option<f64> {
        let figures = self.rows.iter().filter(|row| row.kind == kind).filter_map(|row| self.row_median(row, column));
        figures.reduce(match self.columns[column].better {
            Better::More => f64::max,
            Better::Less => f64::min,
        })
    }

    pub fn print(&self) {
        println!("\n{}", self.title);
        print!("  {:<26} runs", "tool");
        for column in &self.columns {
            print!("  {:>12}  {:>7}  {:>7}", column.name, "× bare", "× peer");
        }
        println!();
        for row in &self.rows {
            self.print_row(row);
            if let Some(note) = &row.note {
                println!("  {:<26} {note}", row.name);
            }
        }
    }

    fn print_row(&self, row: &Row) {
        if row.runs.is_empty() {
            return;
        }
        print!("  {:<26} {:>4}", row.name, row.runs.len());
        for (place, column) in self.columns.iter().enumerate() {
            let Some(figure) = self.row_median(row, place) else { continue };
            let bare = ratio(figure, self.best(Kind::Bare, place));
            let peer = ratio(figure, self.best(Kind::Peer, place));
            print!("  {figure:>12.*}  {bare:>7}  {peer:>7}", column.decimals);
        }
        println!();
    }
}

/// Says so if what failed is a command that godbg does not have.
pub fn not_there_yet(error: &anyhow::Error) -> Option<String> {
    let said = format!("{error:#}");
    let from = said.find("no such command")?;
    let missing = said[from..].split(['"', '\\']).next().unwrap_or_default();
    Some(format!("not there yet: {missing}"))
}

/// All goals of a run, and whether godbg did its work.
pub struct Summary {
    pub godbg_works: bool,
    goals: Vec<Goal>,
}

struct Goal {
    what: String,
    is: f64,
    bound: f64,
    better: Better,
    unit: &'static str,
}

impl Default for Summary {
    fn default() -> Self {
        Self { godbg_works: true, goals: Vec::new() }
    }
}

impl Summary {
    /// A figure of godbg's beside what it is to be at least (more is better) or at most; nothing if one of them is missing.
    pub fn goal(&mut self, what: String, is: Option<f64>, better: Better, bound: Option<f64>, unit: &'static str) {
        let (Some(is), Some(bound)) = (is, bound) else { return };
        self.goals.push(Goal { what, is, bound, better, unit });
    }

    pub fn print(&self) {
        if self.goals.is_empty() {
            return;
        }
        println!("\ngodbg against its goals");
        let mut met = 0;
        for Goal { what, is, bound, better, unit } in &self.goals {
            let (reached, words) = match better {
                Better::More => (is >= bound, "at least"),
                Better::Less => (is <= bound, "at most"),
            };
            met += usize::from(reached);
            println!("  {what:<58} {is:>10.1} {unit}, {words} {bound:.1}: {}", if reached { "met" } else { "MISSED" });
        }
        println!("  {met} of {} met", self.goals.len());
    }
}
