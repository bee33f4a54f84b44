//! The end of a connection: a socket that is closed with bytes unread is reset, and what the client
//! has not read yet is lost with it (RFC 9112 section 9.6).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long, and how much, is read and thrown away after the last answer.
pub(super) const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 << 20;

/// Reads until the client has seen our end.
pub(super) struct Linger {
    timer: Pin<Box<Sleep>>,
    left: usize,
}

impl Linger {
    /// Our direction has just ended.
    pub(super) fn new() -> Self {
        Self { timer: Box::pin(sleep_until(Instant::now() + LINGER_TIME)), left: LINGER_BYTES }
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
        while self.left > 0 {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.left = self.left.saturating_sub(buffer.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if patient => return self.timer.as_mut().poll(cx),
                Poll::Pending => return Poll::Ready(()),
            }
        }
        Poll::Ready(())
    }
}
