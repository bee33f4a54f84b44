//! The settings of client connections, from the configuration.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::time::Instant;

use crate::budget::Connection;
use crate::config::{Config, Discard, ProxyProtocol};
use crate::policy::contains_address;
use crate::request::HeadLimits;

/// How long a connection may stay open without a request. It is long because OpenMetadata's client does not
/// repeat a write if the connection was closed.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(150);

/// The settings with which a connection is served until it ends.
#[derive(Clone)]
pub(crate) struct ConnectionSettings {
    pub(super) read: ReadLimits,
    /// Set if connections must begin with a PROXY protocol header: the peers that may send one.
    pub(super) proxies: Option<TrustedProxies>,
    pub(super) http2: Http2Limits,
    pub(super) times: Times,
    /// The number of the connection policy in force when the connection was accepted.
    pub(super) policy_number: u64,
}

/// Peers that may name the client of a connection.
#[derive(Clone)]
pub(super) struct TrustedProxies {
    networks: Arc<[IpNet]>,
    unix: bool,
}

impl TrustedProxies {
    /// Whether `trustedProxies` contains this address.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        contains_address(&self.networks, address)
    }

    /// Whether this peer may name a client. If `trustedProxies` is empty, every peer may.
    pub(super) fn may_name_client(&self, peer: Option<IpAddr>) -> bool {
        let is_empty = self.networks.is_empty() && !self.unix;
        is_empty || peer.map_or(self.unix, |peer| contains_address(&self.networks, peer))
    }
}

/// How long a client may take for each step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// To send a complete head.
    pub(super) head: Duration,
    /// To read what it was sent, once it has shown a verified token.
    pub(super) stall: Duration,
    /// For everything except a head, before it has shown a verified token.
    pub(super) unverified: Duration,
}

/// Responses that the proxy itself generates are small: a client that waits for one reads it at once.
const OWN_RESPONSE: Duration = Duration::from_secs(5);

impl Times {
    /// Until when to wait for a request whose head `began` then, or has not begun.
    pub(super) fn deadline(&self, began: Option<Instant>, account: &Connection) -> Instant {
        match began {
            Some(began) => began + self.head,
            None => account.idle_since().unwrap_or_else(Instant::now) + self.idle(account),
        }
    }

    /// How long the client may take to send its next request.
    pub(super) fn idle(&self, account: &Connection) -> Duration {
        if account.is_trusted() { IDLE_TIMEOUT } else { self.unverified.min(IDLE_TIMEOUT) }
    }

    /// How long the client may take to read the next part of a response. `is_own` means that the proxy
    /// generated the response.
    pub(super) fn response(&self, account: &Connection, is_own: bool) -> Duration {
        let time = if account.is_trusted() { self.stall } else { self.unverified.min(self.stall) };
        if is_own { time.min(OWN_RESPONSE) } else { time }
    }
}

impl ConnectionSettings {
    pub(crate) fn new(config: &Config, policy_number: u64) -> Self {
        let limits = &config.limits;
        let read = ReadLimits {
            head: HeadLimits {
                bytes: limits.header_bytes,
                target: limits.target_bytes,
                fields: limits.header_count,
            },
            discard: limits.discard,
        };
        let required = config.proxy_protocol == ProxyProtocol::Require;
        let proxies = required.then(|| TrustedProxies {
            networks: config.trusted_proxies.as_slice().into(),
            unix: config.trusts_unix_peers,
        });
        Self {
            http2: Http2Limits {
                concurrent_streams: limits.concurrent_streams,
                head_bytes: limits.header_bytes,
            },
            times: Times {
                head: limits.header_read_timeout,
                stall: config.upstream.idle_timeout,
                unverified: limits.unverified_timeout,
            },
            read,
            proxies,
            policy_number,
        }
    }
}

/// How much is read from a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadLimits {
    /// The limits on a request head.
    pub(super) head: HeadLimits,
    /// How much is read and discarded after the last response, so that the client can read the response.
    pub(super) discard: Discard,
}

/// The limits of an HTTP/2 connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Http2Limits {
    /// Zero turns HTTP/2 off.
    pub(super) concurrent_streams: u32,
    pub(super) head_bytes: usize,
}

impl Http2Limits {
    pub(super) fn is_on(self) -> bool {
        self.concurrent_streams > 0
    }
}
