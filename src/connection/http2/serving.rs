//! Drives h2: the handshake, accepting streams, keep-alive, and ending in order.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::Reason;
use h2::server::{Connection, Handshake};
use tokio::io::{AsyncRead, AsyncWrite};

use super::keep_alive::KeepAlive;
use super::stream::Requests;

/// One connection that h2 serves.
pub(super) struct Serving<T> {
    state: State<T>,
    requests: Requests,
    /// GOAWAY has to be sent once the handshake has ended.
    goes_away: bool,
    /// The client did not acknowledge a PING.
    is_lost: bool,
}

enum State<T> {
    Handshaking(Box<Handshake<T, Bytes>>),
    Open(Box<Connection<T, Bytes>>, Option<KeepAlive>),
}

impl<T: AsyncRead + AsyncWrite + Unpin> Serving<T> {
    pub(super) fn new(handshake: Handshake<T, Bytes>, requests: Requests) -> Self {
        let state = State::Handshaking(Box::new(handshake));
        Self { state, requests, goes_away: false, is_lost: false }
    }

    /// Sends two GOAWAY frames: the first does not refuse requests that are on their way (RFC 9113 section 6.8). The
    /// connection ends after its last response.
    pub(super) fn go_away(&mut self) {
        match &mut self.state {
            State::Handshaking(_) => self.goes_away = true,
            State::Open(connection, _) => connection.graceful_shutdown(),
        }
    }

    /// Accepts requests until the connection has ended.
    ///
    /// # Errors
    /// It did not end in order.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.state {
                State::Handshaking(handshake) => {
                    let mut connection =
                        ready!(Pin::new(&mut **handshake).poll(cx)).map_err(io::Error::other)?;
                    if self.goes_away {
                        connection.graceful_shutdown();
                    }
                    let keep_alive = connection.ping_pong().map(KeepAlive::new);
                    self.state = State::Open(Box::new(connection), keep_alive);
                }
                State::Open(connection, keep_alive) => {
                    if let Some(pings) = keep_alive
                        && pings.poll(self.requests.last_received(), cx).is_ready()
                    {
                        (*keep_alive, self.is_lost) = (None, true);
                        connection.abrupt_shutdown(Reason::NO_ERROR);
                    }
                    match ready!(connection.poll_accept(cx)) {
                        Some(Ok((request, respond))) => self.requests.begin(request.into_body(), respond),
                        Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                        None if self.is_lost => return Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                        None => return Poll::Ready(Ok(())),
                    }
                }
            }
        }
    }
}
