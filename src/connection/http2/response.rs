//! The heads of responses.

use http::header::{CONTENT_LENGTH, DATE, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body::Body;

use crate::connection::date::date;
use crate::message::{Fields, Response};
use crate::outbound_head::remove_connection_fields;

/// The head of a response: without fields about the connection (RFC 9113 section 8.2.2), with its length if that is
/// known, and with a date (RFC 9110 section 6.6.1).
pub(super) fn head(response: &mut Response<impl Body>) -> http::Response<()> {
    remove_connection_fields(response.headers_mut());
    let mut headers = response.headers().to_header_map();
    if !response.body().is_end_stream()
        && let Some(length) = response.body().size_hint().exact()
        && !headers.contains_key(CONTENT_LENGTH)
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if !headers.contains_key(DATE)
        && let Some(now) = date()
    {
        headers.insert(DATE, now);
    }
    with(response.status(), headers)
}

/// The head of an interim response.
pub(super) fn interim_head(status: StatusCode, headers: &Fields) -> http::Response<()> {
    with(status, headers.to_header_map())
}

fn with(status: StatusCode, headers: HeaderMap) -> http::Response<()> {
    let mut head = http::Response::new(());
    *head.status_mut() = status;
    *head.headers_mut() = headers;
    head
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{Empty, Full};

    use super::*;

    fn of(fields: &[(&'static str, &'static str)]) -> Fields {
        let mut headers = Fields::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn fields_about_the_connection_are_removed() {
        let fields = [
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "trailers"),
            ("x-own", "2"),
            ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ];
        let mut response = Response::new(StatusCode::OK, of(&fields), Empty::<Bytes>::new());
        let head = head(&mut response);
        let names: Vec<&str> = head.headers().keys().map(http::HeaderName::as_str).collect();
        assert_eq!(names, ["x-own", "date"]);
        assert_eq!(head.headers()["date"], fields[8].1, "the backend's");
    }

    #[test]
    fn length_and_date_are_added_if_they_are_missing() {
        let body = || Full::new(Bytes::from_static(b"hello"));
        let mut response = Response::new(StatusCode::OK, Fields::new(), body());
        let added = head(&mut response);
        assert_eq!(added.headers()["content-length"], "5");
        let date = added.headers()["date"].to_str().expect("text");
        assert!(httpdate::parse_http_date(date).is_ok(), "{date}");
        // As in the response to HEAD.
        let mut response =
            Response::new(StatusCode::OK, of(&[("content-length", "7")]), Empty::<Bytes>::new());
        assert_eq!(head(&mut response).headers()["content-length"], "7");
        let mut response = Response::new(StatusCode::OK, Fields::new(), Empty::<Bytes>::new());
        assert!(!head(&mut response).headers().contains_key("content-length"));
    }
}
