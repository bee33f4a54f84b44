//! The HTTP/2 settings of client connections.

use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;

use crate::budget::{Connection, take_turns};
use crate::connection::settings::Http2Limits;

/// The largest state of a request's task. It is charged for each stream.
pub(super) const REQUEST_STATE_BYTES: usize = 16 * 1024;
/// How much of a response body h2 is given at once.
pub(super) const PIECE_BYTES: usize = 16 * 1024;
/// How much a client may send of one request, and of all together, before it is passed on.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// The largest window (RFC 9113 section 6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;
/// How much of one response is buffered while its client does not read.
const SEND_BUFFER_BYTES: usize = 16 * 1024;
/// How often a client gets a PING, and how long it has to acknowledge it.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

impl Http2Limits {
    pub(super) fn builder(self, tasks: StreamTasks) -> http2::Builder<StreamTasks> {
        let connection_window = self.connection_window(&tasks.account);
        let mut builder = http2::Builder::new(tasks);
        // hyper's defaults limit resets.
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.concurrent_streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(connection_window)
            .max_header_list_size(u32::try_from(self.head_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        builder
    }

    /// A trusted proxy's connection serves many clients. It has room for the window of every stream, so that uploads
    /// that the backend does not read cannot block those of other clients.
    fn connection_window(self, account: &Connection) -> u32 {
        if account.has_share() {
            return CONNECTION_WINDOW;
        }
        STREAM_WINDOW.saturating_mul(self.concurrent_streams).clamp(CONNECTION_WINDOW, MAX_WINDOW)
    }
}

/// Spawns a task for each stream, which takes turns with the other tasks of its client.
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
