//! Converts the fields of an HTTP/2 request to HTTP/1.1.

use super::{COOKIE, HOST, HeaderMap, HeaderValue, TE};
use http::Uri;

/// Rewrites the fields of a request that came over HTTP/2. `Host` gets the value of `:authority` (RFC 9113
/// section 8.3.1), and the `Cookie` fields become one (section 8.2.3).
pub fn from_http2(headers: &mut HeaderMap, target: &Uri) {
    let authority = target.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = authority {
        headers.insert(HOST, host);
    }
    let cookies: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(mut cookie) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        cookie.set_sensitive(true);
        headers.insert(COOKIE, cookie);
    }
}

/// Whether the sender of these fields accepts trailers (RFC 9110 section 10.1.4).
pub fn understands_trailers(headers: &HeaderMap) -> bool {
    headers.get(TE).is_some_and(|_| {
        let codings =
            headers.get_all(TE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        codings.into_iter().any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_become_one_field_and_the_authority_the_host() {
        let mut headers = HeaderMap::new();
        for cookie in ["a=1", "b=2; c=3", "d=\u{e4}"] {
            headers.append(COOKIE, HeaderValue::from_bytes(cookie.as_bytes()).expect("a value"));
        }
        from_http2(&mut headers, &Uri::from_static("https://a.test:8443/x"));
        let cookies: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(cookies, ["a=1; b=2; c=3; d=\u{e4}".as_bytes()]);
        assert_eq!(headers.get(HOST).expect("a host"), "a.test:8443");
        from_http2(&mut headers, &Uri::from_static("/x"));
        assert_eq!(headers.get(HOST).expect("a host"), "a.test:8443", "unchanged without :authority");
    }

    #[test]
    fn te_may_list_trailers_with_other_codings() {
        let te = |value: &'static str| {
            understands_trailers(&HeaderMap::from_iter([(TE, HeaderValue::from_static(value))]))
        };
        assert!(te("trailers") && te("gzip, Trailers"));
        assert!(!te("gzip") && !te("") && !understands_trailers(&HeaderMap::new()));
    }
}
