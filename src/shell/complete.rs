//! What could stand at the cursor: read from the table of commands and each command's own grammar. Pure but for the
//! programs of PATH; refuses to know the line editor.

use std::os::unix::fs::PermissionsExt;

use clap::Arg;

use super::words;
use crate::session::page::is_hostile;
use crate::session::settings;
use crate::session::{Command, Commands, Completions, Group, Words};

/// What could stand at the cursor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Want {
    /// One of these words.
    Word(String),
    /// The pid or name of a process.
    Process,
    /// The number of a thread.
    Thread,
    /// The number of a breakpoint or catchpoint.
    Breakpoint,
    /// The name of a mapping.
    Mapping,
    /// A function, or a source file and a line.
    Place,
    /// A function or variable within an expression.
    Symbol,
    /// A file or folder.
    File,
    /// A program: of PATH, or a file.
    Program,
}

/// The word at the cursor and what it could become.
#[derive(PartialEq, Eq, Debug)]
pub struct Spot {
    /// Where the word begins.
    pub start: usize,
    /// What is there of it, without its quotes.
    pub word: String,
    /// What could stand there.
    pub wants: Vec<Want>,
}

/// A word that fits, and how the list shows it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Candidate {
    /// What is put in.
    pub text: String,
    /// What is shown.
    pub shown: String,
}

/// Commands within commands are followed this deep.
const DEEPEST: usize = 8;

/// A PATH with more programs than this is listed only so far.
const MOST_PROGRAMS: usize = 5000;

/// Looks at the text before the cursor.
pub fn spot(commands: Commands, before: &str) -> Spot {
    let start = word_start(before);
    if let Some(at) = register_start(commands, before, start) {
        let registers = words::registers().into_iter().map(|name| Want::Word(format!("${name}"))).collect();
        return Spot { start: at, word: before[at..].to_owned(), wants: registers };
    }
    let word = before[start..].trim_start_matches(['"', '\'']).to_owned();
    let wants = if before.trim_start().starts_with('!') {
        vec![Want::File]
    } else {
        shlex::split(&before[..start]).map_or_else(Vec::new, |words| command_wants(commands, &words, &word, 0))
    };
    let mut spot = Spot { start, word, wants };
    // `[stack]` is a name as it stands.
    let is_mapping = spot.word.starts_with('[') && spot.wants.contains(&Want::Mapping);
    if !is_mapping && spot.wants.iter().any(|want| matches!(want, Want::Place | Want::Symbol)) {
        spot.begin_at_name();
    }
    spot
}

impl Spot {
    /// Within an expression, or behind the `*` of a location, only the name at the cursor counts.
    fn begin_at_name(&mut self) {
        let is_place = self.wants.contains(&Want::Place) && !self.word.starts_with('*');
        let splits = |c: char| if is_place { c == ',' } else { "+-*/%&|^!~<>=()[]{},?".contains(c) };
        if let Some(at) = self.word.rfind(splits) {
            self.start += at + 1;
            self.word.drain(..=at);
        }
    }
}

/// Where a register's `$` stands before the cursor, in the words of a command that takes expressions.
fn register_start(commands: Commands, before: &str, start: usize) -> Option<usize> {
    let at = before[start..].rfind('$')? + start;
    let name = &before[at + 1..];
    let typed = |words: &str| shlex::split(words).unwrap_or_default();
    let takes_text = commands.find(&typed(&before[..start])).is_ok_and(|found| TEXT.contains(&found.command.name));
    let fits = name.chars().all(|c| c.is_ascii_alphanumeric()) && !before.trim_start().starts_with('!');
    (start > 0 && fits && !takes_text).then_some(at)
}

/// Commands whose words are not godbg's: a `$` there is no register.
const TEXT: [&str; 5] = ["echo", "shell", "exec", "source", "help"];

/// Where the last word begins; at the end if the text ends in a space.
fn word_start(text: &str) -> usize {
    let (mut start, mut quote, mut escaped) = (0, None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, c) if c.is_whitespace() => start = at + c.len_utf8(),
            _ => {}
        }
    }
    start
}

fn words_wanted<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<Want> {
    words.into_iter().map(|word| Want::Word(word.to_owned())).collect()
}

/// What could stand behind the words of a line.
fn command_wants(commands: Commands, words: &[String], typed: &str, depth: usize) -> Vec<Want> {
    let listed = || commands.0.iter().filter(|command| Group::ALL.contains(&command.group));
    let names = || listed().flat_map(|command| command.aliases.iter().copied().chain([command.name]));
    let Some(first) = words.first() else {
        return words_wanted(names().filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == ' ')));
    };
    if words.len() == 1 {
        let seconds: Vec<&str> =
            names().filter_map(|name| name.strip_prefix(first.as_str())?.strip_prefix(' ')).collect();
        if !seconds.is_empty() {
            // `delete breakpoints`, but `delete 3` too.
            let behind = commands.find(words).ok().filter(|_| depth < DEEPEST && names().any(|name| name == first));
            let own = behind.map(|found| argument_wants(commands, found.command, &[], typed, depth));
            return words_wanted(seconds).into_iter().chain(own.unwrap_or_default()).collect();
        }
    }
    match commands.find(words) {
        Ok(found) if found.command.words == Words::Raw && depth < DEEPEST => {
            raw_wants(commands, found.command, &found.words(words), typed, depth)
        }
        Ok(found) if depth < DEEPEST => argument_wants(commands, found.command, &found.words(words), typed, depth),
        _ => Vec::new(),
    }
}

/// The same for a command that takes its words as they were typed: by the place of the word in `N [COMMAND]`, or by the
/// word before it, as in `--in MAPPING`.
fn raw_wants(commands: Commands, command: &Command, words: &[String], typed: &str, depth: usize) -> Vec<Want> {
    let mut grammar = (command.args)().name(command.name);
    grammar.build();
    let shown = grammar.get_positionals().flat_map(value_names).collect::<Vec<_>>().join("|");
    let words: Vec<String> = words.iter().flat_map(|word| word.split_whitespace()).map(str::to_owned).collect();
    let parts: Vec<Vec<&str>> = shown
        .split_whitespace()
        .map(|part| part.split(['[', ']', '|']).filter(|name| !name.is_empty()).collect())
        .collect();
    if typed.starts_with('-') {
        return words_wanted(parts.concat().into_iter().filter(|name| name.starts_with('-')));
    }
    if let Some(at) = parts.iter().position(|part| part.contains(&"COMMAND")).filter(|at| *at < words.len()) {
        return command_wants(commands, &words[at..], typed, depth + 1);
    }
    let behind =
        words.last().and_then(|last| parts.iter().position(|part| is_literal(last) && part.contains(&&**last)));
    let part = parts.get(behind.map_or(words.len(), |at| at + 1)).cloned().unwrap_or_default();
    let thread = words.last().is_some_and(|last| last == "thread");
    // Words that may be left out (`/FMT`) stand before the expression, which may have several words.
    let expression = ["EXPR", "ADDR", "LOC"].into_iter().find(|name| parts.iter().any(|part| part.contains(name)));
    let part = if part.iter().all(|name| name.starts_with('/')) { expression.into_iter().collect() } else { part };
    part.into_iter()
        .flat_map(|name| match name {
            "N" if thread => vec![Want::Thread],
            "COMMAND" => command_wants(commands, &[], typed, depth + 1),
            name => name_wants(command, name, &words),
        })
        .collect()
}

/// What could stand behind the words of a command, by its grammar.
fn argument_wants(commands: Commands, command: &Command, words: &[String], typed: &str, depth: usize) -> Vec<Want> {
    let mut grammar = (command.args)().name(command.name);
    grammar.build();
    let positionals: Vec<&Arg> = grammar.get_positionals().collect();
    let (mut place, mut options) = (0, true);
    let mut rest = words.iter().enumerate();
    while let Some((at, word)) = rest.next() {
        if options && word == "--" {
            options = false;
            continue;
        }
        if options && let Some(option) = grammar.get_opts().find(|option| is_named(option, word)) {
            if rest.next().is_none() {
                return value_wants(command, option, words);
            }
            continue;
        }
        if options && word.len() > 1 && word.starts_with('-') {
            continue;
        }
        let Some(positional) = positionals.get(place) else { return Vec::new() };
        if takes_command(positional) {
            return command_wants(commands, &words[at..], typed, depth + 1);
        }
        if positional.is_trailing_var_arg_set() {
            // What stands behind a program's name is the program's own.
            return vec![Want::File];
        }
        place += usize::from(!takes_several(positional));
    }
    if options && typed.starts_with('-') {
        return option_wants(&grammar);
    }
    match positionals.get(place) {
        Some(positional) if takes_command(positional) => command_wants(commands, &[], typed, depth + 1),
        Some(positional) => value_wants(command, positional, words),
        None => Vec::new(),
    }
}

fn is_named(option: &Arg, word: &str) -> bool {
    let long = word.strip_prefix("--").is_some_and(|name| option.get_long() == Some(name));
    let short = word.strip_prefix('-').is_some_and(|name| option.get_short().is_some_and(|c| name == c.to_string()));
    (long || short) && option.get_action().takes_values()
}

fn takes_several(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|range| range.max_values() > 1)
}

fn takes_command(arg: &Arg) -> bool {
    value_names(arg).any(|name| name == "COMMAND")
}

fn value_names(arg: &Arg) -> impl Iterator<Item = &str> {
    arg.get_value_names().unwrap_or_default().iter().flat_map(|names| names.split('|'))
}

fn option_wants(grammar: &clap::Command) -> Vec<Want> {
    let shown = grammar.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_positional());
    let names = shown.flat_map(|arg| {
        let long = arg.get_long().map(|long| format!("--{long}"));
        long.or_else(|| arg.get_short().map(|short| format!("-{short}")))
    });
    names.map(Want::Word).collect()
}

/// What a value can be, by its name in the grammar.
fn value_wants(command: &Command, arg: &Arg, words: &[String]) -> Vec<Want> {
    let possible = arg.get_possible_values();
    let mut wants: Vec<Want> = possible.iter().map(|value| Want::Word(value.get_name().to_owned())).collect();
    let names: Vec<&str> = value_names(arg).collect();
    // Which of the two is meant the first word says: `catch signal SIG`, `catch syscall CALL`.
    let both = names.contains(&"SIG") && names.contains(&"CALL");
    let first = words.first().map_or("", String::as_str);
    for name in names {
        match name {
            "SIG" | "all" if both && first != "signal" => {}
            "CALL" if both && first != "syscall" => {}
            name => wants.extend(name_wants(command, name, words)),
        }
    }
    wants.dedup();
    wants
}

/// What a name in a grammar stands for, behind these words.
fn name_wants(command: &Command, name: &str, words: &[String]) -> Vec<Want> {
    let listed = |words: Vec<String>| words.into_iter().map(Want::Word).collect();
    match name {
        "PID" | "NAME" => vec![Want::Process],
        "TID" => vec![Want::Thread],
        "LOC" | "LOC," => vec![Want::Place],
        "EXPR" | "ADDR" | "SYMBOL" | "START" => vec![Want::Symbol],
        "N" if command.group == Group::Breakpoints => vec![Want::Breakpoint],
        "FILE" | "DIR" | "PATH" | "SHELL_COMMAND" => vec![Want::File],
        "PROG" => vec![Want::Program],
        "MAPPING" => vec![Want::Mapping],
        "REGISTER" => listed(words::registers()),
        "SIG" => listed(words::signals()),
        "CALL" => listed(words::syscalls()),
        "group:NAME" => listed(words::call_groups()),
        "SETTING" => words_wanted(settings::ALL.iter().map(|setting| setting.name)),
        "VALUE" => {
            let before = words.last().map_or("", String::as_str);
            let setting = settings::ALL.iter().find(|setting| setting.name == before);
            words_wanted(setting.into_iter().flat_map(|s| s.values.split('|')).filter(|v| is_literal(v)))
        }
        name if name.starts_with("[no]") => {
            let word = &name["[no]".len()..];
            listed(vec![word.to_owned(), format!("no{word}")])
        }
        name if is_literal(name) => words_wanted([name]),
        _ => Vec::new(),
    }
}

/// `all`, `off`, `&` stand for themselves; `TID`, `DURATION` for a value.
fn is_literal(name: &str) -> bool {
    !name.contains(|c: char| c.is_uppercase() || c == '=')
}

/// The candidates among words, processes, threads and programs. Files are the line editor's.
pub fn candidates(spot: &Spot, facts: &Completions) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = spot.wants.iter().flat_map(|want| of_want(want, &spot.word, facts)).collect();
    found.retain(|candidate| candidate.text.starts_with(&spot.word));
    // Numbers by value, words by name.
    found.sort_by(|a, b| (a.text.len(), &a.text).cmp(&(b.text.len(), &b.text)));
    if found.iter().any(|candidate| !candidate.text.starts_with(|c: char| c.is_ascii_digit())) {
        found.sort();
    }
    found.dedup();
    found
}

fn of_want(want: &Want, word: &str, facts: &Completions) -> Vec<Candidate> {
    let plain = |text: String| Candidate { shown: text.clone(), text };
    match want {
        Want::Word(text) => vec![plain(text.clone())],
        Want::Thread => facts.threads.iter().map(|number| plain(number.to_string())).collect(),
        Want::Breakpoint => facts.breakpoints.iter().map(|number| plain(number.to_string())).collect(),
        Want::Mapping => facts.mappings.iter().filter_map(|name| mapping(name, word)).map(plain).collect(),
        Want::Process => facts.processes.iter().filter_map(|(pid, name)| process(pid.0, name, word)).collect(),
        Want::Program if !word.is_empty() && !word.contains('/') => programs(word).into_iter().map(plain).collect(),
        Want::Program | Want::File | Want::Place | Want::Symbol => Vec::new(),
    }
}

/// A mapping by its file's name, or by its path once a slash has been typed.
fn mapping(name: &str, word: &str) -> Option<String> {
    let text = if word.starts_with('/') { name } else { name.rsplit('/').next().unwrap_or(name) };
    let clean = !text.is_empty() && !text.chars().any(|c| is_hostile(c) || c.is_whitespace() || "\"'\\".contains(c));
    clean.then(|| text.to_owned())
}

/// A process by its pid, or by its name once a letter has been typed.
fn process(pid: i32, name: &str, word: &str) -> Option<Candidate> {
    let shown = format!("{pid} ({})", crate::session::page::escape(name));
    if word.is_empty() || word.starts_with(|c: char| c.is_ascii_digit()) {
        return Some(Candidate { text: pid.to_string(), shown });
    }
    let clean = !name.is_empty() && !name.chars().any(|c| is_hostile(c) || c.is_whitespace());
    let text = shlex::try_quote(name).ok().filter(|_| clean)?;
    Some(Candidate { shown: text.to_string(), text: text.into_owned() })
}

fn programs(word: &str) -> Vec<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let entries = std::env::split_paths(&path).filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let named = entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry)));
    let fitting = named.filter(|(name, _)| name.starts_with(word) && !name.chars().any(is_hostile));
    let can_run = |path: std::path::PathBuf| {
        path.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
    };
    fitting.filter(|(_, entry)| can_run(entry.path())).map(|(name, _)| name).take(MOST_PROGRAMS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Pid;
    use crate::commands::TABLE;

    fn complete(before: &str) -> Vec<String> {
        let facts = Completions {
            threads: (1..=12).collect(),
            breakpoints: vec![1, 3, 14],
            modules: crate::target::Modules::default(),
            mappings: vec!["/usr/lib/libc.so.6".into(), "[stack]".into(), "e\x1bvil".into()],
            processes: vec![(Pid(77), "postgres".into()), (Pid(1311), "goforloop".into()), (Pid(8), "e\x1bvil".into())],
        };
        candidates(&spot(TABLE, before), &facts).into_iter().map(|candidate| candidate.text).collect()
    }

    fn wants(before: &str) -> Vec<Want> {
        spot(TABLE, before).wants
    }

    #[test]
    fn the_word_at_the_cursor_is_found_through_quotes() {
        for (text, start) in
            [("", 0), ("ab", 0), ("ab ", 3), ("ab cd", 3), ("a 'b c", 2), ("a b\\ c", 2), ("a \"b\" c", 6)]
        {
            assert_eq!(word_start(text), start, "{text}");
        }
    }

    #[test]
    fn commands_come_first_by_name_and_alias() {
        assert_eq!(complete("deta"), ["detach"]);
        assert_eq!(complete("thr"), ["thread", "threads"]);
        assert!(complete("").contains(&"quit".to_owned()));
        assert!(complete("info ").contains(&"threads".to_owned()), "{:?}", complete("info "));
        assert_eq!(complete("nonsense x"), [""; 0]);
    }

    #[test]
    fn options_and_values_come_from_the_grammar() {
        assert_eq!(complete("attach --l"), ["--leash"]);
        assert_eq!(complete("attach "), ["8", "77", "1311"]);
        assert_eq!(complete("attach --leash 5s 13"), ["1311"]);
        assert_eq!(complete("attach --leash "), [""; 0]);
        assert_eq!(complete("attach po"), ["postgres"]);
        assert_eq!(complete("attach e"), [""; 0]);
        assert_eq!(complete("thread 1"), ["1", "10", "11", "12"]);
        assert_eq!(complete("thread a"), ["all"]);
        assert_eq!(complete("set col"), ["color"]);
        assert_eq!(complete("set color a"), ["always", "auto"]);
        assert_eq!(wants("exec --cwd "), [Want::File]);
        assert_eq!(wants("exec --no-aslr "), [Want::Program]);
        assert_eq!(wants("exec prog -"), [Want::File]);
        assert_eq!(wants("source x"), [Want::File]);
        assert_eq!(wants("!ls x"), [Want::File]);
    }

    #[test]
    fn registers_signals_calls_numbers_and_mappings_are_known() {
        assert_eq!(complete("print $ri"), ["$rip"]);
        assert_eq!(complete("set $rs"), ["$rsi", "$rsp"]);
        assert_eq!(complete("x/4xg *(u64*)($rb"), ["$rbp", "$rbx"]);
        assert_eq!(complete("break *1 if $r8"), ["$r8"]);
        assert_eq!(complete("on 3 print $rip"), ["$rip"]);
        assert_eq!(complete("echo $ri"), [""; 0]);
        assert_eq!(complete("$ri"), [""; 0]);
        assert_eq!(complete("regs ri"), ["rip"]);
        assert_eq!(complete("regs rip ve"), ["vec"]);
        for line in ["clear ", "enable ", "disable 3 ", "condition ", "ignore ", "on "] {
            assert_eq!(complete(line), ["1", "3", "14"], "{line}");
        }
        assert_eq!(complete("delete "), ["1", "14", "3", "breakpoints"]);
        assert_eq!(complete("on 3 detac"), ["detach"]);
        assert_eq!(complete("on 3 try clear 1"), ["1", "14"]);
        assert_eq!(complete("break *1 thread 1"), ["1", "10", "11", "12"]);
        assert_eq!(complete("handle SIGUSR"), ["SIGUSR1", "SIGUSR2"]);
        assert_eq!(complete("handle SIGUSR1 nos"), ["nostop"]);
        assert_eq!(complete("signal SIGTER"), ["SIGTERM"]);
        assert_eq!(complete("catch s"), ["signal", "syscall"]);
        assert_eq!(complete("catch signal SIGUSR1 SIGV"), ["SIGVTALRM"]);
        assert_eq!(complete("catch syscall SIG"), [""; 0]);
        assert_eq!(complete("catch syscall opena"), ["openat", "openat2"]);
        assert_eq!(complete("catch syscall group:ne"), ["group:network"]);
        assert_eq!(complete("syscall getpp"), ["getppid"]);
        assert_eq!(complete("maps li"), ["libc.so.6"]);
        assert_eq!(complete("find --i"), ["--in"]);
        assert_eq!(complete("find --in [s"), ["[stack]"]);
        assert_eq!(complete("dump out /usr/lib/li"), ["/usr/lib/libc.so.6"]);
        assert_eq!(complete("set scheduler-locking o"), ["off", "on"]);
    }

    #[test]
    fn commands_within_commands_are_followed() {
        assert_eq!(complete("thread 3 deta"), ["detach"]);
        assert_eq!(complete("try attach po"), ["postgres"]);
        assert_eq!(complete("try try thread all det"), ["detach"]);
        assert_eq!(complete("help deta"), ["detach"]);
    }
}
