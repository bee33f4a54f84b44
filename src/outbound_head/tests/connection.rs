//! Connection-specific fields, and the fields that `Connection` names.

use super::super::connection::{SPECIFIC, removable};
use super::*;
use crate::message::{FieldName, Fields};

#[test]
fn connection_specific_fields_are_removed() {
    let lines = [
        ("connection", "keep-alive, X-Secret,  x-other ,, \"bad\""),
        ("connection", "third"),
        ("x-secret", "1"),
        ("x-other", "1"),
        ("third", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic x"),
        ("proxy-authenticate", "Basic"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("http2-settings", "x"),
        ("expect", "100-continue"),
        ("x-kept", "1"),
    ];
    let fields = sent(Backend::Generic, &lines, json!({}));
    for (name, _) in &lines[..lines.len() - 1] {
        assert_values(&fields, name, &[]);
    }
    assert_values(&fields, "x-kept", &["1"]);
}

/// A backend may read them as the fields that we removed, handled or set.
#[test]
fn look_alikes_of_removed_or_set_fields_are_removed() {
    let lines = [
        ("keepalive", "timeout=5"),
        ("proxy_connection", "keep-alive"),
        ("proxy.authorization", "Basic x"),
        ("t-e", "trailers"),
        ("trailer-", "x"),
        ("up-grade", "websocket"),
        ("http2--settings", "x"),
        ("ex_pect", "100-continue"),
        ("author-ization", "Bearer d.e.f"),
        ("authorization_", "Bearer d.e.f"),
        ("coo-kie", "PLAY_SESSION=x"),
        ("xrequestid", "forged"),
        ("x_request_id", "forged"),
        ("x-kept", "1"),
    ];
    for backend in Backend::ALL {
        let fields = sent(backend, &lines, json!({}));
        for (name, _) in &lines[..lines.len() - 1] {
            assert_values(&fields, name, &[]);
        }
        assert_values(&fields, "x-kept", &["1"]);
        assert_values(&fields, "authorization", &["Bearer a.b.c"]);
    }
}

#[test]
fn connection_may_not_name_reserved_or_end_to_end_fields() {
    let check = |backend: Backend, lines: &[(&str, &str)]| {
        OutboundHead::new(backend, names(true), Authorization::Forward, Vec::new())
            .check_connection(&fields(lines))
    };
    for name in [
        "Authorization",
        "Host",
        "Cookie",
        "Content-Length",
        "content-type",
        "content_length",
        "Content-Encoding",
        "Transfer-Encoding",
        "transfer.encoding",
        "X-Forwarded-For",
        "x-forwarded-proto",
        "X-Forwarded-Anything",
        "Forwarded",
        "x_real_ip",
        "X-Forwarded-User",
        "x_forwarded.groups",
        "X-Auth-Request-User",
        "X-DataHub-Actor",
        "X-HTTP-Method-Override",
        "Author-ization",
        "contentlength",
        "Ho-st",
        "X--Forwarded-User",
        "xforwardedfor",
    ] {
        for value in
            [name.to_owned(), format!("close, {name}"), format!("{name}\t,keep-alive"), format!(",, {name},")]
        {
            for backend in Backend::ALL {
                let bad = check(backend, &[("connection", &value)]).is_err();
                assert!(bad, "I05 {backend:?} {value:?}");
                let second = check(backend, &[("connection", "close"), ("connection", &value)]).is_err();
                assert!(second, "I05 in a second field: {backend:?} {value:?}");
            }
        }
    }
    for (backend, name) in [
        (Backend::OpenMetadata, "X-Impersonate-User"),
        (Backend::OpenMetadata, "X-OpenMetadata-Persona"),
        (Backend::OpenMetadata, "UserId"),
        (Backend::DataHubGms, "X-DataHub-Delegated-For-Id"),
        (Backend::DataHubFrontend, "x_datahub_request_source"),
    ] {
        assert!(check(backend, &[("connection", name)]).is_err(), "{backend:?} {name}");
        assert!(check(Backend::Generic, &[("connection", name)]).is_ok(), "no meaning there: {name}");
    }
    let mut with_other_bytes = Fields::new();
    with_other_bytes.insert("connection", HeaderValue::from_bytes(b"\xff, authorization").unwrap());
    assert!(head(Backend::Generic).check_connection(&with_other_bytes).is_err());
    for value in [
        "",
        "close",
        "keep-alive",
        "Keep-Alive, Upgrade, HTTP2-Settings",
        "TE, close",
        "x-private",
        "\"bad\"",
        "Proxy-Connection",
        "contents",
        "x-authorization",
        "hosts",
        "upgrade, x-forward",
    ] {
        assert_eq!(check(Backend::OpenMetadata, &[("connection", value)]), Ok(()), "{value:?}");
    }
}

#[test]
fn connection_cannot_remove_reserved_or_end_to_end_fields() {
    let lines = [
        ("connection", "close, X-Forwarded-User, X-Forwarded-For, Authorization, Host, Cookie"),
        ("connection", "content-length, content-type, x-forwarded-groups, X-Forwarded-Proto"),
        ("host", "a.example"),
        ("cookie", "a=b"),
        ("content-length", "5"),
        ("content-type", "text/plain"),
    ];
    let fields = sent(Backend::Generic, &lines, json!({"roles": ["R"]}));
    for (name, value) in [
        ("x-forwarded-user", "ada"),
        ("x-forwarded-groups", "R"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "http"),
        ("authorization", "Bearer a.b.c"),
        ("host", "a.example"),
        ("cookie", "a=b"),
        ("content-length", "5"),
        ("content-type", "text/plain"),
        ("connection", ""),
    ] {
        let expected: &[&str] = if value.is_empty() { &[] } else { &[value] };
        assert_values(&fields, name, expected);
    }
}

/// The order in which fields are removed decides about the order of those that stay.
#[test]
fn connection_specific_fields_of_a_response_are_removed_in_order() {
    let one_by_one = |mut headers: Fields| {
        for name in removable(&headers).into_iter().flatten() {
            headers.remove(&*name);
        }
        for name in SPECIFIC.iter() {
            headers.remove(name);
        }
        headers
    };
    for first in SPECIFIC.iter().map(FieldName::as_str) {
        for second in SPECIFIC.iter().map(FieldName::as_str) {
            let lines = [
                ("server", "x"),
                (first, "keep-alive"),
                ("content-type", "text/plain"),
                (second, "x-one, close"),
                ("x-one", "1"),
                ("x-two", "2"),
                (first, "te"),
                ("date", "now"),
                ("set-cookie", "a=b"),
                ("set-cookie", "c=d"),
            ];
            let mut headers = fields(&lines);
            remove_connection_fields(&mut headers);
            assert_eq!(headers, one_by_one(fields(&lines)), "{first} {second}");
            assert!(!headers.contains_key(first) && !headers.contains_key(second), "{headers:?}");
            assert_eq!(headers.contains_key("x-one"), second != "connection", "{first} {second}");
        }
    }
}
