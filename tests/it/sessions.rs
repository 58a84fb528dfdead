//! Recorded sessions: `tests/sessions/*.txt` are input and expectation in one.
//!
//! A file begins with lines of `# key: value`:
//! `fixture` (name and words; `{pid}` below is its pid), `args` (words for godbg), `status` (1 unless given: 0),
//! `input` (a command; with any of these, the prompts below are not taken for input), and free comments.
//! Then comes the transcript. Lines that begin with a prompt (`godbg> `, `[<pid> stopped] godbg> `) are the script that
//! godbg reads from its standard input; the others are what it must answer. What it says on standard error follows a
//! line `--- stderr`. What differs from run to run is replaced: `<pid>`, `<tid2>`, `<addr>`, `<off>`, `<time>`, `<n>`.
//!
//! `UPDATE=1` rewrites the files to what godbg says now. Read the difference before you keep it.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::harness::fixture::Fixture;
use crate::harness::godbg::Godbg;
use crate::harness::{kernel, toolchain};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions")
}

#[test]
fn recorded_sessions_read_as_recorded() {
    let mut files: Vec<PathBuf> = fs::read_dir(folder()).map_or(Vec::new(), |entries| {
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "txt")).collect()
    });
    files.sort();
    // Twice at most: on a busy machine a fixture's thread can be caught on its way between two calls.
    let failures: Vec<String> = files.iter().filter_map(|path| play(path).and_then(|_| play(path))).collect();
    assert!(failures.is_empty(), "{}\n(UPDATE=1 rewrites them)", failures.join("\n"));
}

/// A file, taken apart.
struct Session {
    header: Vec<String>,
    body: String,
}

impl Session {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let header: Vec<String> = text.lines().take_while(|line| line.starts_with('#')).map(str::to_owned).collect();
        let body = text.lines().skip(header.len()).map(|line| format!("{line}\n")).collect();
        Self { header, body }
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.header.iter().find_map(|line| line.strip_prefix(&format!("# {key}: ")))
    }

    /// The commands: what stands behind a prompt.
    fn script(&self) -> String {
        let given: String = self
            .header
            .iter()
            .filter_map(|line| line.strip_prefix("# input: "))
            .map(|line| format!("{line}\n"))
            .collect();
        if !given.is_empty() {
            return given;
        }
        let transcript = self.body.split("--- stderr\n").next().unwrap();
        let commands = transcript.lines().filter_map(|line| prompt().find(line).map(|found| &line[found.end()..]));
        commands.map(|command| format!("{command}\n")).collect()
    }
}

fn prompt() -> Regex {
    Regex::new(r"^(\[[^\]]*\] )?godbg> ?").unwrap()
}

/// Plays a session; the complaint if it went otherwise.
fn play(path: &Path) -> Option<String> {
    let session = Session::read(path);
    let fixture = match session.value("fixture") {
        None => None,
        Some(words) => {
            let mut words = words.split_whitespace();
            // A slow beat: the main thread is found asleep. A missing compiler was said loudly.
            Some(Fixture::of_any(words.next().unwrap())?.env("FIXTURE_BEAT_US", "500000").args(words).start())
        }
    };
    let fill = |text: &str| {
        let pid = fixture.as_ref().map_or(0, Fixture::pid).to_string();
        text.replace("{pid}", &pid).replace("<pid>", &pid).replace("{fixtures}", toolchain::sources().to_str().unwrap())
    };
    let args = shlex::split(&fill(session.value("args").unwrap_or(""))).unwrap();
    let tids = fixture.as_ref().map_or(Vec::new(), |fixture| kernel::tids(fixture.pid()));
    let live = Godbg::new().args(args).start();
    let own = live.pid();
    let outcome = live.feed(fill(&session.script()));
    let mut text = outcome.stdout;
    if !outcome.stderr.is_empty() {
        text = format!("{text}--- stderr\n{}", outcome.stderr);
    }
    let said = general(&text, &tids, own);
    let status = outcome.status.code().map_or("signal".into(), |code| code.to_string());
    let expected = session.value("status").unwrap_or("0").to_owned();
    if said == session.body && status == expected {
        return None;
    }
    if std::env::var_os("UPDATE").is_some() {
        update(path, &session, &said, &status);
        return None;
    }
    Some(format!("{} (status {status}, expected {expected}):\n{}", path.display(), difference(&session.body, &said)))
}

fn update(path: &Path, session: &Session, said: &str, status: &str) {
    let mut header: Vec<String> =
        session.header.iter().filter(|line| !line.starts_with("# status: ")).cloned().collect();
    if status != "0" {
        header.push(format!("# status: {status}"));
    }
    let header: String = header.iter().map(|line| format!("{line}\n")).collect();
    fs::write(path, header + said).unwrap();
}

/// Replaces what differs from run to run.
fn general(text: &str, tids: &[i32], own: i32) -> String {
    let mut text = text.to_owned();
    let mut replace = |pattern: &str, by: &str| text = Regex::new(pattern).unwrap().replace_all(&text, by).into_owned();
    for (index, tid) in tids.iter().enumerate() {
        let name = if index == 0 { "<pid>".into() } else { format!("<tid{}>", index + 1) };
        replace(&format!(r"\b{tid}\b"), &name);
    }
    replace(&format!(r"\b{own}\b"), "<godbg>");
    // Programs that the session itself started, by the pids that prompts show.
    let mut started: Vec<String> = Vec::new();
    for found in Regex::new(r"(?m)^\[(\d+) (?:stopped|running)").unwrap().captures_iter(&text) {
        started.extend(Some(found[1].to_owned()).filter(|pid| !started.contains(pid)));
    }
    let mut replace = |pattern: &str, by: &str| text = Regex::new(pattern).unwrap().replace_all(&text, by).into_owned();
    for (index, pid) in started.iter().enumerate() {
        replace(&format!(r"\b{pid}\b"), &format!("<new{}>", index + 1));
    }
    // How many of its own Go has is Go's affair, as is where its sources are.
    replace(r"\bof \d+ goroutines", "of <n> goroutines");
    replace(r"\(goroutines\): \d+ threads", "(goroutines): <n> threads");
    replace(r"/\S*/src/(runtime|sync)/", "<goroot>/src/$1/");
    let prompt = prompt();
    let lines = text.lines().map(|line| match prompt.find(line) {
        // What follows a prompt is input: it must stay what it is.
        Some(found) => {
            format!("{}{}\n", general_line(found.as_str().trim_end()), &line[found.as_str().trim_end().len()..])
        }
        None => format!("{}\n", general_line(line)),
    });
    lines.collect()
}

/// A place in the C library: `libc+<off>`, `clock_nanosleep+<off>`, `__GI_kill at syscall-template.S:120`.
const LIBC: &str = concat!(
    r"(<addr> [(<]?)(libc\+<off>|(__\w+|syscall|arch_fork|clone3?|epoll_wait|start_thread|kill|read|open64|pause|vfork",
    r"|clock_nanosleep|fork|tgkill|pthread_kill|_Fork)(@@?\S+)?(\+<off>| at [^\s,)]+)?)(?:$|\b)",
);

/// Replaces what differs from run to run in a line that godbg wrote.
fn general_line(line: &str) -> String {
    let patterns: &[(&str, &str)] = &[
        (r"\+0x[0-9a-f]+", "+<off>"),
        (r"0x[0-9a-f]{8,16}", "<addr>"),
        (r#"/[^\s"]*/fixtures/[0-9a-f]{16}/"#, "<fixtures>/"),
        (r#"/[^\s"(]*/tests/fixtures/"#, "<sources>/"),
        (r"/tmp/\.tmp\w+", "<dir>"),
        (r"(/usr)?/bin/(dash|bash|busybox)", "<sh>"),
        (r"thread \d+ of godbg", "thread <tracer> of godbg"),
        (r"from 1 to \d+", "from 1 to <most>"),
        (r"\b\d+(\.\d+)? ?(ns|µs|us|ms|s|min|h)\b", "<time>"),
        (r"\b\d+(\.\d+)? (B|KiB|MiB|GiB|minor|major|in|out|voluntary|involuntary)\b", "<n> $2"),
        (r#""(\w+_ms|\w+_us|pc|module_offset|tracer)":[0-9.e-]+"#, "\"$1\":<n>"),
        (r#""syscall_args":\[[^\]]*\]"#, "\"syscall_args\":<args>"),
        (r"/\S*/libc\b", "<libc>"),
        (r"libc\.so\.6|libc-[0-9.]+\.so", "libc"),
        // What the C library and the dynamic linker are told of depends on whether their debug information is installed.
        (r"^ +(symbols +)?(libc|ld-linux\S*): .*$", "  <symbols of a library>"),
        (r"DWARF \d \(\d+\)|\.(sym|dynsym|symtab|dynsym) \(\d+\)", "<symbols>"),
        (r"(<addr> \(?)(_start(\+<off>)?( at [^\s,)]+)?|ld-linux\S*\+<off>)", "$1<linker>"),
        (LIBC, "$1<libc>"),
        (r#""(function|symbol|offset|file|line|source)":("[^"]*"|\d+|null)"#, "\"$1\":<n>"),
        // Children and threads that were born meanwhile.
        (r"\b(process|thread|forked|started \(vfork\)) \d{3,}\b", "$1 <born>"),
        (r"\((\d{3,})(\), |, births\)|\) is)", "(<born>$2"),
        (r#""(child|process)":\d{3,}"#, "\"$1\":<born>"),
        (r"its child \d+", "its child <born>"),
        (r"^( *\*? ?\d+ +)\d{3,}( +(stopped|running))", "$1<born>$2"),
        // A sleep that a stop broke off is made again under another name.
        (r"restart_syscall\(\)|clock_nanosleep\([^)]*\)", "<sleep>"),
        // Columns are as wide as their widest number, which differs too. A blank line end is nobody's wish.
        (r"(\S) {2,}", "$1  "),
        (r"^ +(\S)", "  $1"),
        (r"[ \t]+$", ""),
    ];
    patterns
        .iter()
        .fold(line.to_owned(), |line, (pattern, by)| Regex::new(pattern).unwrap().replace_all(&line, *by).into_owned())
}

/// A plain difference: what is the same at the beginning and at the end is left out.
fn difference(expected: &str, said: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), said.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let most = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let mut lines = vec![format!("  … {head} lines")];
    lines.extend(old[head..old.len() - tail].iter().map(|line| format!("- {line}")));
    lines.extend(new[head..new.len() - tail].iter().map(|line| format!("+ {line}")));
    lines.push(format!("  … {tail} lines"));
    lines.join("\n")
}

#[test]
fn what_differs_from_run_to_run_is_replaced() {
    let text = "process 4711 (x): 2 threads stopped in 0.3 ms\n*  1   4711  T  0x55d0c8a11f30 libc.so.6+0xe5a3  \n   2  4712\n";
    let said = general(text, &[4711, 4712], 99);
    assert_eq!(
        said,
        "process <pid> (x): 2 threads stopped in <time>\n*  1  <pid>  T  <addr> libc+<off>\n  2  <tid2>\n"
    );
    assert_eq!(general("status 0x80057f, 10.2 s, 27 KiB", &[], 1), "status 0x80057f, <time>, <n> KiB\n");
    let said = general("[7 stopped, leash 9s] godbg> sleep  2s\n", &[7], 1);
    assert_eq!(said, "[<pid> stopped, leash <time>] godbg> sleep  2s\n");
}
