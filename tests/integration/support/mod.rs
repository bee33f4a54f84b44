//! What the black-box tests are made of: keys and tokens made here, a key server, an upstream that
//! records what it gets, a client that speaks bytes, and the built executable between them.
//!
//! Plain threads and blocking sockets throughout: a client or server library would tidy up the very
//! bytes under test. Nothing waits for a fixed time; every wait has a condition and [`DEADLINE`].

pub mod gateway;
pub mod http2;
pub mod issuer;
pub mod keys;
pub mod message;
pub mod metrics;
pub mod raw_rsa;
mod self_test;
pub mod stage;
pub mod stub;
pub mod token;
pub mod upstream;
pub mod wire;

use std::time::{Duration, Instant};

/// How long any wait may take before it is a failure.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Asks again and again, giving way in between, until there is an answer.
///
/// # Panics
/// When [`DEADLINE`] passes first, with `what` as the reason.
#[track_caller]
pub fn eventually<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain for {what}");
        std::thread::yield_now();
    }
}
