//! Lingering close: reads on after our direction has ended, so that the client can read the last response.
//!
//! A socket that is closed with unread bytes is reset, and the client loses what it has not read yet (RFC 9112
//! section 9.6).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::budget::{Connection, Discarding};
use crate::config::Discard;

/// A client that sends nothing for this long has read its response.
pub(super) const QUIET_TIME: Duration = Duration::from_secs(2);

/// Reads and discards until the client closes its direction, within bounds of bytes and time.
pub(super) struct Linger {
    /// Goes off after [`QUIET_TIME`] without bytes, at the latest at `end`.
    timer: Pin<Box<Sleep>>,
    end: Instant,
    /// How many bytes may still be read.
    left: u64,
    _discarding: Discarding,
}

impl Linger {
    /// Call it when our direction has just ended.
    pub(super) fn new(discard: Discard, account: &Arc<Connection>) -> Self {
        let now = Instant::now();
        let end = now + discard.timeout;
        let timer = Box::pin(sleep_until(end.min(now + QUIET_TIME)));
        Self { timer, end, left: discard.bytes, _discarding: account.discards() }
    }

    /// Ready when the client has ended its direction too, or its time is over. Unless `patient`, it does not wait
    /// for bytes that have not arrived yet.
    pub(super) fn poll<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        patient: bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut scratch = [0; 4096];
        let mut has_read = false;
        while self.left > 0 {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.left = self.left.saturating_sub(buffer.filled().len() as u64);
                    has_read = true;
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if patient => {
                    if has_read {
                        self.timer.as_mut().reset(self.end.min(Instant::now() + QUIET_TIME));
                    }
                    return self.timer.as_mut().poll(cx);
                }
                Poll::Pending => return Poll::Ready(()),
            }
            if Instant::now() >= self.end {
                return Poll::Ready(());
            }
        }
        Poll::Ready(())
    }
}
