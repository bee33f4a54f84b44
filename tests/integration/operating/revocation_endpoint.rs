//! The revocation endpoint (RFC 7009): the holder of a token revokes it.

use std::fs;

use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::gateway::{Gateway, Setup, text};
use crate::support::http2::{Http2Client, whole};
use crate::support::keys::{encryption_rsa, sha256_hex};
use crate::support::revocation_store::RevocationStore;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer, now, parts};
use crate::support::wire::{self, Response};

const ENDPOINT: &str = "/oauth2/revoke";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

fn name(key: &str) -> String {
    format!("METAGATE_AUTHENTICATION__REVOCATIONS__{key}")
}

/// A gateway with the endpoint and this list, and more configuration. Its limit is no hindrance.
#[track_caller]
fn with_file(list: &str, more: &str) -> (Stage, TempDir) {
    let directory = TempDir::new().expect("a directory");
    fs::write(directory.path().join("list"), list).expect("a list");
    let file = directory.path().join("list").to_str().expect("a path").to_owned();
    let stage = Stage::plain(|setup| unlimited(setup).env(&name("FILE"), file).config(more));
    (stage, directory)
}

fn with_store(store: &RevocationStore) -> Stage {
    Stage::plain(|setup| unlimited(setup).env(&name("STORE__URL"), store.url()))
}

fn unlimited(setup: Setup) -> Setup {
    setup.env(&name("ENDPOINT__PATH"), ENDPOINT).env(&name("ENDPOINT__BURST"), "1000")
}

fn list_of(directory: &TempDir) -> String {
    fs::read_to_string(directory.path().join("list")).expect("the list")
}

fn post(gateway: &Gateway, form: &str) -> Response {
    wire::send(gateway.proxy, "POST", ENDPOINT, &[FORM], form.as_bytes())
}

#[track_caller]
fn revoke(gateway: &Gateway, token: &str) {
    let response = post(gateway, &format!("token={token}&token_type_hint=access_token"));
    assert_eq!((response.status, &*response.body), (200, &b""[..]), "{}", response.text());
    assert_eq!(response.header("cache-control"), Some("no-store"));
}

fn fingerprint(token: &str) -> String {
    let (header, payload, _) = parts(token);
    sha256_hex(format!("{header}.{payload}").as_bytes())
}

/// The audit records of the endpoint, of which there must be this many.
#[track_caller]
fn records(gateway: &Gateway, count: usize) -> Vec<Value> {
    eventually("the records of the endpoint", || {
        let of_endpoint = |record: &Value| text(record, "via") == Some("revocation_endpoint");
        let found: Vec<_> = gateway.audit().into_iter().filter(of_endpoint).collect();
        assert!(found.len() <= count, "{found:?}");
        (found.len() == count).then_some(found)
    })
}

/// On the request after the response, without waiting: 401.
#[test]
fn a_cached_token_is_refused_once_its_holder_has_revoked_it() {
    let (stage, directory) = with_file("# mine\n- {sub: bob}\n", "");
    let token = Token::user().expires_in(600).encode();
    assert_eq!(stage.gateway.get_with(&token, "/api/a").status, 200);
    assert_eq!(stage.gateway.get_with(&token, "/api/b").status, 200);
    revoke(&stage.gateway, &token);
    assert_eq!(stage.gateway.get_with(&token, "/api/c").status, 401);
    assert_eq!(text(&stage.gateway.audit_of("/api/c"), "reason"), Some("revoked"));
    assert_eq!(stage.gateway.get_as(&Token::user().claim("jti", json!("other")), "/api/d").status, 200);
    let list = list_of(&directory);
    assert!(list.starts_with("# mine\n- {sub: bob}\n- fingerprint: \""), "{list}");
    assert!(
        list.contains(&fingerprint(&token)) && list.contains("note: \"revoked by its holder\""),
        "{list}"
    );
    let until = list.lines().find_map(|line| line.trim().strip_prefix("until: ")).expect("an end");
    let expected = humantime::format_rfc3339_seconds(
        std::time::UNIX_EPOCH + std::time::Duration::from_secs((now() + 600 + 86_400) as u64),
    );
    assert_eq!(until.trim_matches('"').get(..16), expected.to_string().get(..16));
    // A second kill changes nothing.
    revoke(&stage.gateway, &token);
    assert_eq!(list_of(&directory), list);
    let found = records(&stage.gateway, 2);
    for (record, detail) in
        found.iter().zip(["the token was revoked by its holder", "the token had been revoked before"])
    {
        for (name, value) in [
            ("decision", "allow"),
            ("method", "POST"),
            ("path", ENDPOINT),
            ("principal", "ada@open-metadata.org"),
            ("issuer", "public-keys"),
            ("detail", detail),
            ("token_fingerprint", fingerprint(&token).get(..16).expect("digits")),
        ] {
            assert_eq!(text(record, name), Some(value), "{record}");
        }
        assert_eq!(record["status"], 200);
    }
    assert_eq!(stage.upstream.requests().len(), 3, "the endpoint forwards nothing");
    stage.gateway.assert_no_token_in_output();
}

#[test]
fn a_token_without_end_gets_an_entry_without_end() {
    let (stage, directory) = with_file("[]\n", "");
    let token = Token::bot().encode();
    assert_eq!(stage.gateway.get_with(&token, "/api/a").status, 200);
    revoke(&stage.gateway, &token);
    assert_eq!(stage.gateway.get_with(&token, "/api/b").status, 401);
    assert!(!list_of(&directory).contains("until"), "{}", list_of(&directory));
}

/// Whatever does not verify is 200 too, and nothing is kept of it.
#[test]
fn tokens_that_do_not_verify_are_answered_alike_and_enter_nothing() {
    let (stage, directory) = with_file("[]\n", "");
    let forged = |number: u32| {
        Token::user()
            .claim("jti", json!(format!("f-{number}")))
            .signed("RS256", encryption_rsa())
            .header("kid", json!("rsa-1"))
            .encode()
    };
    let expired = Token::user().expires_in(-600).encode();
    for form in ["a.b.c".to_owned(), "not+a+token".to_owned(), expired] {
        revoke(&stage.gateway, &form);
    }
    for number in 0..50 {
        revoke(&stage.gateway, &forged(number));
    }
    assert_eq!(list_of(&directory), "[]\n");
    let found = records(&stage.gateway, 53);
    assert!(found.iter().all(|record| text(record, "decision") == Some("deny")), "{found:?}");
    let reasons: Vec<_> =
        found.iter().take(4).map(|record| text(record, "reason").unwrap_or_default()).collect();
    assert_eq!(reasons, ["malformed_token", "malformed_token", "expired", "invalid_signature"]);
    assert_eq!(stage.gateway.metric("metagate_revocations", &[("kind", "fingerprint")]), 0.0);
    assert_eq!(stage.gateway.get_as(&Token::user(), "/api/a").status, 200);
    stage.gateway.assert_no_token_in_output();
}

/// It will be valid, so the client must not take it for dead.
#[test]
fn a_token_that_is_not_valid_yet_is_not_reported_as_revoked() {
    let (stage, _directory) = with_file("[]\n", "");
    let token = Token::user().claim("nbf", json!(now() + 3600)).encode();
    let response = post(&stage.gateway, &format!("token={token}"));
    assert_eq!((response.status, &response.json()["error"]), (503, &json!("temporarily_unavailable")));
    assert!(response.header("retry-after").is_some());
}

#[test]
fn requests_are_read_strictly() {
    let (stage, directory) = with_file("[]\n", "");
    let token = Token::user().encode();
    let usual = format!("token={token}");
    let authorization = bearer(&Token::user());
    let (own, basic) = (("Authorization", &*authorization), ("Authorization", "Basic YTpi"));
    let json = ("Content-Type", "application/json");
    let long = format!("token={}", "a".repeat(200_000));
    type Case<'c> = (&'c str, &'c str, &'c [(&'c str, &'c str)], String, u16);
    let cases: [Case<'_>; 12] = [
        ("POST", ENDPOINT, &[FORM], String::new(), 400),
        ("POST", ENDPOINT, &[FORM], "token_type_hint=access_token".to_owned(), 400),
        ("POST", ENDPOINT, &[FORM], format!("{usual}&{usual}"), 400),
        ("POST", ENDPOINT, &[FORM], format!("{usual}&client_secret=x"), 400),
        ("POST", ENDPOINT, &[json], usual.clone(), 400),
        ("POST", ENDPOINT, &[], usual.clone(), 400),
        ("POST", ENDPOINT, &[FORM, ("Content-Encoding", "gzip")], usual.clone(), 400),
        ("POST", "/oauth2/revoke?x=1", &[FORM], usual.clone(), 400),
        ("POST", ENDPOINT, &[FORM, own], usual.clone(), 400),
        ("POST", ENDPOINT, &[FORM, basic], usual.clone(), 400),
        ("POST", ENDPOINT, &[FORM], long, 413),
        ("GET", ENDPOINT, &[], String::new(), 405),
    ];
    let count = cases.len();
    for (method, target, fields, body, status) in cases {
        let response = wire::send(stage.gateway.proxy, method, target, fields, body.as_bytes());
        assert_eq!(response.status, status, "{method} {target} {fields:?}: {}", response.text());
        assert_eq!(response.json()["error"], "invalid_request", "{target} {fields:?}");
        assert_eq!(response.header("allow"), (status == 405).then_some("POST"));
    }
    records(&stage.gateway, count);
    assert!(stage.upstream.requests().is_empty());
    assert_eq!(list_of(&directory), "[]\n");
    assert_eq!(stage.gateway.get_with(&token, "/api/a").status, 200);
    stage.gateway.assert_no_token_in_output();
}

/// Every other way to write the path is the backend's, and needs a token.
#[test]
fn other_paths_are_the_backends() {
    let (stage, _directory) = with_file("[]\n", "");
    let form = format!("token={}", Token::user().encode());
    for path in ["/oauth2/revoke/", "/oauth2//revoke", "/oauth2/%72evoke", "/Oauth2/revoke"] {
        let response = wire::send(stage.gateway.proxy, "POST", path, &[FORM], form.as_bytes());
        assert_eq!(response.status, 401, "{path}: {}", response.text());
    }
    let without = Stage::plain(|setup| setup);
    let fields = [FORM, ("Authorization", &*bearer(&Token::user()))];
    assert_eq!(wire::send(without.gateway.proxy, "POST", ENDPOINT, &fields, form.as_bytes()).status, 200);
    assert_eq!(without.upstream.requests().len(), 1, "without the key there is no endpoint");
}

#[test]
fn http2_and_report_mode_change_nothing() {
    let (stage, _directory) =
        with_file("[]\n", "authorization: {mode: report, public: [POST /oauth2/revoke]}\n");
    let token = Token::user().encode();
    let form = format!("token={token}");
    let mut http2 = Http2Client::connect(stage.gateway.proxy);
    // In two frames.
    let (response, mut sending) = http2.open("POST", ENDPOINT, &[FORM], false);
    let (first, second) = form.split_at(100);
    sending.send_data(Bytes::copy_from_slice(first.as_bytes()), false).expect("room");
    sending.send_data(Bytes::copy_from_slice(second.as_bytes()), true).expect("room");
    let response = http2.wait(async { whole(response.await?).await }).expect("a response");
    assert_eq!((response.status, response.body.len()), (200, 0));
    records(&stage.gateway, 1);
    stage.gateway.get_with(&token, "/api/a");
    assert_eq!(text(&stage.gateway.audit_of("/api/a"), "reason"), Some("revoked"));
    let forwarded = stage.upstream.requests().len();
    let refused = http2.send("POST", ENDPOINT, &[FORM], b"x=1").expect("a response");
    assert_eq!(refused.status, 400);
    assert_eq!(stage.upstream.requests().len(), forwarded);
}

#[test]
fn requests_of_one_network_are_limited() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("list");
    fs::write(&file, "[]\n").expect("a list");
    let stage = Stage::plain(|setup| {
        setup
            .env(&name("FILE"), file.to_str().expect("a path"))
            .env(&name("ENDPOINT__PATH"), ENDPOINT)
            .env(&name("ENDPOINT__REQUESTS_PER_MINUTE"), "1")
            .env(&name("ENDPOINT__BURST"), "2")
            .config("trustedProxies: [127.0.0.1]\n")
    });
    let from = |address: &str, form: &str| {
        let fields = [FORM, ("X-Forwarded-For", address)];
        wire::send(stage.gateway.proxy, "POST", ENDPOINT, &fields, form.as_bytes())
    };
    let usual = format!("token={}", Token::user().encode());
    assert_eq!(
        (from("192.0.2.1", "token=a.b.c").status, from("192.0.2.1", "token=a.b.c").status),
        (200, 200)
    );
    let limited = from("192.0.2.1", &usual);
    assert_eq!((limited.status, &limited.json()["error"]), (429, &json!("temporarily_unavailable")));
    assert!(limited.header("retry-after").is_some());
    assert_eq!(list_of(&directory), "[]\n");
    assert_eq!(from("192.0.2.2", &usual).status, 200);
}

/// Every replica learns it, and a store that refuses is not taken for success.
#[test]
fn a_store_has_the_entry_before_the_response() {
    let store = RevocationStore::start();
    let (one, other) = (with_store(&store), with_store(&store));
    let token = Token::user().expires_in(600).encode();
    assert_eq!(other.gateway.get_with(&token, "/api/a").status, 200);
    store.refuse_changes(true);
    let response = post(&one.gateway, &format!("token={token}"));
    assert_eq!((response.status, &response.json()["error"]), (503, &json!("temporarily_unavailable")));
    assert!(response.header("retry-after").is_some());
    assert_eq!(one.gateway.get_with(&token, "/api/a").status, 200);
    store.refuse_changes(false);
    revoke(&one.gateway, &token);
    assert_eq!(one.gateway.get_with(&token, "/api/b").status, 401);
    let members = store.members();
    assert!(members.len() == 1 && members[0].contains(&fingerprint(&token)), "{members:?}");
    eventually("the other replica", || {
        let response = other.gateway.try_get_with(&token, "/api/b")?;
        (response.status == 401).then_some(())
    });
    revoke(&other.gateway, &token);
    assert_eq!(store.members(), members);
    let decisions: Vec<_> = records(&one.gateway, 2);
    let of = |at: usize| (text(&decisions[at], "decision"), text(&decisions[at], "reason"));
    assert_eq!(of(0), (Some("error"), Some("revocations_unavailable")));
    assert_eq!(of(1), (Some("allow"), None));
    one.gateway.assert_no_token_in_output();
}

#[test]
fn a_file_that_became_invalid_is_503() {
    let (stage, directory) = with_file("[]\n", "");
    let token = Token::user().encode();
    fs::write(directory.path().join("list"), "- nonsense\n").expect("a list");
    let response = post(&stage.gateway, &format!("token={token}"));
    assert_eq!((response.status, &response.json()["error"]), (503, &json!("temporarily_unavailable")));
    assert_eq!(list_of(&directory), "- nonsense\n");
    fs::write(directory.path().join("list"), "[]\n").expect("a list");
    revoke(&stage.gateway, &token);
    assert_eq!(stage.gateway.get_with(&token, "/api/a").status, 401);
}
