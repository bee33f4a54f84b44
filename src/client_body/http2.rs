//! The body of a request over HTTP/2.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http_body::Frame;

/// A stream from the client.
#[derive(Debug)]
pub struct Http2Body {
    stream: RecvStream,
    /// How much of the Content-Length has not arrived yet.
    left: Option<u64>,
    /// Only trailers or the end can follow.
    is_data_done: bool,
}

impl Http2Body {
    /// The rest of a stream. h2 has checked the head, and resets the stream if the body has another `length`.
    pub fn new(stream: RecvStream, length: Option<u64>) -> Self {
        Self { stream, left: length, is_data_done: false }
    }

    /// The next frame; `None` at the end of the stream.
    ///
    /// # Errors
    /// The stream was reset, or its connection ended.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if !self.is_data_done {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // It fails only if more is released than has arrived.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(cut_off(error)))),
                None => self.is_data_done = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(trailers.map_err(cut_off).map(|trailers| trailers.map(Frame::trailers)).transpose())
    }

    /// Whether everything was read.
    pub fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    /// How much of the Content-Length has not arrived yet, if there is one.
    pub fn length_left(&self) -> Option<u64> {
        self.left
    }
}

/// A stream that was reset has not ended, whatever its code says (RFC 9113 section 8.1).
fn cut_off(error: h2::Error) -> io::Error {
    match error.reason() {
        Some(Reason::NO_ERROR) => io::ErrorKind::UnexpectedEof.into(),
        _ => io::Error::other(error),
    }
}
