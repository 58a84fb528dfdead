//! The command table: one file a command, one line a command here, in the order of `help`.

use crate::session::Commands;

mod attach;
mod catch;
mod continue_;
mod detach;
mod echo;
mod exec;
mod handle;
mod help;
mod history;
mod interrupt;
mod kill;
mod maintenance;
mod ps;
mod queue_signal;
mod quit;
mod set;
mod shell;
mod show;
mod signal;
mod signals;
mod sleep;
mod source;
mod status;
mod tcatch;
mod thread;
mod threads;
mod try_;
mod wait;

/// All commands.
pub const TABLE: Commands = Commands(&[
    attach::COMMAND,
    detach::COMMAND,
    exec::COMMAND,
    kill::COMMAND,
    ps::COMMAND,
    status::COMMAND,
    threads::COMMAND,
    thread::COMMAND,
    continue_::COMMAND,
    interrupt::COMMAND,
    wait::COMMAND,
    catch::COMMAND,
    tcatch::COMMAND,
    handle::COMMAND,
    signals::COMMAND,
    signal::COMMAND,
    queue_signal::COMMAND,
    sleep::COMMAND,
    echo::COMMAND,
    source::COMMAND,
    try_::COMMAND,
    shell::COMMAND,
    history::COMMAND,
    set::COMMAND,
    show::COMMAND,
    help::COMMAND,
    quit::COMMAND,
    maintenance::COMMAND,
]);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_is_claimed_twice() {
        let mut seen = HashSet::new();
        for command in TABLE.0 {
            for name in command.aliases.iter().chain([&command.name]) {
                assert!(seen.insert(*name), "{name} is claimed twice");
            }
            assert!(!command.summary.ends_with('.'), "{}", command.name);
        }
    }

    #[test]
    fn every_grammar_is_sound_and_has_a_usage() {
        for command in TABLE.0 {
            (command.args)().name(command.name).debug_assert();
            assert!(crate::session::command::usage(command).starts_with(command.name), "{}", command.name);
        }
    }

    #[test]
    fn a_few_options_are_spelled_out_in_the_usage() {
        let usage_of = |name: &str| {
            let command = TABLE.0.iter().find(|command| command.name == name);
            crate::session::command::usage(command.expect("a command"))
        };
        assert_eq!(usage_of("attach"), "attach [--leash <DURATION>] <PID|NAME>");
        assert!(usage_of("exec").starts_with("exec [OPTIONS] "), "{}", usage_of("exec"));
    }
}
