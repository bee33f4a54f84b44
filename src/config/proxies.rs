//! The proxies that the environment names: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper or lower case.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use ipnet::IpNet;
use url::{Host, Url};

use super::sources::Sources;

/// The proxies of the environment.
#[derive(Clone, Debug, Default)]
pub struct EnvironmentProxies {
    /// For `http` URLs.
    pub http: Option<ProxyServer>,
    /// For `https` URLs, by CONNECT.
    pub https: Option<ProxyServer>,
    /// What is reached directly, also with a proxy of the configuration.
    pub exempt: NoProxy,
}

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyServer {
    /// Its URL, without user information.
    pub url: Url,
    /// The value of `Proxy-Authorization`, if it has user information. Marked as sensitive.
    pub authorization: Option<HeaderValue>,
}

/// Hosts that are reached without a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<Exemption>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Exemption {
    All,
    Name {
        /// In lower case, without a dot at either end.
        name: Box<str>,
        /// Whether only names below it are meant.
        only_below: bool,
        port: Option<u16>,
    },
    Network(IpNet, Option<u16>),
}

impl EnvironmentProxies {
    /// Reads the variables. A value that names no HTTP proxy is ignored, with a remark.
    pub(super) fn of(sources: &Sources, infos: &mut Vec<String>) -> Self {
        let variable = |name: &'static str| {
            let lower = name.to_ascii_lowercase();
            [name, &lower]
                .into_iter()
                .find_map(|name| sources.variable(name).filter(|value| !value.trim().is_empty()))
        };
        let mut proxy = |name| {
            let server = ProxyServer::parse(variable(name)?);
            if server.is_none() {
                infos.push(format!(
                    "{name} is ignored: it is not the URL of an HTTP proxy, like http://proxy.corp:3128"
                ));
            }
            server
        };
        let all = proxy("ALL_PROXY");
        Self {
            http: proxy("HTTP_PROXY").or_else(|| all.clone()),
            https: proxy("HTTPS_PROXY").or(all),
            exempt: NoProxy::parse(variable("NO_PROXY").unwrap_or_default()),
        }
    }
}

impl ProxyServer {
    /// Reads `http://user:password@proxy:3128`. The scheme may be left out.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let mut url = Url::parse(&full)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
        let authorization = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                Some(basic(&[&decoded(user)[..], b":", &decoded(password.unwrap_or_default())].concat())?)
            }
        };
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        Some(Self { url, authorization })
    }
}

/// `Basic` and `user:password` in base64 (RFC 7617 section 2), marked as sensitive.
pub(super) fn basic(credentials: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(credentials))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Percent-decoded user information.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        match after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(b'%');
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

impl NoProxy {
    /// Reads a list, separated by commas or blanks:
    ///
    /// | item | exempts |
    /// | --- | --- |
    /// | `*` | everything |
    /// | `corp.example`, `.corp.example` | that name and every name below it |
    /// | `*.corp.example` | every name below it |
    /// | `10.1.2.3`, `[::1]`, `10.0.0.0/8`, `fd00::/8` | URLs with such an address as their host; names are not resolved |
    /// | one of these (but `*` and networks) and `:port` | the same at that port only |
    ///
    /// Anything else exempts nothing.
    pub fn parse(list: &str) -> Self {
        let items = list.split(|c: char| c == ',' || c.is_whitespace()).filter(|item| !item.is_empty());
        Self(items.filter_map(Exemption::parse).collect())
    }

    /// Whether this URL is fetched without a proxy.
    pub fn exempts(&self, url: &Url) -> bool {
        let port = url.port_or_known_default();
        let at = |own: &Option<u16>| own.is_none() || *own == port;
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address).to_canonical()),
            _ => None,
        };
        let host = url.domain().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        self.0.iter().any(|exemption| match exemption {
            Exemption::All => true,
            Exemption::Network(network, port) => {
                address.is_some_and(|address| network.contains(&address)) && at(port)
            }
            Exemption::Name { name, only_below, port } => {
                let host = host.as_deref().unwrap_or_default();
                let below = host.strip_suffix(&**name).is_some_and(|rest| rest.ends_with('.'));
                (below || !only_below && host == &**name) && at(port)
            }
        })
    }
}

impl Exemption {
    fn parse(item: &str) -> Option<Self> {
        if item == "*" {
            return Some(Self::All);
        }
        let network = |text: &str| {
            let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
            let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
            address.ok().or_else(|| text.parse().ok())
        };
        if let Some(network) = network(item) {
            return Some(Self::Network(network, None));
        }
        let (host, port) = match item.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (item, None),
        };
        if let Some(network) = network(host) {
            return Some(Self::Network(network, port));
        }
        let (name, only_below) = match host.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (host.trim_start_matches('.'), false),
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let is_name = !name.is_empty() && !name.contains(['*', '/', ':', '[', ']']);
        is_name.then(|| Self::Name { name: name.into(), only_below, port })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[track_caller]
    fn assert_exempts(list: &str, yes: &[&str], no: &[&str]) {
        let list = NoProxy::parse(list);
        for (urls, expected) in [(yes, true), (no, false)] {
            for url in urls {
                assert_eq!(list.exempts(&url.parse().unwrap()), expected, "{url}: {list:?}");
            }
        }
    }

    #[test]
    fn a_star_exempts_everything() {
        assert_exempts("*", &["https://a.example/", "http://10.0.0.1/"], &[]);
        assert_exempts("x, *", &["https://a.example/"], &[]);
        assert_exempts("", &[], &["https://a.example/"]);
    }

    #[test]
    fn a_domain_exempts_itself_and_what_is_below() {
        for list in
            ["corp.example", ".corp.example", "CORP.Example.", "x.test,corp.example", "x.test corp.example"]
        {
            assert_exempts(
                list,
                &["https://corp.example/", "https://idp.corp.example:8443/", "http://A.B.CORP.EXAMPLE./"],
                &["https://example/", "https://notcorp.example/", "https://corp.example.evil.test/"],
            );
        }
        assert_exempts("localhost", &["http://localhost:1/"], &["http://127.0.0.1/"]);
    }

    #[test]
    fn a_star_and_a_domain_exempt_only_what_is_below() {
        assert_exempts(
            "*.corp.example",
            &["https://idp.corp.example/", "https://a.b.corp.example/"],
            &["https://corp.example/", "https://xcorp.example/"],
        );
    }

    #[test]
    fn a_port_restricts_an_exemption() {
        assert_exempts(
            "corp.example:8443",
            &["https://corp.example:8443/", "https://idp.corp.example:8443/"],
            &["https://corp.example/", "https://corp.example:443/"],
        );
        assert_exempts("corp.example:443", &["https://corp.example/"], &["http://corp.example/"]);
        assert_exempts("*.corp.example:80", &["http://a.corp.example/"], &["https://a.corp.example/"]);
        assert_exempts(
            "10.0.0.1:8080",
            &["http://10.0.0.1:8080/"],
            &["http://10.0.0.1/", "http://10.0.0.2:8080/"],
        );
        assert_exempts("[fd00::1]:8080", &["http://[fd00::1]:8080/"], &["http://[fd00::1]/"]);
    }

    #[test]
    fn addresses_and_networks_exempt_addresses() {
        assert_exempts(
            "10.0.0.1",
            &["https://10.0.0.1:6443/"],
            &["https://10.0.0.2/", "https://a.10.0.0.1.test/"],
        );
        assert_exempts(
            "10.0.0.0/8, fd00::/8",
            &["https://10.255.0.1/", "https://[fd12::1]/", "https://[::ffff:10.0.0.1]/"],
            &["https://11.0.0.1/", "https://[fe00::1]/", "https://ten.example/"],
        );
        for list in ["::1", "[::1]", "::1/128"] {
            assert_exempts(list, &["https://[::1]/"], &["https://[::2]/", "https://127.0.0.1/"]);
        }
    }

    #[test]
    fn what_is_none_of_these_exempts_nothing() {
        for list in [
            "*corp.example",
            "corp.*",
            "*.",
            ".",
            "http://corp.example",
            "10.0.0.0/33",
            "a:b",
            "a:99999",
            ":80",
        ] {
            assert_exempts(
                list,
                &[],
                &["https://corp.example/", "https://10.0.0.1/", "https://a/", "http://a/"],
            );
        }
    }

    #[test]
    fn proxies_are_read_with_and_without_scheme_and_user() {
        for (text, url, credentials) in [
            ("http://proxy.corp:3128", "http://proxy.corp:3128/", None),
            ("proxy.corp:3128", "http://proxy.corp:3128/", None),
            ("https://proxy.corp/", "https://proxy.corp/", None),
            ("http://ada:p%40ss:w%2fd@proxy:1", "http://proxy:1/", Some("ada:p@ss:w/d")),
            ("ada:secret@proxy:1", "http://proxy:1/", Some("ada:secret")),
            ("http://ada@proxy:1", "http://proxy:1/", Some("ada:")),
            ("http://100%:5%@proxy:1", "http://proxy:1/", Some("100%:5%")),
        ] {
            let server = ProxyServer::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(server.url.as_str(), url, "{text}");
            let expected = credentials.map(|text| basic(text.as_bytes()).unwrap());
            assert_eq!(server.authorization, expected, "{text}");
            assert!(!format!("{server:?}").contains("Basic"), "{server:?}");
        }
        for text in ["socks5://proxy:1080", "file:///proxy", "http://", "http://a b/"] {
            assert_eq!(ProxyServer::parse(text), None, "{text}");
        }
    }

    #[test]
    fn variables_are_read_in_both_cases() {
        let of = |variables: &[(&str, &str)]| {
            let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let sources = Sources { environment: environment.collect(), ..Sources::default() };
            let mut infos = Vec::new();
            let found = EnvironmentProxies::of(&sources, &mut infos);
            let url = |server: Option<ProxyServer>| server.map(|server| server.url.to_string());
            (url(found.http), url(found.https), infos.len())
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(of(&[]), (None, None, 0));
        assert_eq!(
            of(&[("HTTP_PROXY", "a"), ("https_proxy", "b")]),
            (text("http://a/"), text("http://b/"), 0)
        );
        assert_eq!(
            of(&[("ALL_PROXY", "a"), ("HTTPS_PROXY", "b")]),
            (text("http://a/"), text("http://b/"), 0)
        );
        assert_eq!(of(&[("HTTPS_PROXY", ""), ("https_proxy", "b")]), (None, text("http://b/"), 0));
        assert_eq!(of(&[("HTTPS_PROXY", "socks5://a")]), (None, None, 1));
    }
}
