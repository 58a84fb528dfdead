//! A command that failed, as the shell shows it: what was attempted and why it failed, and what the person can do.

use schemars::JsonSchema;
use serde::Serialize;

/// What kind of failure: the exit status tells them apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FailureKind {
    /// The words make no sense, whatever there is to work on.
    Usage,
    /// It was tried and did not work, or cannot be done now.
    #[default]
    Failed,
    /// A signal to godbg ended it.
    Interrupted,
}

/// The `error:` and `hint:` lines of a command, or the `error` object of JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What was attempted, on what, and why it failed.
    pub message: String,
    /// What the person can do, where something can be done.
    pub hint: Option<String>,
    /// What kind of failure.
    #[serde(skip)]
    pub kind: FailureKind,
}

impl Failure {
    /// A failure with a hint.
    pub fn hinted(message: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure { message: message.into(), hint: Some(hint.into()), kind: FailureKind::Failed }
    }

    /// A failure that nothing can be done about.
    pub fn plain(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), hint: None, kind: FailureKind::Failed }
    }

    /// A command whose words make no sense.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure { kind: FailureKind::Usage, ..Failure::hinted(message, hint) }
    }

    /// A command that a signal to godbg ended.
    pub fn interrupted(message: impl Into<String>) -> Failure {
        Failure { kind: FailureKind::Interrupted, ..Failure::plain(message) }
    }
}

/// A command was ended by a signal to godbg (Ctrl-C, SIGTERM, …).
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

impl From<anyhow::Error> for Failure {
    /// Flattens an error and its causes into one line, keeping the hint and the kind of whichever of them has one.
    fn from(error: anyhow::Error) -> Failure {
        let hint = error.chain().find_map(|cause| {
            let failure = cause.downcast_ref::<Failure>().and_then(|failure| failure.hint.clone());
            failure.or_else(|| cause.downcast_ref::<crate::target::Error>().and_then(crate::target::Error::hint))
        });
        let kind = error.chain().find_map(|cause| cause.downcast_ref::<Failure>().map(|failure| failure.kind));
        Failure { message: without_os_numbers(&format!("{error:#}")), hint, kind: kind.unwrap_or_default() }
    }
}

/// Leaves out the ` (os error 2)` that Rust puts behind what the kernel's number means.
pub fn without_os_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.parse::<i32>().is_ok() => out.push_str(rest),
            _ => {
                out.push_str(" (os error ");
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn what_the_kernel_answered_stands_in_words_alone() {
        let error = std::io::Error::from_raw_os_error(2);
        let failure = Failure::from(Err::<(), _>(error).context("cannot read x").expect_err("an error"));
        assert_eq!(failure.message, "cannot read x: No such file or directory");
        for text in ["", "a (os error x)", "a (os error ", "(os error 2"] {
            assert_eq!(without_os_numbers(text), text);
        }
        assert_eq!(without_os_numbers("a (os error 2): b (os error 13)."), "a: b.");
    }
}
