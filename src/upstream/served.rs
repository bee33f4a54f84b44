//! Which client an upstream connection serves, and the limits that follow from that.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::budget::Connection as Account;

/// The client connection whose request an upstream connection carries. If the client's tasks take turns, the task
/// that drives the upstream connection takes turns with them.
#[derive(Default)]
pub(super) struct Served {
    takes_turns: Mutex<Option<Arc<Account>>>,
    is_verified: AtomicBool,
}

impl Served {
    /// Assigns the connection to a client.
    pub(super) fn set(&self, account: &Arc<Account>) {
        *self.slot() = account.takes_turns().then(|| account.clone());
        self.is_verified.store(account.is_trusted(), Ordering::Relaxed);
    }

    /// Assigns the connection to no client.
    pub(super) fn clear(&self) {
        *self.slot() = None;
    }

    /// The account to take turns with, if any.
    pub(super) fn takes_turns(&self) -> Option<Arc<Account>> {
        self.slot().clone()
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<Account>>> {
        self.takes_turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much of an upload the kernel may buffer beyond what the network takes, for a client without a verified token.
const UNSENT_BYTES: u32 = 256 * 1024;
/// The kernel's default, with which an upload costs a third less processor time.
const SYSTEM_DEFAULT: u32 = 0;

/// A connection to the backend that bounds how much of an unverified client's upload the kernel buffers.
pub(super) struct BoundedStream {
    stream: TcpStream,
    served: Arc<Served>,
    is_bounded: bool,
}

impl BoundedStream {
    pub(super) fn new(stream: TcpStream, served: Arc<Served>) -> io::Result<Self> {
        bound(&stream, UNSENT_BYTES)?;
        Ok(Self { stream, served, is_bounded: true })
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let is_bounded = !self.served.is_verified.load(Ordering::Relaxed);
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
        slices: &[io::IoSlice<'_>],
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::budget::unlimited_account;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn only_an_unverified_clients_upload_is_bounded() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let served = Arc::new(Served::default());
        let stream = TcpStream::connect(address).await.expect("a connection");
        let mut stream = BoundedStream::new(stream, served.clone()).expect("a socket");
        let limit = |stream: &BoundedStream| {
            socket2::SockRef::from(&stream.stream).tcp_notsent_lowat().expect("the option")
        };
        let client = || unlimited_account(Some([192, 0, 2, 1].into()));
        let (unverified, verified) = (client(), client());
        verified.verified();
        for (client, expected) in
            [(&unverified, UNSENT_BYTES), (&verified, SYSTEM_DEFAULT), (&unverified, UNSENT_BYTES)]
        {
            served.set(client);
            stream.write_all(b"x").await.expect("a write");
            assert_eq!(limit(&stream), expected);
        }
    }
}
