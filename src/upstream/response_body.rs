//! The backend's response body, streamed to the client frame by frame and never collected.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::body::{RequestProgress, cut_off};
use super::http2::Slot;
use super::{Http1Connection, Upstream};
use crate::revocation::RevokedBy;
use crate::revocation_list::TokenWatch;

/// The backend's response body. When it ends, its connection returns to the pool; when it is dropped earlier, its
/// connection closes.
pub struct ResponseBody {
    incoming: Incoming,
    lease: Option<Lease>,
    http2: bool,
    idle_timeout: Duration,
    /// When to cut it off.
    until: Option<Instant>,
    /// Cuts it off when this token is revoked.
    token: Option<TokenWatch>,
    /// Created on the first wait: most responses arrive in one piece.
    timer: Option<Pin<Box<Sleep>>>,
}

/// A connection, or one of its streams, while one exchange uses it.
pub(super) enum Lease {
    /// An exclusive connection, which returns to the pool.
    Http1 {
        connection: Http1Connection,
        pool: Arc<Upstream>,
        request: Option<Arc<RequestProgress>>,
        lifetime: Duration,
    },
    /// An exclusive connection, which closes after this response.
    LastOfHttp1(#[expect(dead_code, reason = "ends when it is dropped")] Http1Connection),
    /// One stream of a shared connection.
    Http2(#[expect(dead_code, reason = "counts until it is dropped")] Slot),
}

impl Lease {
    /// Returns the connection to the pool, unless the backend responded before it had read the whole request: how it
    /// treats the rest is unknown.
    fn end(self) {
        if let Self::Http1 { connection, pool, request, lifetime } = self
            && request.is_none_or(|request| request.is_sent())
        {
            pool.check_in(connection, lifetime);
        }
    }
}

impl ResponseBody {
    pub(super) fn new(incoming: Incoming, lease: Option<Lease>, http2: bool, idle_timeout: Duration) -> Self {
        let mut body = Self { incoming, lease, http2, idle_timeout, until: None, token: None, timer: None };
        body.end_lease_if_complete();
        body
    }

    /// Cuts the body off at this time, if it is still streaming.
    pub fn ends_by(&mut self, until: Instant) {
        self.until = Some(until);
    }

    /// Cuts the body off when this token is revoked, if it is still streaming.
    pub fn ends_with(&mut self, token: TokenWatch) {
        self.token = Some(token);
    }

    /// Which entry revoked the token of its request, if one did.
    pub fn revoked_by(&mut self) -> Option<RevokedBy> {
        self.token.as_mut()?.revoked_by()
    }

    /// When to cut it off: after the idle timeout, or at the time that was set.
    fn deadline(&self) -> Instant {
        let silent = Instant::now() + self.idle_timeout;
        self.until.map_or(silent, |until| until.min(silent))
    }

    /// hyper does not poll a body with a Content-Length until `None`, so this is checked after every frame.
    fn end_lease_if_complete(&mut self) {
        if self.incoming.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.end();
        }
    }

    /// Closes the backend's connection or stream too, and returns the error.
    fn cut(&mut self, why: io::ErrorKind) -> io::Error {
        self.lease = None;
        why.into()
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.is_none() {
            self.timer = Some(Box::pin(sleep_until(self.deadline())));
        }
        self.timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(cx))
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
        match Pin::new(&mut this.incoming).poll_frame(cx) {
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
                let deadline = this.timer.is_some().then(|| this.deadline());
                if let (Some(timer), Some(deadline)) = (&mut this.timer, deadline) {
                    timer.as_mut().reset(deadline);
                }
                match frame {
                    Some(Ok(frame)) => {
                        this.end_lease_if_complete();
                        Poll::Ready(Some(Ok(frame)))
                    }
                    Some(Err(error)) => {
                        this.lease = None;
                        Poll::Ready(Some(Err(io::Error::other(error))))
                    }
                    None if this.http2 && !this.incoming.is_end_stream() => {
                        this.lease = None;
                        Poll::Ready(Some(Err(cut_off())))
                    }
                    None => {
                        if let Some(lease) = this.lease.take() {
                            lease.end();
                        }
                        Poll::Ready(None)
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
