//! Reads heads from a client and writes responses to it, with the time that each step may take.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio::io::AsyncWrite as _;
use tokio::time::Instant;

use super::request;
use super::response::{BodyWriter, ResponseTerms};
use crate::budget::Connection;
use crate::client_body::{ClientBody, Duplex, SharedTransport};
use crate::connection::linger::{Linger, QUIET_TIME};
use crate::connection::settings::{ReadLimits, Times};
use crate::gateway::UnreadHead;
use crate::message::Request;
use crate::request::{Framing, HeadScanner, RepeatedSections, RequestFault};
use crate::timer::Timer;

thread_local! {
    static REPEATED: RefCell<RepeatedSections> = RefCell::default();
}

/// The client's side of a connection.
pub(super) struct ClientIo {
    pub(super) transport: SharedTransport,
    account: Arc<Connection>,
    limits: ReadLimits,
    times: Times,
    timer: Timer,
    /// When the connection began, until its first head has arrived: its header timeout runs from there.
    first: Option<Instant>,
}

/// What follows on a connection.
pub(super) enum Next {
    /// A request, and what its response depends on.
    Request(Request<ClientBody>, ResponseTerms),
    /// A head that is refused.
    Refused(UnreadHead),
    /// Nothing.
    End,
}

impl ClientIo {
    /// A connection from which `read` was already read. The timeout of the first head starts.
    pub(super) fn new(
        stream: Box<dyn Duplex>,
        read: BytesMut,
        account: &Arc<Connection>,
        limits: ReadLimits,
        times: Times,
    ) -> Self {
        Self {
            transport: SharedTransport::new(stream, read, account),
            account: account.clone(),
            limits,
            times,
            timer: Timer::default(),
            first: Some(Instant::now()),
        }
    }

    /// Reads the next head. The header timeout runs from its first byte to its last; for the first head, from the
    /// beginning of the connection. The idle timeout runs from the end of a response to the first byte of the next head.
    ///
    /// `closes_idle` becomes `None` when it has resolved: a connection on which nothing has arrived then ends.
    pub(super) async fn next_head(
        &mut self,
        closes_idle: &mut Option<Pin<&mut impl Future<Output = ()>>>,
    ) -> Next {
        let mut scanner = HeadScanner::new(self.limits.head);
        let mut began = self.first.take();
        poll_fn(|cx| {
            let mut transport = self.transport.lock();
            let fault = loop {
                let scanned =
                    REPEATED.with_borrow_mut(|sections| scanner.scan_with(transport.unread(), sections));
                match scanned {
                    Ok(Some(head)) => {
                        let bytes = transport.take(head.len);
                        drop(transport);
                        self.account.request_begins();
                        return Poll::Ready(self.request(&mut scanner, head.framing, bytes));
                    }
                    Ok(None) => {}
                    Err(fault) => break fault,
                }
                if scanner.has_begun() && began.is_none() {
                    began = Some(Instant::now());
                }
                match transport.poll_fill(cx) {
                    Poll::Ready(Ok(1..)) => continue,
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Next::End),
                    Poll::Pending => {}
                }
                if closes_idle.as_mut().is_some_and(|closes_idle| closes_idle.as_mut().poll(cx).is_ready()) {
                    *closes_idle = None;
                }
                if closes_idle.is_none() && !scanner.has_begun() {
                    return Poll::Ready(Next::End);
                }
                ready!(self.timer.poll(self.times.deadline(began, &self.account), cx));
                if !scanner.has_begun() {
                    return Poll::Ready(Next::End);
                }
                break RequestFault::TimedOut;
            };
            let head = transport.unread();
            let refused = UnreadHead::of_http1(fault, &scanner, head);
            self.account.request_begins();
            Poll::Ready(Next::Refused(refused))
        })
        .await
    }

    /// The request of a complete head.
    fn request(&self, scanner: &mut HeadScanner, framing: Framing, bytes: BytesMut) -> Next {
        let (bytes, headers) = scanner.take_fields(bytes);
        match request::read(scanner, &bytes, headers) {
            Ok(head) => {
                let terms = ResponseTerms::of(&head);
                let body = self.transport.begin_body(framing, request::expects_continue(&head));
                let body = if framing == Framing::None { ClientBody::Empty } else { ClientBody::Http1(body) };
                Next::Request(Request { head, body }, terms)
            }
            Err(fault) => Next::Refused(UnreadHead::of_http1(fault, scanner, &bytes)),
        }
    }

    /// Writes the response, whose head is waiting. The client may take `time` to read each part of it.
    ///
    /// # Errors
    /// The client disconnected or does not read, or the body was cut short.
    pub(super) async fn write<B>(&mut self, body: B, mut writer: BodyWriter, time: Duration) -> io::Result<()>
    where
        B: Body<Data = Bytes, Error = io::Error> + Unpin,
    {
        let mut body = Some(body);
        // While bytes wait for the client: how many, and until when.
        let mut stalled: Option<(usize, Instant)> = None;
        poll_fn(|cx| {
            loop {
                let mut waits_for_backend = false;
                if stalled.is_none()
                    && let Some(frames) = &mut body
                {
                    let frame = self.poll_frame(frames, cx)?;
                    let is_last = matches!(frame, Poll::Ready(None)) || frames.is_end_stream();
                    match frame {
                        Poll::Ready(frame) => {
                            writer.write(self.transport.lock().outgoing(), frame, is_last)?
                        }
                        Poll::Pending => waits_for_backend = true,
                    }
                    if is_last && !waits_for_backend {
                        // Record the request before its last bytes are written: a client that has read them can
                        // rely on the record.
                        body = None;
                        self.account.request_ends();
                    }
                }
                let mut transport = self.transport.lock();
                if transport.poll_write(cx)?.is_pending() {
                    let left = transport.outgoing().len();
                    let (_, end) = *stalled.insert(
                        stalled
                            .filter(|(before, _)| *before == left)
                            .unwrap_or((left, Instant::now() + time)),
                    );
                    ready!(self.timer.poll(end, cx));
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                stalled = None;
                if body.is_none() {
                    return Poll::Ready(Ok(()));
                }
                if waits_for_backend {
                    ready!(transport.poll_disconnect(cx));
                    return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                }
            }
        })
        .await
    }

    /// The next frame of a response body. If the body was cut short, first writes as much of the head as the client takes
    /// at once: a client that got no byte of a response may take the connection for an idle one that was closed, and
    /// send the request again.
    fn poll_frame<B>(&self, body: &mut B, cx: &mut Context<'_>) -> Poll<io::Result<Option<Frame<Bytes>>>>
    where
        B: Body<Data = Bytes, Error = io::Error> + Unpin,
    {
        let frame = ready!(Pin::new(body).poll_frame(cx)).transpose();
        if frame.is_err() {
            let _written = self.transport.lock().poll_write(cx);
        }
        Poll::Ready(frame)
    }

    /// Reads and discards the rest of the request's body, within bounds of bytes and time. Returns whether it has ended.
    pub(super) async fn discard(&mut self) -> bool {
        if self.transport.lock().reclaim_body() {
            return true;
        }
        let bounds = self.limits.discard;
        let (mut left, end) = (bounds.bytes, Instant::now() + bounds.timeout);
        let mut quiet_end = Instant::now() + QUIET_TIME;
        let _discarding = self.account.discards();
        poll_fn(|cx| {
            loop {
                match self.transport.lock().poll_body(cx) {
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Ready(Some(Ok(data))) if data.len() as u64 <= left && Instant::now() < end => {
                        left -= data.len() as u64;
                        quiet_end = Instant::now() + QUIET_TIME;
                    }
                    Poll::Ready(Some(_)) => return Poll::Ready(false),
                    Poll::Pending => return self.timer.poll(end.min(quiet_end), cx).map(|()| false),
                }
            }
        })
        .await
    }

    /// Ends our direction, then lingers so that the client can read the last response. `may_send` means that the
    /// client may still be sending.
    pub(super) async fn close(&mut self, may_send: bool) -> io::Result<()> {
        let end = Instant::now() + self.times.response(&self.account, true);
        let mut linger = None;
        poll_fn(|cx| {
            let mut transport = self.transport.lock();
            // Between two requests nothing more is expected from the client, so there is nothing to wait for.
            let is_patient = may_send || !transport.body_is_done() || !transport.unread().is_empty();
            let stream = transport.stream();
            if linger.is_none() {
                match Pin::new(&mut *stream).poll_shutdown(cx)? {
                    Poll::Ready(()) => linger = Some(Linger::new(self.limits.discard, &self.account)),
                    Poll::Pending => return self.timer.poll(end, cx).map(Ok),
                }
            }
            linger.as_mut().map_or(Poll::Ready(()), |linger| linger.poll(stream, is_patient, cx)).map(Ok)
        })
        .await
    }
}

#[cfg(test)]
mod tests;
