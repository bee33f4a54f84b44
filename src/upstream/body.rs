//! Request bodies, streamed to the backend frame by frame and never collected.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::Rest;

/// The body of a request to the backend.
#[derive(Debug)]
pub enum RequestBody {
    /// No body.
    Empty,
    /// A streamed body, without its trailers (RFC 9110 section 6.5.1).
    Stream {
        /// What was read of it before it was forwarded.
        ahead: ReadAhead,
        /// Where the rest comes from.
        incoming: Rest,
        /// Its progress, which the exchange and the timeouts read.
        progress: Arc<RequestProgress>,
        /// The maximum size in bytes.
        limit: u64,
        /// Over HTTP/2, the data that completes the Content-Length, held back until END_STREAM. Further data would
        /// make the request malformed, and the backend must not take it for complete before.
        last: Option<Bytes>,
    },
}

/// The beginning of a body, if it was read before the decision. Usually empty.
#[derive(Debug, Default)]
pub struct ReadAhead {
    /// Its bytes.
    pub bytes: Bytes,
    /// Whether they are the whole body.
    pub ended: bool,
}

impl ReadAhead {
    /// Takes what was read; `None` if the rest must be read from the client.
    fn next(&mut self) -> Option<Poll<Option<io::Result<Frame<Bytes>>>>> {
        match (self.bytes.is_empty(), self.ended) {
            (false, _) => Some(Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.bytes)))))),
            (true, true) => Some(Poll::Ready(None)),
            (true, false) => None,
        }
    }
}

/// The average rate at which a client must send a body, in bytes per second, once the idle timeout has passed.
/// Otherwise a client that sends a byte a minute would occupy a connection to the backend forever.
const MIN_RATE: u32 = 240;

/// The progress of a request's body.
#[derive(Debug)]
pub struct RequestProgress {
    started: Instant,
    interactive: bool,
    /// How long an unverified client may send nothing.
    silence: Option<Duration>,
    state: AtomicU8,
    bytes: AtomicU64,
    last: Mutex<Instant>,
}

const STREAMING: u8 = 0;
const WAITING: u8 = 1;
const SENT: u8 = 2;
const BROKEN: u8 = 3;
const TOO_LARGE: u8 = 4;

impl RequestProgress {
    /// The progress of a body that is about to start. An `interactive` one may have long pauses. `silence` is how long
    /// the client may send nothing, if that is less than the idle timeout.
    pub fn new(interactive: bool, silence: Option<Duration>) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            interactive,
            silence,
            state: AtomicU8::new(STREAMING),
            bytes: AtomicU64::new(0),
            last: Mutex::new(Instant::now()),
        })
    }

    /// Whether all of it was forwarded.
    pub fn is_sent(&self) -> bool {
        self.state.load(Ordering::Relaxed) == SENT
    }

    /// Whether it waits for the client: the backend has taken everything so far.
    pub fn is_waiting(&self) -> bool {
        self.state.load(Ordering::Relaxed) == WAITING
    }

    /// Whether the client ended it early or framed it wrongly.
    pub fn is_broken(&self) -> bool {
        self.state.load(Ordering::Relaxed) == BROKEN
    }

    /// Whether it exceeded its maximum size.
    pub fn is_too_large(&self) -> bool {
        self.state.load(Ordering::Relaxed) == TOO_LARGE
    }

    /// How long its client may send nothing, if that is less than the idle timeout.
    pub(super) fn silence(&self) -> Option<Duration> {
        self.silence
    }

    /// The number of bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The time of the last progress.
    pub fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when to wait for the client.
    pub(super) fn patience(&self, idle_timeout: Duration) -> Instant {
        let idle_timeout = self.silence.map_or(idle_timeout, |silence| silence.min(idle_timeout));
        let silent = self.last() + idle_timeout;
        match u32::try_from(self.bytes()) {
            Ok(bytes) if !self.interactive => {
                silent.min(self.started + idle_timeout + Duration::from_secs(1) * bytes / MIN_RATE)
            }
            // At `MIN_RATE` so many bytes take half a year.
            _ => silent,
        }
    }

    pub(super) fn moved(&self, bytes: u64) -> u64 {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    fn becomes(&self, state: u8) {
        self.state.store(state, Ordering::Relaxed);
    }
}

impl RequestBody {
    /// Takes back data that came from here, if it was not sent.
    pub(super) fn unread(&mut self, data: Bytes) {
        if let Self::Stream { ahead, progress, .. } = self {
            progress.bytes.fetch_sub(data.len() as u64, Ordering::Relaxed);
            progress.becomes(STREAMING);
            ahead.bytes = data;
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Self::Stream { ahead, incoming, progress, limit, last } = self.get_mut() else {
            return Poll::Ready(None);
        };
        loop {
            let frame = ahead.next().unwrap_or_else(|| incoming.poll_frame(cx));
            let Poll::Ready(frame) = frame else {
                progress.becomes(WAITING);
                return Poll::Pending;
            };
            progress.becomes(STREAMING);
            match frame {
                Some(Ok(frame)) => {
                    // Trailers could contain any field after all checks are done, so they are dropped.
                    let Ok(data) = frame.into_data() else { continue };
                    if progress.moved(data.len() as u64) > *limit {
                        progress.becomes(TOO_LARGE);
                        return Poll::Ready(Some(Err(io::Error::other(
                            "request body is larger than allowed",
                        ))));
                    }
                    if last.is_some() {
                        // h2 lets only empty frames follow.
                        continue;
                    }
                    if ahead.ended || incoming.is_end_stream() {
                        progress.becomes(SENT);
                    } else if incoming.is_http2() && incoming.size_hint().exact() == Some(0) {
                        *last = Some(data);
                        continue;
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => {
                    progress.becomes(BROKEN);
                    return Poll::Ready(Some(Err(error)));
                }
                None if incoming.is_http2() && !incoming.is_end_stream() => {
                    progress.becomes(BROKEN);
                    return Poll::Ready(Some(Err(cut_off())));
                }
                None => {
                    progress.becomes(SENT);
                    return Poll::Ready(last.take().map(|data| Ok(Frame::data(data))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream { ahead, incoming, last, .. } => {
                ahead.bytes.is_empty() && last.is_none() && incoming.is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            // Keeps the framing: a body with a length keeps it, one without is chunked.
            Self::Stream { ahead, incoming, last, .. } => {
                let last = last.as_ref().map_or(0, Bytes::len);
                let (rest, ahead) = (incoming.size_hint(), (ahead.bytes.len() + last) as u64);
                let mut hint = SizeHint::new();
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper.saturating_add(ahead));
                }
                hint.set_lower(rest.lower().saturating_add(ahead));
                hint
            }
        }
    }
}

/// The error for a stream that ended without END_STREAM. hyper treats RST_STREAM with NO_ERROR as an end.
pub(super) fn cut_off() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const IDLE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_trickles_its_body_gets_time_for_the_bytes_it_sent() {
        let (body, interactive) = (RequestProgress::new(false, None), RequestProgress::new(true, None));
        let began = Instant::now();
        assert_eq!(body.patience(IDLE), began + IDLE);
        advance(Duration::from_secs(50)).await;
        for progress in [&body, &interactive] {
            progress.moved(u64::from(MIN_RATE));
        }
        assert_eq!(body.patience(IDLE), began + IDLE + Duration::from_secs(1));
        assert_eq!(interactive.patience(IDLE), Instant::now() + IDLE);
        body.moved(u64::from(MIN_RATE) * 100);
        assert_eq!(body.patience(IDLE), Instant::now() + IDLE, "silence still counts");
        body.moved(u64::from(u32::MAX));
        assert_eq!(body.patience(IDLE), Instant::now() + IDLE);
    }
}
