//! Sockets inherited from the service manager: systemd's socket activation (sd_listen_fds(3)).
//!
//! The socket stays open while the process is replaced, so no connection is lost, and the process needs no privilege
//! for a port below 1024.

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;

use listenfd::ListenFd;

use super::{ProxySocket, RunError, Socket};
use crate::config::{Config, Listen};

/// The names that `FileDescriptorName=` may give a socket. Only the proxy listener may have several.
const NAMES: [&str; 4] = ["proxy", "health", "admin", "forward-auth"];

/// The sockets that were passed to this process.
#[derive(Debug, Default)]
pub struct Inherited {
    proxy: Vec<Socket>,
    others: Vec<(&'static str, TcpListener)>,
}

impl Inherited {
    /// Takes the sockets that `LISTEN_FDS` and `LISTEN_PID` announce; `names` is `LISTEN_FDNAMES`. If only one socket
    /// is passed, and its name is unknown, it is the proxy listener.
    pub fn take_all(names: &str) -> Result<Self, RunError> {
        let mut passed = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..passed.len() {
            let name = names.split(':').nth(index).unwrap_or_default();
            let known = NAMES.into_iter().find(|known| *known == name);
            let listener = match known {
                Some(listener) => listener,
                None if passed.len() == 1 => NAMES[0],
                None => return Err(RunError::Inherited(name.to_owned(), NotOurs::Name.into())),
            };
            let is_proxy = listener == NAMES[0];
            if inherited.others.iter().any(|(taken, _)| *taken == listener) {
                return Err(RunError::Inherited(name.to_owned(), NotOurs::Twice.into()));
            }
            let unusable = |error| RunError::Inherited(name.to_owned(), error);
            // If the socket is of another kind, listenfd keeps it, and it is tried as TCP next.
            let unix = if is_proxy { passed.take_unix_listener(index).ok().flatten() } else { None };
            match unix {
                Some(socket) => inherited.proxy.push(Socket::Unix(socket)),
                None => match passed.take_tcp_listener(index).map_err(unusable)? {
                    Some(socket) if is_proxy => inherited.proxy.push(Socket::Tcp(socket)),
                    Some(socket) => inherited.others.push((listener, socket)),
                    None => {}
                },
            }
        }
        Ok(inherited)
    }

    pub(super) fn take(&mut self, name: &str) -> Option<TcpListener> {
        let index = self.others.iter().position(|(other, _)| *other == name)?;
        Some(self.others.swap_remove(index).1)
    }

    /// The sockets for clients; none if `listen` is to be used.
    ///
    /// # Errors
    /// An element of `listen` has token headers of its own, and it is not certain for which socket.
    pub(super) fn take_proxy(&mut self, config: &Config) -> Result<Vec<ProxySocket>, RunError> {
        let sockets = std::mem::take(&mut self.proxy).into_iter().map(|socket| {
            let unusable = |error| RunError::Inherited(NAMES[0].to_owned(), error);
            let address = socket.address().map_err(unusable)?;
            let is_listed = address.iter().any(|address| config.listen.iter().any(|other| other == address));
            if !is_listed && !config.listener_token_fields.is_empty() {
                return Err(unusable(NotOurs::Unlisted.into()));
            }
            let listen = address.unwrap_or_else(|| Listen::Unix(PathBuf::new()));
            Ok(ProxySocket { listen, socket })
        });
        sockets.collect()
    }
}

/// Why a socket cannot be used.
#[derive(Debug, thiserror::Error)]
enum NotOurs {
    #[error("its name (FileDescriptorName=) is none of proxy, health, admin, forward-auth")]
    Name,
    #[error("there are two of that name")]
    Twice,
    #[error("its address is not in `listen`, where elements have tokenHeaders of their own")]
    Unlisted,
}

impl From<NotOurs> for io::Error {
    fn from(why: NotOurs) -> Self {
        Self::new(io::ErrorKind::InvalidInput, why)
    }
}
