//! Reads and discards the rest of a request body after an early response.
//!
//! A client may read the response only after it has sent its whole body, and loses the response if its connection or
//! stream is reset before (RFC 9112 section 9.6, RFC 9113 section 8.1).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::budget::{Connection, NamedClient, take_named_turns, take_turns};
use crate::client_body::ClientBody;
use crate::config;

/// A client that sends nothing for this long has read its response.
const QUIET_TIME: Duration = Duration::from_secs(2);
/// How much the HTTP layer may buffer of a body that is not read yet.
pub const BODY_BUFFER_BYTES: usize = 64 * 1024;

/// Discards request bodies of one connection, within limits on bytes and time.
#[derive(Clone, Debug)]
pub struct Discarder {
    limits: config::Discard,
    account: Arc<Connection>,
    named: NamedClient,
}

impl Discarder {
    /// A discarder for the connection with this account, or for the client that is named.
    pub fn new(limits: config::Discard, account: Arc<Connection>, named: NamedClient) -> Self {
        Self { limits, account, named }
    }

    /// How many bytes of a body are read at most.
    pub fn bytes(&self) -> u64 {
        self.limits.bytes
    }

    /// Reads the rest of a body while the response is sent. At the limit the body is dropped, which ends the stream or
    /// the connection.
    /// Only for HTTP/2: an HTTP/1 connection discards its own.
    pub fn discard(self, body: ClientBody) {
        if !body.is_http2() || body.is_end_stream() || self.limits.bytes == 0 {
            return;
        }
        // Without a runtime the process is ending, and the connection with it.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(take_turns(self.account.clone(), self.read(body)));
        }
    }

    async fn read(self, body: ClientBody) {
        take_named_turns(&self.account, &self.named, pin!(self.read_rest(body))).await;
    }

    async fn read_rest(&self, mut body: ClientBody) {
        let (_discarding, _buffers) = (self.account.discards(), self.account.charge(BODY_BUFFER_BYTES));
        let end = Instant::now() + self.limits.timeout;
        let mut left = self.limits.bytes;
        while let Ok(Some(Ok(frame))) = timeout(frame_timeout(end), body.frame()).await {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(rest) = left.checked_sub(length) else { return };
            left = rest;
        }
    }
}

fn frame_timeout(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now()).min(QUIET_TIME)
}
