//! From a line to an answer: split it, find the command, check what it needs, run it. On the tracer thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::command::{Command, Commands, MOST_NAME_WORDS, Needs, Outcome};
use super::failure::{Failure, Interrupted};
use super::settings::Settings;
use super::state::{Context, Prompt, Session};
use super::tracer::Post;
use crate::target::Signal;

/// A line longer than this is refused: nothing that a person or script means is that long.
pub const LONGEST_LINE: usize = 64 * 1024;

/// What became of a line.
pub struct Answer {
    /// What the command left to the shell, or why it failed.
    pub result: Result<Outcome, Failure>,
    /// A signal that asked godbg to stop what it does (SIGINT), if one came meanwhile.
    pub request: Option<Signal>,
    /// What the prompt should show now.
    pub prompt: Prompt,
    /// The settings now.
    pub settings: Settings,
}

/// A line, split and found in the table.
pub struct Parsed {
    /// The command.
    pub command: &'static Command,
    /// The words behind its name.
    pub words: Vec<String>,
}

/// Runs a line. `None`: it is blank or a comment.
pub fn execute(session: &mut Session, line: &str) -> Option<Answer> {
    session.drop_stale_request();
    let result = match parse(session, line) {
        Ok(None) => return None,
        Ok(Some(parsed)) => run(session, &parsed),
        Err(failure) => Err(failure),
    };
    Some(answer(session, result))
}

fn answer(session: &mut Session, result: Result<Outcome, Failure>) -> Answer {
    session.tell_folded(true);
    session.mind_debug_info();
    Answer { result, request: session.take_request(), prompt: session.prompt(), settings: session.settings.clone() }
}

/// A step of a script.
#[derive(Clone, Debug)]
pub enum Work {
    /// A line as it was written.
    Line(String),
    /// A command whose words are split already.
    Words(Vec<String>),
    /// A line that cannot be a command, and why.
    Refused(&'static str),
}

/// Runs the lines of a script one after the other, without asking anybody in between: what a line answers is shown while
/// the next one runs, so that a process is held for the commands and not for the screen. Ends behind the first line that
/// fails, is interrupted, or leaves something to the shell; or when `cancel` is set.
pub fn execute_all(session: &mut Session, works: Vec<Work>, echoes: bool, cancel: &AtomicBool) {
    let parsed: Vec<Result<Option<Parsed>, Failure>> = works.iter().map(|work| parse_work(session, work)).collect();
    for (index, parsed) in parsed.into_iter().enumerate() {
        if cancel.load(Ordering::Relaxed) {
            return;
        }
        if echoes {
            session.outbox.add(Post::Begins(index, session.prompt()));
        }
        let result = match parsed {
            Ok(None) => {
                session.outbox.add(Post::Done(index, None));
                continue;
            }
            // A request that came between two lines ends the script as one within a line does.
            Ok(Some(_)) if session.request.is_some() => Err(Failure::interrupted("interrupted")),
            Ok(Some(parsed)) => run(session, &parsed),
            Err(failure) => Err(failure),
        };
        let answer = answer(session, result);
        let ends = !matches!(answer.result, Ok(Outcome::Reply(_))) || answer.request.is_some();
        session.outbox.add(Post::Done(index, Some(Box::new(answer))));
        if ends {
            return;
        }
    }
}

fn parse_work(session: &Session, work: &Work) -> Result<Option<Parsed>, Failure> {
    match work {
        Work::Line(line) => parse(session, line),
        Work::Words(words) => parse_words(session, words).map(Some),
        Work::Refused(why) => Err(Failure::plain(*why)),
    }
}

/// What a person has to be asked before this line runs, if anything.
pub fn question(session: &Session, line: &str) -> Option<String> {
    let parsed = parse(session, line).ok()??;
    if session.settings.confirm { (parsed.command.question)(session) } else { None }
}

/// Runs the words of one command inside another (`thread 3 regs`, `try attach 7`).
pub fn run_words(session: &mut Session, words: &[String]) -> Result<Outcome, Failure> {
    let parsed = parse_words(session, words)?;
    run(session, &parsed)
}

/// Runs a line inside another command (`on N COMMAND`). `None`: it is blank or a comment.
pub fn run_line(session: &mut Session, line: &str) -> Result<Option<Outcome>, Failure> {
    let Some(parsed) = parse(session, line)? else { return Ok(None) };
    run(session, &parsed).map(Some)
}

/// Whether a line lets the process run until it stops again.
pub fn is_continue(session: &Session, line: &str) -> bool {
    matches!(parse(session, line), Ok(Some(parsed)) if parsed.command.name == "continue")
}

fn parse_words(session: &Session, words: &[String]) -> Result<Parsed, Failure> {
    let found = session.commands.find(words)?;
    let joined = found.words(words).join(" ");
    let words = if found.command.words.takes_raw(&joined) { raw(&joined) } else { found.words(words) };
    Ok(Parsed { command: found.command, words })
}

fn run(session: &mut Session, parsed: &Parsed) -> Result<Outcome, Failure> {
    check_needs(session, parsed.command)?;
    session.last_command = Instant::now();
    session.looking.again = None;
    let result = (parsed.command.run)(&mut Context { session }, &parsed.words);
    session.last_command = Instant::now();
    result.map_err(|error| {
        if error.is::<Interrupted>() {
            return Failure::interrupted("interrupted");
        }
        Failure::from(error)
    })
}

fn check_needs(session: &Session, command: &Command) -> Result<(), Failure> {
    let name = command.name;
    match (command.needs, session.process_state()) {
        (Needs::Process | Needs::Stopped, None) => Err(Failure::hinted(
            format!("{name} needs a process, and none is attached"),
            "attach PID or exec PROGRAM; ps lists the processes",
        )),
        (Needs::NoProcess, Some((pid, _))) => Err(Failure::hinted(
            format!("{name}: process {pid} is attached already, and there can be only one"),
            "detach or kill that one first",
        )),
        (Needs::Stopped, Some((pid, super::RunState::JobStopped))) => Err(Failure::hinted(
            format!("{name}: godbg lets process {pid} run already, but job control keeps it stopped"),
            format!("shell kill -CONT {pid} starts it; interrupt takes hold of it"),
        )),
        (Needs::Stopped, Some((pid, super::RunState::Running))) => Err(Failure::hinted(
            format!("{name} needs a stopped process, and process {pid} runs"),
            "interrupt stops it",
        )),
        _ => Ok(()),
    }
}

/// Splits a line as a POSIX shell does and finds its command. `None`: blank or a comment.
pub fn parse(session: &Session, line: &str) -> Result<Option<Parsed>, Failure> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    if line.len() > LONGEST_LINE {
        let message = format!("a line of {} bytes is too long (at most {LONGEST_LINE})", line.len());
        return Err(Failure::hinted(message, "put the commands on lines of their own"));
    }
    if line.contains('\0') {
        return Err(Failure::plain("the line holds a NUL byte"));
    }
    // What stands behind `!` is split by another shell.
    if let Some(rest) = line.strip_prefix('!') {
        let command = session.commands.find(&["shell".into()])?.command;
        return Ok(Some(Parsed { command, words: raw(rest) }));
    }
    let words = split(session.commands, line, 0)?;
    if words.is_empty() { Ok(None) } else { parse_words(session, &words).map(Some) }
}

/// Commands within commands are followed this deep.
const DEEPEST: usize = 8;

/// The words of a line. The commands whose rest is taken as typed find it in one word, within `try` or `thread 3` as well:
/// their quotes are not the shell's.
fn split(commands: Commands, line: &str, depth: usize) -> Result<Vec<String>, Failure> {
    let name: Vec<String> = line.split_whitespace().take(MOST_NAME_WORDS).map(str::to_owned).collect();
    if let Ok(found) = commands.find(&name) {
        let rest = behind_words(line, found.taken).trim();
        if found.command.words.takes_raw(rest) {
            let rest = Some(rest.to_owned()).filter(|rest| !rest.is_empty());
            return Ok(name.into_iter().take(found.taken).chain(rest).collect());
        }
        if depth < DEEPEST
            && let Some(own) = found.command.words_before_command()
        {
            let inner = behind_words(line, found.taken + own);
            let mut words = shell_words(&line[..line.len() - inner.len()])?;
            words.extend(split(commands, inner, depth + 1)?);
            return Ok(words);
        }
    }
    shell_words(line)
}

/// What stands behind so many words of a line.
fn behind_words(line: &str, count: usize) -> &str {
    (0..count)
        .fold(line.trim_start(), |rest, _| rest.find(char::is_whitespace).map_or("", |end| rest[end..].trim_start()))
}

fn shell_words(text: &str) -> Result<Vec<String>, Failure> {
    shlex::split(text).ok_or_else(|| {
        Failure::hinted("the line ends inside a quotation", "close the quote or write \\\" or \\' for one")
    })
}

fn raw(rest: &str) -> Vec<String> {
    let rest = rest.trim();
    if rest.is_empty() { Vec::new() } else { vec![rest.to_owned()] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::command::{Words, args, no_question, reply};

    #[derive(clap::Parser)]
    struct Inner {
        /// What to run
        #[arg(value_name = "N")]
        number: String,
        /// The command
        #[arg(value_name = "COMMAND", trailing_var_arg = true)]
        command: Vec<String>,
    }

    #[derive(clap::Parser)]
    struct Rest {
        /// As typed
        text: String,
    }

    const fn command(name: &'static str, words: Words, args: fn() -> clap::Command) -> Command {
        Command {
            name,
            aliases: &[],
            group: crate::session::Group::Shell,
            summary: "",
            needs: Needs::Nothing,
            words,
            repeats: false,
            args,
            reply: reply::<String>,
            question: no_question,
            run: |_, _| anyhow::bail!("not run"),
        }
    }

    #[test]
    fn words_taken_as_typed_stay_so_within_other_commands() {
        const TABLE: Commands = Commands(&[
            command("thread", Words::Split, args::<Inner>),
            command("find", Words::Raw, args::<Rest>),
            command("echo", Words::Split, args::<Rest>),
        ]);
        for (line, expected) in [
            ("find/b 1, \"a  b\" ", &["find/b", "1, \"a  b\""][..]),
            ("find", &["find"]),
            ("thread 3 find/b 1, \"a  b\"", &["thread", "3", "find/b", "1, \"a  b\""]),
            ("thread 3 thread 4 fi 'x", &["thread", "3", "thread", "4", "fi", "'x"]),
            ("thread 3 echo 'a  b' c", &["thread", "3", "echo", "a  b", "c"]),
            ("thread 3", &["thread", "3"]),
            ("echo a\\ b", &["echo", "a b"]),
        ] {
            assert_eq!(split(TABLE, line, 0).expect("words"), expected, "{line}");
        }
        assert!(split(TABLE, "echo 'x", 0).is_err());
    }
}
