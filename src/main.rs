//! The `metagate` executable: arguments, then [`metagate::command`]. Exit codes live here.

use std::process::ExitCode;

/// Gives memory back to the system soon after a burst of connections, which glibc's allocator does not,
/// and reserves little address space for each thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    metagate::command::main()
}
