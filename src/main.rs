//! The `godbg` program: hands the command line to the library and leaves with its exit status.
fn main() {}
