//! Where a source is.

use std::path::PathBuf;

use url::Url;

use crate::config::Config;
use crate::loopback::is_on_this_machine;

/// Where a source is. The backend itself and this machine are never reached through a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum NetworkScope {
    Upstream,
    Loopback,
    Anywhere,
}

impl NetworkScope {
    pub(super) fn of(url: &Url, config: &Config) -> Self {
        let upstream = &config.upstream.url;
        let same_port = url.port_or_known_default() == upstream.port_or_known_default();
        if url.host() == upstream.host() && same_port {
            Self::Upstream
        } else if is_on_this_machine(url) {
            Self::Loopback
        } else {
            Self::Anywhere
        }
    }

    /// The file with CA certificates to trust in addition to the platform's, if one is configured.
    pub(super) fn authorities(self, own: Option<&PathBuf>, config: &Config) -> Option<PathBuf> {
        let upstreams = config.upstream.tls.ca_file.as_ref().filter(|_| self == Self::Upstream);
        own.or(upstreams).cloned()
    }
}
