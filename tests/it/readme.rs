//! The README says what godbg says.

use std::path::Path;

use crate::harness::godbg::Godbg;

#[test]
fn the_list_of_commands_is_the_one_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let begin = text.find("<!-- commands:").expect("a mark where the commands begin");
    let begin = begin + text[begin..].find("-->\n").unwrap() + "-->\n".len();
    let end = begin + text[begin..].find("<!-- /commands -->").expect("a mark where they end");
    let now = Godbg::new().args(["generate", "commands"]).run().success().stdout;
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(&path, format!("{}{now}{}", &text[..begin], &text[end..])).unwrap();
    }
    assert!(text[begin..end] == now, "the commands in README.md are old: UPDATE=1 rewrites them");
}
