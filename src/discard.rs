//! Reading and throwing away what is left of a request's body.
//!
//! A client that sends a body may look for its answer only when it has sent all of it, and loses the
//! answer if its connection or stream is reset before (RFC 9112 section 9.6, RFC 9113 section 8.1).

use std::sync::Arc;
use std::time::Duration;

use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::budget::{Connection, take_turns};
use crate::config;

/// A client that sends nothing for so long has read its answer.
const QUIET_TIME: Duration = Duration::from_secs(2);
/// What the HTTP layer may buffer of a body that nobody reads yet.
pub const BODY_BUFFER_BYTES: usize = 64 * 1024;

/// Throws bodies of one connection away, within a bound of bytes and time.
#[derive(Clone, Debug)]
pub struct Discarder {
    limits: config::Discard,
    account: Arc<Connection>,
}

impl Discarder {
    /// For the bodies of a connection.
    pub fn new(limits: config::Discard, account: Arc<Connection>) -> Self {
        Self { limits, account }
    }

    /// The most that is read, in bytes.
    pub fn bytes(&self) -> u64 {
        self.limits.bytes
    }

    /// Reads the rest of a body while its request is answered. When the bound is reached the body is
    /// let go, which ends the stream, or the connection.
    pub fn discard(self, body: Incoming) {
        if body.is_end_stream() || self.limits.bytes == 0 {
            return;
        }
        // A body may be dropped while the runtime ends, and its connection with it.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(take_turns(self.account.clone(), self.read(body)));
        }
    }

    async fn read(self, mut body: Incoming) {
        let _buffers = self.account.charge(BODY_BUFFER_BYTES);
        let end = Instant::now() + self.limits.timeout;
        let mut left = self.limits.bytes;
        while let Ok(Some(Ok(frame))) = timeout(self.patience(end), body.frame()).await {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(rest) = left.checked_sub(length) else { return };
            left = rest;
        }
    }

    fn patience(&self, end: Instant) -> Duration {
        end.saturating_duration_since(Instant::now()).min(QUIET_TIME)
    }
}
