//! Key sets as they are published in practice, valid and unusual.

use serde_json::{Value, json};

use super::{assert_outcomes, outcome};
use crate::support::gateway::Setup;
use crate::support::issuer::{Issuer, JWKS, Reply};
use crate::support::keys::{self, key_set, url64};
use crate::support::stage::Stage;
use crate::support::token::Token;
use crate::support::upstream::Upstream;

fn published(keys: &[Value]) -> Stage {
    Stage::with(Issuer::with_keys(keys), Upstream::echo(), |setup| setup)
}

/// OpenMetadata's own path and shape.
const OPENMETADATA: &str = "/api/v1/system/config/jwks";

#[test]
fn openmetadata_key_set_is_accepted() {
    let issuer = Issuer::empty();
    issuer.publish(OPENMETADATA, &[keys::rsa().jwk_openmetadata()]);
    let url = issuer.url(OPENMETADATA);
    let stage = Stage::with(issuer, Upstream::echo(), |setup| setup.env("AUTHENTICATION_PUBLIC_KEYS", url));
    assert_outcomes(
        &stage,
        &[
            ("the documented bot", Token::bot(), "allowed"),
            // OpenMetadata publishes RS256 whatever it signs with.
            ("RS512", Token::user().signed("RS512", keys::rsa()), "allowed"),
            ("RS384", Token::user().signed("RS384", keys::rsa()), "allowed"),
            ("another family", Token::user().signed("PS256", keys::rsa()), "algorithm_not_allowed"),
        ],
    );
}

#[test]
fn every_encoding_of_a_valid_key_is_accepted() {
    for (name, jwk, token) in [
        ("OpenMetadata's", keys::rsa().jwk_openmetadata(), Token::user()),
        ("standard alphabet", keys::rsa().jwk_standard_alphabet(), Token::user()),
        ("no use", keys::rsa().jwk_with(json!({"use": null})), Token::user()),
        ("to verify", keys::rsa().jwk_with(json!({"use": null, "key_ops": ["verify"]})), Token::user()),
        (
            "more members",
            keys::rsa().jwk_with(json!({"x5c": ["MII"], "x5t": "a", "ext": true})),
            Token::user(),
        ),
        ("EC long", keys::p256().jwk_long_coordinates(), Token::user().signed("ES256", keys::p256())),
        ("EC zero byte", keys::p256_short().jwk(), Token::user().signed("ES256", keys::p256_short())),
        (
            "EC short",
            keys::p256_short().jwk_short_coordinates(),
            Token::user().signed("ES256", keys::p256_short()),
        ),
    ] {
        assert_eq!(outcome(&published(&[jwk]), &token), "allowed", "{name}");
    }
}

#[test]
fn invalid_keys_do_not_drop_the_others() {
    let ec = keys::p256();
    let weak = url64([vec![0xc1; 127], vec![0x01]].concat());
    let odd = [
        json!(null),
        json!("key"),
        json!(42),
        json!([]),
        json!({}),
        json!({"kty": "AKP", "kid": "pq", "alg": "ML-DSA-44", "pub": "AAAA"}),
        json!({"kty": "OKP", "kid": "x", "crv": "X25519", "x": url64([7; 32])}),
        json!({"kty": "OKP", "kid": "ed448", "crv": "Ed448", "x": url64([7; 57])}),
        json!({"kty": "EC", "kid": "k1", "crv": "secp256k1", "x": url64([7; 32]), "y": url64([7; 32])}),
        json!({"kty": "oct", "kid": "oct", "k": url64([7; 32])}),
        json!({"kty": "RSA", "kid": "no-n", "e": "AQAB"}),
        json!({"kty": "RSA", "kid": null, "n": null, "e": null}),
        json!({"kty": "RSA", "kid": "weak", "n": weak, "e": "AQAB"}),
        keys::other_rsa().jwk_with(json!({"kid": "e1", "e": "AQ"})),
        keys::other_rsa().jwk_with(json!({"kid": "even", "e": "Ag"})),
        keys::other_rsa().jwk_with(json!({"kid": 7})),
        keys::other_rsa().jwk_with(json!({"kid": "alg", "alg": 5})),
        keys::other_rsa().jwk_with(json!({"kid": "use", "use": ["sig"]})),
        keys::other_rsa().jwk_with(json!({"kid": "base64", "n": "***"})),
        ec.jwk_with(json!({"kid": "curve", "crv": "P-384"})),
        ec.jwk_with(json!({"kid": "off", "x": url64([7; 32]), "y": url64([7; 32])})),
        ec.jwk_with(json!({"kid": "kty", "kty": "RSA"})),
    ];
    let mut set = odd.to_vec();
    set.insert(0, keys::rsa().jwk());
    set.push(keys::ed25519().jwk());
    let stage = published(&set);
    assert_outcomes(
        &stage,
        &[
            ("the first", Token::user(), "allowed"),
            ("the last", Token::user().signed("EdDSA", keys::ed25519()), "allowed"),
        ],
    );
    for (kid, alg, key) in [
        ("e1", "RS256", keys::other_rsa()),
        ("curve", "ES256", ec),
        ("kty", "ES256", ec),
        ("off", "ES256", ec),
    ] {
        let token = Token::user().signed(alg, key).header("kid", json!(kid));
        assert_eq!(stage.gateway.get_as(&token, "/x").status, 401, "{kid}");
    }
    for entry in &odd {
        let stage = published(&[entry.clone(), keys::rsa().jwk()]);
        assert_eq!(stage.gateway.get_as(&Token::user(), "/x").status, 200, "beside {entry}");
    }
}

#[test]
fn unusable_keys_do_not_make_a_missing_kid_ambiguous() {
    let stage = published(&[keys::rsa().jwk(), keys::other_rsa().jwk_with(json!({"use": "enc"}))]);
    assert_eq!(outcome(&stage, &Token::user().without_header("kid")), "allowed");
}

#[test]
fn keys_are_read_from_file_urls() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let (set, pem) = (directory.path().join("keys.json"), directory.path().join("key.pem"));
    std::fs::write(&set, key_set(&[keys::p256().jwk()])).expect("a key set");
    std::fs::write(&pem, keys::rsa().rsa_pem()).expect("a PEM file");
    let urls = format!("[file://{}, file://{}]", set.display(), pem.display());
    let stage = Stage::plain(|setup| setup.env("AUTHENTICATION_PUBLIC_KEYS", urls));
    assert_outcomes(
        &stage,
        &[
            ("of the set", Token::user().signed("ES256", keys::p256()), "allowed"),
            ("of the PEM file", Token::user().without_header("kid"), "allowed"),
            ("of neither", Token::user().signed("ES384", keys::p384()), "unknown_key"),
        ],
    );
    assert_eq!(stage.issuer.requests().len(), 0);
}

/// The ways in which OpenMetadata deployments write the list of URLs.
#[test]
fn url_list_is_read_in_every_common_form() {
    let issuer = Issuer::of(keys::rsa());
    issuer.publish("/two", &[keys::p256().jwk()]);
    let upstream = Upstream::echo();
    let (one, two) = (issuer.url(JWKS), issuer.url("/two"));
    for text in [
        format!("[{one}, {two}]"),
        format!("[{one},{two}]"),
        format!("[{one},  {two}]   # Update with your own"),
        format!("[\"{one}\",\"{two}\"]"),
        format!("['{one}', '{two}']"),
    ] {
        let gateway = Setup::run()
            .env("AUTHENTICATION_PUBLIC_KEYS", &text)
            .env("METAGATE_UPSTREAM__URL", upstream.url())
            .start();
        gateway.wait_ready();
        assert_eq!(gateway.get_as(&Token::bot(), "/x").status, 200, "{text}");
        assert_eq!(gateway.get_as(&Token::user().signed("ES256", keys::p256()), "/x").status, 200, "{text}");
    }
    for text in [one.clone(), format!("\"{one}\""), format!("[{one}]")] {
        let gateway = Setup::run()
            .env("AUTHENTICATION_PUBLIC_KEYS", &text)
            .env("METAGATE_UPSTREAM__URL", upstream.url())
            .start();
        gateway.wait_ready();
        assert_eq!(gateway.get_as(&Token::bot(), "/x").status, 200, "{text}");
    }
}

#[test]
fn bad_responses_of_a_key_server_are_rejected() {
    let evil = || key_set(&[keys::other_rsa().jwk()]);
    let issuer = Issuer::empty();
    issuer
        .set("/html", Reply::Status(200, vec![("Content-Type", "text/html".into())], "<html>Log in".into()));
    issuer.set("/cut", Reply::CutShort(evil()));
    issuer.set("/endless", Reply::Endless);
    issuer.set("/error", Reply::Status(500, vec![], evil()));
    issuer.set("/forbidden", Reply::Status(403, vec![], evil()));
    issuer.set("/unchanged", Reply::Status(304, vec![], String::new()));
    issuer.publish("/good", &[keys::rsa().jwk()]);
    let bad =
        ["html", "cut", "endless", "error", "forbidden", "unchanged"].map(|path| format!("ISSUER/{path}"));
    let config = format!("authentication: {{publicKeyUrls: [ISSUER/good, {}]}}", bad.join(", "));
    let stage = Stage::configured(issuer, &config);
    // F02 to F05: the valid source works whatever the others return.
    assert_eq!(stage.gateway.get_as(&Token::user(), "/x").status, 200);
    let by_evil = Token::user().signed("RS256", keys::other_rsa());
    // It is unknown whether one of the failed sources has the key.
    assert_eq!(stage.gateway.get_as(&by_evil, "/x").status, 503);
    for request in stage.issuer.requests() {
        for name in ["authorization", "cookie", "referer"] {
            assert_eq!(request.head.value(name), None, "F09 {name}");
        }
    }
}

#[test]
fn key_server_cannot_redirect_to_files_or_metadata_services() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let file = directory.path().join("keys.json");
    std::fs::write(&file, key_set(&[keys::other_rsa().jwk()])).expect("a key set");
    let issuer = Issuer::empty();
    let moved = |to: String| Reply::Status(302, vec![("Location", to)], String::new());
    issuer.set("/file", moved(format!("file://{}", file.display())));
    issuer.set("/metadata", moved("http://169.254.169.254/latest/meta-data".to_owned()));
    issuer.set("/loop", moved(issuer.url("/loop")));
    issuer.publish("/good", &[keys::rsa().jwk()]);
    let config = "authentication: {publicKeyUrls: [ISSUER/good, ISSUER/file, ISSUER/metadata, ISSUER/loop]}";
    let stage = Stage::configured(issuer, config);
    let by_evil = Token::user().signed("RS256", keys::other_rsa());
    assert_eq!(stage.gateway.get_as(&by_evil, "/x").status, 503, "F01");
    assert_eq!(stage.gateway.get_as(&Token::user(), "/x").status, 200, "F01");
    assert!(stage.issuer.hits("/loop") < 20, "F01: {} hits in the loop", stage.issuer.hits("/loop"));
}
