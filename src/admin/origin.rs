//! Checks that a request to the admin listener comes from its own page, or from no page at all.

use std::net::{IpAddr, SocketAddr};

use http::header::{HOST, HeaderMap, HeaderName, ORIGIN, REFERER};
use http::{Method, uri::Authority};

use crate::loopback::is_loopback;

/// Set by scripts. Web pages elsewhere and webhooks cannot set it.
const METAGATE: HeaderName = HeaderName::from_static("x-metagate");
/// Set by browsers: the relation between the page that sends a request and its target (W3C Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The names under which the listener is reached.
pub(super) struct Names<'n> {
    /// Its own address.
    pub(super) local: SocketAddr,
    /// Whether a name is one of `admin.hosts`.
    pub(super) is_further: &'n (dyn Fn(&str) -> bool + Send + Sync),
}

/// Checks where a request to the listener comes from.
///
/// # Errors
/// Why the request is not accepted.
pub(super) fn check(method: &Method, headers: &HeaderMap, names: &Names<'_>) -> Result<(), &'static str> {
    let host = only(headers, &HOST).ok_or("there must be one Host")?;
    let kind = names.kind(host).ok_or(
        "Host must be localhost, the address of this listener, or one of admin.hosts (with any port)",
    )?;
    if headers.contains_key(ORIGIN) && !is_own(only(headers, &ORIGIN).unwrap_or_default(), host, kind) {
        return Err("Origin must be this listener's own page");
    }
    // `none`: typed into the address bar, or a bookmark.
    let from_page = headers.contains_key(SEC_FETCH_SITE)
        && !matches!(only(headers, &SEC_FETCH_SITE), Some("same-origin" | "none"));
    if from_page && !(method == Method::GET && is_top_level_navigation(headers)) {
        return Err("Sec-Fetch-Site must be same-origin or none, except when a link is followed");
    }
    // Every browser states the origin of a POST. A request without any of these fields is from curl or a script, which
    // a web page cannot control.
    let browser = [SEC_FETCH_SITE, REFERER].iter().any(|name| headers.contains_key(name));
    if method == Method::POST && browser && !headers.contains_key(ORIGIN) {
        return Err("Origin is missing");
    }
    Ok(())
}

/// Whether a browser opens the response in a window of its own. The page with the link cannot read it.
pub(super) fn is_top_level_navigation(headers: &HeaderMap) -> bool {
    only(headers, &SEC_FETCH_MODE) == Some("navigate") && only(headers, &SEC_FETCH_DEST) == Some("document")
}

/// Whether an origin is that of the page at `host`. A further name may be that of a proxy with TLS.
fn is_own(origin: &str, host: &str, kind: HostKind) -> bool {
    match origin.split_once("://") {
        Some(("http", own)) => own == host,
        Some(("https", own)) => kind == HostKind::Further && own == host,
        _ => false,
    }
}

/// Whether a request was sent to this listener on purpose: with `X-Metagate: 1`, or by a browser from this listener's
/// page or the address bar. [`check`] has validated `Sec-Fetch-Site`.
///
/// A server that can be made to send a request to any URL, such as the webhooks of a backend in the same pod, sends
/// neither field.
pub(super) fn is_deliberate(headers: &HeaderMap) -> bool {
    only(headers, &METAGATE) == Some("1") || headers.contains_key(SEC_FETCH_SITE)
}

/// The value of a field, if it occurs exactly once.
fn only<'f>(headers: &'f HeaderMap, name: &HeaderName) -> Option<&'f str> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HostKind {
    /// An address of this listener, or `localhost`.
    Address,
    /// One of `admin.hosts`.
    Further,
}

impl Names<'_> {
    /// What `Host` names, if it is this listener. With DNS rebinding another name resolves to this address, but the
    /// browser still sends that name.
    ///
    /// Ports are not compared: `kubectl port-forward 18687:8687` and `ssh -L` change them, and DNS rebinding is about
    /// names.
    fn kind(&self, host: &str) -> Option<HostKind> {
        let authority = host.parse::<Authority>().ok().filter(|_| !host.contains('@'))?;
        let name = authority.host();
        let is_port = |rest: &str| rest.is_empty() || authority.port_u16().is_some();
        if !host.strip_prefix(name).is_some_and(is_port) {
            return None;
        }
        if name.eq_ignore_ascii_case("localhost") {
            return Some(HostKind::Address);
        }
        if let Ok(address) = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            let (address, local) = (address.to_canonical(), self.local.ip().to_canonical());
            if address == local || is_loopback(address) && is_loopback(local) {
                return Some(HostKind::Address);
            }
        }
        (self.is_further)(name).then_some(HostKind::Further)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::HeaderValue;

    use super::*;

    fn checked(method: &Method, headers: &[(&'static str, &str)]) -> Result<(), &'static str> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        check(method, &map, &names("127.0.0.1:8687"))
    }

    fn names(local: &str) -> Names<'static> {
        Names { local: local.parse().unwrap(), is_further: &|name| name == "status.example" }
    }

    #[test]
    fn host_must_be_localhost_or_this_listener() {
        for host in [
            "127.0.0.1:8687",
            "localhost:8687",
            "LOCALHOST:8687",
            "[::1]:8687",
            "127.0.0.2:8687",
            // Other ports: `kubectl port-forward 18687:8687`, `ssh -L`.
            "localhost:18687",
            "127.0.0.1:80",
            "127.0.0.1",
            // admin.hosts
            "status.example",
            "status.example:8443",
        ] {
            assert_eq!(checked(&Method::GET, &[("host", host)]), Ok(()), "{host}");
        }
        let wrong = [
            "evil.example:8687",
            "localhost.evil.example:8687",
            "127.0.0.1.nip.io:8687",
            "127.0.0.1:x",
            "127.0.0.1:99999",
            "other.status.example",
            "10.0.0.1:8687",
            "0.0.0.0:8687",
            "localhost@evil.example:8687",
            "evil.example@localhost:8687",
            "localhost:8687/",
            "",
            "[::2]:8687",
        ];
        for host in wrong {
            assert!(checked(&Method::GET, &[("host", host)]).is_err(), "{host}");
        }
        assert!(checked(&Method::GET, &[]).is_err());
        let two = [("host", "127.0.0.1:8687"), ("host", "127.0.0.1:8687")];
        assert!(checked(&Method::GET, &two).is_err());
        // A listener on a non-loopback address accepts only that address.
        let local = &names("10.0.0.1:8687");
        let with = |host| HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
        assert!(check(&Method::GET, &with("10.0.0.1:8687"), local).is_ok());
        assert!(check(&Method::GET, &with("10.0.0.2:8687"), local).is_err());
        assert!(check(&Method::GET, &with("127.0.0.1:8687"), local).is_err());
    }

    #[test]
    fn requests_from_other_pages_are_refused() {
        let host = ("host", "127.0.0.1:8687");
        for method in [Method::GET, Method::POST] {
            for origin in [
                "http://evil.example",
                "null",
                "https://127.0.0.1:8687",
                "http://127.0.0.1",
                "",
                "http://localhost:8687",
            ] {
                assert!(checked(&method, &[host, ("origin", origin)]).is_err(), "{method} {origin}");
            }
            for site in ["cross-site", "same-site", "", "other"] {
                let origin = ("origin", "http://127.0.0.1:8687");
                assert!(checked(&method, &[host, origin, ("sec-fetch-site", site)]).is_err(), "{site}");
            }
            let own = [host, ("origin", "http://127.0.0.1:8687"), ("sec-fetch-site", "same-origin")];
            assert_eq!(checked(&method, &own), Ok(()));
            assert_eq!(checked(&method, &[host]), Ok(()), "curl");
        }
        for host in ["status.example", "status.example:8443"] {
            let own = [("host", host), ("origin", &format!("https://{host}"))];
            assert_eq!(checked(&Method::POST, &own), Ok(()), "a proxy with TLS");
            let other = [("host", host), ("origin", "https://status.example:1")];
            assert!(checked(&Method::POST, &other).is_err());
        }
        let other_port = [("host", "localhost:18687"), ("origin", "http://localhost:3000")];
        assert!(checked(&Method::POST, &other_port).is_err(), "a page on another port");
        assert_eq!(checked(&Method::GET, &[host, ("sec-fetch-site", "none")]), Ok(()), "the address bar");
        assert!(checked(&Method::POST, &[host, ("sec-fetch-site", "same-origin")]).is_err());
        assert!(checked(&Method::POST, &[host, ("referer", "http://127.0.0.1:8687/")]).is_err());
    }

    /// A link in a wiki or a chat may lead here: the browser shows the page, and the wiki cannot read it.
    #[test]
    fn links_on_other_pages_may_be_followed() {
        let link = |site, mode, dest| {
            let fields = [("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
            [&[("host", "127.0.0.1:8687")], &fields[..]].concat()
        };
        for site in ["cross-site", "same-site"] {
            assert_eq!(checked(&Method::GET, &link(site, "navigate", "document")), Ok(()));
            for (mode, dest) in [
                ("navigate", "iframe"),
                ("navigate", "embed"),
                ("no-cors", "image"),
                ("no-cors", "document"),
                ("cors", "empty"),
                ("navigate", ""),
            ] {
                assert!(checked(&Method::GET, &link(site, mode, dest)).is_err(), "{mode} {dest}");
            }
            let form = link(site, "navigate", "document");
            assert!(checked(&Method::POST, &form).is_err(), "a form on another page");
            let form = [&form[..], &[("origin", "http://evil.example")]].concat();
            assert!(checked(&Method::POST, &form).is_err());
            let rebound = [&[("host", "evil.example:8687")], &form[1..]].concat();
            assert!(checked(&Method::GET, &rebound).is_err());
        }
    }

    #[test]
    fn only_x_metagate_or_sec_fetch_site_is_deliberate() {
        let deliberate = |headers: &[(&'static str, &'static str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            is_deliberate(&headers.fold(HeaderMap::new(), |mut all, (name, value)| {
                all.append(name, value);
                all
            }))
        };
        assert!(deliberate(&[("x-metagate", "1")]));
        assert!(deliberate(&[("sec-fetch-site", "same-origin")]));
        for headers in [
            &[][..],
            &[("x-metagate", "")],
            &[("x-metagate", "0")],
            &[("x-metagate", "1"), ("x-metagate", "1")],
            &[("origin", "http://127.0.0.1:8687")],
            &[("user-agent", "OpenMetadata"), ("content-type", "application/json")],
        ] {
            assert!(!deliberate(headers), "{headers:?}");
        }
    }
}
