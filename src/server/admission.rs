//! Which connections a configuration admits, before any request is judged.
//!
//! A connection is admitted once, and may outlive the configuration that admitted it. When a reload changes the
//! policy, its number grows, and every connection that was admitted under an older number ends: over HTTP/1 with
//! its next answer, over HTTP/2 by GOAWAY, a WebSocket by a Close frame. No running answer is cut off.

use ipnet::IpNet;

use crate::config::{ClientAuth, Config, ProxyProtocol, TlsVersion};
use crate::file_watch::{self, Contents};

/// The policy of one configuration.
#[derive(Debug)]
pub(super) struct Admission {
    policy: AdmissionPolicy,
    /// The same for configurations that follow one another with the same policy.
    pub(super) number: u64,
}

impl Admission {
    /// Blocks: it reads the authorities of client certificates.
    pub(super) fn new(config: &Config, before: Option<&Self>) -> Self {
        let policy = AdmissionPolicy::of(config);
        let number = match before {
            None => 0,
            Some(before) if before.policy == policy => before.number,
            Some(before) => before.number + 1,
        };
        Self { policy, number }
    }
}

/// What decides whose connections are served, and who they are taken to come from. The listener's own
/// certificate is no part of it: who has verified the old one may stay.
#[derive(Debug, PartialEq, Eq)]
struct AdmissionPolicy {
    tls: Option<TlsPolicy>,
    proxy_protocol: ProxyProtocol,
    /// Who may speak for others, and has no share of the limits.
    proxies: (Vec<IpNet>, bool),
}

#[derive(Debug, PartialEq, Eq)]
struct TlsPolicy {
    min_version: TlsVersion,
    /// Whether client certificates are asked for.
    client_auth: Option<ClientAuth>,
    /// By content: a file may be replaced under its name.
    authorities: Contents,
}

impl AdmissionPolicy {
    fn of(config: &Config) -> Self {
        let tls = config.tls.as_ref().map(|tls| TlsPolicy {
            min_version: tls.min_version,
            client_auth: tls.client_ca_file.is_some().then_some(tls.client_auth),
            authorities: file_watch::read(&tls.client_ca_file),
        });
        Self {
            tls,
            proxy_protocol: config.proxy_protocol,
            proxies: (config.trusted_proxies.clone(), config.trusts_unix_peers),
        }
    }
}
