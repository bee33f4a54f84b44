//! The buffer for what a backend sends.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, BytesMut};
use tokio::io::AsyncReadExt as _;

use super::super::stream::Stream;
use crate::spare_buffers;

/// How much is read at once at first. Most responses fit.
pub(super) const FIRST_READ: usize = 8 * 1024;
/// How much is read at once of a response that always fills the buffer.
pub(super) const MAX_READ: usize = 48 * 1024;
/// The same, if the client has not shown a verified token: anyone can leave such a response unread.
pub(super) const MAX_UNVERIFIED_READ: usize = 16 * 1024;

/// What was read and not passed on. It grows while a body always fills it.
pub(super) struct ReadBuffer {
    pub(super) bytes: BytesMut,
    /// How much to read at once.
    size: usize,
    /// How much it may become.
    max: usize,
}

impl Default for ReadBuffer {
    fn default() -> Self {
        Self { bytes: BytesMut::new(), size: FIRST_READ, max: MAX_UNVERIFIED_READ }
    }
}

impl ReadBuffer {
    /// Sets whether the client that gets the response has shown a verified token.
    pub(super) fn serve(&mut self, is_verified: bool) {
        self.max = if is_verified { MAX_READ } else { MAX_UNVERIFIED_READ };
        self.size = self.size.min(self.max);
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
        if count == room {
            self.size = (self.size * 2).min(self.max);
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
        (self.bytes.capacity() - self.bytes.len()).min(self.max)
    }
}
