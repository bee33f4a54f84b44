//! The backend's answer on its way to the client: frame by frame, never collected.

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

/// The backend's body on its way to the client. When it ends, its connection goes back to the
/// pool; when it is dropped before, its connection is closed.
pub struct AnswerBody {
    incoming: Incoming,
    lease: Option<Lease>,
    http2: bool,
    idle_timeout: Duration,
    /// When it ends, whatever is left of it.
    until: Option<Instant>,
    /// It ends when this token is revoked.
    token: Option<TokenWatch>,
    /// Made when the backend first makes us wait: most answers come in one piece.
    timer: Option<Pin<Box<Sleep>>>,
}

/// A connection, or a stream of one, that is lent to one exchange.
pub(super) enum Lease {
    /// Nobody else uses it.
    Http1 {
        connection: Http1Connection,
        pool: Arc<Upstream>,
        request: Option<Arc<RequestProgress>>,
        lifetime: Duration,
    },
    /// Nobody else uses it, and nobody will.
    LastOfHttp1(#[expect(dead_code, reason = "ends when it is dropped")] Http1Connection),
    /// Others have streams of their own.
    Http2(#[expect(dead_code, reason = "counts until it is dropped")] Slot),
}

impl Lease {
    /// Back to the pool, unless the backend answered before it had read the whole request: what
    /// it makes of the rest is unknown.
    fn end(self) {
        if let Self::Http1 { connection, pool, request, lifetime } = self
            && request.is_none_or(|request| request.is_sent())
        {
            pool.check_in(connection, lifetime);
        }
    }
}

impl AnswerBody {
    pub(super) fn new(incoming: Incoming, lease: Option<Lease>, http2: bool, idle_timeout: Duration) -> Self {
        let mut body = Self { incoming, lease, http2, idle_timeout, until: None, token: None, timer: None };
        body.end_lease_if_complete();
        body
    }

    /// Breaks it off then, if it still streams.
    pub fn ends_by(&mut self, until: Instant) {
        self.until = Some(until);
    }

    /// Breaks it off when this token is revoked, if it still streams.
    pub fn ends_with(&mut self, token: TokenWatch) {
        self.token = Some(token);
    }

    /// By what the token of its request was revoked, if that has ended it.
    pub fn revoked_by(&mut self) -> Option<RevokedBy> {
        self.token.as_mut()?.revoked_by()
    }

    /// Silence ends it, and so does the time that was set.
    fn deadline(&self) -> Instant {
        let silent = Instant::now() + self.idle_timeout;
        self.until.map_or(silent, |until| until.min(silent))
    }

    /// hyper never polls a body with a Content-Length to its `None`, so the end is looked for
    /// after every frame.
    fn end_lease_if_complete(&mut self) {
        if self.incoming.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.end();
        }
    }

    /// The backend's connection, or its stream, ends too.
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

impl Body for AnswerBody {
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
                // An error and not an end: the client must see a broken answer.
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
