//! Sockets that somebody opened for us: systemd's socket activation (sd_listen_fds(3)).
//!
//! A socket that stays open while the process is replaced loses no connection, and a port below 1024
//! needs no privilege of ours.

use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;

use super::{RunError, Socket};

/// What a socket may be for, which is also what `FileDescriptorName=` says.
const NAMES: [&str; 4] = ["proxy", "health", "admin", "forward-auth"];

/// The sockets that were handed to this process.
#[derive(Debug, Default)]
pub struct Inherited {
    proxy: Option<Socket>,
    others: Vec<(&'static str, TcpListener)>,
}

impl Inherited {
    /// Takes the sockets that `LISTEN_FDS` and `LISTEN_PID` announce; `names` is `LISTEN_FDNAMES`. One
    /// socket without a name of these is the proxy's.
    pub fn take_all(names: &str) -> Result<Self, RunError> {
        let mut given = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..given.len() {
            let name = names.split(':').nth(index).unwrap_or_default();
            let known = NAMES.into_iter().find(|known| *known == name);
            let purpose = match known {
                Some(purpose) => purpose,
                None if given.len() == 1 => NAMES[0],
                None => return Err(RunError::Inherited(name.to_owned(), NotOurs::Name.into())),
            };
            let is_proxy = purpose == NAMES[0];
            let taken = inherited.others.iter().any(|(taken, _)| *taken == purpose);
            if taken || is_proxy && inherited.proxy.is_some() {
                return Err(RunError::Inherited(name.to_owned(), NotOurs::Twice.into()));
            }
            let unusable = |error| RunError::Inherited(name.to_owned(), error);
            // One that is of the other kind stays where it is.
            let unix = if is_proxy { given.take_unix_listener(index).ok().flatten() } else { None };
            match unix {
                Some(socket) => inherited.proxy = Some(Socket::Unix(socket)),
                None => match given.take_tcp_listener(index).map_err(unusable)? {
                    Some(socket) if is_proxy => inherited.proxy = Some(Socket::Tcp(socket)),
                    Some(socket) => inherited.others.push((purpose, socket)),
                    None => {}
                },
            }
        }
        Ok(inherited)
    }

    pub(super) fn take(&mut self, purpose: &str) -> Option<TcpListener> {
        let place = self.others.iter().position(|(own, _)| *own == purpose)?;
        Some(self.others.swap_remove(place).1)
    }

    pub(super) fn take_proxy(&mut self) -> Option<Socket> {
        self.proxy.take()
    }
}

/// Why a socket cannot be used.
#[derive(Debug, thiserror::Error)]
enum NotOurs {
    #[error("its name (FileDescriptorName=) is none of proxy, health, admin, forward-auth")]
    Name,
    #[error("there are two of that name")]
    Twice,
}

impl From<NotOurs> for io::Error {
    fn from(why: NotOurs) -> Self {
        Self::new(io::ErrorKind::InvalidInput, why)
    }
}
