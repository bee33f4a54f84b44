//! Locks and atomics of the state that threads share: those of std or, in a build with `--cfg shuttle`, those of a model
//! checker, which runs threads in many orders and finds the one that breaks a property. The properties are in the tests
//! called `models`, which `.ci/run models` runs.

#[cfg(shuttle)]
pub use shuttle::sync::atomic;
#[cfg(all(shuttle, feature = "server"))]
pub use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(shuttle))]
pub use std::sync::atomic;
#[cfg(all(not(shuttle), feature = "server"))]
pub use std::sync::{Mutex, MutexGuard};
