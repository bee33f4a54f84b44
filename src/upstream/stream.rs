//! The byte streams that connections to the backend consist of.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::lease::Lease;

/// How much of an upload the kernel may buffer beyond what the network takes, for a client without a verified token.
const UNSENT_BYTES: u32 = 256 * 1024;
/// The kernel's default, with which an upload costs a third less processor time.
const SYSTEM_DEFAULT: u32 = 0;

/// A TCP connection that bounds how much of an unverified client's upload the kernel buffers.
pub struct BoundedStream {
    stream: TcpStream,
    is_bounded: bool,
    serves_verified: bool,
}

impl BoundedStream {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        bound(&stream, UNSENT_BYTES)?;
        Ok(Self { stream, is_bounded: true, serves_verified: false })
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let is_bounded = !self.serves_verified;
        if is_bounded != self.is_bounded {
            bound(&self.stream, if is_bounded { UNSENT_BYTES } else { SYSTEM_DEFAULT })?;
            self.is_bounded = is_bounded;
        }
        Ok(Pin::new(&mut self.stream))
    }
}

#[cfg(target_os = "linux")]
fn bound(stream: &TcpStream, bytes: u32) -> io::Result<()> {
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(bytes)
}

#[cfg(not(target_os = "linux"))]
fn bound(_: &TcpStream, _: u32) -> io::Result<()> {
    Ok(())
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().stream()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().stream()?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// The stream of an HTTP/1.1 connection.
pub enum Stream {
    Tcp(BoundedStream),
    Tls(Box<TlsStream<BoundedStream>>),
    Unix(UnixStream),
}

impl Stream {
    /// Sets whether the client whose request follows has shown a verified token.
    pub(super) fn serve(&mut self, is_verified: bool) {
        match self {
            Self::Tcp(stream) => stream.serves_verified = is_verified,
            Self::Tls(stream) => stream.get_mut().0.serves_verified = is_verified,
            Self::Unix(_) => {}
        }
    }

    /// Whether a write that fails has passed on nothing. Over TLS, a part of it may have been sent.
    pub(super) fn fails_whole(&self) -> bool {
        !matches!(self, Self::Tls(_))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A stream that has switched to another protocol, with the bytes of it that were read after the response.
pub struct SwitchedStream<S> {
    read: BytesMut,
    stream: S,
    /// The place of the connection, until it closes.
    _lease: Lease,
}

impl<S> SwitchedStream<S> {
    /// `read` was already read from the stream.
    pub fn new(read: BytesMut, stream: S) -> Self {
        Self { read, stream, _lease: Lease::default() }
    }

    /// The same stream, which keeps the place of its connection.
    pub(super) fn holding(self, lease: Lease) -> Self {
        Self { _lease: lease, ..self }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SwitchedStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let count = this.read.len().min(buffer.remaining());
        buffer.put_slice(this.read.get(..count).unwrap_or_default());
        this.read.advance(count);
        if this.read.is_empty() {
            this.read = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SwitchedStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_an_unverified_clients_upload_is_bounded() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(address).await.expect("a connection");
        let mut stream = Stream::Tcp(BoundedStream::new(stream).expect("a socket"));
        for (is_verified, expected) in [(false, UNSENT_BYTES), (true, SYSTEM_DEFAULT), (false, UNSENT_BYTES)]
        {
            stream.serve(is_verified);
            stream.write_all(b"x").await.expect("a write");
            let Stream::Tcp(stream) = &stream else { panic!("not TCP") };
            let limit = socket2::SockRef::from(&stream.stream).tcp_notsent_lowat().expect("the option");
            assert_eq!(limit, expected, "verified: {is_verified}");
        }
    }

    #[tokio::test]
    async fn bytes_that_follow_a_101_are_read_first() {
        let (ours, mut peer) = UnixStream::pair().expect("a pair");
        peer.write_all(b" later").await.expect("a write");
        drop(peer);
        let mut switched = SwitchedStream::new(BytesMut::from(&b"early"[..]), Stream::Unix(ours));
        let mut few = [0; 2];
        switched.read_exact(&mut few).await.expect("two bytes");
        let mut rest = String::new();
        switched.read_to_string(&mut rest).await.expect("the rest");
        assert_eq!((&few, rest.as_str()), (b"ea", "rly later"));
    }
}
