//! Addresses, names and URLs that refer to this machine.

use std::net::IpAddr;

use url::{Host, Url};

/// Whether this is a loopback address (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3), including IPv4 addresses
/// mapped into IPv6.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Whether a connection to this address reaches this machine. On Linux, the unspecified address does too.
/// A listener on such an address is reachable on loopback.
pub fn means_this_machine(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || address.is_unspecified()
}

/// Whether this is `localhost` or a name below it (RFC 6761 section 6.3). The name must be in lower case.
pub fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether the host of a URL refers to this machine, by name or address. Names are not resolved.
pub fn is_on_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_localhost(name),
        Some(Host::Ipv4(address)) => means_this_machine(address.into()),
        Some(Host::Ipv6(address)) => means_this_machine(address.into()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn loopback_and_unspecified_addresses_are_recognized() {
        for address in ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"] {
            let address = address.parse().unwrap();
            assert!(is_loopback(address) && means_this_machine(address), "{address}");
        }
        for address in ["0.0.0.0", "::", "::ffff:0.0.0.0"] {
            let address = address.parse().unwrap();
            assert!(!is_loopback(address) && means_this_machine(address), "{address}");
        }
        for address in ["128.0.0.1", "10.0.0.1", "169.254.169.254", "::2", "fe80::1"] {
            let address = address.parse().unwrap();
            assert!(!is_loopback(address) && !means_this_machine(address), "{address}");
        }
    }

    #[test]
    fn urls_are_recognized_by_name_and_address() {
        for url in
            ["http://LOCALHOST./", "http://a.localhost/", "http://127.1/", "http://[::1]/", "http://0/"]
        {
            assert!(is_on_this_machine(&url.parse().unwrap()), "{url}");
        }
        for url in ["http://localhost.test/", "http://notlocalhost/", "http://10.0.0.1/", "file:///localhost"]
        {
            assert!(!is_on_this_machine(&url.parse().unwrap()), "{url}");
        }
    }
}
