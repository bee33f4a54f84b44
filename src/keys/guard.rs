//! Where a key fetch may be led: not every place that a redirect or a name points to.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};
use url::{Host, Url};

const MAX_REDIRECTS: usize = 3;

/// Names are resolved here, so that the address that is connected to is the one that was judged
/// (a name that resolves differently the second time changes nothing).
#[derive(Clone, Debug)]
pub(super) struct GuardedResolver;

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0))
                .await?
                .filter(|address| !is_metadata(address.ip()))
                .collect();
            if found.is_empty() {
                return Err("the name resolves to no address that keys may be fetched from".into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// At most three redirects, to the same scheme or from http to https, and never to an address
/// that only this machine's cloud should answer on.
pub(super) fn redirects() -> Policy {
    Policy::custom(|attempt: Attempt<'_>| {
        let previous = attempt.previous();
        let secure = previous.last().is_some_and(|url| url.scheme() == "https");
        if previous.len() > MAX_REDIRECTS {
            attempt.error("more than 3 redirects")
        } else if !matches!(attempt.url().scheme(), "http" | "https")
            || (secure && attempt.url().scheme() != "https")
        {
            attempt.error("a redirect to a weaker scheme")
        } else if literal_address(attempt.url()).is_some_and(is_metadata) {
            attempt.error("a redirect to a link-local or metadata address")
        } else {
            attempt.follow()
        }
    })
}

/// A resolver for reqwest.
pub(super) fn resolver() -> Arc<GuardedResolver> {
    Arc::new(GuardedResolver)
}

fn literal_address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

/// Link-local addresses (RFC 3927, RFC 4291 section 2.5.6), where cloud metadata services are,
/// their IPv6 address at AWS, and addresses that are none.
fn is_metadata(address: IpAddr) -> bool {
    const AWS_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_link_local()
                || address.is_unspecified()
                || address.is_broadcast()
                || address.octets() == [100, 100, 100, 200]
        }
        IpAddr::V6(address) => {
            address.is_unicast_link_local() || address.is_unspecified() || address == AWS_METADATA
        }
    }
}

/// Whether this is a literal loopback address or `localhost`.
pub(super) fn is_loopback(url: &Url) -> bool {
    url.host_str() == Some("localhost")
        || literal_address(url).is_some_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_addresses_are_recognised() {
        for address in [
            "169.254.169.254",
            "169.254.1.1",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "0.0.0.0",
            "::",
            "100.100.100.200",
        ] {
            assert!(is_metadata(address.parse().unwrap()), "{address}");
        }
        for address in ["127.0.0.1", "10.0.0.1", "192.168.1.1", "8.8.8.8", "::1", "fd00::1", "2001:db8::1"] {
            assert!(!is_metadata(address.parse().unwrap()), "{address}");
        }
    }
}
