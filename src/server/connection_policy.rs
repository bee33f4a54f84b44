//! Which client connections a configuration accepts, before it reads any request.
//!
//! 1. A connection is checked once, when it is accepted, and may outlive the configuration that accepted it.
//! 2. A reload that changes the rules increases the policy number. A reload that leaves them as they are does not.
//! 3. Every connection with an older number then ends: over HTTP/1 with its next response, over HTTP/2 with GOAWAY,
//!    a WebSocket with a Close frame. No response in progress is cut off.

use ipnet::IpNet;

use crate::config::{ClientAuth, Config, ProxyProtocol, TlsVersion};
use crate::file_watch::{self, Contents};

/// The connection rules of one configuration, with their number.
#[derive(Debug)]
pub(super) struct ConnectionPolicy {
    rules: ConnectionRules,
    /// Stays the same while successive configurations have the same rules.
    pub(super) number: u64,
}

impl ConnectionPolicy {
    /// Blocks: it reads the authorities of client certificates.
    pub(super) fn new(config: &Config, before: Option<&Self>) -> Self {
        let rules = ConnectionRules::of(config);
        let number = match before {
            None => 0,
            Some(before) if before.rules == rules => before.number,
            Some(before) => before.number + 1,
        };
        Self { rules, number }
    }
}

/// The settings that decide which peers are served and which client address a connection gets. The listener's own
/// certificate is not part of them: a client that has verified the old one may stay.
#[derive(Debug, PartialEq, Eq)]
struct ConnectionRules {
    tls: Option<TlsRules>,
    proxy_protocol: ProxyProtocol,
    /// `trustedProxies`: these peers may name other clients and have no share of the limits.
    trusted_proxies: Vec<IpNet>,
    trusts_unix_peers: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct TlsRules {
    min_version: TlsVersion,
    /// `None` if client certificates are not requested.
    client_auth: Option<ClientAuth>,
    /// Compared by content: a file may be replaced under its name.
    authorities: Contents,
}

impl ConnectionRules {
    fn of(config: &Config) -> Self {
        let tls = config.tls.as_ref().map(|tls| TlsRules {
            min_version: tls.min_version,
            client_auth: tls.client_ca_file.is_some().then_some(tls.client_auth),
            authorities: file_watch::read(&tls.client_ca_file),
        });
        Self {
            tls,
            proxy_protocol: config.proxy_protocol,
            trusted_proxies: config.trusted_proxies.clone(),
            trusts_unix_peers: config.trusts_unix_peers,
        }
    }
}
