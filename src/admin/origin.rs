//! Whether a request to the admin listener comes from its own page, or from no page at all.

use std::net::{IpAddr, SocketAddr};

use http::header::{HOST, HeaderMap, HeaderName, ORIGIN, REFERER};
use http::{Method, uri::Authority};

use crate::loopback::is_loopback;

/// What a script says so that it is not taken for a web page or a webhook.
const METAGATE: HeaderName = HeaderName::from_static("x-metagate");
/// What a browser says of where a request comes from (W3C Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Judges a request to the listener at `own`.
///
/// # Errors
/// What is wrong with where it comes from.
pub(super) fn check(method: &Method, fields: &HeaderMap, own: SocketAddr) -> Result<(), &'static str> {
    let host = only(fields, &HOST).ok_or("there must be one Host")?;
    if !is_ours(host, own) {
        return Err("Host must be localhost or the address of this listener");
    }
    let own_origin = format!("http://{host}");
    if fields.contains_key(ORIGIN) && only(fields, &ORIGIN) != Some(own_origin.as_str()) {
        return Err("Origin must be this listener's own page");
    }
    // `none`: typed into the address bar, or a bookmark.
    if fields.contains_key(SEC_FETCH_SITE)
        && !matches!(only(fields, &SEC_FETCH_SITE), Some("same-origin" | "none"))
    {
        return Err("Sec-Fetch-Site must be same-origin or none");
    }
    // Every browser names the origin of a POST. Without any of these it is curl or a script, which
    // no page of somebody else's can make send anything.
    let browser = [SEC_FETCH_SITE, REFERER].iter().any(|name| fields.contains_key(name));
    if method == Method::POST && browser && !fields.contains_key(ORIGIN) {
        return Err("Origin is missing");
    }
    Ok(())
}

/// Whether somebody means this listener: with `X-Metagate: 1`, or in a browser, at its own page or in the
/// address bar. [`check`] has seen `Sec-Fetch-Site`.
///
/// A server that can be made to send a request to any URL, like the webhooks of a backend in the same pod,
/// sends neither by itself.
pub(super) fn is_deliberate(fields: &HeaderMap) -> bool {
    only(fields, &METAGATE) == Some("1") || fields.contains_key(SEC_FETCH_SITE)
}

/// The value of a field that is there once.
fn only<'f>(fields: &'f HeaderMap, name: &HeaderName) -> Option<&'f str> {
    let mut all = fields.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// A name of somebody else's may lead here, but then it is that name which a browser sends.
fn is_ours(host: &str, own: SocketAddr) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if host.contains('@') || authority.port_u16().unwrap_or(80) != own.port() {
        return false;
    }
    let name = authority.host();
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.is_ok_and(|address| {
        let (address, own) = (address.to_canonical(), own.ip().to_canonical());
        address == own || is_loopback(address) && is_loopback(own)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::HeaderValue;

    use super::*;

    fn judged(method: &Method, fields: &[(&'static str, &str)]) -> Result<(), &'static str> {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        check(method, &map, "127.0.0.1:8687".parse().unwrap())
    }

    #[test]
    fn a_host_is_this_listener_or_localhost() {
        for host in ["127.0.0.1:8687", "localhost:8687", "LOCALHOST:8687", "[::1]:8687", "127.0.0.2:8687"] {
            assert_eq!(judged(&Method::GET, &[("host", host)]), Ok(()), "{host}");
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
            assert!(judged(&Method::GET, &[("host", host)]).is_err(), "{host}");
        }
        assert!(judged(&Method::GET, &[]).is_err());
        let two = [("host", "127.0.0.1:8687"), ("host", "127.0.0.1:8687")];
        assert!(judged(&Method::GET, &two).is_err());
        // On an address of the machine, that address and no other.
        let own = "10.0.0.1:8687".parse().unwrap();
        let with = |host| HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
        assert!(check(&Method::GET, &with("10.0.0.1:8687"), own).is_ok());
        assert!(check(&Method::GET, &with("10.0.0.2:8687"), own).is_err());
        assert!(check(&Method::GET, &with("127.0.0.1:8687"), own).is_err());
    }

    #[test]
    fn a_page_elsewhere_gets_nothing_and_changes_nothing() {
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
                assert!(judged(&method, &[host, ("origin", origin)]).is_err(), "{method} {origin}");
            }
            for site in ["cross-site", "same-site", "", "other"] {
                let origin = ("origin", "http://127.0.0.1:8687");
                assert!(judged(&method, &[host, origin, ("sec-fetch-site", site)]).is_err(), "{site}");
            }
            let own = [host, ("origin", "http://127.0.0.1:8687"), ("sec-fetch-site", "same-origin")];
            assert_eq!(judged(&method, &own), Ok(()));
            assert_eq!(judged(&method, &[host]), Ok(()), "curl");
        }
        assert_eq!(judged(&Method::GET, &[host, ("sec-fetch-site", "none")]), Ok(()), "the address bar");
        assert!(judged(&Method::POST, &[host, ("sec-fetch-site", "same-origin")]).is_err());
        assert!(judged(&Method::POST, &[host, ("referer", "http://127.0.0.1:8687/")]).is_err());
    }

    #[test]
    fn what_nobody_sends_by_accident_is_deliberate() {
        let deliberate = |fields: &[(&'static str, &'static str)]| {
            let fields = fields
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            is_deliberate(&fields.fold(HeaderMap::new(), |mut all, (name, value)| {
                all.append(name, value);
                all
            }))
        };
        assert!(deliberate(&[("x-metagate", "1")]));
        assert!(deliberate(&[("sec-fetch-site", "same-origin")]));
        for fields in [
            &[][..],
            &[("x-metagate", "")],
            &[("x-metagate", "0")],
            &[("x-metagate", "1"), ("x-metagate", "1")],
            &[("origin", "http://127.0.0.1:8687")],
            &[("user-agent", "OpenMetadata"), ("content-type", "application/json")],
        ] {
            assert!(!deliberate(fields), "{fields:?}");
        }
    }
}
