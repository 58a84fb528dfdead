//! Processes that nobody traces yet: what `ps` lists, and which one a name means. Touches none of them.

use std::path::Path;

use crate::addr::Pid;
use crate::kernel::{own, proc};

/// A process that could be attached to.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its pid.
    pub pid: Pid,
    /// The name of the user it runs as, or the number.
    pub user: String,
    /// Its leader's state letter.
    pub state: char,
    /// How many threads it has.
    pub threads: u64,
    /// Its name (`comm`), any characters.
    pub name: String,
    /// Its command line, any characters; empty for a kernel thread.
    pub command: String,
}

/// The facts of one process, if it is still there.
pub fn candidate(pid: Pid) -> Option<Candidate> {
    let status = proc::status(pid).ok()?;
    let stat = proc::thread_stat(pid, pid.leader()).ok()?;
    Some(Candidate {
        pid,
        user: proc::user_name(status.euid),
        state: stat.state,
        threads: status.threads,
        name: stat.name,
        command: proc::command_line(pid).unwrap_or_default().join(" "),
    })
}

/// The processes that a person may mean: godbg itself, kernel threads and true zombies left out.
pub fn others() -> Vec<Candidate> {
    let all = candidates().into_iter();
    all.filter(|one| one.pid != own::pid() && (!one.command.is_empty() || one.threads > 1)).collect()
}

/// The processes that a name means.
pub fn called(name: &str) -> Vec<Candidate> {
    others().into_iter().filter(|one| one.is_called(name)).collect()
}

/// All processes, by pid.
pub fn candidates() -> Vec<Candidate> {
    proc::processes().unwrap_or_default().into_iter().filter_map(candidate).collect()
}

impl Candidate {
    /// Whether a name means this process: its own name, the file name of its program, or that of its first word.
    pub fn is_called(&self, name: &str) -> bool {
        let file_name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let program = proc::executable(self.pid).ok().and_then(|path| file_name(&path));
        let word = proc::command_line(self.pid).ok().and_then(|words| file_name(Path::new(words.first()?)));
        // A deleted program is still known by its name.
        let program = program.map(|name| name.trim_end_matches(" (deleted)").to_owned());
        self.name == name || program.as_deref() == Some(name) || word.as_deref() == Some(name)
    }

    /// Whether a word occurs in its pid, user, name or command line.
    pub fn mentions(&self, word: &str) -> bool {
        self.pid.to_string() == word || [&self.user, &self.name, &self.command].iter().any(|text| text.contains(word))
    }
}

/// The program of a process, as the kernel knows it.
pub fn describe(pid: Pid) -> Option<String> {
    proc::executable(pid).ok().map(|path| path.to_string_lossy().into_owned())
}
