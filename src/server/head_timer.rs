//! The time that a request's head may take, apart from the time between requests.
//!
//! hyper has one timer for both. A client that trickles a head must go soon; a client that keeps
//! a connection for its next request must not.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Whether bytes that arrive now belong to a head.
#[derive(Debug, Default)]
pub(super) struct Phase {
    /// A request is being served, or was and its connection waits for the next one.
    head_read: AtomicBool,
    waiting: AtomicBool,
}

impl Phase {
    /// A whole head has arrived.
    pub(super) fn head_is_read(&self) {
        self.head_read.store(true, Ordering::Relaxed);
        self.waiting.store(false, Ordering::Relaxed);
    }

    /// The answer has ended; what is read now is the next request.
    pub(super) fn is_answered(&self) {
        self.waiting.store(true, Ordering::Relaxed);
    }
}

/// A stream that fails when a head takes too long.
pub(super) struct HeadTimer<S> {
    stream: S,
    phase: Arc<Phase>,
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> HeadTimer<S> {
    /// The first head's time runs from here.
    pub(super) fn new(stream: S, phase: Arc<Phase>, limit: Duration) -> Self {
        Self { stream, phase, limit, timer: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadTimer<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if this.phase.head_read.load(Ordering::Relaxed) {
            // Between requests, the first bytes begin a head; otherwise they belong to a body.
            let begins = read.is_ready()
                && buffer.filled().len() > before
                && this.phase.waiting.load(Ordering::Relaxed);
            if begins {
                this.phase.head_read.store(false, Ordering::Relaxed);
            }
            this.timer = None;
            return read;
        }
        if read.is_ready() {
            return read;
        }
        let limit = this.limit;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadTimer<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
