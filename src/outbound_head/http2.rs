//! What a request over HTTP/2 says in another way than one over HTTP/1.1.

use super::{COOKIE, HOST, HeaderMap, HeaderValue, TE};
use http::Uri;

/// Rewrites the fields of a request that came over HTTP/2: `Host` says what `:authority` said
/// (RFC 9113 section 8.3.1), and there is one `Cookie` field (section 8.2.3).
pub fn from_http2(fields: &mut HeaderMap, target: &Uri) {
    let authority = target.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = authority {
        fields.insert(HOST, host);
    }
    let cookies: Vec<&[u8]> = fields.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(mut cookie) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        cookie.set_sensitive(true);
        fields.insert(COOKIE, cookie);
    }
}

/// Whether the sender of these fields understands trailers (RFC 9110 section 10.1.4).
pub fn understands_trailers(fields: &HeaderMap) -> bool {
    fields.get(TE).is_some_and(|_| {
        let codings =
            fields.get_all(TE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        codings.into_iter().any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_become_one_field_and_the_authority_the_host() {
        let mut fields = HeaderMap::new();
        for cookie in ["a=1", "b=2; c=3", "d=\u{e4}"] {
            fields.append(COOKIE, HeaderValue::from_bytes(cookie.as_bytes()).expect("a value"));
        }
        from_http2(&mut fields, &Uri::from_static("https://a.test:8443/x"));
        let cookies: Vec<_> = fields.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(cookies, ["a=1; b=2; c=3; d=\u{e4}".as_bytes()]);
        assert_eq!(fields.get(HOST).expect("a host"), "a.test:8443");
        from_http2(&mut fields, &Uri::from_static("/x"));
        assert_eq!(fields.get(HOST).expect("a host"), "a.test:8443", "where there is no :authority");
    }

    #[test]
    fn te_names_trailers_among_others() {
        let te = |value: &'static str| {
            understands_trailers(&HeaderMap::from_iter([(TE, HeaderValue::from_static(value))]))
        };
        assert!(te("trailers") && te("gzip, Trailers"));
        assert!(!te("gzip") && !te("") && !understands_trailers(&HeaderMap::new()));
    }
}
