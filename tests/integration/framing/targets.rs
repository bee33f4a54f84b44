//! Request targets and Host. Case ids are those of the attack catalogue.

use super::Expect::Refused;
use super::{Case, assert_all, case};
use crate::support::issuer::Issuer;
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::wire::Client;

fn target(target: impl AsRef<[u8]>) -> Case {
    let target = target.as_ref();
    let name = String::from_utf8_lossy(target).into_owned();
    case(name, [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\nTOKEN\r\n"].concat(), Refused)
}

#[test]
fn ambiguous_paths_are_refused() {
    let mut cases: Vec<Case> = [
        "/api/../admin",
        "/..",
        "/../",
        "/.",
        "/./x",
        "/x/.",
        "/x/..",
        "/a/b/../../../c",
        "/%2e%2e/x",
        "/%2E%2e/x",
        "/.%2e/x",
        "/%2e./x",
        "/%2e/x",
        "/x/%2e%2e",
        "/..%2fx",
        "/x/..%2Fy",
        "/%2e%2e%2fx",
        "/x%2f..%2fy",
        "/x%2f%2e%2e",
        "/..;/x",
        "/x/..;a=b/y",
        "/.;/x",
        "/%2e%2e;/x",
        "/%252e%252e/x",
        "/%252e%252e%252fx",
        "/%25%32%65%25%32%65/x",
        "/x/..%255cy",
        "/x\\y",
        "/x\\..\\y",
        "/..\\x",
        "/x%00",
        "/%00",
        "/x%0d%0aX:%20y",
        "/x%0a",
        "/x%1f",
        "/x%7f",
        "/x%2500",
        "/x%250a",
        "/%",
        "/x%",
        "/x%2",
        "/x%zz",
        "/x%u002e",
        "/AAAAA%%0000/y",
        "/xyz/.%00../y",
        "/x#y",
        "/#",
        "/x#",
        "/x?y#z",
        "/health#/x",
    ]
    .into_iter()
    .map(target)
    .collect();
    cases.push(target(b"/\xc3\xa9"));
    cases.push(target(b"/x\0y"));
    cases.push(target(b"/x\x7fy"));
    cases.push(target(b"/x\x01y"));
    cases.push(target(b"/x?\xc3\xa9"));
    cases.push(target(b"/x?\ty"));
    assert_all(&cases);
}

#[test]
fn invalid_target_forms_are_refused() {
    let mut cases: Vec<Case> = [
        "*",
        "api",
        "api/v1",
        "",
        "?x=1",
        "a:443",
        "ftp://a/x",
        "file:///etc/passwd",
        "http://user@a/x",
        "http://user:pass@a/x",
        "http://",
        "http:///x",
        "http:x",
        "https://a:99999/x",
        "http://[::1/x",
    ]
    .into_iter()
    .map(target)
    .collect();
    for (name, bytes) in [
        ("P14 CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nTOKEN\r\n"),
        ("P14 CONNECT with a path", "CONNECT /health HTTP/1.1\r\nHost: a\r\nTOKEN\r\n"),
        ("P13 another host", "GET http://b/x HTTP/1.1\r\nHost: a\r\nTOKEN\r\n"),
    ] {
        cases.push(case(name, bytes, Refused));
    }
    cases.push(case("P14 OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\nTOKEN\r\n", Refused));
    cases.push(case("P15 two trailing dots", "GET http://a../x HTTP/1.1\r\nHost: a..\r\nTOKEN\r\n", Refused));
    assert_all(&cases);
}

#[test]
fn absolute_form_is_forwarded_as_origin_form() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let mut client = Client::connect(stage.gateway.proxy);
    client
        .send(format!("GET http://A.test/x?y=1 HTTP/1.1\r\nHost: a.TEST\r\nAuthorization: {token}\r\n\r\n"));
    assert_eq!(client.response().expect("a response").status, 200, "P13");
    let request = stage.upstream.request_to("/x?y=1");
    assert_eq!(request.head.value("host"), Some("A.test"), "the target's, RFC 9112 section 3.2.2");
}

#[test]
fn invalid_hosts_are_refused() {
    let mut cases = Vec::new();
    for host in [
        "",
        "a, b",
        "a,b",
        "user@a",
        "user:pass@a",
        "a/path",
        "a?b",
        "a#b",
        "a:99999",
        "a:b",
        "a:-1",
        "[::1",
        "::1]",
        "a b",
        "a\\b",
        "a\tb",
        "<a>",
        "a\u{e9}",
        "a..:80",
        ".",
        "..a",
        "a..b",
        "[]",
        "[zz]",
        "[ab..cd::1]",
        "[v1.a]",
        "[::1%25eth0]",
    ] {
        cases.push(case(
            format!("P15 Host: {host:?}"),
            format!("GET /x HTTP/1.1\r\nHost: {host}\r\nTOKEN\r\n"),
            Refused,
        ));
    }
    for (name, fields) in [
        ("missing", ""),
        ("two", "Host: a\r\nHost: b\r\n"),
        ("two equal", "Host: a\r\nHost: a\r\n"),
        ("two, other case", "Host: a\r\nhOST: b\r\n"),
        ("folded", "Host:\r\n a\r\n"),
        ("space before the colon", "Host : a\r\n"),
    ] {
        cases.push(case(format!("P15 {name}"), format!("GET /x HTTP/1.1\r\n{fields}TOKEN\r\n"), Refused));
    }
    assert_all(&cases);
}

#[test]
fn valid_hosts_are_forwarded_unchanged() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    for (index, host) in [
        "a",
        "A.Test:8585",
        "127.0.0.1:80",
        "[::1]:8585",
        "a-b.c_d.test",
        "localhost",
        "a:",
        "[2001:DB8::0:1]:",
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(format!("GET /{index} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\n\r\n"));
        assert_eq!(client.response().expect("a response").status, 200, "{host}");
        assert_eq!(stage.upstream.request_to(&format!("/{index}")).head.value("host"), Some(host));
    }
}

/// CVE-2024-28255 and similar ones: only the plain path opens a public route.
#[test]
fn no_spelling_of_a_protected_path_is_public() {
    let config = "backend: openmetadata\nauthentication: {publicKeyUrls: [ISSUER/jwks]}\nauthorization: {public: [\"GET /api/docs/**\", \"GET /api/health\"]}";
    let stage = Stage::configured(Issuer::of(keys::rsa()), config);
    for open in [
        "/api/v1/system/version",
        "/api/v1/system/config/jwks",
        "/api/docs/a/b",
        "/api/health",
        "/api/health?x=/api/admin",
    ] {
        assert_eq!(stage.gateway.get(open, &[]).status, 200, "{open}");
    }
    let reached = stage.upstream.requests().len();
    for closed in [
        "/api/v1/users;v1/system/version",
        "/api/v1;x=/system/version",
        "/api/v1;v1%2fusers%2flogin/events/subscriptions/validation/condition/x",
        "/api/v1;v1%2Fv1%2Fsystem%2Fversion/users",
        "/api/v1/events/subscriptions/validation/condition/T(x);v1/users/login",
        "/api/v1/system/version;x",
        "/api/v1/system/version/",
        "/api/v1/system/version/../../users",
        "/api/v1/system/version/..;/users",
        "/api/v1/system/version%2f..%2fusers",
        "/api/v1/system%2fversion",
        "%2fapi%2fv1%2fsystem%2fversion",
        "/api/v1/system/%76ersion",
        "//api/v1/system/version",
        "/api//v1/system/version",
        "///api/health",
        "/api/health.",
        "/api/health/",
        "/api/health%20",
        "/api/health%09",
        "/api/HEALTH",
        "/api/Health",
        "/api/healthx",
        "/api/docs/../admin",
        "/api/docs/%2e%2e/admin",
        "/api/docs/..%2fadmin",
        "/api/docs/..;/admin",
        "/api/docs/a;/b",
        "/api/docs%2fa",
        "/api/docsx/a",
        "/api/v1/users?/api/v1/system/version",
        "/api/admin#/api/health",
        "/api/admin?#/api/health",
        "/api/v1/tables",
        "/api/v1/system/config/loginConfig",
    ] {
        let status = stage.gateway.get(closed, &[]).status;
        assert!([400, 401].contains(&status), "P01-P10, P22 {closed}: {status}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let response = crate::support::wire::send(stage.gateway.proxy, method, "/api/health", &[], b"");
        assert_eq!(response.status, 401, "P18, P19 {method}");
    }
    assert_eq!(stage.upstream.requests().len(), reached, "a refused request reached the upstream");
    // HEAD is allowed with GET (RFC 9110 section 9.3.2).
    assert_eq!(
        crate::support::wire::send(stage.gateway.proxy, "HEAD", "/api/health", &[], b"").status,
        200,
        "P18"
    );
}

/// The strictest reading also decides whether a rule applies.
#[test]
fn no_spelling_of_a_path_evades_a_rule() {
    let config = "authentication: {publicKeyUrls: [ISSUER/jwks]}\nauthorization:\n  rules:\n    - {name: no-policies, match: {paths: [\"/api/v1/policies/**\"]}, require: {anyRole: [Admin]}}\n";
    let stage = Stage::configured(Issuer::of(keys::rsa()), config);
    let token = Token::user();
    assert_eq!(stage.gateway.get_as(&token, "/api/v1/tables/x").status, 200);
    let reached = stage.upstream.requests().len();
    for path in [
        "/api/v1/policies/x",
        "/api/v1/policies/x?y",
        "/api/v1/policies;a=b/x",
        "/api/v1;x/policies/x",
        "/api/v1/%70olicies/x",
        "/api/v1%2fpolicies%2fx",
        "/api/v1/policies%2Fx",
        "//api/v1/policies/x",
        "/api//v1/policies/x",
        "/api/v1/policies//x",
        "/api/v1/%70olicies;a/x",
    ] {
        let status = stage.gateway.get_as(&token, path).status;
        assert!([400, 403].contains(&status), "{path}: {status}");
    }
    assert_eq!(stage.upstream.requests().len(), reached);
}
