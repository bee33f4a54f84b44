//! Converts the fields of an HTTP/2 request to HTTP/1.1.

use http::{HeaderValue, Uri};

use super::list_members;
use crate::message::field_name::{COOKIE, HOST, TE};
use crate::message::{FieldValue, Fields};

/// Rewrites the fields of a request that came over HTTP/2. `Host` gets the value of `:authority` (RFC 9113
/// section 8.3.1), and the `Cookie` fields become one (section 8.2.3).
pub fn from_http2(headers: &mut Fields, target: &Uri) {
    let authority = target.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = authority {
        headers.insert(HOST, host);
    }
    let cookies: Vec<&[u8]> = headers.get_all(COOKIE).map(FieldValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(mut cookie) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        cookie.set_sensitive(true);
        headers.insert(COOKIE, cookie);
    }
}

/// Whether the sender of these fields accepts trailers (RFC 9110 section 10.1.4).
pub fn understands_trailers(headers: &Fields) -> bool {
    list_members(headers, TE).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::fields;

    #[test]
    fn cookies_become_one_field_and_the_authority_the_host() {
        let mut headers = Fields::new();
        for cookie in ["a=1", "b=2; c=3", "d=\u{e4}"] {
            headers.append(COOKIE, HeaderValue::from_bytes(cookie.as_bytes()).expect("a value"));
        }
        from_http2(&mut headers, &Uri::from_static("https://a.test:8443/x"));
        let cookies: Vec<_> = headers.get_all(COOKIE).map(FieldValue::as_bytes).collect();
        assert_eq!(cookies, ["a=1; b=2; c=3; d=\u{e4}".as_bytes()]);
        assert_eq!(headers.get(HOST).expect("a host"), "a.test:8443");
        from_http2(&mut headers, &Uri::from_static("/x"));
        assert_eq!(headers.get(HOST).expect("a host"), "a.test:8443", "unchanged without :authority");
    }

    #[test]
    fn a_single_cookie_field_stays_as_it_is() {
        let lines = [("cookie", "a=1; b=2"), ("accept", "*/*"), ("host", "a.test")];
        let mut headers = fields(&lines);
        from_http2(&mut headers, &Uri::from_static("/x"));
        assert_eq!(headers, fields(&lines));
    }

    #[test]
    fn te_may_list_trailers_with_other_codings() {
        let te = |value: &'static str| {
            understands_trailers(&Fields::from_iter([(TE, HeaderValue::from_static(value))]))
        };
        assert!(te("trailers") && te("gzip, Trailers"));
        assert!(!te("gzip") && !te("") && !understands_trailers(&Fields::new()));
    }
}
