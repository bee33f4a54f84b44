//! Detects clients that are gone without having closed their connection.
//!
//! A client that has sent nothing for a while gets a PING (RFC 9113 section 6.7). If it does not acknowledge it in time,
//! the connection ends.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::Instant;

use crate::timer::Timer;

/// How long a client may send nothing before it gets a PING, and how long it has to acknowledge it.
const INTERVAL: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_secs(10);

/// The PINGs of one connection.
pub(super) struct KeepAlive {
    ping_pong: PingPong,
    /// When the PING was sent that is not acknowledged yet.
    sent: Option<Instant>,
    /// When the last one was acknowledged.
    acknowledged: Option<Instant>,
    timer: Timer,
}

impl KeepAlive {
    pub(super) fn new(ping_pong: PingPong) -> Self {
        Self { ping_pong, sent: None, acknowledged: None, timer: Timer::default() }
    }

    /// Ready when a PING was not acknowledged in time. `last_received` is when the client last sent anything. h2 sends
    /// the PING when the connection is polled next.
    pub(super) fn poll(&mut self, last_received: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(sent) = self.sent {
            if self.ping_pong.poll_pong(cx).is_pending() {
                return self.timer.poll(sent + TIMEOUT, cx);
            }
            (self.sent, self.acknowledged) = (None, Some(Instant::now()));
        }
        let last = self.acknowledged.map_or(last_received, |acknowledged| acknowledged.max(last_received));
        ready!(self.timer.poll(last + INTERVAL, cx));
        if self.ping_pong.send_ping(Ping::opaque()).is_err() {
            // The connection is ending.
            return Poll::Pending;
        }
        let now = Instant::now();
        self.sent = Some(now);
        // Registers this task for the acknowledgement.
        let _ = self.ping_pong.poll_pong(cx);
        self.timer.poll(now + TIMEOUT, cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    /// After how long the client of this connection, which sends nothing after its preface, counts as lost.
    async fn lost_after(stream: DuplexStream) -> Option<Duration> {
        let began = Instant::now();
        let mut connection = h2::server::handshake(stream).await.expect("a handshake");
        let mut keep_alive = KeepAlive::new(connection.ping_pong().expect("the first"));
        let lost = poll_fn(|cx| {
            let lost = keep_alive.poll(began, cx);
            if lost.is_pending() {
                assert!(connection.poll_accept(cx).is_pending(), "the connection has ended");
            }
            lost
        });
        timeout(Duration::from_secs(300), lost).await.ok().map(|()| began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_acknowledge_a_ping_is_lost() {
        let (mut client, server) = duplex(64 * 1024);
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("room");
        let reading = tokio::spawn(async move {
            let mut received = Vec::new();
            client.read_to_end(&mut received).await.map(|_| received)
        });
        let time = lost_after(server).await.expect("lost");
        let expected = INTERVAL + TIMEOUT;
        assert!((expected..expected + Duration::from_secs(1)).contains(&time), "{time:?}");
        let received = reading.await.expect("no panic").expect("no error");
        let pings = received.windows(9).filter(|head| head == b"\0\0\x08\x06\0\0\0\0\0").count();
        assert_eq!(pings, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_acknowledges_each_ping_stays() {
        let (client, server) = duplex(64 * 1024);
        let client = tokio::spawn(async move {
            let (_sender, connection) = h2::client::handshake(client).await.expect("a handshake");
            connection.await
        });
        assert_eq!(lost_after(server).await, None);
        client.abort();
    }
}
