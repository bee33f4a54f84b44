//! A timeout for writes: ends a connection once the client stops reading.
//!
//! The kernel's TCP_USER_TIMEOUT works only for TCP and only on Linux. This timeout works for every stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::state::ConnectionState;
use crate::connection::settings::Times;

/// A stream whose writes fail if the client reads nothing for as long as [`Times`] allows.
pub(super) struct WriteTimeout<S> {
    stream: S,
    state: Arc<ConnectionState>,
    times: Times,
    /// Runs while a write is pending. Created by the first write that has to wait: most responses fit into the
    /// socket's buffer.
    timer: Option<Pin<Box<Sleep>>>,
    is_pending: bool,
    /// An interim response that is being written.
    interim: Bytes,
}

impl<S> WriteTimeout<S> {
    pub(super) fn new(stream: S, state: Arc<ConnectionState>, times: Times) -> Self {
        Self { stream, state, times, timer: None, is_pending: false, interim: Bytes::new() }
    }

    /// Writes the rest of an interim response that has begun.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        while !self.interim.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(cx, &self.interim);
            match ready!(self.checked(written, cx))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.interim.advance(count),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.state.backlog().subtract(*bytes);
        }
        self.checked(written, cx)
    }

    /// Passes the result of a write on, or fails with `TimedOut` if it has been pending for too long.
    fn checked<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.is_pending = false;
            return written;
        }
        let limit = self.times.response(self.state.account(), self.state.is_own());
        let end = Instant::now() + limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if !self.is_pending {
            self.is_pending = true;
            timer.as_mut().reset(end);
        }
        timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_interim(cx))?;
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(written, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // hyper flushes only after it has written everything, so an interim response cannot split another one.
        if this.interim.is_empty() {
            this.interim = this.state.interim().take();
        }
        ready!(this.poll_interim(cx))?;
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.checked(flushed, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let ended = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.checked(ended, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_interim(cx))?;
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.wrote(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::budget::unlimited_account;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::{advance, timeout};

    const LIMIT: Duration = Duration::from_secs(60);
    const TIMES: Times =
        Times { head: Duration::from_secs(10), stall: LIMIT, unverified: Duration::from_secs(15) };

    /// How long a write waits for a client that reads nothing.
    async fn write_timeout(address: Option<[u8; 4]>, is_own: bool) -> Duration {
        let (ours, _client) = duplex(4);
        let state = Arc::new(ConnectionState::new(unlimited_account(address.map(Into::into))));
        state.response_begins(is_own);
        let started = Instant::now();
        let written = WriteTimeout::new(ours, state, TIMES).write_all(b"12345").await;
        assert_eq!(written.expect_err("nobody reads").kind(), io::ErrorKind::TimedOut);
        started.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn unverified_clients_and_generated_responses_have_shorter_timeouts() {
        assert_eq!(write_timeout(Some([192, 0, 2, 1]), false).await, TIMES.unverified);
        assert_eq!(write_timeout(Some([192, 0, 2, 1]), true).await, Duration::from_secs(5));
        assert_eq!(write_timeout(None, true).await, Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_has_the_timeout_of_its_client() {
        for (verified, limit) in [(false, TIMES.unverified), (true, LIMIT)] {
            let (ours, _client) = duplex(4);
            let account = unlimited_account(Some([192, 0, 2, 1].into()));
            if verified {
                account.verified();
            }
            let state = Arc::new(ConnectionState::new(account));
            // The 101 is the backend's response.
            state.response_begins(false);
            state.start_tunnel();
            let started = Instant::now();
            WriteTimeout::new(ours, state, TIMES).write_all(b"12345").await.expect_err("nobody reads");
            assert_eq!(started.elapsed(), limit);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_read_by_the_client_restarts_the_write_timeout() {
        let (ours, mut client) = duplex(4);
        let state = Arc::new(ConnectionState::new(unlimited_account(None)));
        let mut ours = WriteTimeout::new(ours, state, TIMES);
        ours.write_all(b"full").await.expect("room");
        // Every read restarts the timeout.
        for _ in 0..3 {
            let almost = timeout(LIMIT - Duration::from_secs(1), ours.write_all(b"abcd")).await;
            assert!(almost.is_err(), "it waits");
            client.read_exact(&mut [0; 4]).await.expect("bytes");
            ours.write_all(b"abcd").await.expect("room again");
            advance(LIMIT * 2).await;
        }
        let started = Instant::now();
        let error = ours.write_all(b"more").await.expect_err("nobody reads");
        assert_eq!((error.kind(), started.elapsed()), (io::ErrorKind::TimedOut, LIMIT));
    }
}
