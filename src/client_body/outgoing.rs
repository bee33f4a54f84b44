//! Bytes that have to be written to a client.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::Duplex;
use crate::spare_buffers;

/// Most heads are shorter.
const USUAL_BYTES: usize = 512;

/// Bytes that have to be written to a client, in this order: heads and framing, data, and the end of a chunk. At most
/// one frame of data waits here, so nothing queues for a client that reads slowly.
#[derive(Default)]
pub struct Outgoing {
    /// Heads, interim responses and framing.
    text: BytesMut,
    /// Data, as the backend sent it.
    data: Bytes,
    /// What follows the data.
    end: &'static [u8],
    /// Whether the stream must be flushed.
    is_written: bool,
    /// How many bytes were written since the request began.
    written: u64,
}

impl Outgoing {
    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.text.len() + self.data.len() + self.end.len()
    }

    /// Whether no bytes wait.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where a head or framing is written that goes before the data.
    pub fn text(&mut self) -> &mut BytesMut {
        if self.text.capacity() == 0 {
            self.text = spare_buffers::take(USUAL_BYTES);
        }
        &mut self.text
    }

    /// Gives up the buffer, if nothing waits in it.
    pub(super) fn keep_buffer(&mut self) {
        if self.text.is_empty() && self.text.capacity() > 0 {
            spare_buffers::keep(std::mem::take(&mut self.text));
        }
    }

    /// Adds interim responses, if there are any. No data may wait.
    pub fn interim(&mut self, responses: &[u8]) {
        if !responses.is_empty() {
            self.text().extend_from_slice(responses);
        }
    }

    /// Adds data and what follows it. No other data may wait.
    pub fn data(&mut self, data: Bytes, end: &'static [u8]) {
        self.data = data;
        self.end = end;
    }

    /// Counts what is written from here.
    pub(super) fn begin(&mut self) {
        self.written = 0;
    }

    /// How many bytes were written since then.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Writes everything.
    pub(super) fn poll_write(
        &mut self,
        stream: &mut Box<dyn Duplex>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let slices = [IoSlice::new(&self.text), IoSlice::new(&self.data), IoSlice::new(self.end)];
            let first = usize::from(self.text.is_empty());
            let written = match slices.get(first..) {
                Some(slices) if stream.is_write_vectored() => {
                    ready!(Pin::new(&mut *stream).poll_write_vectored(cx, slices))?
                }
                _ => ready!(Pin::new(&mut *stream).poll_write(cx, self.front()))?,
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written as u64;
            self.advance(written);
            self.is_written = true;
        }
        if self.is_written {
            ready!(Pin::new(&mut *stream).poll_flush(cx))?;
            self.is_written = false;
        }
        Poll::Ready(Ok(()))
    }

    fn front(&self) -> &[u8] {
        [&self.text[..], &self.data[..], self.end]
            .into_iter()
            .find(|part| !part.is_empty())
            .unwrap_or_default()
    }

    fn advance(&mut self, written: usize) {
        let text = written.min(self.text.len());
        let data = (written - text).min(self.data.len());
        let end = (written - text - data).min(self.end.len());
        self.text.advance(text);
        self.data.advance(data);
        if self.data.is_empty() {
            // An empty rest would keep the buffer of the whole frame as long as the connection is idle.
            self.data = Bytes::new();
        }
        self.end = self.end.get(end..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn data_that_was_written_keeps_no_memory() {
        let (_client, stream) = tokio::io::duplex(64);
        let (mut stream, mut outgoing): (Box<dyn Duplex>, _) = (Box::new(stream), Outgoing::default());
        let frame = Bytes::from(vec![b'x'; 16]);
        outgoing.text().extend_from_slice(b"head");
        outgoing.data(frame.clone(), b"end");
        std::future::poll_fn(|cx| outgoing.poll_write(&mut stream, cx)).await.unwrap();
        assert!(outgoing.is_empty());
        assert!(frame.is_unique());
    }
}
