//! Sockets that accept client connections: TCP or a Unix domain socket.

use std::io;
use std::net::{IpAddr, TcpListener as StdTcpListener};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::Path;

use tokio::net::{TcpListener, UnixListener};

use crate::config::Listen;
use crate::connection::Stream;

/// A bound socket that is not registered with a runtime yet.
#[derive(Debug)]
pub enum Socket {
    /// A TCP port.
    Tcp(StdTcpListener),
    /// A Unix domain socket.
    Unix(StdUnixListener),
}

impl Socket {
    /// Binds the socket. Replaces a stale socket file, which a process left that has ended. The umask decides the
    /// permissions of the file.
    pub(super) fn bind(listen: &Listen) -> io::Result<Self> {
        match listen {
            Listen::Tcp(address) => StdTcpListener::bind(address).map(Self::Tcp),
            Listen::Unix(path) => {
                if is_stale(path) {
                    std::fs::remove_file(path)?;
                }
                StdUnixListener::bind(path).map(Self::Unix)
            }
        }
    }
}

fn is_stale(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    is_socket
        && StdUnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// A listener on the current runtime.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        match socket {
            Socket::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                TcpListener::from_std(socket).map(Self::Tcp)
            }
            Socket::Unix(socket) => {
                socket.set_nonblocking(true)?;
                UnixListener::from_std(socket).map(Self::Unix)
            }
        }
    }

    /// Its address, for the log.
    pub(super) fn name(&self) -> io::Result<String> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(|address| address.to_string()),
            Self::Unix(listener) => {
                let address = listener.local_addr()?;
                let path = address.as_pathname().map(|path| path.display().to_string());
                Ok(format!("unix:{}", path.unwrap_or_default()))
            }
        }
    }

    /// The next connection, and the address of its peer; `None` for a Unix domain socket.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Tcp(stream), Some(peer.ip().to_canonical())))
            }
            Self::Unix(listener) => Ok((Stream::Unix(listener.accept().await?.0), None)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn only_a_stale_socket_file_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listen = Listen::Unix(path.clone());
        let first = Socket::bind(&listen).unwrap();
        assert_eq!(Socket::bind(&listen).unwrap_err().kind(), io::ErrorKind::AddrInUse, "it is in use");
        drop(first);
        assert!(path.exists());
        drop(Socket::bind(&listen).unwrap());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert_eq!(Socket::bind(&listen).unwrap_err().kind(), io::ErrorKind::AddrInUse, "no socket at all");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
