//! What a command answers: plain data that can be shown to people and serialised for scripts. Never prints.

use serde::Serialize;

use super::page::{Column, Page, Span};

/// How data reads for people.
pub trait Show {
    /// Adds the text to a page.
    fn show(&self, page: &mut Page);

    /// The same as one row of a table, for a reply that reads well beside others of its kind: `thread all` makes one table
    /// of them.
    fn row(&self) -> Option<Row> {
        None
    }
}

/// One row and the columns that it belongs under.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The columns.
    pub columns: Vec<Column>,
    /// One span a column.
    pub cells: Vec<Span>,
}

trait Body: Send {
    fn page(&self) -> Page;
    fn row(&self) -> Option<Row>;
    fn json(&self) -> serde_json::Value;
}

impl<T: Show + Serialize + Send> Body for T {
    fn page(&self) -> Page {
        let mut page = Page::default();
        self.show(&mut page);
        page
    }

    fn row(&self) -> Option<Row> {
        Show::row(self)
    }

    fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("replies are plain data with string keys")
    }
}

/// The reply of a command that succeeded.
pub struct Reply(Box<dyn Body>);

impl Reply {
    /// Boxes the data.
    pub fn new(data: impl Show + Serialize + Send + 'static) -> Reply {
        Reply(Box::new(data))
    }

    /// The text for people.
    pub fn page(&self) -> Page {
        self.0.page()
    }

    /// The text as a row beside others, where it has one.
    pub fn row(&self) -> Option<Row> {
        self.0.row()
    }

    /// The facts for scripts.
    pub fn json(&self) -> serde_json::Value {
        self.0.json()
    }
}
