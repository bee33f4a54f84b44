//! A bound on how long a client may leave unread what it is sent.
//!
//! The kernel's own, TCP_USER_TIMEOUT, is for TCP and for Linux alone; this one is for any stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::state::ConnectionState;
use crate::connection::settings::Times;

/// A stream whose writes fail when nothing was taken of them for so long as the connection's state
/// allows.
pub(super) struct WriteTimeout<S> {
    stream: S,
    state: Arc<ConnectionState>,
    times: Times,
    /// Runs while a write waits. Made when the first one does: most answers fit into the socket's
    /// buffer.
    timer: Option<Pin<Box<Sleep>>>,
    waits: bool,
    /// An interim response that is being written.
    interim: Bytes,
}

impl<S> WriteTimeout<S> {
    pub(super) fn new(stream: S, state: Arc<ConnectionState>, times: Times) -> Self {
        Self { stream, state, times, timer: None, waits: false, interim: Bytes::new() }
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
            self.state.backlog().shrinks(*bytes);
        }
        self.checked(written, cx)
    }

    /// What came of a write, or that its time is over.
    fn checked<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waits = false;
            return written;
        }
        let limit = match self.state.is_tunnel() {
            true => self.times.stall,
            false => self.times.response(self.state.account(), self.state.is_own()),
        };
        let end = Instant::now() + limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if !self.waits {
            self.waits = true;
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
        // hyper flushes when everything that it was given is written.
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
    async fn patience(address: Option<[u8; 4]>, is_own: bool) -> Duration {
        let (ours, _client) = duplex(4);
        let state = Arc::new(ConnectionState::new(unlimited_account(address.map(Into::into))));
        state.answers(is_own);
        let started = Instant::now();
        let written = WriteTimeout::new(ours, state, TIMES).write_all(b"12345").await;
        assert_eq!(written.expect_err("nobody reads").kind(), io::ErrorKind::TimedOut);
        started.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn an_unverified_client_has_little_time_and_a_response_of_our_own_less() {
        assert_eq!(patience(Some([192, 0, 2, 1]), false).await, TIMES.unverified);
        assert_eq!(patience(Some([192, 0, 2, 1]), true).await, Duration::from_secs(5));
        assert_eq!(patience(None, true).await, Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_waits_for_its_reader_and_not_for_ever() {
        let (ours, mut client) = duplex(4);
        let state = Arc::new(ConnectionState::new(unlimited_account(None)));
        let mut ours = WriteTimeout::new(ours, state, TIMES);
        ours.write_all(b"full").await.expect("room");
        // Whatever is taken gives the rest its time anew.
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
