//! Building blocks of the black-box tests: generated keys and tokens, a key server, an upstream
//! that records what it receives, a client that sends raw bytes, and the built executable between
//! them.
//!
//! Only threads and blocking sockets: a client or server library would normalize the very bytes
//! under test. Nothing sleeps for a fixed time; every wait has a condition and [`DEADLINE`].

pub mod gateway;
pub mod http2;
pub mod https;
pub mod issuer;
pub mod keys;
pub mod message;
pub mod metrics;
pub mod raw_rsa;
pub mod revocation_store;
mod self_test;
pub mod stage;
pub mod stub;
pub mod token;
pub mod upstream;
pub mod wire;

use std::time::{Duration, Instant};

/// How long any wait may take before the test fails.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Polls until there is a result, yielding in between.
///
/// # Panics
/// If [`DEADLINE`] passes first, with `what` in the message.
#[track_caller]
pub fn eventually<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "waited {DEADLINE:?} for {what}");
        std::thread::yield_now();
    }
}
