//! The HTTP/2 settings of client connections.

use crate::budget::Connection;
use crate::connection::settings::Http2Limits;

/// How much of a response body h2 is given at once.
pub(super) const PIECE_BYTES: usize = 16 * 1024;
/// How much a client may send of one request, and of all together, before it is passed on.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// The largest window (RFC 9113 section 6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;
/// How much of one response is buffered while its client does not read.
const SEND_BUFFER_BYTES: usize = 16 * 1024;
/// The longest payload of a frame that is accepted: the default of SETTINGS_MAX_FRAME_SIZE.
const FRAME_BYTES: u32 = 16 * 1024;

impl Http2Limits {
    /// How h2 serves a connection with this account.
    pub(super) fn builder(self, account: &Connection) -> h2::server::Builder {
        let mut builder = h2::server::Builder::new();
        // h2's defaults limit resets.
        builder
            .max_concurrent_streams(self.concurrent_streams)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(self.connection_window(account))
            .max_frame_size(FRAME_BYTES)
            .max_header_list_size(u32::try_from(self.head_bytes).unwrap_or(u32::MAX))
            .max_send_buffer_size(SEND_BUFFER_BYTES);
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
