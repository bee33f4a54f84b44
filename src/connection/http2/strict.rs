//! Strict HTTP/2 validation in front of hyper.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame::{ConnectionError, ENHANCE_YOUR_CALM};
use super::frames::Frames;
use super::refused::RefusedHeads;
use super::settings::{PIECE_BYTES, REQUEST_STATE_BYTES};
use crate::budget::{Charge, Connection};
use crate::request::HeadLimits;

/// What one stream costs: its task, h2's state, and the piece of its response that h2 buffers.
const STREAM_BYTES: usize = REQUEST_STATE_BYTES + PIECE_BYTES;

/// What hyper is given of heads at once. Each becomes a task of its own: a client that sends a hundred heads in
/// one packet lets other connections have their turn in between.
const FAIR_BYTES: usize = 512;

/// A client's stream whose frames are read strictly, and that fails when they break the rules or use up
/// their budget.
#[derive(Debug)]
pub(super) struct StrictHttp2<S> {
    stream: S,
    frames: Frames,
    /// What the connection holds: heads that are not complete, what hyper has not read yet, and the streams
    /// whose responses were not written to their end.
    held: Charge,
    /// Octets of heads that hyper was given since it last had to wait.
    given: usize,
    /// GOAWAY was sent, or could not be: nothing is written any more.
    said_goodbye: bool,
}

impl<S> StrictHttp2<S> {
    /// A stream from which `read` was read already. Its first byte is the first of HTTP/2's preface.
    pub(super) fn new(
        stream: S,
        read: &[u8],
        limits: HeadLimits,
        refused: Arc<RefusedHeads>,
        account: &Arc<Connection>,
    ) -> Self {
        let mut frames = Frames::new(limits, refused);
        frames.receive_copied(read);
        let mut this = Self { stream, frames, held: account.charge(0), given: 0, said_goodbye: false };
        this.note_held();
        this
    }

    fn note_held(&mut self) {
        self.held.set(self.frames.held() + self.frames.open_streams() * STREAM_BYTES);
    }

    fn give_ready(&mut self, buffer: &mut ReadBuf<'_>) {
        let ready = self.frames.ready();
        let count = ready.len().min(buffer.remaining()).min(FAIR_BYTES);
        self.given += count;
        buffer.put_slice(ready.get(..count).unwrap_or_default());
        ready.advance(count);
        if ready.is_empty() {
            // A connection that waits keeps no buffer.
            *ready = Default::default();
        }
        self.note_held();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> StrictHttp2<S> {
    /// Tells the client why, as far as that takes no waiting, and ends the connection.
    fn end(&mut self, error: ConnectionError, cx: &mut Context<'_>) -> io::Error {
        if !self.said_goodbye {
            self.said_goodbye = true;
            if let Some(goodbye) = self.frames.goodbye() {
                // One small frame: it fits into the socket's buffer, or the client does not read.
                let _ = Pin::new(&mut self.stream).poll_write(cx, &goodbye);
            }
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
            let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
        }
        let kind = match error.code {
            ENHANCE_YOUR_CALM => io::ErrorKind::QuotaExceeded,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error.why)
    }

    fn wrote(&mut self, count: usize, octets: &[u8], cx: &Context<'_>) {
        let was_good = self.frames.error().is_none();
        self.frames.sent(octets.get(..count).unwrap_or(octets));
        if was_good && self.frames.error().is_some() {
            // The reading side has to hear of it.
            cx.waker().wake_by_ref();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for StrictHttp2<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.frames.ready().is_empty() {
                if this.given >= FAIR_BYTES {
                    this.given = 0;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                this.give_ready(buffer);
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = this.frames.error() {
                return Poll::Ready(Err(this.end(error, cx)));
            }
            let before = buffer.filled().len();
            std::task::ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
            let read = buffer.filled().get(before..).unwrap_or_default();
            let at_end = read.is_empty();
            let in_place = this.frames.receive(read);
            buffer.set_filled(before + in_place);
            this.note_held();
            if at_end || in_place > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for StrictHttp2<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.said_goodbye {
            return Poll::Ready(Ok(bytes.len()));
        }
        let count = std::task::ready!(Pin::new(&mut this.stream).poll_write(cx, bytes))?;
        this.wrote(count, bytes, cx);
        this.note_held();
        Poll::Ready(Ok(count))
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
        let this = self.get_mut();
        if this.said_goodbye {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let count = std::task::ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, slices))?;
        let mut left = count;
        for slice in slices {
            let here = left.min(slice.len());
            this.wrote(here, slice, cx);
            left -= here;
        }
        this.note_held();
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
