//! Checks that a request to the admin listener comes from its own page, or from no page at all.

use std::net::{IpAddr, SocketAddr};

use http::header::{HOST, HeaderMap, HeaderName, ORIGIN, REFERER};
use http::{Method, uri::Authority};

use crate::loopback::is_loopback;

/// Set by scripts. Web pages elsewhere and webhooks cannot set it.
const METAGATE: HeaderName = HeaderName::from_static("x-metagate");
/// Set by browsers: the relation between the page that sends a request and its target (W3C Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Checks where a request to the listener at `local` comes from.
///
/// # Errors
/// Why the request is not accepted.
pub(super) fn check(method: &Method, headers: &HeaderMap, local: SocketAddr) -> Result<(), &'static str> {
    let host = only(headers, &HOST).ok_or("there must be one Host")?;
    if !is_ours(host, local) {
        return Err("Host must be localhost or the address of this listener");
    }
    let own_origin = format!("http://{host}");
    if headers.contains_key(ORIGIN) && only(headers, &ORIGIN) != Some(own_origin.as_str()) {
        return Err("Origin must be this listener's own page");
    }
    // `none`: typed into the address bar, or a bookmark.
    if headers.contains_key(SEC_FETCH_SITE)
        && !matches!(only(headers, &SEC_FETCH_SITE), Some("same-origin" | "none"))
    {
        return Err("Sec-Fetch-Site must be same-origin or none");
    }
    // Every browser states the origin of a POST. A request without any of these fields is from curl or a script, which
    // a web page cannot control.
    let browser = [SEC_FETCH_SITE, REFERER].iter().any(|name| headers.contains_key(name));
    if method == Method::POST && browser && !headers.contains_key(ORIGIN) {
        return Err("Origin is missing");
    }
    Ok(())
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

/// Whether `host` is an address of this listener. With DNS rebinding another name resolves to this address, but the
/// browser still sends that name.
fn is_ours(host: &str, local: SocketAddr) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if host.contains('@') || authority.port_u16().unwrap_or(80) != local.port() {
        return false;
    }
    let name = authority.host();
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.is_ok_and(|address| {
        let (address, local) = (address.to_canonical(), local.ip().to_canonical());
        address == local || is_loopback(address) && is_loopback(local)
    })
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
        check(method, &map, "127.0.0.1:8687".parse().unwrap())
    }

    #[test]
    fn host_must_be_localhost_or_this_listener() {
        for host in ["127.0.0.1:8687", "localhost:8687", "LOCALHOST:8687", "[::1]:8687", "127.0.0.2:8687"] {
            assert_eq!(checked(&Method::GET, &[("host", host)]), Ok(()), "{host}");
        }
        let wrong = [
            "evil.example:8687",
            "localhost.evil.example:8687",
            "127.0.0.1.nip.io:8687",
            "127.0.0.1",
            "127.0.0.1:80",
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
        let local = "10.0.0.1:8687".parse().unwrap();
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
        assert_eq!(checked(&Method::GET, &[host, ("sec-fetch-site", "none")]), Ok(()), "the address bar");
        assert!(checked(&Method::POST, &[host, ("sec-fetch-site", "same-origin")]).is_err());
        assert!(checked(&Method::POST, &[host, ("referer", "http://127.0.0.1:8687/")]).is_err());
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
