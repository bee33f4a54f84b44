//! The `metagate` executable. Everything is in [`metagate::command`].

use std::process::ExitCode;

/// Unlike glibc's allocator, mimalloc returns memory to the system soon after a burst of connections, and reserves
/// little address space for each thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    metagate::command::main()
}
