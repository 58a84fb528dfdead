//! Answers and events as JSON, one object a line. Pure; refuses to know screens.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use crate::session::reply::write_json;
use crate::session::{Event, Failure, Reply};

/// The line of a command that succeeded.
pub fn success(command: &str, reply: &Value) -> String {
    line(&json!({ "command": command, "ok": true, "reply": reply }))
}

/// The same, written while it is made.
pub fn reply(command: &str, reply: &Reply, to: &mut dyn Write) -> io::Result<()> {
    to.write_all(b"{\"command\":")?;
    write_json(command, to)?;
    to.write_all(b",\"ok\":true,\"reply\":")?;
    reply.write_json(to)?;
    to.write_all(b"}\n")
}

/// The line of a command that failed.
pub fn failure(command: &str, failure: &Failure) -> String {
    line(&json!({ "command": command, "ok": false, "error": failure }))
}

/// The line of an event.
pub fn event(event: &Event) -> String {
    line(event)
}

/// One line.
fn line(data: &impl Serialize) -> String {
    let mut out = Vec::new();
    write_json(data, &mut out).expect("plain data with string keys, and room in memory");
    out.push(b'\n');
    String::from_utf8(out).expect("JSON is UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::page::is_hostile;
    use crate::session::{Show, page::Page};

    #[derive(Serialize)]
    struct Data(Vec<(f64, Option<&'static str>)>);

    impl Show for Data {
        fn show(&self, _: &mut Page) {}
    }

    #[test]
    fn an_answer_that_is_written_piece_by_piece_is_the_same() {
        let answer = Reply::new(Data(vec![(0.1, Some("a\"\\\n\u{7f}\u{202e}ä")), (1e300, None), (f64::NAN, Some(""))]));
        let mut out = Vec::new();
        reply("x \u{9b}", &answer, &mut out).expect("room in memory");
        assert_eq!(String::from_utf8_lossy(&out), success("x \u{9b}", &answer.json()));
    }

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
