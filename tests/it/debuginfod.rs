//! Debug info from servers: what is asked, of whom and when, what is taken and what is not. A server of the test notes each request
//! and how the target stood then.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::binaries::run;
use crate::harness::debug_server::{Client, DebugServer};
use crate::harness::fixture::Fixture;
use crate::harness::godbg::{Godbg, Outcome};
use crate::harness::kernel::{self, SOON, Snapshot, wait_until};
use crate::harness::pty::{CTRL_C, Pty};
use crate::harness::toolchain;

/// A stripped program that runs, and the debug info that was taken from it.
struct Stripped {
    target: Fixture,
    folder: tempfile::TempDir,
    build_id: String,
    debug: Vec<u8>,
}

impl Stripped {
    fn start() -> Self {
        let whole = toolchain::program_with("sleeper", &["-Wl,--build-id"]).expect("the C compiler that links Rust");
        let folder = tempfile::tempdir().unwrap();
        let (program, debug) = (folder.path().join("sleeper"), folder.path().join("sleeper.debug"));
        run(Command::new("objcopy").arg("--only-keep-debug").args([&whole, &debug]));
        run(Command::new("strip").arg("--strip-all").arg("-o").args([&program, &whole]));
        let notes = run(Command::new("readelf").arg("-n").arg(&program));
        let id = notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: ")).unwrap().trim().to_owned();
        let bytes = fs::read(&debug).unwrap();
        fs::remove_file(&debug).unwrap();
        let target = Fixture::of_program(program).args(["2", "pause"]).start();
        Self { target, folder, build_id: id, debug: bytes }
    }

    fn pid(&self) -> i32 {
        self.target.pid()
    }

    /// What its debug info is asked for by.
    fn path(&self) -> String {
        format!("/buildid/{}/debuginfo", self.build_id)
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("client")
    }

    fn cached(&self) -> PathBuf {
        self.cache().join(&self.build_id).join("debuginfo")
    }

    /// The files that were kept for it, whole or not.
    fn kept(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.cache().join(&self.build_id)).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// godbg with this server, and a cache of the test's own.
    fn godbg(&self, server: &DebugServer) -> Godbg {
        self.godbg_without_server().env("DEBUGINFOD_URLS", server.url())
    }

    fn godbg_without_server(&self) -> Godbg {
        // A proxy of this machine is not for the test's server.
        Godbg::new()
            .env("DEBUGINFOD_CACHE_PATH", self.cache())
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
    }

    /// A server that has this debug info and no other.
    fn server(&self) -> DebugServer {
        let (path, debug) = (self.path(), self.debug.clone());
        self.server_that(move |client, asked| if asked == path { client.file(&debug) } else { client.not_found() })
    }

    fn server_that(&self, answer: impl Fn(&mut Client, &str) + Send + Sync + 'static) -> DebugServer {
        DebugServer::start(self.pid(), move |path, client| answer(client, path))
    }

    /// A session that attaches, looks, lets go, and then fetches.
    fn fetch(&self, server: &DebugServer) -> Godbg {
        let pid = self.pid().to_string();
        let looks = ["-e", &format!("stacks {pid}"), "-e", "set debuginfod on", "-e", "fetch sleeper"];
        self.godbg(server).args(["--batch", "--format", "json"]).args(looks)
    }
}

/// The functions of all threads in the last reply that has stacks.
#[track_caller]
fn functions(lines: &[Value]) -> Vec<String> {
    let reply = lines.iter().rev().find(|line| line["reply"]["threads"].is_array()).expect("stacks");
    let threads = reply["reply"]["threads"].as_array().unwrap().iter();
    let frames = threads.flat_map(|thread| thread["frames"].as_array().unwrap());
    frames.filter_map(|frame| frame["function"].as_str().map(str::to_owned)).collect()
}

#[track_caller]
fn events<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == name).collect()
}

/// What the last command's error says.
#[track_caller]
fn error(outcome: &Outcome) -> String {
    let lines = outcome.json();
    let last = lines.iter().rev().find(|line| line["ok"] == false).expect("a failure");
    last["error"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn names_are_there_after_a_fetch() {
    let stripped = Stripped::start();
    let (server, pid) = (stripped.server(), stripped.pid());
    let before = Snapshot::of(pid);
    let script =
        format!("stacks {pid}\nset debuginfod on\nfetch\nstacks {pid}\nattach {pid}\nlibraries sleeper\nstatus\n");
    let lines = stripped.godbg(&server).args(["--format", "json"]).run_script(script).success().json();
    let named = |line: &Value| functions(std::slice::from_ref(line));
    let stacks: Vec<&Value> =
        lines.iter().filter(|line| line["reply"]["threads"].is_array() && line["event"].is_null()).collect();
    let is_main = |name: &String| name == "main";
    assert!(!named(stacks[0]).iter().any(is_main), "{:?}", named(stacks[0]));
    assert!(
        named(stacks[1]).iter().any(is_main) && named(stacks[1]).iter().any(|name| name == "run"),
        "{:?}",
        named(stacks[1])
    );
    let spots = stacks[1].to_string();
    assert!(spots.contains("sleeper.c"), "no lines: {spots}");

    assert_eq!(server.count(&stripped.path()), 1);
    assert_eq!(fs::read(stripped.cached()).unwrap(), stripped.debug);
    assert_eq!(stripped.kept(), [stripped.cached()]);
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&stripped.cached()), mode(stripped.cached().parent().unwrap())), (0o600, 0o700));
    let told = events(&lines, "debug_info_fetched");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["build_id"], &told[0]["server"]),
        (&Value::from(stripped.build_id.clone()), &Value::from(server.url()))
    );
    // Where the symbols came from is said.
    for command in ["libraries sleeper", "status"] {
        let reply = lines.iter().find(|line| line["command"] == command).unwrap().to_string();
        assert!(reply.contains(stripped.cached().to_str().unwrap()), "{reply}");
    }
    before.assert_restored();
}

#[test]
fn nothing_is_asked_unless_somebody_said_so() {
    let stripped = Stripped::start();
    let (server, pid) = (stripped.server(), stripped.pid());
    let look = format!("stacks {pid}\nattach {pid}\nbt\ncontinue &\nbt\ndetach\nstacks {pid}\ntry fetch\n");
    // Nobody can be asked in a script: it is said once that there would be something.
    let outcome = stripped.godbg(&server).run_script(look.as_str()).success();
    assert_eq!(outcome.stdout.matches("set debuginfod on has it fetched").count(), 1, "{}", outcome.stdout);
    outcome.says("failed: fetch: nobody is there to be asked");
    let outcome = stripped.godbg(&server).run_script(format!("set debuginfod off\n{look}")).success();
    assert_eq!(outcome.stdout.matches("debug info of").count(), 0, "{}", outcome.stdout);
    outcome.says("failed: fetch: debuginfod is off");
    // Servers that nobody has named are not asked either.
    let outcome = stripped.godbg_without_server().run_script(look.as_str()).success();
    assert_eq!(outcome.stdout.matches("debug info of").count(), 0, "{}", outcome.stdout);
    assert!(server.asked().is_empty(), "{:?}", server.asked());
    assert!(!stripped.cache().exists());
}

#[test]
fn nothing_is_asked_while_a_process_is_held() {
    let stripped = Stripped::start();
    let (server, pid) = (stripped.server(), stripped.pid());
    let mut godbg = stripped.godbg(&server).start();
    godbg.send(&format!("set debuginfod on\nattach {pid}\nbt\nthread all bt\ntry fetch\nsleep 50ms\necho he''ld"));
    godbg.expect("\nheld");
    assert!(kernel::all_stopped(pid) && server.asked().is_empty(), "{:?}", server.asked());
    godbg.expect("failed: fetch: process");
    assert_eq!(godbg.output().matches("fetched once no process is held").count(), 1, "{}", godbg.output());
    // It begins by itself, as soon as nothing is held and somebody waits for the process.
    godbg.send("continue &\nsleep 10s");
    wait_until(SOON, "the server to be asked", || server.count(&stripped.path()) == 1);
    wait_until(SOON, "the file to be kept", || stripped.cached().exists());
    godbg.signal(Signal::SIGINT);
    godbg.wait_exit();
    kernel::wait_let_go(pid);
    assert!(server.asked().iter().all(|asked| !asked.held), "{:?}", server.asked());
}

#[test]
fn what_is_on_its_way_waits_while_a_process_is_held() {
    let stripped = Stripped::start();
    let pid = stripped.pid();
    // Larger than what sockets hold: it cannot be complete unless godbg reads it.
    let mut large = stripped.debug.clone();
    large.resize(large.len() + (64 << 20), 0);
    let large = Arc::new(large);
    let (go_on, waits) = mpsc::channel::<()>();
    let (waits, path, theirs) = (Mutex::new(waits), stripped.path(), Arc::clone(&large));
    let server = stripped.server_that(move |client, asked| {
        if asked != path {
            return client.not_found();
        }
        client.answer("200 OK", &format!("Content-Length: {}\r\n", theirs.len()), b"");
        let _ = waits.lock().unwrap().recv();
        client.more(&theirs);
    });
    let mut godbg = stripped.godbg(&server).start();
    godbg.send(&format!("set debuginfod on\nattach {pid}\nbt\ncontinue &\nsleep 100ms\nsleep 100ms\nsleep 100ms"));
    wait_until(SOON, "the server to be asked", || server.count(&stripped.path()) == 1);
    godbg.send("interrupt\necho he''ld");
    godbg.expect("\nheld");
    assert!(kernel::all_stopped(pid));
    go_on.send(()).unwrap();
    godbg.send("threads\nsleep 300ms\nbt\ndebuginfo\necho sti''ll");
    godbg.expect("\nstill");
    assert!(kernel::all_stopped(pid) && !stripped.cached().exists());
    // The read that waited already may have got something.
    let begun: u64 = stripped.kept().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(begun <= 128 << 10, "{begun} bytes were read while the process was held");
    godbg.expect("on its way");
    godbg.send("continue &\nsleep 10s");
    wait_until(SOON, "the file to be kept", || stripped.cached().exists());
    assert_eq!(fs::metadata(stripped.cached()).unwrap().len(), large.len() as u64);
    assert!(server.asked().iter().all(|asked| !asked.held), "{:?}", server.asked());
    godbg.signal(Signal::SIGINT);
    godbg.wait_exit();
    kernel::wait_let_go(pid);
}

#[test]
fn redirects_are_followed_to_an_end() {
    let stripped = Stripped::start();
    let (path, debug) = (stripped.path(), stripped.debug.clone());
    let server = stripped.server_that(move |client, asked| match asked {
        asked if asked == path => client.answer("302 Found", "Location: /elsewhere\r\nContent-Length: 0\r\n", b""),
        "/elsewhere" => client.file(&debug),
        _ => client.not_found(),
    });
    stripped.fetch(&server).run().success();
    assert_eq!(fs::read(stripped.cached()).unwrap(), stripped.debug);
    assert_eq!(server.count("/elsewhere"), 1);

    let stripped = Stripped::start();
    let server =
        stripped.server_that(|client, _| client.answer("301 Moved", "Location: /again\r\nContent-Length: 0\r\n", b""));
    let outcome = stripped.fetch(&server).run().status(1);
    assert!(error(&outcome).contains("redirects"), "{}", error(&outcome));
    assert_eq!(server.count("/again"), 5);
    assert!(stripped.kept().is_empty());
}

#[test]
fn what_no_server_has_is_asked_for_once() {
    let stripped = Stripped::start();
    let server = stripped.server_that(|client, _| client.not_found());
    let pid = stripped.pid();
    // The C library has no debug info either then.
    let script = format!(
        "set debug-file-directory /nowhere\nset debuginfod on\nstacks {pid}\nfetch\nfetch\nstacks {pid}\nfetch\ndebuginfo\n"
    );
    let outcome = stripped.godbg(&server).run_script(script.as_str()).success().says("no server has it");
    let paths: Vec<String> = server.asked().into_iter().map(|asked| asked.path).collect();
    assert!(paths.len() > 1, "{paths:?}");
    assert!(paths.iter().all(|path| server.count(path) == 1), "{paths:?}\n{}", outcome.stdout);
    // Another session believes it for a while, as libdebuginfod does.
    assert_eq!(fs::metadata(stripped.cached()).unwrap().len(), 0);
    stripped.godbg(&server).run_script(script.as_str()).success();
    assert_eq!(server.asked().len(), paths.len());
    fs::write(stripped.cache().join("cache_miss_s"), "0").unwrap();
    stripped.godbg(&server).run_script(script).success();
    assert_eq!(server.count(&stripped.path()), 2);
}

/// A fetch from a server that is no good: what the error says.
#[track_caller]
fn refused(stripped: &Stripped, answer: impl Fn(&mut Client) + Send + Sync + 'static) -> String {
    let server = stripped.server_that(move |client, _| answer(client));
    let outcome = stripped.fetch(&server).env("DEBUGINFOD_TIMEOUT", "1").run().status(1);
    assert!(stripped.kept().is_empty(), "{:?}", stripped.kept());
    assert!(events(&outcome.json(), "debug_info_fetched").is_empty());
    assert_eq!(events(&outcome.json(), "debug_info_failed").len(), 1);
    assert_eq!(server.count(&stripped.path()), 1);
    error(&outcome)
}

#[test]
fn what_is_not_what_was_asked_for_is_not_kept() {
    let stripped = Stripped::start();
    let other = toolchain::program("places").map(|program| fs::read(program).unwrap()).unwrap();
    let said = refused(&stripped, move |client| client.file(&other));
    assert!(said.contains("not of this build"), "{said}");
    let said = refused(&stripped, |client| client.file(b"<html>please log in</html>"));
    assert!(said.contains("not of this build"), "{said}");
    let debug = stripped.debug.clone();
    let said = refused(&stripped, move |client| {
        client.answer("200 OK", &format!("Content-Length: {}\r\n", debug.len()), &debug[..debug.len() / 2]);
    });
    assert!(said.contains("ended after"), "{said}");
    // It says no length, and ends where nothing can be complete.
    let said = refused(&stripped, |client| client.answer("200 OK", "Transfer-Encoding: chunked\r\n", b"ffff\r\nxxxx"));
    assert!(!said.is_empty());
    let said = refused(&stripped, |client| client.answer("200 OK", "Content-Length: 9000000000000000000\r\n", b"x"));
    assert!(said.contains("too large"), "{said}");
    let said = refused(&stripped, |client| client.answer("500 Oops", "Content-Length: 0\r\n", b""));
    assert!(said.contains("500"), "{said}");
    let said = refused(&stripped, |client| client.answer("200 OK", "Content-Length: -1\r\n", b""));
    assert!(!said.is_empty());
}

#[test]
fn a_larger_file_than_may_be_is_not_taken_in() {
    let stripped = Stripped::start();
    let sent = Arc::new(AtomicU64::new(0));
    let theirs = Arc::clone(&sent);
    let server = stripped.server_that(move |client, _| {
        client.answer("200 OK", "", b"");
        let block = vec![7; 1 << 20];
        while theirs.fetch_add(1, Ordering::Relaxed) < 256 && client.more(&block) {}
    });
    let outcome = stripped.fetch(&server).env("DEBUGINFOD_MAXSIZE", "1000000").run().status(1);
    assert!(error(&outcome).contains("too large"), "{}", error(&outcome));
    assert!(stripped.kept().is_empty());
    assert!(sent.load(Ordering::Relaxed) < 256, "all of it was taken in");
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for() {
    let stripped = Stripped::start();
    let said = refused(&stripped, Client::wait_until_it_leaves);
    assert!(said.contains("no progress within 1 s"), "{said}");
    let said = refused(&stripped, |client| {
        client.answer("200 OK", "Content-Length: 1000\r\n", b"x");
        client.wait_until_it_leaves();
    });
    assert!(said.contains("no progress within 1 s"), "{said}");
    // A byte now and then is no progress.
    let said = refused(&stripped, |client| {
        client.answer("200 OK", "Content-Length: 100000000\r\n", b"x");
        while client.more(b"x") {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert!(said.contains("no progress within 1 s"), "{said}");
    // Of many files the first waits for it, and no other.
    let server = stripped.server_that(|client, _| client.wait_until_it_leaves());
    let pid = stripped.pid();
    let script = format!("set debug-file-directory /nowhere\nset debuginfod on\nstacks {pid}\ntry fetch\ndebuginfo\n");
    let outcome = stripped.godbg(&server).env("DEBUGINFOD_TIMEOUT", "1").run_script(script).success();
    assert_eq!(server.asked().len(), 1, "{}", outcome.stdout);
}

#[test]
fn a_second_server_has_what_the_first_has_not() {
    let stripped = Stripped::start();
    let first = stripped.server_that(|client, _| client.not_found());
    let second = stripped.server();
    // Nobody listens at the last one, which need not be asked.
    let urls = format!("{} {} http://127.0.0.1:9", first.url(), second.url());
    let script = format!("set debuginfod-urls {urls}\nset debuginfod on\nstacks {}\nfetch sleeper\n", stripped.pid());
    stripped.godbg_without_server().run_script(script).success();
    assert_eq!((first.count(&stripped.path()), second.count(&stripped.path())), (1, 1));
    assert_eq!(fs::read(stripped.cached()).unwrap(), stripped.debug);
}

#[test]
fn what_is_in_the_cache_needs_no_server() {
    let stripped = Stripped::start();
    fs::create_dir_all(stripped.cached().parent().unwrap()).unwrap();
    fs::write(stripped.cached(), &stripped.debug).unwrap();
    let (server, pid) = (stripped.server(), stripped.pid());
    let one_shot = |before: &str| {
        let script = format!("{before}stacks {pid}\n");
        functions(&stripped.godbg(&server).args(["--format", "json"]).run_script(script).success().json())
    };
    let is_main = |name: &String| name == "main";
    assert!(one_shot("").iter().any(is_main));
    assert!(one_shot("set debuginfod on\n").iter().any(is_main));
    assert!(!one_shot("set debuginfod off\n").iter().any(is_main));
    // A file that is not of this build is not believed, and replaced when it is fetched.
    let other = fs::read(toolchain::program("places").unwrap()).unwrap();
    fs::write(stripped.cached(), other).unwrap();
    assert!(!one_shot("").iter().any(is_main));
    assert!(server.asked().is_empty(), "{:?}", server.asked());
    stripped.fetch(&server).run().success();
    assert_eq!(fs::read(stripped.cached()).unwrap(), stripped.debug);
}

/// A server that begins to answer and then does nothing, until its client leaves; whether it has.
fn stuck(stripped: &Stripped) -> (DebugServer, Arc<AtomicBool>) {
    let left = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&left);
    let server = stripped.server_that(move |client, _| {
        client.answer("200 OK", "Content-Length: 1000000\r\n", b"begun");
        client.wait_until_it_leaves();
        theirs.store(true, Ordering::Relaxed);
    });
    (server, left)
}

#[test]
fn ctrl_c_ends_a_fetch() {
    let stripped = Stripped::start();
    let (server, left) = stuck(&stripped);
    let mut godbg = Pty::at_prompt(stripped.godbg(&server));
    godbg.line(&format!("stacks {}", stripped.pid()));
    godbg.expect_row_end("(y or n)");
    godbg.line("n");
    godbg.expect_prompt("godbg>");
    assert!(server.asked().is_empty());
    // A command asks again, as it would do nothing otherwise.
    godbg.line("fetch sleeper");
    godbg.expect_row_end("(y or n)");
    godbg.line("y");
    wait_until(SOON, "the server to be asked", || !server.asked().is_empty());
    godbg.expect("5 B of 977 KiB");
    godbg.send(CTRL_C);
    godbg.expect_prompt("godbg>");
    godbg.expect("interrupted");
    wait_until(SOON, "godbg to leave the server", || left.load(Ordering::Relaxed));
    wait_until(SOON, "nothing to be left of it", || stripped.kept().is_empty());
    godbg.line("debuginfo");
    godbg.expect("called off");
    godbg.line("quit");
    assert_eq!(godbg.wait_exit().code(), Some(0));
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_signal_ends_a_script_that_fetches() {
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let stripped = Stripped::start();
        let (server, _) = stuck(&stripped);
        let mut godbg = stripped.godbg(&server).start();
        godbg.send(&format!("set debuginfod on\nstacks {}\nfetch\necho not reached", stripped.pid()));
        wait_until(SOON, "the server to be asked and a file to be begun", || stripped.kept().len() == 1);
        godbg.signal(signal);
        assert_eq!(godbg.wait_exit().code(), Some(status));
        assert!(stripped.kept().is_empty(), "{:?}", stripped.kept());
    }
}

#[test]
fn a_person_is_asked_once_and_not_while_a_process_is_held() {
    let stripped = Stripped::start();
    let (server, pid) = (stripped.server(), stripped.pid());
    let mut godbg = Pty::at_prompt(stripped.godbg(&server));
    godbg.line(&format!("attach {pid}"));
    godbg.expect_prompt(&format!("[{pid} stopped] godbg>"));
    godbg.line("bt");
    godbg.expect_prompt(&format!("[{pid} stopped] godbg>"));
    godbg.expect("godbg asks whether to fetch it");
    assert!(kernel::all_stopped(pid));
    godbg.line("continue &");
    godbg.expect_row_end("(y or n)");
    assert!(!kernel::all_stopped(pid) && server.asked().is_empty());
    godbg.line("y");
    godbg.expect("debug info of sleeper fetched");
    wait_until(SOON, "the file to be kept", || stripped.cached().exists());
    godbg.line("bt");
    godbg.expect(" main+0x");
    godbg.line("detach");
    godbg.expect_prompt("godbg>");
    assert_eq!(godbg.text().matches("(y or n)").count(), 1, "{}", godbg.text());
    assert!(server.asked().iter().all(|asked| !asked.held), "{:?}", server.asked());
}

#[test]
fn a_no_is_an_answer_too() {
    let stripped = Stripped::start();
    let (server, pid) = (stripped.server(), stripped.pid());
    let mut godbg = Pty::at_prompt(stripped.godbg(&server));
    godbg.line(&format!("stacks {pid}"));
    godbg.expect_row_end("(y or n)");
    godbg.line("");
    godbg.expect_prompt("godbg>");
    godbg.line(&format!("stacks {pid}"));
    godbg.expect_prompt("godbg>");
    godbg.line("quit");
    assert_eq!(godbg.wait_exit().code(), Some(0));
    assert!(server.asked().is_empty(), "{:?}", server.asked());
}
