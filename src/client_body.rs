//! The body of a client's request.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

mod http2;
mod outgoing;
mod presence;
mod transport;

pub use http2::Http2Body;
pub use outgoing::Outgoing;
pub use presence::Presence;
pub use transport::{Http1Body, SharedTransport, UNSENT_BYTES};

/// More than rustls buffers of a connection.
const TLS_BUFFERS: u64 = 128 * 1024;

/// How much is passed on at once of a long body: with the framing of a chunk, as much as the kernel sends as one packet,
/// also over loopback, where 65,483 bytes fit into one. A full 64 KiB is sent as two, and costs a quarter more processor
/// time.
pub const LONG_BODY_READ: usize = 63 * 1024;

/// A stream of bytes in both directions, from a client.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {
    /// What is known about the client without reading what it has sent.
    fn presence(&self) -> Presence;

    /// A copy of so many bytes that have arrived and were not read. `None` if it cannot tell what they mean.
    fn peek(&self, bytes: usize) -> Option<Vec<u8>>;

    /// Bounds how much the kernel buffers beyond what the network takes, where the kernel can do that.
    ///
    /// # Errors
    /// Those of the socket.
    fn bound_unsent(&self, bytes: u32) -> io::Result<()>;
}

impl Duplex for TcpStream {
    fn presence(&self) -> Presence {
        presence::presence(self)
    }

    fn peek(&self, bytes: usize) -> Option<Vec<u8>> {
        presence::peek(self, bytes)
    }

    #[cfg(target_os = "linux")]
    fn bound_unsent(&self, bytes: u32) -> io::Result<()> {
        socket2::SockRef::from(self).set_tcp_notsent_lowat(bytes)
    }

    #[cfg(not(target_os = "linux"))]
    fn bound_unsent(&self, _bytes: u32) -> io::Result<()> {
        Ok(())
    }
}

impl Duplex for UnixStream {
    fn presence(&self) -> Presence {
        presence::presence(self)
    }

    fn peek(&self, bytes: usize) -> Option<Vec<u8>> {
        presence::peek(self, bytes)
    }

    /// Its buffer is small.
    fn bound_unsent(&self, _bytes: u32) -> io::Result<()> {
        Ok(())
    }
}

impl<T: Duplex> Duplex for TlsStream<T> {
    fn presence(&self) -> Presence {
        match self.get_ref().0.presence() {
            // rustls may hold some of the bytes.
            Presence::Ending(unread) => Presence::Ending(unread.saturating_add(TLS_BUFFERS)),
            presence => presence,
        }
    }

    /// They are encrypted.
    fn peek(&self, _bytes: usize) -> Option<Vec<u8>> {
        None
    }

    fn bound_unsent(&self, bytes: u32) -> io::Result<()> {
        self.get_ref().0.bound_unsent(bytes)
    }
}

impl<T: Duplex + ?Sized> Duplex for Box<T> {
    fn presence(&self) -> Presence {
        (**self).presence()
    }

    fn peek(&self, bytes: usize) -> Option<Vec<u8>> {
        (**self).peek(bytes)
    }

    fn bound_unsent(&self, bytes: u32) -> io::Result<()> {
        (**self).bound_unsent(bytes)
    }
}

#[cfg(test)]
impl Duplex for tokio::io::DuplexStream {
    fn presence(&self) -> Presence {
        Presence::Open
    }

    fn peek(&self, _bytes: usize) -> Option<Vec<u8>> {
        None
    }

    fn bound_unsent(&self, _bytes: u32) -> io::Result<()> {
        Ok(())
    }
}

/// The body of a client's request, as it arrives.
#[derive(Debug)]
pub enum ClientBody {
    /// No body.
    Empty,
    /// Read from a connection that carries one request at a time.
    Http1(Http1Body),
    /// A stream of an HTTP/2 connection.
    Http2(Http2Body),
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
            Self::Http2(body) => body.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(body) => body.is_done(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Http1(body) => body.length_left().map_or_else(SizeHint::new, SizeHint::with_exact),
            Self::Http2(body) => body.length_left().map_or_else(SizeHint::new, SizeHint::with_exact),
        }
    }
}
