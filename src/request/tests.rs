//! Reading and refusing whole requests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use http::HeaderValue;

use super::*;
use crate::backend::Backend;
use crate::message::Fields;
use crate::test_support::{facts_of, fields};

const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn read(target: &str, version: Version, lines: &[(&str, &str)]) -> Result<RequestFacts, RequestFault> {
    let target = Uri::try_from(target).unwrap();
    RequestFacts::read(&Method::GET, &target, version, &fields(lines), BackendQuirks::default(), IP)
}

fn with_host(lines: &[(&str, &str)]) -> Result<RequestFacts, RequestFault> {
    read("/a", Version::HTTP_11, &[&[("host", "a")], lines].concat())
}

#[track_caller]
fn assert_bad(outcome: Result<RequestFacts, RequestFault>, why: &str) {
    assert!(matches!(outcome, Err(RequestFault::BadTarget(_))), "{why}: {outcome:?}");
}

#[test]
fn host_is_checked_in_every_version() {
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        assert_eq!(&*read("/a", version, &[("host", "A.Example:")]).unwrap().host, "a.example");
        for host in ["", "[zz]", "..a", "a:b", "user@a"] {
            assert_bad(read("/a", version, &[("host", host)]), host);
        }
    }
}

#[test]
fn exactly_one_host_is_required() {
    assert_bad(read("/a", Version::HTTP_11, &[]), "none");
    assert_bad(read("/a", Version::HTTP_10, &[]), "none");
    assert_bad(read("http://a/a", Version::HTTP_11, &[]), "none, in absolute-form");
    assert_bad(read("/a", Version::HTTP_2, &[]), "neither Host nor :authority");
    assert_bad(read("/a", Version::HTTP_11, &[("host", "a"), ("Host", "b")]), "two");
    assert_bad(read("/a", Version::HTTP_11, &[("host", "a"), ("host", "a")]), "two equal ones");
    assert!(read("http://a/a", Version::HTTP_2, &[]).is_ok(), ":authority alone");
    assert!(read("http://a/a", Version::HTTP_2, &[("host", "A")]).is_ok());
    assert_bad(read("http://a/a", Version::HTTP_2, &[("host", "b")]), ":authority and another Host");
}

#[test]
fn absolute_form_must_name_the_same_host() {
    let facts = read("http://A:80/admin?x=1", Version::HTTP_11, &[("host", "a:80")]).unwrap();
    assert_eq!((facts.path.raw(), &*facts.host), ("/admin", "a"));
    assert_eq!(facts.path.path_and_query().as_str(), "/admin?x=1");
    assert_eq!(read("https://a", Version::HTTP_11, &[("host", "a")]).unwrap().path.raw(), "/");
    for (target, host) in [
        ("http://evil/health", "a"),
        ("http://a:80/", "a:81"),
        ("http://a/", "a:443"),
        ("http://a../", "a"),
        ("http://user@a/", "a"),
        ("http://user:pass@a/", "user:pass@a"),
        ("ftp://a/x", "a"),
        ("ws://a/x", "a"),
        ("a:443", "a:443"),
        ("*", "a"),
    ] {
        assert_bad(read(target, Version::HTTP_11, &[("host", host)]), target);
    }
}

#[test]
fn only_the_seven_methods_are_accepted() {
    let read = |method: &str| facts_of(Backend::Generic, method, "/a", &Fields::new());
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        assert_eq!(read(method).unwrap().method, *method);
    }
    for method in ["get", "Get", "CONNECT", "TRACE", "TRACK", "FOO", "PROPFIND", "PRI", "GETX"] {
        assert_eq!(read(method).err(), Some(RequestFault::MethodNotAllowed), "P18, P20 {method}");
    }
}

#[test]
fn target_host_is_forwarded() {
    for (target, version, lines, host) in [
        ("/a", Version::HTTP_11, &[("host", "A:80")][..], None),
        ("http://A:80/a", Version::HTTP_11, &[("host", "a:80")], Some("A:80")),
        ("http://a/a", Version::HTTP_2, &[], Some("a")),
        ("https://A.Example:8443/a", Version::HTTP_2, &[("host", "a.example:8443")], Some("A.Example:8443")),
        ("/a", Version::HTTP_2, &[("host", "a")], None),
    ] {
        let facts = read(target, version, lines).unwrap();
        let found = facts.target_host.as_ref().map(|host| host.to_str().unwrap());
        assert_eq!(found, host, "P13 {target} {lines:?}");
    }
}

/// Values of `:authority` and `:path` that the HTTP/2 codec accepts (RFC 9113 section 8.3.1).
#[test]
fn pseudo_fields_are_checked_like_a_request_line() {
    for (target, lines) in [
        ("http://user@a/x", &[][..]),
        ("http://a../x", &[]),
        ("http://a/x", &[("host", "b")]),
        ("http://a:81/x", &[("host", "a")]),
        ("http://a/x", &[("host", "a"), ("host", "a")]),
        ("http://a/x", &[("host", "")]),
        ("/x", &[]),
        ("*", &[("host", "a")]),
        ("http://a/../x", &[]),
        ("http://a/x", &[("transfer-encoding", "chunked")]),
    ] {
        assert_bad(read(target, Version::HTTP_2, lines), target);
    }
    // `Uri` drops a fragment, so it is neither authorized nor forwarded (P11).
    let cut = read("http://a/admin?x#/health", Version::HTTP_2, &[]).unwrap();
    assert_eq!(cut.path.path_and_query().as_str(), "/admin?x");
    let cut = read("http://a/health#/admin", Version::HTTP_2, &[]).unwrap();
    assert_eq!(cut.path.path_and_query().as_str(), "/health");
}

/// P14: the asterisk-form does not name a resource of the backend.
#[test]
fn asterisk_form_is_refused() {
    for method in ["GET", "OPTIONS"] {
        assert_bad(facts_of(Backend::Generic, method, "*", &Fields::new()), method);
    }
}

#[test]
fn ambiguous_body_length_is_refused() {
    let (te, cl) = ("transfer-encoding", "content-length");
    for lines in [
        &[][..],
        &[(te, "chunked")],
        &[(te, "CHUNKED")],
        &[(cl, "0")],
        &[(cl, "5")],
        &[(cl, "999999999999999999")],
    ] {
        assert!(with_host(lines).is_ok(), "{lines:?}");
    }
    for lines in [
        &[(te, "gzip, chunked")][..],
        &[(te, "chunked, chunked")],
        &[(te, ", chunked")],
        &[(te, "chunked,")],
        &[(te, "xchunked")],
        &[(te, "chunked;a=b")],
        &[(te, "chunked "), (te, "")],
        &[(te, "identity")],
        &[(te, "")],
        &[(te, "\"chunked\"")],
        &[(te, "chunked\t")],
        &[(te, "chunked"), (te, "chunked")],
        &[(te, "chunked"), (te, "identity")],
        &[(te, "chunked"), (cl, "5")],
        &[(cl, "5"), (te, "chunked")],
        &[(cl, "5"), (cl, "5")],
        &[(cl, "5"), (cl, "6")],
        &[(cl, "5, 5")],
        &[(cl, "05")],
        &[(cl, "00")],
        &[(cl, "+5")],
        &[(cl, "-1")],
        &[(cl, "0x5")],
        &[(cl, "5.0")],
        &[(cl, "5 ")],
        &[(cl, "")],
        &[(cl, "\u{665}")],
        &[(cl, "9999999999999999999")],
    ] {
        assert_bad(with_host(lines), &format!("{lines:?}"));
    }
    let chunked_10 = read("/a", Version::HTTP_10, &[("host", "a"), (te, "chunked")]);
    assert_bad(chunked_10, "chunked in HTTP/1.0");
    assert_bad(read("http://a/", Version::HTTP_2, &[(te, "chunked")]), "chunked in HTTP/2");
}

#[test]
fn field_names_are_checked_in_every_version() {
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        for name in ["transfer_encoding", "Transfer---Encoding", "content%length", "TransferEncoding"] {
            assert_bad(read("/a", version, &[("host", "a"), (name, "5")]), name);
        }
        assert!(read("/a", version, &[("host", "a"), ("content_type", "5")]).is_ok());
    }
}

#[test]
fn multiple_credentials_are_refused() {
    let auth = "authorization";
    for lines in [
        &[(auth, "Bearer a.b.c"), (auth, "Bearer a.b.c")][..],
        &[(auth, "Bearer a.b.c"), (auth, "Basic x")],
        &[(auth, ""), (auth, "Bearer a.b.c")],
        &[(auth, "Bearer a.b.c, Bearer d.e.f")],
    ] {
        let outcome = with_host(lines);
        assert!(matches!(outcome.err(), Some(RequestFault::AmbiguousCredentials(_))), "{lines:?}");
    }
}

#[test]
fn token_is_only_read_from_authorization() {
    let target = "/a?access_token=a.b.c&token=a.b.c";
    let lines = [
        ("host", "a"),
        ("cookie", "access_token=a.b.c; Authorization=Bearer a.b.c"),
        ("x-auth-token", "a.b.c"),
        ("proxy-authorization", "Bearer a.b.c"),
        ("x-forwarded-access-token", "a.b.c"),
        ("sec-websocket-protocol", "bearer, a.b.c"),
        ("authorization_", "Bearer a.b.c"),
    ];
    let facts = read(target, Version::HTTP_11, &lines).unwrap();
    assert!(matches!(facts.credentials, Credentials::Missing));
}

#[test]
fn the_bearer_token_is_found_in_the_target() {
    let (token, short) = ("a".repeat(SHORTEST_SEARCHED), "b".repeat(SHORTEST_SEARCHED - 1));
    for (token, target, expected) in [
        (&token, format!("/a?token={token}"), true),
        (&token, format!("/{token}/x"), true),
        (&token, format!("/{}", &token[1..]), false),
        (&token, "/a".to_owned(), false),
        (&short, format!("/a?token={short}"), false),
    ] {
        let bearer = format!("Bearer {token}");
        let facts = read(&target, Version::HTTP_11, &[("host", "a"), ("authorization", &bearer)]).unwrap();
        assert_eq!(facts.has_token_in_target(), expected, "{token} in {target}");
    }
    let facts = read(&format!("/{token}"), Version::HTTP_11, &[("host", "a")]).unwrap();
    assert!(!facts.has_token_in_target(), "no token");
}

#[test]
fn hostile_bytes_in_credentials_are_malformed() {
    for bytes in [
        &b"Bearer \xff"[..],
        b"Bearer a.\x80.c",
        b"\xff\xfe",
        b"Bearer \xc3\xa9.b.c",
        b"Bearer a.b.c\"",
        b"Bearer a b",
        b"Bearer a.b.c;x",
        b"Bearer <script>",
    ] {
        let mut headers = fields(&[("host", "a")]);
        headers.insert("authorization", HeaderValue::from_bytes(bytes).unwrap());
        let credentials = facts_of(Backend::Generic, "GET", "/a", &headers).unwrap().credentials;
        assert!(matches!(credentials, Credentials::Malformed(_)), "{bytes:?}: {credentials:?}");
    }
}

#[test]
fn session_cookies_are_found_in_every_cookie_field() {
    let has = |values: &[&[u8]]| {
        let mut headers = Fields::new();
        for value in values {
            headers.append("cookie", HeaderValue::from_bytes(value).unwrap());
        }
        facts_of(Backend::DataHubFrontend, "GET", "/a", &headers).unwrap().has_session_cookie
    };
    for values in [
        &[&b"PLAY_SESSION=x"[..]][..],
        &[b"actor=x"],
        &[b"a=b; PLAY_SESSION=x"],
        &[b"a=b;PLAY_SESSION=x;c=d"],
        &[b"a=b", b"PLAY_SESSION=x"],
        &[b" \tPLAY_SESSION =x"],
        &[b"a=\xff; PLAY_SESSION=x"],
        &[b",PLAY_SESSION=x"],
        &[b"a=b; , ,PLAY_SESSION=x"],
        &[b"PLAY_SESSION"],
    ] {
        assert!(has(values), "{values:?}");
    }
    for values in [
        &[][..],
        &[&b"play_session=x"[..]],
        &[b"a=PLAY_SESSION"],
        &[b"XPLAY_SESSION=x; PLAY_SESSIONX=x"],
        &[b"a=b=actor"],
        &[b";;="],
    ] {
        assert!(!has(values), "{values:?}");
    }
    let cookie = fields(&[("cookie", "PLAY_SESSION=x")]);
    assert!(!facts_of(Backend::Generic, "GET", "/a", &cookie).unwrap().has_session_cookie);
}

#[test]
fn known_bypass_paths_have_several_readings() {
    for word in ["users/login", "users/signup", "users/refresh", "system/version", "users/password/reset"] {
        let escaped = word.replace('/', "%2F");
        for path in [
            format!("/api/v1;v1%2F{escaped}/events/subscriptions/validation/condition/T(java.lang.Runtime)"),
            format!("/api/v1;v1/{word}/events/subscriptions"),
            format!("/api/v1/events;v1%2f{escaped}/subscriptions"),
            format!("/api/v1%2f{escaped}"),
            format!("/api/v1/{word}/"),
            format!("//api/v1/{word}"),
            format!("/api//v1/{word}"),
            format!("/api/v1/{word};x=y"),
            format!("/api/v1/{word}%20"),
            format!("/api/%761/{word}"),
        ] {
            let facts = facts_of(Backend::OpenMetadata, "GET", &path, &Fields::new()).unwrap();
            assert!(!facts.path.is_plain(), "{path}");
            assert_eq!(facts.path.path_and_query().as_str(), path, "forwarded as it came");
        }
    }
}

#[test]
fn overlong_utf8_is_refused() {
    for path in ["/a/%c0%ae%c0%ae/b", "/a%c0%afb", "/a%C1%9Cb", "/%e0%80%ae", "/%f0%80%80%ae", "/a%25c0%25ae"]
    {
        assert_bad(facts_of(Backend::Generic, "GET", path, &Fields::new()), path);
    }
    for path in ["/%c3%a9", "/%e9", "/%c0", "/%c0b", "/%e4%b8%ad", "/%f0%9f%98%80", "/%e0%a4%85"] {
        assert!(facts_of(Backend::Generic, "GET", path, &Fields::new()).is_ok(), "{path}");
    }
}

#[test]
fn impersonation_is_detected() {
    let facts = |lines| facts_of(Backend::OpenMetadata, "GET", "/a", &fields(lines)).unwrap();
    assert!(facts(&[("X-Impersonate-User", "ada")]).impersonates);
    assert!(facts(&[("x-impersonate-user", "")]).impersonates);
    assert!(!facts(&[]).impersonates);
}
