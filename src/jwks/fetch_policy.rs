//! Protection against server-side request forgery: where redirects, discovery documents and names may lead a fetch.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::{Attempt, Policy};
use url::{Host, Origin, Url};

use super::status::display_url;
use crate::diagnosis::Plain;
use crate::loopback::{is_loopback, is_on_this_machine};

const MAX_REDIRECTS: usize = 3;
/// How many foreign names are remembered: far more than one fetch can use.
const MAX_NAMES: usize = 16;

/// Checks the URLs and addresses that one source leads to.
#[derive(Debug)]
pub(super) struct FetchPolicy {
    /// The host that the configuration names. It may resolve to this machine.
    home: Option<String>,
    /// Whether the source is on this machine. Only then may it lead to this machine.
    loopback: bool,
    /// Names that the source led to. They must not resolve to this machine.
    led_to: Mutex<HashSet<String>>,
}

impl FetchPolicy {
    pub(super) fn new(source: &Url) -> Arc<Self> {
        let home = source.host_str().map(str::to_owned);
        Arc::new(Self { home, loopback: is_on_this_machine(source), led_to: Mutex::default() })
    }

    /// Whether a document at `from` may lead to `to`.
    pub(super) fn admit(&self, from: &Url, to: &Url) -> Result<(), &'static str> {
        if !matches!(to.scheme(), "http" | "https") || (from.scheme() == "https" && to.scheme() != "https") {
            return Err("it leads to a weaker scheme");
        }
        if literal_address(to).is_some_and(is_metadata) {
            return Err("it leads to a link-local or metadata address");
        }
        if !self.loopback && is_on_this_machine(to) {
            return Err("it leads to a loopback address");
        }
        let foreign = to.domain().filter(|name| self.home.as_deref() != Some(name));
        if let Some(name) = foreign.filter(|_| !self.loopback) {
            let mut led_to = self.led_to.lock().unwrap_or_else(PoisonError::into_inner);
            // A source has one fetch at a time, and connects to this name next: older names are no longer needed.
            if led_to.len() >= MAX_NAMES {
                led_to.clear();
            }
            led_to.insert(name.to_owned());
        }
        Ok(())
    }

    /// Follows at most three redirects, each to an admitted URL.
    pub(super) fn redirects(self: &Arc<Self>) -> Policy {
        self.redirects_to(|_| true)
    }

    /// The same within one origin. The response that leads to another one is returned.
    pub(super) fn redirects_within(self: &Arc<Self>, origin: Origin) -> Policy {
        self.redirects_to(move |to| to.origin() == origin)
    }

    fn redirects_to(self: &Arc<Self>, follows: impl Fn(&Url) -> bool + Send + Sync + 'static) -> Policy {
        let policy = self.clone();
        Policy::custom(move |attempt: Attempt<'_>| {
            if !follows(attempt.url()) {
                return attempt.stop();
            }
            let previous = attempt.previous();
            if previous.len() > MAX_REDIRECTS {
                return attempt.error("more than 3 redirects");
            }
            let Some(from) = previous.last() else { return attempt.stop() };
            match policy.admit(from, attempt.url()) {
                Ok(()) => attempt.follow(),
                Err(why) => {
                    let to = display_url(attempt.url());
                    let error = format!("redirect to {} not followed: {why}", Plain(&to));
                    attempt.error(error)
                }
            }
        })
    }

    /// A resolver for reqwest.
    pub(super) fn resolver(self: &Arc<Self>) -> Arc<GuardedResolver> {
        Arc::new(GuardedResolver(self.clone()))
    }

    /// Whether keys may be fetched from this address of `name`.
    fn admits_address(&self, name: &str, address: IpAddr) -> bool {
        let led_to = || self.led_to.lock().unwrap_or_else(PoisonError::into_inner).contains(name);
        let led_to_loopback = || is_loopback(address) && led_to();
        !(is_metadata(address) || led_to_loopback())
    }
}

/// A resolver that returns only admitted addresses. The connection uses the addresses that were checked, so DNS
/// rebinding has no effect.
#[derive(Clone, Debug)]
pub(super) struct GuardedResolver(Arc<FetchPolicy>);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0))
                .await?
                .filter(|address| policy.admits_address(name.as_str(), address.ip()))
                .collect();
            if found.is_empty() {
                return Err("the name resolves to no address that keys may be fetched from".into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn literal_address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

/// Addresses of cloud metadata services: link-local ones (RFC 3927, RFC 4291 section 2.5.6), the IPv6 address at AWS
/// and 100.100.100.200; also the unspecified and broadcast addresses.
fn is_metadata(address: IpAddr) -> bool {
    const AWS_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match embedded(address) {
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

/// The IPv4 address embedded in an IPv6 address: mapped (RFC 4291 section 2.5.5.2), or with NAT64's well-known
/// prefix (RFC 6052 section 2.1).
fn embedded(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => match six.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                IpAddr::V4(((u32::from(high) << 16) | u32::from(low)).into())
            }
            _ => IpAddr::V6(six),
        },
        four => four,
    }
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
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(is_metadata(address.parse().unwrap()), "{address}");
        }
        for address in ["127.0.0.1", "10.0.0.1", "192.168.1.1", "8.8.8.8", "::1", "fd00::1", "2001:db8::1"] {
            assert!(!is_metadata(address.parse().unwrap()), "{address}");
        }
    }

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn a_remote_source_may_not_lead_to_this_machine() {
        let (from, policy) = (url("http://idp.test/jwks"), FetchPolicy::new(&url("http://idp.test/jwks")));
        for to in [
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://localhost/",
            "https://LOCALHOST./",
            "http://a.localhost/",
        ] {
            assert_eq!(policy.admit(&from, &url(to)), Err("it leads to a loopback address"), "{to}");
        }
        for to in ["http://169.254.169.254/", "http://[fe80::1]/", "http://0.0.0.0/"] {
            assert!(policy.admit(&from, &url(to)).is_err(), "{to}");
        }
        assert!(policy.admit(&url("https://idp.test/"), &url("http://idp.test/")).is_err());
        assert!(policy.admit(&from, &url("file:///etc/passwd")).is_err());
        assert_eq!(policy.admit(&from, &url("https://keys.test/jwks")), Ok(()));

        // The addresses of a name are checked when it is resolved.
        let (here, there) = ("127.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        assert!(!policy.admits_address("keys.test", here) && policy.admits_address("keys.test", there));
        assert!(policy.admits_address("idp.test", here), "the configuration named it");
        assert!(!policy.admits_address("idp.test", "169.254.169.254".parse().unwrap()));
    }

    #[test]
    fn a_local_source_may_lead_to_this_machine() {
        let (from, policy) =
            (url("http://127.0.0.1:1/jwks"), FetchPolicy::new(&url("http://127.0.0.1:1/jwks")));
        assert_eq!(policy.admit(&from, &url("http://localhost:2/")), Ok(()));
        assert!(policy.admits_address("localhost", "::1".parse().unwrap()));
        assert!(policy.admit(&from, &url("http://169.254.169.254/")).is_err());
    }

    #[test]
    fn the_number_of_remembered_names_is_bounded() {
        let (from, policy) = (url("http://idp.test/jwks"), FetchPolicy::new(&url("http://idp.test/jwks")));
        for number in 0..1000 {
            policy.admit(&from, &url(&format!("http://h{number}.test/"))).unwrap();
            assert!(!policy.admits_address(&format!("h{number}.test"), "127.0.0.1".parse().unwrap()));
        }
        assert!(policy.led_to.lock().unwrap().len() <= MAX_NAMES);
    }
}
