//! Tests of the support code itself, so that the other tests fail only for faults of the product.

use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::issuer::{Issuer, JWKS, Reply};
use super::keys::{self, key_set};
use super::stub::{Gate, Next};
use super::token::{Token, compact, parts, tampered};
use super::upstream::{Upstream, echo};
use super::wire::{self, Client, NoResponse};
use super::{eventually, metrics};

fn decoded(part: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64url")
}

fn input_of(token: &str) -> (&[u8], Vec<u8>) {
    let end = token.rfind('.').expect("three parts");
    (&token.as_bytes()[..end], decoded(&token[end + 1..]))
}

#[test]
fn rsa_tokens_verify_with_the_published_key() {
    let (n, e) = keys::rsa().rsa_numbers();
    assert_eq!((n.len(), e.as_slice()), (256, [1, 0, 1].as_slice()));
    let public = RsaPublicKeyComponents { n, e };

    let token = Token::bot().encode();
    let (input, signature) = input_of(&token);
    public.verify(&RSA_PKCS1_2048_8192_SHA256, input, &signature).expect("RS256");

    let token = Token::user().signed("PS384", keys::rsa()).encode();
    let (input, signature) = input_of(&token);
    public.verify(&RSA_PSS_2048_8192_SHA384, input, &signature).expect("PS384");

    let token = Token::bot().signed("RS256", keys::other_rsa()).encode();
    let (input, signature) = input_of(&token);
    public.verify(&RSA_PKCS1_2048_8192_SHA256, input, &signature).expect_err("another key's signature");
}

#[test]
fn ec_and_ed25519_tokens_verify_with_the_published_key() {
    for (alg, key) in [("ES256", keys::p256()), ("EdDSA", keys::ed25519())] {
        let token = Token::user().signed(alg, key).encode();
        let (input, signature) = input_of(&token);
        assert_eq!(signature.len(), 64, "{alg}");
        let point = key.public_bytes();
        let verified = match alg {
            "EdDSA" => UnparsedPublicKey::new(&ED25519, point).verify(input, &signature),
            _ => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(input, &signature),
        };
        verified.unwrap_or_else(|_| panic!("{alg}"));
    }
}

#[test]
fn documented_bot_token_has_a_null_exp() {
    let token = Token::bot().encode();
    let (header, payload, _) = parts(&token);
    let header: Value = serde_json::from_slice(&decoded(header)).expect("a header");
    assert_eq!(header, json!({"alg": "RS256", "kid": "rsa-1", "typ": "JWT"}));
    let payload: Value = serde_json::from_slice(&decoded(payload)).expect("a payload");
    assert_eq!(payload.get("exp"), Some(&Value::Null));
    assert_eq!(payload["sub"], "ingestion-bot");
}

#[test]
fn datahub_tokens_have_neither_kid_nor_typ() {
    let token = Token::datahub().encode();
    assert_eq!(decoded(parts(&token).0), br#"{"alg":"HS256"}"#);
}

#[test]
fn token_parts_are_signed_byte_for_byte() {
    let token = compact("{ \"alg\" :\"RS256\" }", [0xff, 0xfe], "RS256", keys::rsa());
    assert_eq!(decoded(parts(&token).0), b"{ \"alg\" :\"RS256\" }");
    assert_eq!(decoded(parts(&token).1), [0xff, 0xfe]);
    let good = Token::bot().encode();
    let bad = tampered(&good);
    assert_ne!(parts(&good).1, parts(&bad).1);
    assert_eq!((parts(&good).0, parts(&good).2), (parts(&bad).0, parts(&bad).2));
}

#[test]
fn keys_are_published_in_every_observed_encoding() {
    let openmetadata = keys::rsa().jwk_openmetadata();
    let n = openmetadata["n"].as_str().expect("n");
    assert!(n.starts_with('A') && n.ends_with('='), "{n}");
    assert_eq!(openmetadata["alg"], "RS256");
    assert_eq!(decoded(keys::rsa().jwk()["n"].as_str().expect("n")).len(), 256);
    assert!(keys::rsa().jwk_with(json!({"use": null})).get("use").is_none());

    let coordinate = |jwk: Value| decoded(jwk["x"].as_str().expect("x")).len();
    assert_eq!(coordinate(keys::p256_short().jwk()), 32);
    assert!(coordinate(keys::p256_short().jwk_short_coordinates()) < 32);
    assert_eq!(coordinate(keys::p256().jwk_long_coordinates()), 33);
    assert!(keys::rsa().rsa_pem().starts_with("-----BEGIN PUBLIC KEY-----\nMII"));
}

#[test]
fn issuer_rotates_keys_counts_requests_and_returns_304() {
    let issuer = Issuer::of(keys::rsa());
    let address = issuer.address;
    assert_eq!(wire::get(address, JWKS, &[]).json()["keys"][0]["kid"], "rsa-1");
    issuer.publish(JWKS, &[keys::other_rsa().jwk()]);
    assert_eq!(wire::get(address, JWKS, &[]).json()["keys"][0]["kid"], "rsa-2");
    assert_eq!(issuer.hits(JWKS), 2);

    issuer.set("/tagged", Reply::Tagged("\"1\"", key_set(&[])));
    assert_eq!(wire::get(address, "/tagged", &[]).header("etag"), Some("\"1\""));
    let again = wire::get(address, "/tagged", &[("If-None-Match", "\"1\"")]);
    assert_eq!((again.status, again.body.len()), (304, 0));

    issuer.set("/moved", Reply::Status(302, vec![("Location", issuer.url("/evil"))], String::new()));
    assert_eq!(wire::get(address, "/moved", &[]).status, 302);
    assert_eq!(issuer.hits("/evil"), 0);
    assert_eq!(wire::get(address, "/nothing", &[]).status, 404);
}

#[test]
fn issuer_holds_and_truncates_responses() {
    let issuer = Issuer::empty();
    let gate = Gate::default();
    issuer.set("/held", Reply::Held(gate.clone(), Box::new(Reply::Json("{}".to_owned()))));
    let mut client = Client::connect(issuer.address);
    client.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    issuer.wait_hits("/held", 1);
    gate.open();
    assert_eq!(client.response().expect("a response").text(), "{}");

    issuer.set("/cut", Reply::CutShort("{".to_owned()));
    let mut client = Client::connect(issuer.address);
    client.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(matches!(client.response(), Err(NoResponse::Cut(_))));

    issuer.set("/endless", Reply::Endless);
    let mut client = Client::connect(issuer.address);
    client.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    let (status, head) = client.response_head().expect("a head");
    let mut body = client.body_after(status, &head);
    let mut read = 0;
    while read < 1_000_000 {
        read += client.piece(&mut body).expect("more").expect("no end").len();
    }
}

#[test]
fn upstream_exposes_a_body_while_it_arrives() {
    let upstream = Upstream::echo();
    let mut client = Client::connect(upstream.address);
    client.send("POST /x?y HTTP/1.1\r\nhOST: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    upstream.wait_for("the first chunk", |all| (all.first()?.body == b"abc").then_some(()));
    assert!(!upstream.requests()[0].complete);
    client.send("2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n");
    assert_eq!(client.response().expect("a response").json(), json!({"method": "POST", "target": "/x?y"}));
    let request = upstream.request_to("/x?y");
    assert_eq!(request.body, b"abcde");
    assert_eq!(request.trailers, [("X-Sum".to_owned(), "5".to_owned())]);
    assert_eq!(request.head.headers[0], ("hOST".to_owned(), "a".to_owned()));
    assert!(upstream.raw(0).ends_with(b"X-Sum: 5\r\n\r\n"));
}

#[test]
fn upstream_counts_connections_and_requests() {
    let upstream = Upstream::echo();
    let mut client = Client::connect(upstream.address);
    client.send(
        [wire::request_bytes("GET", "/1", &[], b""), wire::request_bytes("GET", "/2", &[], b"")].concat(),
    );
    assert_eq!(client.response().expect("the first").json()["target"], "/1");
    assert_eq!(client.response().expect("the second").json()["target"], "/2");
    assert_eq!((upstream.connections(), upstream.requests().len()), (1, 2));
    upstream.close_connections();
    assert!(matches!(client.response(), Err(NoResponse::Closed)));
    assert_eq!(wire::send(upstream.address, "HEAD", "/3", &[], b"").body, b"");
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn upstream_reports_what_is_not_strict_http() {
    for (fields, problem) in [
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "more than one"),
        ("Content-Length: 01\r\n", "leading zeros"),
        ("Transfer-Encoding: , chunked\r\n", "other than chunked"),
        ("a b: c\r\n", "not a field line"),
        ("a: b\nc: d\r\n", "a control character"),
    ] {
        let upstream = Upstream::scripted(|_| Ok(Next::Close));
        let mut client = Client::connect(upstream.address);
        client.send(format!("POST / HTTP/1.1\r\n{fields}\r\n"));
        assert!(matches!(client.response(), Err(NoResponse::Closed | NoResponse::Cut(_))));
        let problems = upstream.only_request().head.problems.join("; ");
        assert!(problems.contains(problem), "{fields:?}: {problems:?}");
    }
}

#[test]
fn truncated_request_is_never_complete() {
    let upstream = Upstream::echo();
    for body in ["5\r\nabc", "5\r\nabcdeXX\r\n0\r\n\r\n", "0x5\r\nabcde\r\n0\r\n\r\n"] {
        let mut client = Client::connect(upstream.address);
        client.send(format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}")).half_close();
        assert_eq!(client.rest(), "", "{body:?}");
    }
    assert_eq!(upstream.requests().iter().filter(|request| request.complete).count(), 0);
    assert_eq!(upstream.requests().len(), 3);
}

#[test]
fn client_tells_a_truncated_response_from_a_complete_one() {
    let upstream = Upstream::scripted(|exchange| {
        match exchange.request.head.target() {
            "/length" => exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")?,
            "/chunks" => {
                exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")?
            }
            "/garbage" => exchange.send("garbage\r\n\r\n")?,
            "/interim" => exchange.send("HTTP/1.1 103 Hint\r\n\r\nHTTP/1.1 200 OK\r\n\r\nabc")?,
            _ => return echo(exchange),
        }
        Ok(Next::Close)
    });
    for target in ["/length", "/chunks", "/garbage"] {
        let mut client = Client::connect(upstream.address);
        client.send(format!("GET {target} HTTP/1.1\r\n\r\n"));
        assert!(matches!(client.response(), Err(NoResponse::Cut(_))), "{target}");
    }
    assert_eq!(wire::get(upstream.address, "/interim", &[]).text(), "abc");
    assert_eq!(wire::get(upstream.address, "/whole", &[]).header("content-type"), Some("application/json"));
}

#[test]
fn held_script_ends_with_its_server() {
    let gate = Gate::default();
    let upstream = Upstream::scripted(move |exchange| {
        exchange.hold(&gate);
        Ok(Next::Close)
    });
    let mut client = Client::connect(upstream.address);
    client.send("GET / HTTP/1.1\r\n\r\n");
    upstream.wait_for("the request", |all| all.first().map(|_| ()));
    let started = std::time::Instant::now();
    drop(upstream);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(client.response().is_err());
}

#[test]
fn metrics_page_is_parsed() {
    let page = "# HELP up Whether.\n# TYPE up gauge\nup 1\nn_total{a=\"b\",c=\"d,e\"} 2.5\nn_total{a=\"x\",c=\"\"} 1\n# EOF\n";
    let samples = metrics::parse(page);
    assert_eq!(samples.len(), 3);
    assert!(samples[1].matches("n_total", &[("c", "d,e"), ("a", "b")]));
    assert!(!samples[2].matches("n_total", &[("a", "b")]));
    assert_eq!(samples.iter().map(|sample| sample.value).sum::<f64>(), 4.5);
    assert_eq!(
        (metrics::announced(page, "TYPE"), metrics::announced(page, "HELP")),
        (vec!["up"], vec!["up"])
    );
}

#[test]
fn eventually_returns_the_first_result() {
    let mut left = 3;
    let response = eventually("the third attempt", || {
        left -= 1;
        (left == 0).then_some("yes")
    });
    assert_eq!(response, "yes");
}
