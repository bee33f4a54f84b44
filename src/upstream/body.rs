//! Bodies on their way through: frame by frame, never collected.

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

/// A client's body on its way to the backend.
#[derive(Debug)]
pub enum RequestBody {
    /// There is none.
    Empty,
    /// It streams; trailers are left out (RFC 9110 section 6.5.1).
    Stream {
        /// What was read of it before it was forwarded.
        ahead: ReadAhead,
        /// Where the rest comes from.
        incoming: Rest,
        /// What others need to know about it.
        progress: Arc<RequestProgress>,
        /// The most bytes it may have.
        limit: u64,
        /// Over HTTP/2, what completes its Content-Length, until END_STREAM shows that it is all: more would
        /// make the request malformed, and the backend must not take it for whole before.
        last: Option<Bytes>,
    },
}

/// The beginning of a body that was read to be judged. Mostly nothing.
#[derive(Debug, Default)]
pub struct ReadAhead {
    /// Its bytes.
    pub bytes: Bytes,
    /// Whether they are all of it.
    pub ended: bool,
}

impl ReadAhead {
    /// Takes what was read; `None` where the rest is to be read.
    fn next(&mut self) -> Option<Poll<Option<hyper::Result<Frame<Bytes>>>>> {
        match (self.bytes.is_empty(), self.ended) {
            (false, _) => Some(Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.bytes)))))),
            (true, true) => Some(Poll::Ready(None)),
            (true, false) => None,
        }
    }
}

/// What a client must send of a body on the average, in bytes per second, once it has had the idle
/// timeout: one that sends a byte a minute would hold a connection to the backend for ever.
const LEAST_RATE: u32 = 240;

/// How far a request's body has got.
#[derive(Debug)]
pub struct RequestProgress {
    started: Instant,
    unhurried: bool,
    /// The longest silence of a client that nobody knows.
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
    /// A body that is about to start. An `unhurried` one is a conversation, with long pauses. `silence` is
    /// how long the client may send nothing, if that is less than the idle timeout.
    pub fn new(unhurried: bool, silence: Option<Duration>) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            unhurried,
            silence,
            state: AtomicU8::new(STREAMING),
            bytes: AtomicU64::new(0),
            last: Mutex::new(Instant::now()),
        })
    }

    /// Whether all of it was handed on.
    pub fn is_sent(&self) -> bool {
        self.state.load(Ordering::Relaxed) == SENT
    }

    /// Whether the client is what it waits for: the backend has taken everything so far.
    pub fn is_waiting(&self) -> bool {
        self.state.load(Ordering::Relaxed) == WAITING
    }

    /// Whether the client broke it off, or framed it wrongly.
    pub fn is_broken(&self) -> bool {
        self.state.load(Ordering::Relaxed) == BROKEN
    }

    /// Whether it became larger than allowed.
    pub fn is_too_large(&self) -> bool {
        self.state.load(Ordering::Relaxed) == TOO_LARGE
    }

    /// The longest silence of its client, if that is less than the idle timeout.
    pub(super) fn silence(&self) -> Option<Duration> {
        self.silence
    }

    /// Its bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// When it last moved.
    pub fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when a client is waited for that may send nothing for so long.
    pub(super) fn patience(&self, idle_timeout: Duration) -> Instant {
        let idle_timeout = self.silence.map_or(idle_timeout, |silence| silence.min(idle_timeout));
        let silent = self.last() + idle_timeout;
        match u32::try_from(self.bytes()) {
            Ok(bytes) if !self.unhurried => {
                silent.min(self.started + idle_timeout + Duration::from_secs(1) * bytes / LEAST_RATE)
            }
            // So many bytes have earned half a year.
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
                    // Trailers could carry any field, and every check is done.
                    let Ok(data) = frame.into_data() else { continue };
                    if progress.moved(data.len() as u64) > *limit {
                        progress.becomes(TOO_LARGE);
                        return Poll::Ready(Some(Err(io::Error::other(
                            "request body is larger than allowed",
                        ))));
                    }
                    if last.is_some() {
                        // h2 lets only empty ones follow.
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
                    return Poll::Ready(Some(Err(io::Error::other(error))));
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
            // The framing stays what it was: a length for what had one, chunks for what had none.
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

/// A stream that ended without END_STREAM: hyper takes RST_STREAM with NO_ERROR for an end.
pub(super) fn cut_off() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const IDLE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_trickles_its_body_has_earned_little_time() {
        let (body, conversation) = (RequestProgress::new(false, None), RequestProgress::new(true, None));
        let began = Instant::now();
        assert_eq!(body.patience(IDLE), began + IDLE);
        advance(Duration::from_secs(50)).await;
        for progress in [&body, &conversation] {
            progress.moved(u64::from(LEAST_RATE));
        }
        assert_eq!(body.patience(IDLE), began + IDLE + Duration::from_secs(1));
        assert_eq!(conversation.patience(IDLE), Instant::now() + IDLE);
        body.moved(u64::from(LEAST_RATE) * 100);
        assert_eq!(body.patience(IDLE), Instant::now() + IDLE, "silence still counts");
        body.moved(u64::from(u32::MAX));
        assert_eq!(body.patience(IDLE), Instant::now() + IDLE);
    }
}
