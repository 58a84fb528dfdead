//! The command line of `godbg`: its grammar, and the plan that it amounts to. Refuses to run anything.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::session::duration;
use crate::session::settings::Color;

const EXAMPLES: &str = "\
Examples:
  godbg attach 1311                          stop process 1311 and open the shell
  godbg attach --leash 5s postgres           the same by name; it runs on if forgotten for 5 s
  godbg attach 1311 --batch -e threads       list the threads and let the process go
  godbg stacks 1311                          show all stacks; the process is held for milliseconds
  godbg exec ./server --port 8080            start a program, stopped at its first instruction
  godbg -x commands.godbg --format json      run a script, one JSON object a command
  ps -C caddy -o pid= | sed 's/^/attach /' | godbg   commands from a pipe

Exit status: 0 every command succeeded, 1 a command failed, 2 wrong usage.
In the shell, help lists the commands.";

/// The debugger shell that you dare to attach to a live Linux process.
///
/// It stops every thread fast, shows what they do, lets you steer, and always leaves the process as it was found.
#[derive(Parser, Debug)]
#[command(name = "godbg", version, after_help = EXAMPLES, disable_help_subcommand = true, subcommand_value_name = "attach|exec|stacks|repair")]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    begin: Option<Begin>,
}

/// The options that stand before or after the subcommand. Not clap's `global`: that would lose the order of -x and -e.
#[derive(Args, Debug)]
struct Options {
    /// Run the commands in FILE (`-` is standard input); repeatable, in order with -e
    #[arg(short = 'x', long, value_name = "FILE", allow_hyphen_values = true)]
    command_file: Vec<PathBuf>,
    /// Run one command; repeatable, in order with -x
    #[arg(short, long, value_name = "COMMAND", allow_hyphen_values = true)]
    eval: Vec<String>,
    /// Leave when -x and -e are done, as quit does
    #[arg(long)]
    batch: bool,
    /// How to answer: text, or one JSON object a line
    #[arg(long, value_name = "text|json", hide_possible_values = true)]
    format: Option<Format>,
    /// When to use colour
    #[arg(long, value_name = "auto|always|never", hide_possible_values = true)]
    color: Option<Color>,
    /// No banner, no echo of script lines
    #[arg(short, long)]
    quiet: bool,
}

/// How answers are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// One object a line
    Json,
}

#[derive(Subcommand, Debug)]
enum Begin {
    /// Stop every thread of a process and open the shell
    #[command(override_usage = "godbg attach [OPTIONS] <PID|NAME>")]
    Attach {
        /// The process, or a name that only one process has
        #[arg(value_name = "PID|NAME", allow_negative_numbers = true)]
        process: String,
        /// Let the process run again when no command has come for that long
        #[arg(long, value_name = "DURATION")]
        leash: Option<String>,
        #[command(flatten)]
        options: Options,
    },
    /// Start a program, stopped at its first instruction, and open the shell
    #[command(override_usage = "godbg exec [OPTIONS] <PROG> [ARGS…]")]
    Exec {
        /// Start it in this folder
        #[arg(long, value_name = "DIR")]
        cwd: Option<String>,
        /// Add to its environment; repeatable
        #[arg(long, value_name = "K=V")]
        env: Vec<String>,
        /// Its standard input
        #[arg(long, value_name = "FILE")]
        stdin: Option<String>,
        /// Its standard output
        #[arg(long, value_name = "FILE")]
        stdout: Option<String>,
        /// Its standard error
        #[arg(long, value_name = "FILE")]
        stderr: Option<String>,
        /// Switch address randomisation off for it
        #[arg(long)]
        no_aslr: bool,
        #[command(flatten)]
        options: Options,
        /// The program and its arguments, which are passed as given
        #[arg(value_name = "PROG", required = true, trailing_var_arg = true, allow_hyphen_values = true, num_args = 1..)]
        program: Vec<String>,
    },
    /// Show the stacks of all threads of a process, which is held for milliseconds
    #[command(override_usage = "godbg stacks [OPTIONS] <PID|NAME>")]
    Stacks {
        /// The process, or a name that only one process has
        #[arg(value_name = "PID|NAME", allow_negative_numbers = true)]
        process: String,
        /// Equal stacks once, with their threads
        #[arg(short, long)]
        group: bool,
        /// The goroutines of a Go program instead; with -g counted by where they are
        #[arg(long)]
        goroutines: bool,
        /// So many frames of each
        #[arg(short = 'n', long, value_name = "N")]
        frames: Option<String>,
        /// So many times
        #[arg(long, value_name = "N", default_value_t = 1, hide_default_value = true, value_parser = clap::value_parser!(u16).range(1..))]
        repeat: u16,
        /// The time between two of them
        #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration_word)]
        every: String,
        #[command(flatten)]
        options: Options,
    },
    /// Undo what a godbg that was killed has left in a process
    Repair {
        /// The process
        #[arg(value_name = "PID", allow_negative_numbers = true)]
        process: String,
        #[command(flatten)]
        options: Options,
    },
    /// Waits for the end of the godbg that started it, and undoes what that one left
    #[command(hide = true)]
    Guard {
        /// What is to be undone
        journal: PathBuf,
    },
    /// Print what packages ship beside the program
    #[command(hide = true)]
    Generate {
        #[command(subcommand)]
        what: Generate,
    },
}

/// What `godbg generate` prints.
#[derive(Subcommand, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Generate {
    /// The JSON Schema of the lines of --format json
    Schema,
    /// The man page
    Man,
    /// The commands of the shell as tables in Markdown, for the README
    #[command(hide = true)]
    Commands,
    /// The completions of a shell
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

/// One -x or -e.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// `-x FILE`
    File(PathBuf),
    /// `-x -`
    Stdin,
    /// `-e COMMAND`
    Command(String),
}

/// What the command line asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// The words of the first command, `attach …` or `exec …`, if any.
    pub begin: Vec<String>,
    /// Then these, in order.
    pub items: Vec<Item>,
    /// Then leave.
    pub batch: bool,
    /// How answers are written.
    pub format: Format,
    /// When to use colour.
    pub color: Color,
    /// No banner and no echo.
    pub quiet: bool,
    /// Print this instead of anything else.
    pub generate: Option<Generate>,
    /// Be the guardian of what this journal describes, instead of anything else.
    pub guard: Option<PathBuf>,
}

/// The grammar, for the man page and completions.
pub fn grammar() -> clap::Command {
    Cli::command()
}

/// Parses the words of the command line, the program's name first. The error is a complaint, or help or version that
/// were asked for.
pub fn parse(words: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Plan, clap::Error> {
    let mut grammar = grammar();
    let matches = grammar.try_get_matches_from_mut(words)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let mut plan = Plan::default();
    plan.take(cli.options, &matches);
    let below = matches.subcommand().map(|(_, matches)| matches);
    match (cli.begin, below) {
        (Some(Begin::Attach { process, leash, options }), Some(matches)) => {
            plan.begin = words_of("attach", [("--leash", leash)], &[process]);
            plan.take(options, matches);
        }
        (Some(Begin::Exec { cwd, env, stdin, stdout, stderr, no_aslr, options, program }), Some(matches)) => {
            refuse_option_as_program(&mut grammar, &program[0])?;
            let files = [("--cwd", cwd), ("--stdin", stdin), ("--stdout", stdout), ("--stderr", stderr)];
            let mut options_of_exec: Vec<(&str, Option<String>)> = files.into();
            options_of_exec.extend(env.into_iter().map(|pair| ("--env", Some(pair))));
            plan.begin = words_of("exec", options_of_exec, &[]);
            plan.begin.extend(no_aslr.then(|| "--no-aslr".to_owned()));
            plan.begin.extend(program);
            plan.take(options, matches);
        }
        (Some(Begin::Stacks { process, group, goroutines, frames, repeat, every, options }), Some(matches)) => {
            plan.begin = words_of("stacks", [("--frames", frames)], &[]);
            plan.begin.extend(group.then(|| "--group".to_owned()));
            plan.begin.extend(goroutines.then(|| "--goroutines".to_owned()));
            plan.begin.push(process);
            // Each is an attach and a detach of its own: nothing of godbg stays in the process between two.
            let mut again = plan.begin.clone();
            again.splice(1..1, ["--after".to_owned(), every]);
            let again = shlex::try_join(again.iter().map(String::as_str)).unwrap_or_default();
            plan.items.extend((1..repeat).map(|_| Item::Command(again.clone())));
            plan.take(options, matches);
            (plan.batch, plan.quiet) = (true, true);
        }
        (Some(Begin::Repair { process, options }), Some(matches)) => {
            plan.begin = words_of("repair", [], &[process]);
            plan.take(options, matches);
            plan.batch = true;
        }
        (Some(Begin::Guard { journal }), _) => plan.guard = Some(journal),
        (Some(Begin::Generate { what }), _) => plan.generate = Some(what),
        (_, _) => {}
    }
    Ok(plan)
}

/// What stands behind PROG is passed as given, so clap takes an unknown option for PROG. A program of such a name can be
/// written `./-name`.
fn refuse_option_as_program(grammar: &mut clap::Command, program: &str) -> Result<(), clap::Error> {
    if !program.starts_with('-') {
        return Ok(());
    }
    let exec = grammar.find_subcommand_mut("exec").expect("it is in the grammar");
    Err(exec.error(ErrorKind::UnknownArgument, format!("unexpected argument '{program}' found")))
}

/// A duration as it was written, which the session takes in again.
fn duration_word(word: &str) -> Result<String, String> {
    duration::parse(word).map(|_| word.to_owned())
}

/// A command with its options and words, as the session takes them.
fn words_of<'a>(
    command: &str,
    options: impl IntoIterator<Item = (&'a str, Option<String>)>,
    words: &[String],
) -> Vec<String> {
    let given = options.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?]));
    [command.to_owned()].into_iter().chain(given.flatten()).chain(words.iter().cloned()).collect()
}

impl Plan {
    /// Adds the options of one level: those of the root come first.
    fn take(&mut self, options: Options, matches: &ArgMatches) {
        self.items.extend(items(&options, matches));
        self.batch |= options.batch;
        self.quiet |= options.quiet;
        self.format = options.format.unwrap_or(self.format);
        self.color = options.color.unwrap_or(self.color);
    }

    /// Whether standard input is one of the scripts.
    pub fn reads_stdin(&self) -> bool {
        self.items.contains(&Item::Stdin)
    }
}

/// The -x and -e of one level, in the order in which they were given.
fn items(options: &Options, matches: &ArgMatches) -> Vec<Item> {
    let places = |name| matches.indices_of(name).into_iter().flatten();
    let files = options.command_file.iter().map(|path| match path.to_str() {
        Some("-") => Item::Stdin,
        _ => Item::File(path.clone()),
    });
    let commands = options.eval.iter().cloned().map(Item::Command);
    let mut placed: Vec<(usize, Item)> =
        places("command_file").zip(files).chain(places("eval").zip(commands)).collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &str) -> Plan {
        let words = line.split_whitespace().map(Into::into);
        parse(words).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn complaint(line: &str) -> clap::Error {
        parse(line.split_whitespace().map(Into::into)).expect_err(line)
    }

    #[test]
    fn the_grammar_is_sound() {
        grammar().debug_assert();
    }

    #[test]
    fn scripts_and_commands_keep_their_order() {
        let command = |text: &str| Item::Command(text.into());
        let file = |text: &str| Item::File(text.into());
        let both = [command("a"), file("f"), command("b"), Item::Stdin];
        assert_eq!(plan("godbg -e a -x f --eval b -x -").items, both);
        assert_eq!(plan("godbg -e a attach 7 -x f -e b -x -").items, both);
        assert_eq!(plan("godbg attach -e a 7 -x f --eval=b --command-file=-").items, both);
        assert_eq!(plan("godbg -e a -x f exec -e b -x - prog -e c").items, both);
    }

    #[test]
    fn options_stand_on_either_side() {
        for line in [
            "godbg --batch -q --format json --color never attach 7",
            "godbg attach 7 --batch -q --format json --color never",
        ] {
            let plan = plan(line);
            assert_eq!(plan.begin, ["attach", "7"], "{line}");
            assert!(plan.batch && plan.quiet && plan.format == Format::Json && plan.color == Color::Never, "{line}");
        }
        assert_eq!(plan("godbg attach --leash 2s name").begin, ["attach", "--leash", "2s", "name"]);
        assert_eq!(plan("godbg attach -1").begin, ["attach", "-1"]);
        assert_eq!(plan("godbg --color never attach 7 --color always").color, Color::Always);
    }

    #[test]
    fn stacks_are_shown_as_often_as_asked_for() {
        let one = plan("godbg stacks -g -n 5 name");
        assert_eq!(one.begin, ["stacks", "--frames", "5", "--group", "name"]);
        assert!(one.batch && one.items.is_empty());
        assert_eq!(plan("godbg stacks --goroutines 7").begin, ["stacks", "--goroutines", "7"]);
        let often = plan("godbg stacks 7 --repeat 3 --every 100ms --format json");
        let command = |text: &str| Item::Command(text.into());
        let again = command("stacks --after 100ms 7");
        assert_eq!((often.begin, often.items), (vec!["stacks".into(), "7".into()], vec![again.clone(), again]));
        assert_eq!(complaint("godbg stacks 7 --repeat 0").exit_code(), 2);
        assert_eq!(complaint("godbg stacks 7 --repeat 2 --every soon").exit_code(), 2);
    }

    #[test]
    fn what_stands_behind_the_program_is_its_own() {
        assert_eq!(plan("godbg exec -q prog -x --help -- -q").begin, ["exec", "prog", "-x", "--help", "--", "-q"]);
        assert_eq!(
            plan("godbg exec --cwd /tmp --no-aslr --env A=1 --env B=2 prog x").begin,
            ["exec", "--cwd", "/tmp", "--env", "A=1", "--env", "B=2", "--no-aslr", "prog", "x"]
        );
        assert_eq!(plan("godbg exec -- prog -q").begin, ["exec", "prog", "-q"]);
    }

    #[test]
    fn wrong_usage_is_a_complaint() {
        for line in [
            "godbg --bogus",
            "godbg attach",
            "godbg exec",
            "godbg exec --bogus prog",
            "godbg 7",
            "godbg -x",
            "godbg attach 7 8",
            "godbg --format xml",
        ] {
            assert_eq!(complaint(line).exit_code(), 2, "{line}");
        }
        for line in ["godbg --help", "godbg -V", "godbg attach -h"] {
            assert_eq!(complaint(line).exit_code(), 0, "{line}");
        }
    }
}
