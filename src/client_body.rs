//! The body of a client's request.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};

mod outgoing;
mod spare;
mod transport;

pub use outgoing::Outgoing;
pub use transport::{Http1Body, SharedTransport};

/// A stream of bytes in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The body of a client's request, as it arrives.
#[derive(Debug)]
pub enum ClientBody {
    /// No body.
    Empty,
    /// Read from a connection that carries one request at a time.
    Http1(Http1Body),
    /// A stream of an HTTP/2 connection.
    Http2(Incoming),
}

impl ClientBody {
    /// Whether it arrives over HTTP/2, where a body that is not read to its end does not end the connection.
    pub fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Http1(body) => body.poll(cx).map(|data| data.map(|data| data.map(Frame::data))),
            Self::Http2(incoming) => Pin::new(incoming)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(io::Error::other))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(body) => body.is_done(),
            Self::Http2(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Http1(body) => body.length_left().map_or_else(SizeHint::new, SizeHint::with_exact),
            Self::Http2(incoming) => incoming.size_hint(),
        }
    }
}
