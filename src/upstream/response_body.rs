//! The backend's response body, streamed to the client frame by frame and never collected.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::body::cut_off;
use super::http1::Http1Connection;
use super::http2::Slot;
use super::pool::Http1Pool;
use super::stream::{Stream, SwitchedStream};
use crate::revocation::Revoked;
use crate::revocation_list::TokenWatch;

/// The backend's response body. When it ends, its connection returns to the pool; when it is dropped earlier, its
/// connection closes.
pub struct ResponseBody {
    source: Source,
    idle_timeout: Duration,
    /// When to cut it off.
    until: Option<Instant>,
    /// Cuts it off when this token is revoked.
    token: Option<TokenWatch>,
    /// Created on the first wait: most responses arrive in one piece.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the last poll found nothing.
    is_waiting: bool,
}

/// Where a body comes from.
pub(super) enum Source {
    Http1(Http1Response),
    Http2 { incoming: Incoming, slot: Option<Slot> },
}

/// The rest of a response, on a connection of its own.
pub(super) struct Http1Response {
    /// None once the response has ended, was cut off, or has become a tunnel.
    connection: Option<Box<Http1Connection>>,
    pool: Arc<Http1Pool>,
    lifetime: Duration,
    is_whole: bool,
}

impl Http1Response {
    /// The head of the response was read. The connection returns to the pool for at most `lifetime`.
    pub(super) fn new(connection: Box<Http1Connection>, pool: Arc<Http1Pool>, lifetime: Duration) -> Self {
        let mut response = Self { connection: Some(connection), pool, lifetime, is_whole: false };
        response.settle();
        response
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(connection) = &mut self.connection else {
            // A response that was cut off never looks whole.
            return Poll::Ready((!self.is_whole).then(|| Err(cut_off())));
        };
        let frame = ready!(connection.poll_frame(cx));
        match &frame {
            Some(Err(_)) => self.connection = None,
            Some(Ok(_)) | None => self.settle(),
        }
        Poll::Ready(frame)
    }

    /// Returns the connection to the pool, or closes it, once the response has ended. A body with a length is not polled
    /// until `None`, so this is checked after every frame.
    fn settle(&mut self) {
        if self.is_whole || !self.connection.as_ref().is_some_and(|connection| connection.is_ended()) {
            return;
        }
        self.is_whole = true;
        if let Some(connection) = self.connection.take_if(|connection| !connection.is_switched())
            && connection.is_reusable()
            && !self.lifetime.is_zero()
        {
            self.pool.check_in(connection, self.lifetime);
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.connection {
            _ if self.is_whole => SizeHint::with_exact(0),
            Some(connection) => connection.left().map_or_else(SizeHint::new, SizeHint::with_exact),
            None => SizeHint::new(),
        }
    }
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let (incoming, slot) = match self {
            Self::Http1(response) => return response.poll_frame(cx),
            Self::Http2 { incoming, slot } => (incoming, slot),
        };
        let frame = match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
            Some(frame) => Some(frame.map_err(io::Error::other)),
            None if !incoming.is_end_stream() => Some(Err(cut_off())),
            None => None,
        };
        if !matches!(frame, Some(Ok(_))) || incoming.is_end_stream() {
            *slot = None;
        }
        Poll::Ready(frame)
    }

    /// Closes the connection, or gives up the stream.
    fn cut(&mut self) {
        match self {
            Self::Http1(response) => response.connection = None,
            Self::Http2 { slot, .. } => *slot = None,
        }
    }
}

impl ResponseBody {
    pub(super) fn new(source: Source, idle_timeout: Duration) -> Self {
        Self { source, idle_timeout, until: None, token: None, timer: None, is_waiting: false }
    }

    /// The backend's connection, after a 101 (Switching Protocols).
    pub fn take_switched(&mut self) -> Option<SwitchedStream<Stream>> {
        match &mut self.source {
            Source::Http1(response) => response.connection.take()?.into_switched(),
            Source::Http2 { .. } => None,
        }
    }

    /// Cuts the body off at this time, if it is still streaming.
    pub fn ends_by(&mut self, until: Instant) {
        self.until = Some(until);
    }

    /// Cuts the body off when this token is revoked, if it is still streaming.
    pub fn ends_with(&mut self, token: TokenWatch) {
        self.token = Some(token);
    }

    /// The entry that revoked the token of its request, if one did.
    pub fn revoked_by(&mut self) -> Option<Box<Revoked>> {
        self.token.as_mut()?.revoked_by()
    }

    /// When to cut it off: after the idle timeout, or at the time that was set.
    fn deadline(&self) -> Instant {
        let silent = Instant::now() + self.idle_timeout;
        self.until.map_or(silent, |until| until.min(silent))
    }

    /// Closes the backend's connection or stream too, and returns the error.
    fn cut(&mut self, why: io::ErrorKind) -> io::Error {
        self.source.cut();
        why.into()
    }

    /// Ready when the backend has been silent for too long. The time counts from the first poll that finds nothing: a
    /// body is not polled while its client does not read.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline();
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if !std::mem::replace(&mut self.is_waiting, true) {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.until.is_some_and(|until| until <= Instant::now()) {
            return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
        }
        if this.revoked_by().is_some() {
            return Poll::Ready(Some(Err(this.cut(io::ErrorKind::PermissionDenied))));
        }
        match this.source.poll_frame(cx) {
            Poll::Pending => {
                // An error, not an end: the client must see that the response is incomplete.
                if this.poll_idle(cx).is_ready() {
                    return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
                }
                match this.token.as_mut().map(|token| token.poll_revoked(cx)) {
                    Some(Poll::Ready(_)) => Poll::Ready(Some(Err(this.cut(io::ErrorKind::PermissionDenied)))),
                    Some(Poll::Pending) | None => Poll::Pending,
                }
            }
            Poll::Ready(frame) => {
                this.is_waiting = false;
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Http1(response) => response.is_whole,
            Source::Http2 { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Http1(response) => response.size_hint(),
            Source::Http2 { incoming, .. } => incoming.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http::Method;
    use http::uri::PathAndQuery;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::UnixStream;
    use tokio::time::advance;

    use super::super::RequestBody;
    use super::*;
    use crate::http1::{HeadWriter, RequestFraming};

    const IDLE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn the_time_in_which_a_body_is_not_polled_is_no_silence_of_the_backend() {
        let (ours, mut backend) = UnixStream::pair().expect("a pair");
        let mut connection = Http1Connection::new(Stream::Unix(ours));
        let head = HeadWriter {
            method: &Method::GET,
            prefix: "",
            target: &PathAndQuery::from_static("/a"),
            headers: &crate::message::Fields::new(),
            framing: RequestFraming::Unstated,
        };
        connection.begin(&head, RequestBody::Empty);
        backend.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").await.expect("room");
        std::future::poll_fn(|cx| connection.poll_head(cx, None)).await.expect("a head");
        let response = Http1Response::new(connection, Arc::default(), IDLE);
        let mut body = ResponseBody::new(Source::Http1(response), IDLE);
        let mut poll = || Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
        assert!(poll().is_ready());
        assert!(poll().is_pending());
        backend.write_all(b"def").await.expect("room");
        // The runtime has to see the bytes first.
        while poll().is_pending() {
            tokio::task::yield_now().await;
        }
        // A client that reads slowly.
        advance(2 * IDLE).await;
        assert!(poll().is_pending());
        advance(IDLE).await;
        let Poll::Ready(Some(Err(error))) = poll() else { panic!("the backend is silent") };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
