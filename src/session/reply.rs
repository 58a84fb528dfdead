//! What a command answers: plain data that can be shown to people and serialised for scripts. Never prints.

use serde::Serialize;

use super::page::Page;

/// How data reads for people.
pub trait Show {
    /// Adds the text to a page.
    fn show(&self, page: &mut Page);
}

trait Body: Send {
    fn page(&self) -> Page;
    fn json(&self) -> serde_json::Value;
}

impl<T: Show + Serialize + Send> Body for T {
    fn page(&self) -> Page {
        let mut page = Page::default();
        self.show(&mut page);
        page
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

    /// The facts for scripts.
    pub fn json(&self) -> serde_json::Value {
        self.0.json()
    }
}
