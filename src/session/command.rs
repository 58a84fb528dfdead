//! What a command is: a value in a table. Lookup by name, alias and unambiguous prefix, and the parsing of a command's
//! own words, which clap does. Help, completion, checks and JSON read the same table.

use std::error::Error as _;
use std::num::ParseIntError;

use anyhow::anyhow;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::failure::Failure;
use super::reply::Reply;
use super::{Context, Session};

/// The headings of `help`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Group {
    /// attach, detach, exec, kill, ps, status.
    Process,
    /// threads, thread.
    Threads,
    /// continue, interrupt, wait.
    Running,
    /// break, watch, catch, trace, and what manages them.
    Breakpoints,
    /// stepi, nexti, finish, until, advance.
    Stepping,
    /// handle, signal, syscall.
    Signals,
    /// regs, x, find, disassemble, print: what the process has, and changing it.
    Looking,
    /// list, functions, types, sources: what symbols say.
    Source,
    /// Everything about the shell itself.
    Shell,
    /// For godbg's own tests; not listed.
    Maintenance,
}

impl Group {
    /// All that are listed, in the order of `help`.
    pub const ALL: [Group; 9] = [
        Group::Process,
        Group::Threads,
        Group::Running,
        Group::Breakpoints,
        Group::Stepping,
        Group::Signals,
        Group::Looking,
        Group::Source,
        Group::Shell,
    ];

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Group::Process => "The process",
            Group::Threads => "Threads",
            Group::Running => "Running and stopping",
            Group::Breakpoints => "Breakpoints",
            Group::Stepping => "Stepping",
            Group::Signals => "Signals and system calls",
            Group::Looking => "Looking and changing",
            Group::Source => "Source and symbols",
            Group::Shell => "The shell",
            Group::Maintenance => "Maintenance",
        }
    }
}

/// What there must be for a command to run; checked once, in the dispatcher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// No process attached: there can be one at a time.
    NoProcess,
    /// A process, held or running.
    Process,
    /// A process that is held.
    Stopped,
}

/// How the words behind a command's name are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Words {
    /// Split as a POSIX shell splits them.
    Split,
    /// The rest of the line as one word, as it was typed.
    Raw,
    /// As `Raw` where the rest begins with one of these, as `Split` otherwise.
    RawBehind(&'static [&'static str]),
}

impl Words {
    /// Whether the rest of a line is taken as it was typed.
    pub fn takes_raw(self, rest: &str) -> bool {
        match self {
            Words::Split => false,
            Words::Raw => true,
            Words::RawBehind(beginnings) => beginnings.iter().any(|beginning| rest.starts_with(beginning)),
        }
    }
}

/// A command.
pub struct Command {
    /// Its name, one word.
    pub name: &'static str,
    /// Other names, which may be of two words (`info threads`).
    pub aliases: &'static [&'static str],
    /// Its heading in `help`.
    pub group: Group,
    /// One line for `help`.
    pub summary: &'static str,
    /// What there must be for it to run.
    pub needs: Needs,
    /// How its words are taken.
    pub words: Words,
    /// Whether an empty line runs it again.
    pub repeats: bool,
    /// Its words, for parsing, usage, help and completion: see [`args`].
    pub args: fn() -> clap::Command,
    /// The shape of its reply, for the JSON Schema: see [`reply`].
    pub reply: fn(&mut SchemaGenerator) -> Schema,
    /// What a person is asked before it runs, if anything.
    pub question: fn(&Session) -> Option<String>,
    /// The handler; runs on the tracer thread.
    pub run: fn(&mut Context<'_>, &[String]) -> anyhow::Result<Outcome>,
}

impl Command {
    /// How many of its own words stand before the words of another command that it runs (`try`: 0, `thread`: 1); `None`: it
    /// runs no other.
    pub fn words_before_command(&self) -> Option<usize> {
        let grammar = (self.args)();
        grammar
            .get_positionals()
            .position(|arg| arg.get_value_names().unwrap_or_default().iter().any(|name| name == "COMMAND"))
    }
}

/// What a handler leaves to the shell.
pub enum Outcome {
    /// A reply to show.
    Reply(Reply),
    /// A script to run line by line.
    Script(Script),
    /// Leave the shell. The process is let go or ended first.
    Quit,
}

/// The text of a script and what it is called in messages.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its name: a path, `stdin` or `-e`.
    pub name: String,
    /// The file as the kernel knows it (device and inode), by which a script that sources itself is recognised.
    pub identity: Option<(u64, u64)>,
    /// Its bytes, which need not be UTF-8 in every line.
    pub bytes: Vec<u8>,
    /// Whether a failing line is reported and passed over (`try source FILE`).
    pub tolerant: bool,
}

impl<T: Into<Reply>> From<T> for Outcome {
    fn from(reply: T) -> Outcome {
        Outcome::Reply(reply.into())
    }
}

/// For the `question` of commands that ask nothing.
pub fn no_question(_: &Session) -> Option<String> {
    None
}

/// For the `reply` field: the schema of a reply type.
pub fn reply<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// For the `args` field: the words that `A` describes. Without `-h`, `-V` and the `help` pseudo command: `help` is one
/// of ours.
pub fn args<A: CommandFactory>() -> clap::Command {
    A::command().no_binary_name(true).disable_help_flag(true).disable_version_flag(true).disable_help_subcommand(true)
}

/// Parses a command's words. The error is one line and its hint the usage.
pub fn parse<A: CommandFactory + FromArgMatches>(command: &Command, words: &[String]) -> anyhow::Result<A> {
    let mut grammar = (command.args)().name(command.name);
    let usage = usage(command);
    grammar.try_get_matches_from_mut(words).and_then(|mut matches| A::from_arg_matches_mut(&mut matches)).map_err(
        |error| anyhow!(Failure::usage(format!("{}: {}", command.name, complaint(&error)), format!("usage: {usage}"))),
    )
}

/// The usage line of a command. A few options are spelled out, many are `[OPTIONS]`.
pub fn usage(command: &Command) -> String {
    let mut grammar = (command.args)().bin_name(command.name);
    let usage = grammar.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").split_whitespace().collect::<Vec<_>>().join(" ");
    let options: Vec<&clap::Arg> = grammar.get_arguments().filter(|argument| !argument.is_positional()).collect();
    if options.len() > MOST_SPELLED_OUT {
        return usage;
    }
    let spelled: Vec<String> = options.iter().map(|option| format!("[{option}]")).collect();
    usage.replace("[OPTIONS]", &spelled.join(" "))
}

/// So many options of a command stand in its usage line.
const MOST_SPELLED_OUT: usize = 2;

/// Clap's complaint as one line without its decoration.
fn complaint(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(" ")),
        _ => None,
    };
    let (word, value) = (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue));
    match (error.kind(), word, value, error.source()) {
        // A parser that names the value says all there is to say.
        (ErrorKind::ValueValidation, _, Some(value), Some(why)) if why.to_string().contains(&format!("{value:?}")) => {
            why.to_string()
        }
        (ErrorKind::ValueValidation, Some(word), Some(value), Some(why)) if why.is::<ParseIntError>() => {
            format!("{value:?} is no {}: a whole number is wanted, and no huge one", bare(&word))
        }
        (ErrorKind::ValueValidation, Some(word), Some(value), Some(why)) => {
            format!("{value:?} is no {}: {why}", bare(&word))
        }
        (ErrorKind::MissingRequiredArgument, Some(words), ..) => {
            let words = bare(&words);
            let verb = if words.contains(" and ") { "are" } else { "is" };
            format!("{words} {verb} missing")
        }
        (ErrorKind::UnknownArgument, Some(word), ..) if word.starts_with('-') => format!("no such option: {word}"),
        (ErrorKind::UnknownArgument, Some(word), ..) => format!("{word:?} is one word too many"),
        _ => {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let rest = text.lines().skip(1).take_while(|line| !line.trim().is_empty()).map(str::trim);
            std::iter::once(first).chain(rest).collect::<Vec<_>>().join(" ")
        }
    }
}

/// The names of arguments without the brackets and dots of a usage line.
fn bare(words: &str) -> String {
    let words = words.replace("...", "");
    words.split_whitespace().map(|word| word.trim_matches(['<', '>', '[', ']'])).collect::<Vec<_>>().join(" and ")
}

/// The commands that there are, in the order of `help`.
#[derive(Clone, Copy)]
pub struct Commands(pub &'static [Command]);

/// A command and what of a line names it.
pub struct Found {
    /// The command.
    pub command: &'static Command,
    /// How many words its name takes.
    pub taken: usize,
    /// What stands behind the name in its own word: `/8xg` of `x/8xg`. It is handed to the command as its first word.
    pub format: Option<String>,
}

impl Found {
    /// The command's own words among all words of the line.
    pub fn words(&self, all: &[String]) -> Vec<String> {
        self.format.iter().chain(all.get(self.taken..).unwrap_or_default()).cloned().collect()
    }
}

/// No command has a name of more words than this (`info proc mappings`).
pub const MOST_NAME_WORDS: usize = 3;

/// A word as the name and what a slash begins behind it, slash included: a slash ends a command's name, as in gdb.
fn cut_format(word: &str) -> (&str, Option<&str>) {
    match word.find('/') {
        Some(at) if at > 0 => (&word[..at], Some(&word[at..])),
        _ => (word, None),
    }
}

impl Commands {
    /// Finds the command that words begin with. The longest name or alias wins; of one word an exact one, then a prefix
    /// that only one command has. The words of an alias of several may be cut short (`info proc map`).
    pub fn find(self, words: &[String]) -> Result<Found, Failure> {
        let Some(first) = words.first() else {
            return Err(Failure::plain("an empty command"));
        };
        let found = |command, taken, format: Option<&str>| Found { command, taken, format: format.map(str::to_owned) };
        if let Some((command, taken)) = self.find_phrase(words) {
            return Ok(found(command, taken, None));
        }
        let (first, format) = cut_format(first);
        if let Some(command) = self.0.iter().find(|c| c.name == first || c.aliases.contains(&first)) {
            return Ok(found(command, 1, format));
        }
        let matching: Vec<&'static Command> = self.0.iter().filter(|c| c.name.starts_with(first)).collect();
        match matching.as_slice() {
            [one] => Ok(found(one, 1, format)),
            [] => Err(self.unknown(first)),
            several => {
                let names: Vec<&str> = several.iter().map(|command| command.name).collect();
                let message = format!("{first:?} is short for several commands: {}", names.join(", "));
                Err(Failure::hinted(message, "type more of the name"))
            }
        }
    }

    /// The command by an alias of several words: as it is, or the only one whose words these begin.
    fn find_phrase(self, words: &[String]) -> Option<(&'static Command, usize)> {
        let aliases = || self.0.iter().flat_map(|command| command.aliases.iter().map(move |alias| (command, *alias)));
        for count in (2..=MOST_NAME_WORDS.min(words.len())).rev() {
            let typed = &words[..count];
            let phrase = typed.join(" ");
            if let Some((command, _)) = aliases().find(|(_, alias)| *alias == phrase) {
                return Some((command, count));
            }
            let mut fitting: Vec<&Command> =
                aliases().filter(|(_, alias)| is_short_for(typed, alias)).map(|(command, _)| command).collect();
            fitting.dedup_by_key(|command| command.name);
            if let [one] = fitting.as_slice() {
                return Some((one, count));
            }
        }
        None
    }

    fn unknown(self, name: &str) -> Failure {
        let short: String = name.chars().take(60).collect();
        let mut near: Vec<(usize, &str)> = self
            .0
            .iter()
            .flat_map(|command| command.aliases.iter().copied().chain([command.name]))
            .map(|known| (edits(&short, known), known))
            .filter(|(edits, known)| *edits <= 2.min(known.len() / 2))
            .collect();
        near.sort_unstable();
        let names: Vec<&str> = near.iter().take(3).map(|(_, known)| *known).collect();
        let hint = match names.as_slice() {
            [] => "help lists the commands".to_owned(),
            names => format!("did you mean {}? help lists the commands", names.join(" or ")),
        };
        Failure::hinted(format!("no such command: {short}"), hint)
    }
}

/// Whether each typed word begins the word of an alias that stands in its place.
fn is_short_for(typed: &[String], alias: &str) -> bool {
    let words = alias.split(' ');
    words.clone().count() == typed.len()
        && words.zip(typed).all(|(word, typed)| !typed.is_empty() && word.starts_with(typed.as_str()))
}

/// The number of edits (insert, remove, replace, swap neighbours) from one word to another.
pub(in crate::session) fn edits(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
                let swapped = (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1])
                    .then(|| rows[i - 2][j - 2] + 1);
                replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(swapped.unwrap_or(usize::MAX))
            };
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    #[derive(clap::Parser)]
    #[command(name = "sample")]
    struct Sample {
        /// How long
        #[arg(long, value_name = "DURATION", value_parser = crate::session::duration::parse)]
        leash: Option<std::time::Duration>,
        /// What
        #[arg(value_name = "PID|NAME")]
        what: String,
        /// Of it
        #[arg(value_name = "N")]
        number: u32,
    }

    fn complains(line: &str) -> String {
        let parsed = args::<Sample>().try_get_matches_from(line.split_whitespace());
        parsed.map_or_else(|error| complaint(&error), |_| "fine".into())
    }

    #[test]
    fn complaints_say_what_is_wrong_once() {
        for (line, expected) in [
            ("a 1", "fine"),
            ("a", "N is missing"),
            ("", "PID|NAME and N are missing"),
            ("a 1 2", "\"2\" is one word too many"),
            ("a 1 --bogus", "no such option: --bogus"),
            ("a x", "\"x\" is no N: a whole number is wanted, and no huge one"),
        ] {
            assert_eq!(complains(line), expected, "{line}");
        }
        let told = complains("a 1 --leash abc");
        assert!(told.starts_with("\"abc\" is no duration: "), "{told}");
    }

    #[test]
    fn a_slash_ends_a_name() {
        for (word, expected) in [
            ("x/8xg", ("x", Some("/8xg"))),
            ("x", ("x", None)),
            ("/bin/ls", ("/bin/ls", None)),
            ("p/", ("p", Some("/"))),
        ] {
            assert_eq!(cut_format(word), expected, "{word}");
        }
    }

    #[test]
    fn names_of_several_words_may_be_cut_short() {
        let typed = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert!(is_short_for(&typed("info proc map"), "info proc mappings"));
        assert!(is_short_for(&typed("i r"), "info registers"));
        assert!(!is_short_for(&typed("info"), "info registers"));
        assert!(!is_short_for(&typed("info x"), "info registers"));
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("thraeds", "threads"), 1);
        assert_eq!(edits("atach", "attach"), 1);
        assert_eq!(edits("", "wait"), 4);
    }
}
