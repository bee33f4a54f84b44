//! Locks, atomics, swapped pointers and threads of the state that threads share: those of std and arc-swap or, in a build
//! with `--cfg shuttle`, those of a model checker, which runs threads in many orders and finds the one that breaks a
//! property. The properties are in the tests called `models`, which `.ci/run models` runs.
//!
//! What tokio makes (`watch`, `Notify`, `Semaphore`) is one step in a model: its authors check it themselves.

pub use implementation::atomic;
#[cfg(feature = "server")]
pub use implementation::{ArcSwap, Condvar, Guard, Mutex, MutexGuard, thread};

#[cfg(not(shuttle))]
mod implementation {
    pub use std::sync::atomic;
    #[cfg(feature = "server")]
    pub use std::{
        sync::{Condvar, Mutex, MutexGuard},
        thread,
    };

    #[cfg(feature = "server")]
    pub use arc_swap::{ArcSwap, Guard};
}

#[cfg(shuttle)]
mod implementation {
    pub use shuttle::sync::atomic;
    #[cfg(feature = "server")]
    pub use shuttle::{
        sync::{Condvar, Mutex, MutexGuard},
        thread,
    };

    #[cfg(feature = "server")]
    pub use super::swap::{ArcSwap, Guard};
}

#[cfg(all(test, shuttle))]
mod model;
#[cfg(all(shuttle, feature = "server"))]
mod swap;

#[cfg(all(test, shuttle))]
pub use model::check;
