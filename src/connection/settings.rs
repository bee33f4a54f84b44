//! How connections are served, as the configuration says.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use ipnet::IpNet;

use crate::budget::Connection;
use crate::config::{Config, Discard, ProxyProtocol};
use crate::policy::contains_address;
use crate::request::HeadLimits;

/// How long a connection may be kept alive without a request. Long, because OpenMetadata's client
/// does not repeat a write on a connection that was closed under it.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(150);

/// What hyper buffers of one direction of a connection, unless a head may be larger.
const BUFFER_BYTES: usize = 64 * 1024;

/// How connections are served.
#[derive(Clone)]
pub(crate) struct ConnectionSettings {
    pub(super) http1: http1::Builder,
    pub(super) read: ReadLimits,
    /// Whose PROXY protocol headers are read, where connections must begin with one.
    pub(super) proxies: Option<TrustedProxies>,
    pub(super) http2: Http2Limits,
    pub(super) times: Times,
    /// The number of the admission policy.
    pub(super) admission: u64,
}

/// Peers that may say who a connection comes from.
#[derive(Clone)]
pub(super) struct TrustedProxies {
    networks: Arc<[IpNet]>,
    unix: bool,
}

impl TrustedProxies {
    /// Whether the configuration names this address.
    pub(super) fn names(&self, address: IpAddr) -> bool {
        contains_address(&self.networks, address)
    }

    /// Whether such a peer may. Where nobody is named, everybody may.
    pub(super) fn speak_for_others(&self, peer: Option<IpAddr>) -> bool {
        let nobody_named = self.networks.is_empty() && !self.unix;
        nobody_named || peer.map_or(self.unix, |peer| contains_address(&self.networks, peer))
    }
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// For a head.
    pub(super) head: Duration,
    /// To take what it was sent, once it has shown a verified token.
    pub(super) stall: Duration,
    /// For anything but a head, before that.
    pub(super) unverified: Duration,
}

/// A response of our own is small: a client that waits for it takes it at once.
const OWN_RESPONSE: Duration = Duration::from_secs(5);

impl Times {
    /// To send the next request.
    pub(super) fn idle(&self, account: &Connection) -> Duration {
        if account.is_trusted() { IDLE_TIMEOUT } else { self.unverified.min(IDLE_TIMEOUT) }
    }

    /// To take a response.
    pub(super) fn response(&self, account: &Connection, is_own: bool) -> Duration {
        let time = if account.is_trusted() { self.stall } else { self.unverified.min(self.stall) };
        if is_own { time.min(OWN_RESPONSE) } else { time }
    }
}

impl ConnectionSettings {
    pub(crate) fn new(config: &Config, admission: u64) -> Self {
        let limits = &config.limits;
        let mut http1 = http1::Builder::new();
        // StrictHttp1 keeps the time, and no head reaches hyper that is larger than this.
        http1.header_read_timeout(None).max_header_size(limits.header_bytes);
        // A head has to fit into it.
        http1.max_buf_size(limits.header_bytes.max(BUFFER_BYTES));
        // Any explicit number moves hyper's header table to the heap; 100 is its own.
        if limits.header_count != 100 {
            http1.max_headers(limits.header_count);
        }
        let read = ReadLimits {
            head: HeadLimits { bytes: limits.header_bytes, fields: limits.header_count },
            discard: limits.discard,
        };
        let required = config.proxy_protocol == ProxyProtocol::Require;
        let proxies = required.then(|| TrustedProxies {
            networks: config.trusted_proxies.as_slice().into(),
            unix: config.trusts_unix_peers,
        });
        Self {
            http1,
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
            admission,
        }
    }
}

/// How much is read of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadLimits {
    /// How large a head may be.
    pub(super) head: HeadLimits,
    /// What is read after the last response, so that the client can read it.
    pub(super) discard: Discard,
}

/// How much room a client has over HTTP/2.
#[derive(Clone, Copy, Debug)]
pub(super) struct Http2Limits {
    /// Zero where HTTP/2 is not spoken.
    pub(super) concurrent_streams: u32,
    pub(super) head_bytes: usize,
}

impl Http2Limits {
    pub(super) fn is_on(self) -> bool {
        self.concurrent_streams > 0
    }
}
