//! Strict HTTP/2 validation in front of h2.
//!
//! [`StrictHttp2`] wraps the client's stream. [`Frames`] validates what is read and counts what is written; this file
//! connects it with the socket, charges what the connection holds, and ends the connection with GOAWAY on an error.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame::{ConnectionError, ENHANCE_YOUR_CALM};
use super::frames::Frames;
use super::heads::Heads;
use super::settings::PIECE_BYTES;
use super::streams::Streams;
use crate::budget::Charge;
use crate::connection::handler::STATE_BYTES;
use crate::request::HeadLimits;

/// The memory of one stream: its task, h2's state, and the piece of its response that h2 buffers.
const STREAM_BYTES: usize = STATE_BYTES + PIECE_BYTES;

/// How many heads h2 is given at once. Each head becomes a task, so a client that sends a hundred heads in one packet
/// must let other connections run in between.
const FAIR_HEADS: usize = 8;

/// A client's stream whose frames are validated. Reading from it fails when they break the rules or use up their
/// budget.
#[derive(Debug)]
pub(super) struct StrictHttp2<S> {
    stream: S,
    frames: Frames,
    streams: Arc<Streams>,
    /// Charge for incomplete heads, for what h2 has not read yet, for heads that wait for the service, and for streams
    /// whose response has not ended.
    charge: Charge,
    /// Heads that h2 was given since it last had to wait.
    given: usize,
    /// GOAWAY was sent, or could not be sent: nothing is written any more.
    sent_goaway: bool,
}

impl<S> StrictHttp2<S> {
    /// Wraps a stream from which `read` was already read. Its first byte is the first of the HTTP/2 preface.
    pub(super) fn new(
        stream: S,
        read: &[u8],
        limits: HeadLimits,
        heads: Arc<Heads>,
        streams: Arc<Streams>,
    ) -> Self {
        let mut frames = Frames::new(limits, heads);
        let account = streams.account();
        if !account.has_share() {
            frames.permit_resets();
        }
        frames.receive_copied(read);
        let charge = account.charge(0);
        let mut this = Self { stream, frames, streams, charge, given: 0, sent_goaway: false };
        this.update_charge();
        this
    }

    /// The client's stream, once nothing is validated any more.
    pub(super) fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    fn update_charge(&mut self) {
        self.charge.set(self.frames.buffered() + self.frames.open_streams() * STREAM_BYTES);
    }

    fn pass_ready(&mut self, buffer: &mut ReadBuf<'_>) {
        let ready = self.frames.ready(FAIR_HEADS - self.given);
        let count = ready.len().min(buffer.remaining());
        buffer.put_slice(ready.get(..count).unwrap_or_default());
        self.given += self.frames.passed(count);
        self.update_charge();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> StrictHttp2<S> {
    /// Sends GOAWAY, if that is possible without waiting, and ends the connection.
    fn end(&mut self, error: ConnectionError, cx: &mut Context<'_>) -> io::Error {
        if !self.sent_goaway {
            self.sent_goaway = true;
            if let Some(goaway) = self.frames.goaway() {
                // One small frame. If it does not fit into the socket's buffer, the client does not read.
                let _ = Pin::new(&mut self.stream).poll_write(cx, &goaway);
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
        let had_no_error = self.frames.error().is_none();
        self.frames.sent(octets.get(..count).unwrap_or(octets));
        if had_no_error && self.frames.error().is_some() {
            // The next read reports the error.
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
            if !this.frames.ready(FAIR_HEADS).is_empty() {
                if this.given >= FAIR_HEADS {
                    this.given = 0;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                this.pass_ready(buffer);
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = this.frames.error() {
                return Poll::Ready(Err(this.end(error, cx)));
            }
            let before = buffer.filled().len();
            match Pin::new(&mut this.stream).poll_read(cx, buffer) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    this.given = 0;
                    return Poll::Pending;
                }
            }
            let read = buffer.filled().get(before..).unwrap_or_default();
            let at_end = read.is_empty();
            this.streams.received();
            let in_place = this.frames.receive(read);
            buffer.set_filled(before + in_place);
            this.update_charge();
            if at_end || in_place > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for StrictHttp2<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.sent_goaway {
            return Poll::Ready(Ok(bytes.len()));
        }
        let count = std::task::ready!(Pin::new(&mut this.stream).poll_write(cx, bytes))?;
        this.wrote(count, bytes, cx);
        this.update_charge();
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
        if this.sent_goaway {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let count = std::task::ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, slices))?;
        let mut left = count;
        for slice in slices {
            let here = left.min(slice.len());
            this.wrote(here, slice, cx);
            left -= here;
        }
        this.update_charge();
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
