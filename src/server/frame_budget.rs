//! A bound on HTTP/2 frames that cost the client nothing and carry nothing.
//!
//! h2 bounds resets, CONTINUATION and empty DATA by itself. It answers SETTINGS and PING, and reads
//! PRIORITY, WINDOW_UPDATE and what it does not know, for as long as they come (RFC 9113 section
//! 10.5). Each such frame takes one from a budget; requests and bytes of bodies, either way, put
//! into it, and so does time. An empty budget ends the connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::preface::PREFACE;

const HEAD_BYTES: usize = 9;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;

/// Frames that a client may send for nothing, at once and per second.
const BURST: i64 = 10_000;
const PER_SECOND: i64 = 200;
/// What a request is good for: a PRIORITY, a WINDOW_UPDATE, a RST_STREAM, and some.
const PER_REQUEST: i64 = 8;
/// A WINDOW_UPDATE for so many bytes is a small one.
const BYTES_PER_FRAME: usize = 256;

/// Follows the frames of a client.
#[derive(Debug)]
struct Budget {
    left: i64,
    refilled: Instant,
    /// The head of the frame that is being read.
    head: [u8; HEAD_BYTES],
    head_read: usize,
    payload_left: usize,
    /// Bytes that have not made a whole frame yet.
    bytes: usize,
}

impl Budget {
    fn new() -> Self {
        Self {
            left: BURST,
            refilled: Instant::now(),
            head: [0; HEAD_BYTES],
            head_read: 0,
            payload_left: PREFACE.len(),
            bytes: 0,
        }
    }

    /// Takes note of what the client sent, and says whether it may go on.
    fn receive(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.payload_left > 0 {
                let here = self.payload_left.min(rest.len());
                self.payload_left -= here;
                rest = rest.get(here..).unwrap_or_default();
                continue;
            }
            let here = (HEAD_BYTES - self.head_read).min(rest.len());
            let (head, after) = rest.split_at(here);
            if let Some(room) = self.head.get_mut(self.head_read..self.head_read + here) {
                room.copy_from_slice(head);
            }
            self.head_read += here;
            rest = after;
            if self.head_read == HEAD_BYTES {
                self.head_read = 0;
                self.frame();
            }
        }
        self.left > 0 || self.refill()
    }

    fn frame(&mut self) {
        let [high, middle, low, kind, ..] = self.head;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.payload_left = length;
        match kind {
            HEADERS => self.left = (self.left + PER_REQUEST).min(BURST),
            DATA if length > 0 => self.carried(length),
            // h2 counts these.
            DATA | CONTINUATION => {}
            _ => self.left -= 1,
        }
    }

    /// Bytes of bodies, either way.
    fn carried(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.left = (self.left + (self.bytes / BYTES_PER_FRAME) as i64).min(BURST);
        self.bytes %= BYTES_PER_FRAME;
    }

    /// What time has put in. The clock is asked only here.
    fn refill(&mut self) -> bool {
        let secs = i64::try_from(self.refilled.elapsed().as_secs()).unwrap_or(i64::MAX);
        if secs > 0 {
            self.refilled = Instant::now();
            self.left = self.left.saturating_add(secs.saturating_mul(PER_SECOND)).min(BURST);
        }
        self.left > 0
    }
}

/// A client's stream that fails when its budget is used up.
#[derive(Debug)]
pub(super) struct Budgeted<S> {
    stream: S,
    budget: Budget,
}

impl<S> Budgeted<S> {
    /// A stream whose next byte is the first of HTTP/2's preface.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, budget: Budget::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Budgeted<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        let new = buffer.filled().get(before..).unwrap_or_default();
        if this.budget.receive(new) { read } else { Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into())) }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Budgeted<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.sent(written)
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
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.sent(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl<S> Budgeted<S> {
    /// An answer to SETTINGS or PING is a small part of a frame's worth, and buys no other.
    fn sent(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.budget.carried(*bytes);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [.., high, middle, low] = length.to_be_bytes();
        [&[high, middle, low, kind, 0, 0, 0, 0, 1][..], &vec![0; length]].concat()
    }

    fn after_preface() -> Budget {
        let mut budget = Budget::new();
        assert!(budget.receive(PREFACE));
        budget
    }

    /// How many of these frames are taken, in pieces of this size, before the end.
    fn taken(budget: &mut Budget, frame: &[u8], piece: usize) -> usize {
        (0..100_000).find(|_| !frame.chunks(piece).all(|bytes| budget.receive(bytes))).unwrap_or(usize::MAX)
    }

    #[tokio::test(start_paused = true)]
    async fn frames_for_nothing_use_it_up_however_they_are_cut() {
        for (kind, length) in [(0x4, 0), (0x6, 8), (0x2, 5), (0x8, 4), (0xf0, 100)] {
            for piece in [1, 5, 9, 1000] {
                let count = taken(&mut after_preface(), &frame(kind, length), piece);
                assert_eq!(count, BURST as usize - 1, "kind {kind} in pieces of {piece}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_and_requests_and_time_put_into_it() {
        let window_update = frame(0x8, 4);
        let mut download = after_preface();
        for _ in 0..50_000 {
            download.carried(2 * BYTES_PER_FRAME);
            assert!(download.receive(&[&window_update[..], &window_update].concat()));
        }
        let mut requests = after_preface();
        let request = [&frame(HEADERS, 30)[..], &frame(0x2, 5), &window_update, &frame(0x3, 4)].concat();
        assert!((0..50_000).all(|_| requests.receive(&request)));
        let mut upload = after_preface();
        assert!((0..50_000).all(|_| upload.receive(&[&frame(DATA, 512)[..], &window_update].concat())));

        let mut slow = after_preface();
        assert!(taken(&mut slow, &window_update, 1000) < usize::MAX);
        tokio::time::advance(std::time::Duration::from_secs(2)).await;
        assert_eq!(taken(&mut slow, &window_update, 1000), 2 * PER_SECOND as usize - 1);
        // What is saved up has a bound.
        tokio::time::advance(std::time::Duration::from_secs(86_400)).await;
        assert!(taken(&mut slow, &window_update, 1000) <= BURST as usize);
    }
}
