//! Locks, atomics, swapped pointers, threads and tasks of the state that threads share: those of std, arc-swap and tokio
//! or, in a build with `--cfg shuttle`, those of a model checker, which runs threads in many orders and finds the one that
//! breaks a property. The properties are in the tests called `models`, which `.ci/run models` runs.
//!
//! What tokio and moka make (`watch`, `Notify`, `Semaphore`, channels, caches) is one step in a model: their authors check it
//! themselves. [`step`] lets another thread run before such a step.

pub use implementation::atomic;
#[cfg(feature = "server")]
pub use implementation::{ArcSwap, Condvar, Guard, Mutex, MutexGuard, step, task, thread};

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
    #[cfg(feature = "server")]
    pub use tokio::task;

    /// A point at which a model may run another thread.
    #[cfg(feature = "server")]
    pub const fn step() {}
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

    /// No time passes in a model. To yield would wake the task, and so hide that nothing else does.
    #[cfg(feature = "server")]
    pub fn step() {
        thread::sleep(std::time::Duration::ZERO);
    }

    /// In place of tokio's tasks, some of which run on threads that the model checker does not see.
    #[cfg(feature = "server")]
    pub mod task {
        pub use shuttle::future::{JoinHandle, spawn};

        pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
            spawn(async { work() })
        }
    }
}

#[cfg(all(test, shuttle))]
mod model;
#[cfg(all(shuttle, feature = "server"))]
mod swap;

#[cfg(all(test, shuttle))]
pub use model::check;
