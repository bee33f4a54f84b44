//! The end of a connection: a socket that is closed with bytes unread is reset, and what the client
//! has not read yet is lost with it (RFC 9112 section 9.6).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::Discard;

/// A client that sends nothing for so long has read what it was sent.
pub(super) const QUIET_TIME: Duration = Duration::from_secs(2);

/// Reads until the client has seen our end.
pub(super) struct Linger {
    /// The end of the quiet time, or of all.
    timer: Pin<Box<Sleep>>,
    end: Instant,
    left: u64,
}

impl Linger {
    /// Our direction has just ended.
    pub(super) fn new(discard: Discard) -> Self {
        let now = Instant::now();
        let end = now + discard.timeout;
        Self { timer: Box::pin(sleep_until(end.min(now + QUIET_TIME))), end, left: discard.bytes }
    }

    /// Ready when the client has ended its direction too, or has had its time. One that owes us
    /// nothing is not `patient`ly waited for.
    pub(super) fn poll<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        patient: bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut scratch = [0; 4096];
        let mut moved = false;
        while self.left > 0 {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.left = self.left.saturating_sub(buffer.filled().len() as u64);
                    moved = true;
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if patient => {
                    if moved {
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
