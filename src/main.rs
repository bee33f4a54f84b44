//! The `metagate` executable. Everything is in [`metagate::command`].

use std::alloc::GlobalAlloc;
use std::process::ExitCode;

use mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Links mimalloc, which takes the place of libc's `malloc`. As the global allocator it would be called with an alignment
    // each time, which takes 60 instructions more and for many sizes a larger block.
    std::hint::black_box(MiMalloc::alloc as unsafe fn(&_, _) -> _);
    metagate::command::main()
}
