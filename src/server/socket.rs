//! Sockets that accept client connections: TCP or a Unix domain socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdTcpListener};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::Path;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Type};
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

/// A socket for requests that are proxied.
#[derive(Debug)]
pub struct ProxySocket {
    /// Its address as the configuration has it; for an inherited socket its own.
    pub listen: Listen,
    /// The socket.
    pub socket: Socket,
}

/// How many connections may wait to be accepted; the kernel has a lower limit.
const BACKLOG: i32 = 4096;

/// Binds a TCP port without listening on it. `[::]` is every address of the machine: IPv6 and IPv4, unless `only_ipv6`;
/// without IPv6 it is IPv4.
pub(crate) fn bound(address: SocketAddr, only_ipv6: bool) -> io::Result<socket2::Socket> {
    let every = address.ip() == Ipv6Addr::UNSPECIFIED;
    let bind = |address: SocketAddr| {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if every && address.is_ipv6() {
            socket.set_only_v6(only_ipv6)?;
        }
        socket.bind(&address.into())?;
        Ok(socket)
    };
    match bind(address) {
        Err(error) if every && !only_ipv6 && lacks_ipv6(&error) => {
            bind((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        result => result,
    }
}

/// Whether a socket cannot be opened because the machine has no IPv6.
fn lacks_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error())
}

/// Listens on a TCP port; see [`bound`].
pub(super) fn listen_on(address: SocketAddr, only_ipv6: bool) -> io::Result<StdTcpListener> {
    let socket = bound(address, only_ipv6)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Listens on a port of `address` and, if that is 127.0.0.1, on the same port of ::1.
pub(super) fn listen_on_loopback(address: SocketAddr) -> io::Result<Vec<StdTcpListener>> {
    let mut listeners = vec![listen_on(address, false)?];
    if address.ip() == Ipv4Addr::LOCALHOST {
        let port = listeners.first().map_or(Ok(address), StdTcpListener::local_addr)?.port();
        match listen_on((Ipv6Addr::LOCALHOST, port).into(), true) {
            Ok(listener) => listeners.push(listener),
            Err(error) if lacks_ipv6(&error) => {}
            Err(error) => tracing::warn!(port, %error, "cannot listen on ::1 too"),
        }
    }
    Ok(listeners)
}

impl Socket {
    /// Its address. `None` for a Unix socket without a path.
    pub(super) fn address(&self) -> io::Result<Option<Listen>> {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(|address| Some(Listen::Tcp(address))),
            Self::Unix(socket) => {
                let address = socket.local_addr()?;
                Ok(address.as_pathname().map(|path| Listen::Unix(path.to_owned())))
            }
        }
    }

    /// Binds the socket. Replaces a stale socket file, which a process left that has ended. The umask decides the
    /// permissions of the file. For `only_ipv6` see [`bound`].
    pub(super) fn bind(listen: &Listen, only_ipv6: bool) -> io::Result<Self> {
        match listen {
            Listen::Tcp(address) => listen_on(*address, only_ipv6).map(Self::Tcp),
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
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn the_every_address_is_reached_over_ipv4_unless_ipv4_has_its_own() {
        let listener = listen_on("[::]:0".parse().unwrap(), false).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        let own = listen_on((Ipv4Addr::LOCALHOST, 0).into(), false).unwrap();
        let port = own.local_addr().unwrap().port();
        // On a machine without IPv6 there is nothing to share.
        if let Ok(only_ipv6) = listen_on((Ipv6Addr::UNSPECIFIED, port).into(), true) {
            assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
            drop(own);
            assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
            drop(only_ipv6);
        }
    }

    #[test]
    fn both_loopback_addresses_have_the_same_port() {
        let listeners = listen_on_loopback("127.0.0.1:0".parse().unwrap()).unwrap();
        let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        assert!(
            addresses
                .iter()
                .all(|address| address.ip().is_loopback() && address.port() == addresses[0].port())
        );
        let has_ipv6 = StdTcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        assert_eq!(addresses.len(), if has_ipv6 { 2 } else { 1 });
        assert_eq!(listen_on_loopback("127.0.0.2:0".parse().unwrap()).unwrap().len(), 1);
    }

    #[test]
    fn a_machine_without_ipv6_is_recognized_by_its_errors() {
        assert!(lacks_ipv6(&io::Error::from_raw_os_error(Errno::AFNOSUPPORT.raw_os_error())));
        assert!(lacks_ipv6(&io::ErrorKind::AddrNotAvailable.into()));
        assert!(!lacks_ipv6(&io::ErrorKind::AddrInUse.into()));
        assert!(!lacks_ipv6(&io::ErrorKind::PermissionDenied.into()));
    }

    #[test]
    fn only_a_stale_socket_file_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listen = Listen::Unix(path.clone());
        let first = Socket::bind(&listen, false).unwrap();
        assert_eq!(
            Socket::bind(&listen, false).unwrap_err().kind(),
            io::ErrorKind::AddrInUse,
            "it is in use"
        );
        drop(first);
        assert!(path.exists());
        drop(Socket::bind(&listen, false).unwrap());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert_eq!(
            Socket::bind(&listen, false).unwrap_err().kind(),
            io::ErrorKind::AddrInUse,
            "no socket at all"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
