//! How HTTP/2 is spoken with clients.

use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;

use crate::budget::{Connection, take_turns};
use crate::connection::settings::Http2Limits;

/// What the state of a request may take: it is counted for each stream.
pub(super) const REQUEST_STATE_BYTES: usize = 16 * 1024;
/// What h2 is given of a response at once.
pub(super) const PIECE_BYTES: usize = 16 * 1024;
/// What a client may send of one request, and of all of them, before we have passed it on.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// What is held of one answer while its client does not read.
const SEND_BUFFER_BYTES: usize = 16 * 1024;
/// A client is asked for a sign of life this often, and has this long to give it.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

impl Http2Limits {
    /// What speaks HTTP/2 with one client.
    pub(super) fn builder(self, tasks: StreamTasks) -> http2::Builder<StreamTasks> {
        let mut builder = http2::Builder::new(tasks);
        // The limits on resets are hyper's own.
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.concurrent_streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(self.head_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        builder
    }
}

/// Starts a task for each stream, which takes the turns of its connection.
#[derive(Clone)]
pub(super) struct StreamTasks {
    account: Arc<Connection>,
}

impl StreamTasks {
    pub(super) fn new(account: Arc<Connection>) -> Self {
        Self { account }
    }
}

impl<F> Executor<F> for StreamTasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        tokio::spawn(take_turns(self.account.clone(), task));
    }
}
