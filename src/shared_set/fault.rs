//! Why the store cannot be used, in words that an operator can act on.

use redis::{ErrorKind, RedisError};

use super::{MAX_BYTES, MAX_MEMBERS};
use crate::printable;
use crate::tls::TlsError;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// A file for TLS cannot be used.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// No connection to this server.
    #[error("{address}: {cause}")]
    Connection {
        /// Its host and port.
        address: String,
        /// Why not.
        cause: String,
    },
    /// The server did not answer.
    #[error("did not answer in time")]
    Timeout,
    /// The server answered with an error, or the connection broke.
    #[error("{0}")]
    Server(String),
    /// The set would have too many members.
    #[error("the store has no room: it holds at most {MAX_MEMBERS} entries; remove some, or let them end")]
    Full,
    /// Somebody else has changed the set since it was read.
    #[error("the store was changed at the same time by another writer; nothing was changed")]
    ChangedMeanwhile,
    /// The set has too many members.
    #[error("the store has {0} entries, more than {MAX_MEMBERS}")]
    TooMany(usize),
    /// The members are too long.
    #[error("the entries of the store have {0} bytes, more than {MAX_BYTES}")]
    TooLong(usize),
    /// The answer is not what the script returns.
    #[error("gave an answer that is not understood: is it a Redis or Valkey server?")]
    Unexpected,
    /// No sentinel knows the master.
    #[error("the sentinel {0} knows no master of that name (sentinelMaster)")]
    NoMaster(String),
    /// The server that the sentinels name is a replica.
    #[error("{0} is not the master, although the sentinels say so: a failover is under way")]
    NotMaster(String),
}

impl StoreFault {
    /// Whether no server can be reached, or none is the master: as while another one takes over.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Connection { .. } | Self::NoMaster(_) | Self::NotMaster(_))
    }
}

impl From<RedisError> for StoreFault {
    fn from(error: RedisError) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        // Neither has what was sent: a password, or an entry.
        let text = match (error.code(), error.detail()) {
            (Some("NOAUTH"), _) => "it requires a password: set password or passwordFile".to_owned(),
            (Some("WRONGPASS"), _) => "it refuses the user name or the password".to_owned(),
            (Some("NOPERM"), detail) => format!("the user may not do this: {}", detail.unwrap_or_default()),
            (Some("READONLY"), _) => "it is a replica: name the master, or use sentinelMaster".to_owned(),
            (Some(code), Some(detail)) => format!("{code} {detail}"),
            _ if error.kind() == ErrorKind::AuthenticationFailed => {
                "it refuses the user name or the password".to_owned()
            }
            _ if error.is_connection_dropped() => "the connection was closed".to_owned(),
            _ => error.to_string(),
        };
        let short: String = text.chars().take(200).collect();
        Self::Server(printable::line(&short).into_owned())
    }
}
