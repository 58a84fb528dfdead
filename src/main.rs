//! The `godbg` program: hands the command line to the library and leaves with its exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    godbg::shell::run()
}
