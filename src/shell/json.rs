//! Answers and events as JSON, one object a line. Pure; refuses to know screens.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use crate::session::page::is_hostile;
use crate::session::{Event, Failure};

/// The line of a command that succeeded.
pub fn success(command: &str, reply: &Value) -> String {
    line(&json!({ "command": command, "ok": true, "reply": reply }))
}

/// The line of a command that failed.
pub fn failure(command: &str, failure: &Failure) -> String {
    line(&json!({ "command": command, "ok": false, "error": failure }))
}

/// The line of an event.
pub fn event(event: &Event) -> String {
    line(event)
}

/// One line. Control and format characters in strings are written as escapes even where JSON would allow them as they
/// are: the line may be looked at on a terminal.
fn line(data: &impl Serialize) -> String {
    let json = serde_json::to_string(data).expect("plain data with string keys");
    let mut out = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        if is_hostile(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                write!(out, "\\u{unit:04x}").expect("a String takes all");
            }
        } else {
            out.push(c);
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_one_line_in_the_order_of_the_contract() {
        assert_eq!(success("quit", &json!({})), "{\"command\":\"quit\",\"ok\":true,\"reply\":{}}\n");
        assert_eq!(
            failure("attach 7", &Failure::hinted("no process 7", "ps lists the running ones")),
            "{\"command\":\"attach 7\",\"ok\":false,\"error\":{\"message\":\"no process 7\",\"hint\":\"ps lists the \
             running ones\"}}\n"
        );
    }

    #[test]
    fn hostile_characters_are_escapes_and_come_back_whole() {
        let hostile = "a\x1b[2J\n\u{7f}\u{9b}\u{202e}\u{e0041}\u{2028}ä→";
        let line = success(hostile, &json!({}));
        assert!(!line.trim_end().chars().any(is_hostile), "{line}");
        assert!(line.contains("\\udb40\\udc41"), "{line}");
        let back: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(back["command"], hostile);
    }
}
