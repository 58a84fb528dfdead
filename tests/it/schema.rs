//! JSON: one object a line, each of them valid by the schema that godbg itself prints and that is kept in the tree.

use std::path::Path;

use jsonschema::Validator;
use serde_json::Value;

use crate::harness::fixture::Fixture;
use crate::harness::godbg::{Godbg, Outcome};
use crate::harness::kernel;

/// The schema that `godbg generate schema` prints.
fn schema() -> Value {
    let outcome = Godbg::new().args(["generate", "schema"]).run().success();
    serde_json::from_str(&outcome.stdout).unwrap()
}

#[test]
fn the_schema_is_the_one_in_the_tree() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema/godbg.schema.json");
    let now = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == now, "{} is old: UPDATE=1 rewrites it", path.display());
}

/// Every line is an object that the schema allows; returns them.
#[track_caller]
fn validated(validator: &Validator, outcome: &Outcome) -> Vec<Value> {
    let lines = outcome.json();
    for line in &lines {
        let errors: Vec<String> = validator.iter_errors(line).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{line}\n{}", errors.join("\n"));
    }
    lines
}

/// Runs a script in JSON mode and validates what comes.
#[track_caller]
fn json(status: i32, script: &str) -> Vec<Value> {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let outcome = Godbg::new().args(["--format", "json"]).run_script(script).status(status);
    assert_eq!(outcome.stderr, "", "JSON mode says nothing on standard error");
    validated(&validator, &outcome)
}

#[test]
fn replies_are_objects_with_the_facts() {
    let target = Fixture::start("sleeper", &["4"]);
    let pid = target.pid();
    let script = format!(
        "ps sleeper\nattach {pid}\nstatus\nthreads\nthread 2\nwait\ncontinue &\nstatus\nthreads\ninterrupt\ndetach\n"
    );
    let lines = json(
        0,
        &format!("{script}echo a 'b c'\nshow\nset confirm off\nhelp\nhelp attach\nhistory\nsleep 1ms\nshell true\n"),
    );
    let reply = |command: &str| {
        let line = lines.iter().find(|line| line["command"] == command);
        line.unwrap_or_else(|| panic!("no reply to {command}: {lines:#?}"))
    };
    assert!(lines.iter().all(|line| line.get("event").is_some() || line["ok"] == true), "{lines:#?}");
    let threads = &reply("threads")["reply"];
    assert_eq!(threads["process"], pid);
    let rows = threads["threads"].as_array().unwrap();
    let tids: Vec<i64> = rows.iter().map(|row| row["tid"].as_i64().unwrap()).collect();
    assert_eq!(tids, kernel::tids(pid).iter().map(|&tid| i64::from(tid)).collect::<Vec<i64>>());
    for (row, name) in rows.iter().zip(["sleeper", "futex", "nanosleep", "read"]) {
        assert_eq!(row["name"], name);
        assert_eq!(row["state"], "T");
        assert!(row["pc"].is_u64(), "{row}");
        assert_eq!(row["why"], "attach");
    }
    assert_eq!(rows[1]["syscall"], "futex");
    reply(&format!("attach {pid}"));
}

#[test]
fn failures_are_objects_too() {
    let lines = json(1, "try attach 0\ntry nonsense\nattach nobody-has-this-name\necho not reached\n");
    let oks: Vec<bool> = lines.iter().map(|line| line["ok"].as_bool().unwrap()).collect();
    assert_eq!(oks, [true, true, false], "{lines:#?}");
    for error in [&lines[0]["reply"]["error"], &lines[1]["reply"]["error"], &lines[2]["error"]] {
        assert!(error["message"].is_string(), "{lines:#?}");
        assert!(error.get("hint").is_some(), "unknown is null, not absent: {error}");
    }
}

#[test]
fn the_attach_of_the_command_line_is_a_line_too() {
    let target = Fixture::start("sleeper", &["2"]);
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let words = ["--format", "json", "--batch", "attach", &target.pid().to_string()];
    let outcome = Godbg::new().args(words).run().status(0);
    assert_eq!(validated(&validator, &outcome)[0]["ok"], true);
    let nobody = kernel::unused_pid().to_string();
    let outcome = Godbg::new().args(["--format", "json", "--batch", "attach", &nobody]).run().status(1);
    assert_eq!(validated(&validator, &outcome)[0]["ok"], false);
    let outcome = Godbg::new().args(["--format", "json", "--batch", "exec", "/no/such/program"]).run().status(1);
    assert_eq!(validated(&validator, &outcome)[0]["ok"], false);
    let outcome = Godbg::new().args(["--format", "json", "--nonsense"]).run().status(2).complains("usage");
    assert_eq!(outcome.stdout, "");
}

#[test]
fn events_are_lines_of_their_own() {
    let lines = json(0, "exec /bin/sh -c 'exit 3'\ncontinue\n");
    let ended = lines.iter().find(|line| line["reply"]["end"]["status"] == 3);
    assert!(ended.is_some(), "{lines:#?}");
    let lines = json(0, "exec /bin/sh -c '/bin/true; exit 0'\ncontinue\n");
    let forked = lines.iter().find(|line| line["event"] == "forked");
    assert!(forked.is_some_and(|line| line["child"].is_u64()), "{lines:#?}");
}

#[test]
fn names_that_are_not_text_stay_valid_json() {
    let target = Fixture::start("hostile", &[]);
    let lines = json(0, &format!("attach {}\nthreads\nps\n", target.pid()));
    let names: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["reply"]["threads"].as_array())
        .flatten()
        .filter_map(|row| row["name"].as_str())
        .collect();
    assert!(names.contains(&"two\nlines\r"), "{names:?}");
}

#[test]
fn generated_pages_and_completions() {
    Godbg::new().args(["generate", "man"]).run().success().says(".TH");
    for shell in ["bash", "zsh", "fish"] {
        Godbg::new().args(["generate", "completions", shell]).run().success().says("godbg");
    }
    Godbg::new().args(["--help"]).run().success().says_not("generate");
}
