//! The buffer for what a backend sends.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, BytesMut};
use tokio::io::AsyncReadExt as _;

use super::super::stream::Stream;
use crate::client_body::LONG_BODY_READ;
use crate::spare_buffers;

/// How much is read at once at first. Most responses fit.
pub(super) const FIRST_READ: usize = 8 * 1024;
/// How much is read at once of a response that always fills the buffer. It becomes [`LONG_BODY_READ`] only once
/// [`LONG_RESPONSE`] bytes were passed on, so that a response that is not read at all keeps less.
pub(super) const MAX_READ: usize = 48 * 1024;
const LONG_RESPONSE: usize = 1 << 20;
/// The same, if the client has not shown a verified token: anyone can leave such a response unread.
pub(super) const MAX_UNVERIFIED_READ: usize = 16 * 1024;

/// What was read and not passed on. It grows while a body always fills it.
pub(super) struct ReadBuffer {
    pub(super) bytes: BytesMut,
    /// How much to read at once.
    size: usize,
    is_verified: bool,
    /// How much of the response was read.
    read: usize,
}

impl Default for ReadBuffer {
    fn default() -> Self {
        Self { bytes: BytesMut::new(), size: FIRST_READ, is_verified: false, read: 0 }
    }
}

impl ReadBuffer {
    /// Sets whether the client that gets the response has shown a verified token.
    pub(super) fn serve(&mut self, is_verified: bool) {
        (self.is_verified, self.read) = (is_verified, 0);
        self.size = self.size.min(self.max());
    }

    /// Reads once. Returns the number of bytes; none if the stream has ended.
    pub(super) fn poll_more(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // A piece of a slow response may wait to be written and keep its whole buffer. The rest of the buffer is used
        // up first, so that many small pieces do not each keep one.
        let is_short = self.room() < self.size && !self.bytes.try_reclaim(self.size);
        if is_short && self.room() < self.size / 4 {
            let mut larger = spare_buffers::take(self.bytes.len() + self.size);
            larger.extend_from_slice(&self.bytes);
            self.bytes = larger;
        }
        let room = self.room();
        // It has no state of its own, so it can be made anew for each poll.
        let count = ready!(pin!(stream.read_buf(&mut (&mut self.bytes).limit(room))).poll(cx))?;
        self.read = self.read.saturating_add(count);
        if count == room {
            self.size = (self.size * 2).min(self.max());
        } else if count < self.size / 4 {
            self.size = (self.size / 2).max(FIRST_READ);
        }
        Poll::Ready(Ok(count))
    }

    /// Keeps its memory to be used again, unless it has grown.
    pub(super) fn release(self) {
        if self.size == FIRST_READ {
            spare_buffers::keep(self.bytes);
        }
    }

    /// How much can be read into it at once.
    fn room(&self) -> usize {
        (self.bytes.capacity() - self.bytes.len()).min(self.max())
    }

    /// How much may be read at once.
    fn max(&self) -> usize {
        if !self.is_verified {
            MAX_UNVERIFIED_READ
        } else if self.read < LONG_RESPONSE {
            MAX_READ
        } else {
            LONG_BODY_READ
        }
    }
}
