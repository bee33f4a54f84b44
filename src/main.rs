//! The `metagate` executable: arguments, then [`metagate::command`]. Exit codes live here.

use std::process::ExitCode;

fn main() -> ExitCode {
    metagate::command::main()
}
