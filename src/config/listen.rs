//! Where clients connect.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// A listening address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Listen {
    /// Its address, if it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The listening addresses of one listener; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddresses(Vec<Listen>);

impl ListenAddresses {
    /// `None` without any address.
    pub fn new(all: Vec<Listen>) -> Option<Self> {
        if all.is_empty() { None } else { Some(Self(all)) }
    }

    /// All of them, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Listen> {
        self.0.iter()
    }

    /// Those with a port.
    pub fn ports(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().filter_map(Listen::address)
    }

    /// Whether this address must leave IPv4 to another one of the same port. `[::]` otherwise stands for every address of
    /// the machine.
    pub fn is_only_ipv6(&self, address: SocketAddr) -> bool {
        address.ip() == Ipv6Addr::UNSPECIFIED
            && self.ports().any(|other| other.is_ipv4() && other.port() == address.port())
    }
}

impl fmt::Display for ListenAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, listen) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            listen.fmt(f)?;
        }
        Ok(())
    }
}
