//! The command table: one file a command, one line a command here, in the order of `help`.

use crate::session::Commands;

mod address;
mod advance;
mod attach;
mod auxv;
mod awatch;
mod backtrace;
mod break_;
mod breakpoints;
mod catch;
mod clear;
mod clearall;
mod condition;
mod continue_;
mod debuginfo;
mod detach;
mod disable;
mod disassemble;
mod down;
mod dump;
mod echo;
mod enable;
mod environ;
mod exec;
mod fds;
mod fetch;
mod find;
mod finish;
mod frame;
mod functions;
mod gcore;
mod goroutine;
mod goroutines;
mod handle;
mod hbreak;
mod help;
mod history;
mod ignore;
mod interrupt;
mod kill;
mod libraries;
mod line;
mod list;
mod maintenance;
mod maps;
mod nexti;
mod on;
mod print;
mod process;
mod processes;
mod ps;
mod queue_signal;
mod quit;
mod rbreak;
mod regs;
mod repair;
mod restore;
mod rwatch;
mod scope;
mod set;
mod shell;
mod show;
mod signal;
mod signals;
mod sleep;
mod source;
mod sources;
mod stacks;
mod status;
mod stepi;
mod symbol;
mod syscall;
mod tbreak;
mod tcatch;
mod thread;
mod threads;
mod trace;
mod try_;
mod types;
mod until;
mod up;
mod variables;
mod wait;
mod watch;
mod x;

/// All commands.
pub const TABLE: Commands = Commands(&[
    attach::COMMAND,
    detach::COMMAND,
    exec::COMMAND,
    kill::COMMAND,
    repair::COMMAND,
    ps::COMMAND,
    processes::COMMAND,
    process::COMMAND,
    status::COMMAND,
    threads::COMMAND,
    thread::COMMAND,
    goroutines::COMMAND,
    goroutine::COMMAND,
    backtrace::COMMAND,
    frame::COMMAND,
    up::COMMAND,
    down::COMMAND,
    stacks::COMMAND,
    continue_::COMMAND,
    interrupt::COMMAND,
    wait::COMMAND,
    catch::COMMAND,
    tcatch::COMMAND,
    break_::COMMAND,
    tbreak::COMMAND,
    hbreak::COMMAND,
    rbreak::COMMAND,
    watch::COMMAND,
    rwatch::COMMAND,
    awatch::COMMAND,
    trace::COMMAND,
    breakpoints::COMMAND,
    enable::COMMAND,
    disable::COMMAND,
    clear::COMMAND,
    clearall::COMMAND,
    condition::COMMAND,
    ignore::COMMAND,
    on::COMMAND,
    stepi::COMMAND,
    nexti::COMMAND,
    finish::COMMAND,
    until::COMMAND,
    advance::COMMAND,
    handle::COMMAND,
    signals::COMMAND,
    signal::COMMAND,
    queue_signal::COMMAND,
    gcore::COMMAND,
    syscall::COMMAND,
    x::COMMAND,
    find::COMMAND,
    dump::COMMAND,
    restore::COMMAND,
    maps::COMMAND,
    fds::COMMAND,
    auxv::COMMAND,
    environ::COMMAND,
    disassemble::COMMAND,
    regs::COMMAND,
    print::COMMAND,
    set::COMMAND,
    list::COMMAND,
    functions::COMMAND,
    variables::COMMAND,
    types::COMMAND,
    sources::COMMAND,
    line::COMMAND,
    symbol::COMMAND,
    address::COMMAND,
    scope::COMMAND,
    libraries::COMMAND,
    debuginfo::COMMAND,
    fetch::COMMAND,
    sleep::COMMAND,
    echo::COMMAND,
    source::COMMAND,
    try_::COMMAND,
    shell::COMMAND,
    history::COMMAND,
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
